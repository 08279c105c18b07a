# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import pytest

from monai_kd.data import check_unseen
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
