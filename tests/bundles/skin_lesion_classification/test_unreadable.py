# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""A picture that cannot be read stops a training and is named, or is left out and listed; a teacher knows its cases."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from monai_kd.utils import DataError
from tests.bundles.workflows import cause, run


@pytest.fixture
def damaged(data, tmp_path) -> tuple[str, str]:
    """A copy of the data with half a picture in training, and the case it is of."""
    folder = Path(shutil.copytree(data, tmp_path / "damaged"))
    item = json.loads((folder / "dataset.json").read_text())["training"][3]
    picture = folder / item["image"]
    picture.write_bytes(picture.read_bytes()[:60])
    return str(folder), item["case"]


def test_a_picture_that_cannot_be_read_is_named(make, damaged):
    folder, case = damaged
    with pytest.raises(RuntimeError) as error:
        make("train_alone.yaml", dataset_dir=folder).run()
    assert f"case '{case}', image, " in cause(error.value, DataError)


def test_it_is_left_out_and_listed_where_that_is_asked_for(make, damaged, tmp_path):
    folder, case = damaged
    asked = {"dataset_dir": folder, "on_error": "skip"}
    with pytest.raises(RuntimeError) as error:
        make("train_alone.yaml", **asked).run()
    assert "more than max_skipped=0.01 allows" in cause(error.value, DataError)
    workflow = run(make("train_alone.yaml", max_skipped=0.1, **asked))
    assert case not in {item["case"] for item in workflow.parser.get_parsed_content("train_items")}
    with (tmp_path / "output" / "alone" / "skipped.csv").open() as file:
        assert [row["case"] for row in csv.DictReader(file)] == [case]


def test_a_student_is_not_judged_by_what_its_teacher_was_trained_on(make):
    run(make("train_teacher.yaml"))
    with pytest.raises(RuntimeError) as error:
        make(val_section="training").run()
    assert "of the cases that judge its student" in cause(error.value, DataError)
