# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""two_stream.yaml over everything that a comparison trains: the student, the baseline, the teacher."""

from __future__ import annotations

import shutil

import pytest
import torch
from monai.bundle import ConfigParser

from monai_kd.commands.compare import plan
from monai_kd.commands.composition import compose
from monai_kd.recipes import load_recipe
from monai_kd.utils import DataError
from tests.bundles.histology_patch_classification.workflows import CONFIGS
from tests.bundles.workflows import cause, run, streams_of_two_iterations

FEW = {"labeled_fraction": 0.5, "batch_size": 4}
TWO = {**FEW, "train::trainer::epoch_length": 2}


def test_the_distilled_student_and_the_baseline_take_as_many_steps(make):
    taken = {}
    for name, file in (("distilled", load_recipe("mean_teacher").path), ("alone", "train_alone.yaml")):
        workflow = make(file, "two_stream.yaml", max_epochs=2, **FEW)
        taken[name] = streams_of_two_iterations(workflow)
    assert taken["distilled"] == [[True, False, False, False]] * len(taken["distilled"])
    assert taken["alone"] == [[True] * 4] * len(taken["distilled"])
    assert len(taken["alone"]) == 2 * (sum(not flag for flag in labeled(workflow)) // 3) > 0


def labeled(workflow) -> list[bool]:
    return [item["labeled"] for item in workflow.parser.get_parsed_content("train_items")]


def test_files_may_be_laid_over_in_either_order(make):
    drawn = [
        streams_of_two_iterations(make(*files, **TWO))
        for files in (("two_stream.yaml", "train_alone.yaml"), ("two_stream.yaml", load_recipe("mean_teacher").path))
    ]
    assert drawn == [[[True] * 4] * 2, [[True, False, False, False]] * 2]


@pytest.mark.parametrize("fraction", [1.0, 0.2])
def test_a_teacher_keeps_batches_of_its_own(make, tmp_path, fraction):
    given = {"labeled_fraction": fraction, "batch_size": 20}
    lengths = []
    for files in (("train_teacher.yaml",), ("train_teacher.yaml", "two_stream.yaml")):
        workflow = run(make(*files, **given))
        lengths.append((workflow.trainer.state.iteration, len(workflow.train_dataset)))
    assert lengths[0] == lengths[1]
    assert (lengths[0] == (2, 40)) == (fraction == 1.0)
    assert torch.load(tmp_path / "teacher" / "model.pt", weights_only=True)


def test_a_recipe_that_keeps_the_labelled_items_alone(make, teacher):
    workflow = make(load_recipe("marini_ssl").path, "two_stream.yaml", **TWO, **{"run": "$@train::trainer.run()"})
    assert streams_of_two_iterations(workflow) == [[True] * 4] * 2


@pytest.mark.parametrize("file", ["train_alone.yaml", "mean_teacher"])
def test_no_unlabelled_item_is_refused(make, file):
    path = file if file.endswith("yaml") else load_recipe(file).path
    with pytest.raises(RuntimeError) as caught:
        make(path, "two_stream.yaml", **{**FEW, "labeled_fraction": 1.0}).run()
    assert "0 unlabelled items, a batch wants 3" in cause(caught.value, DataError)


def test_a_comparison_trains_all_of_them(data, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(CONFIGS.parent, bundle, ignore=shutil.ignore_patterns("output", "models", "teacher", "data"))
    typed = ["--labeled_fraction", "0.5", "--batch_size", "4", "--dataset_dir", data]
    teaching, trials = plan(bundle, "mean_teacher", 1, tmp_path / "out", "two_stream", None, typed)
    steps = {}
    for trial in (*teaching, *trials):
        merged = compose(trial.recipe, bundle, "two_stream", trial.tokens).merged()
        parser = ConfigParser({**merged, "bundle_root": str(bundle), "cache_rate": 0.0})
        loader = parser.get_parsed_content("train::trainer::train_data_loader")
        first = next(iter(loader))["labeled"].tolist()
        steps[trial.recipe] = (len(loader), first)
    assert steps["train_teacher"] == (10, [True] * 4)
    assert steps["train_alone"][1] == [True] * 4 and steps["mean_teacher"][1] == [True, False, False, False]
    assert steps["train_alone"][0] == steps["mean_teacher"][0] > 2


def test_every_bundle_has_the_same_but_for_the_share():
    files = sorted(CONFIGS.parents[1].glob("*/configs/two_stream.yaml"))
    told = [ConfigParser.load_config_file(file) for file in files]
    shares = [one.pop("labeled_size") for one in told]
    assert len(files) == 6 and all(one == told[0] for one in told)
    assert set(shares) == {"$@batch_size // 4", "$@batch_size // 2"}
