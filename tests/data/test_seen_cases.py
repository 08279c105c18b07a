# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import pytest

from monai_kd.data import check_unseen, seen_names
from monai_kd.utils import DataError


def test_a_teacher_of_another_fold_is_refused(tmp_path):
    path = tmp_path / "fold1.pt"
    (tmp_path / "fold1.cases.json").write_text(json.dumps({"cases": ["a", "b", "c"]}))
    assert check_unseen(path, [{"case": "d"}]) == str(path)
    with pytest.raises(
        DataError, match=r"fold1\.pt.*2 of the cases that judge its student: 'b', 'c'.*fold1\.cases\.json"
    ):
        check_unseen(path, [{"case": "d"}, {"case": "c"}, {"case": "b"}])


def test_where_nothing_is_known_nothing_is_checked(tmp_path):
    assert check_unseen(tmp_path / "model.pt", [{"case": "a"}]) == str(tmp_path / "model.pt")


def test_another_image_of_the_same_patient_is_refused_and_a_case_is_no_patient(tmp_path):
    trained = [{"case": "a", "group": "1"}, {"case": "2"}]
    (tmp_path / "model.cases.json").write_text(json.dumps({"cases": seen_names(trained)}))
    path = tmp_path / "model.pt"
    assert check_unseen(path, [{"case": "1", "group": "2"}, {"case": "b"}]) == str(path)
    with pytest.raises(DataError, match=r"1 of the cases that judge its student: 'b'"):
        check_unseen(path, [{"case": "b", "group": "1"}, {"case": "c", "group": "3"}])
