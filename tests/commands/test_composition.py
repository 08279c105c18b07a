# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
import shlex
import sys

import pytest
import yaml

from monai_kd.commands.composition import compose, importable, in_bundle
from monai_kd.utils.errors import ConfigError, DistillationError, UnknownNameError


def merged(bundle, *tokens, name="kd", config_file=None):
    return compose(name, bundle, config_file, tokens).merged()


def test_recipe_lies_over_the_bundle(bundle):
    config = merged(bundle)
    assert config["terms"]["kd"]["weight"] == 0.9
    assert config["max_epochs"] == 3


def test_overrides_lie_over_the_recipe(bundle):
    assert merged(bundle, "--terms::kd::weight", "0.5")["terms"]["kd"]["weight"] == 0.5


def test_more_files_lie_between_recipe_and_overrides(bundle, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("terms::kd::weight: 4\nterms::label::weight: 5\n")
    monkeypatch.chdir(tmp_path)
    several = compose("kd", bundle, "multi_gpu_train.yaml,mine.yaml", ["--terms::label::weight", "6"])
    assert [file.name for file in several.files] == ["train.yaml", "kd.yaml", "multi_gpu_train.yaml", "mine.yaml"]
    config = several.merged()
    assert [config["max_epochs"], config["terms"]["kd"]["weight"], config["terms"]["label"]["weight"]] == [7, 4, 6]
    assert compose("kd", bundle, "['multi_gpu_train.yaml', 'mine.yaml']", []).files == several.files[:4]


def test_the_ending_of_a_file_may_be_left_out(bundle):
    assert compose("kd", bundle, "multi_gpu_train", []).merged()["max_epochs"] == 7


def test_files_come_from_the_command_or_from_the_arguments(bundle, tmp_path):
    (tmp_path / "args.yaml").write_text("config_file: train_alone.yaml\n")
    tokens = ["--args_file", str(tmp_path / "args.yaml")]
    assert compose("kd", bundle, None, tokens).files[-1].name == "train_alone.yaml"
    assert [file.name for file in compose("kd", bundle, "evaluate", tokens).files[2:]] == ["evaluate.yaml"]


def test_an_override_of_the_bundle_is_as_good_as_a_recipe(bundle):
    assert merged(bundle, name="train_alone")["terms"]["kd"] is None


def test_what_trains_the_teacher_has_the_last_word_on_its_network(bundle, tmp_path):
    (bundle / "configs" / "train_teacher.yaml").write_text("network_def: '@teacher_def'\nstudent_channels: 3\n")
    own = tmp_path / "mine.yaml"
    own.write_text("network_def: {_target_: torch.nn.Identity}\nmax_epochs: 8\nstudent_channels: 4\n")
    learnt = compose("train_teacher", bundle, f"{own},multi_gpu_train.yaml", [])
    names = ["train.yaml", "mine.yaml", "train_teacher.yaml", "multi_gpu_train.yaml"]
    assert [file.name for file in learnt.files] == names and learnt.theirs == [own]
    config = learnt.merged()
    assert [config["network_def"], config["max_epochs"], config["student_channels"]] == ["@teacher_def", 7, 3]
    assert merged(bundle, config_file=str(own))["network_def"] == {"_target_": "torch.nn.Identity"}


def test_what_the_bundle_says_of_the_student_is_not_the_teachers(bundle):
    """The bundle's deep_supervision.yaml."""
    for name, text in (("train_teacher", "network_def: '@teacher_def'\n"), ("deeper", "network_def::bias: false\n")):
        (bundle / "configs" / f"{name}.yaml").write_text(text)
    taught = compose("train_teacher", bundle, "deeper.yaml", [])
    assert [file.name for file in taught.files] == ["train.yaml", "deeper.yaml", "train_teacher.yaml"]
    assert taught.merged()["network_def"] == "@teacher_def"
    student = compose("kd", bundle, "deeper.yaml", [])
    assert student.merged()["network_def"]["bias"] is False


def test_a_recipe_of_ones_own(bundle, tmp_path):
    (tmp_path / "mine.yaml").write_text("recipe: {id: mine}\nmax_epochs: 4\n")
    assert merged(bundle, name=str(tmp_path / "mine.yaml"))["max_epochs"] == 4


def test_none_reaches_monai(bundle):
    composed = compose("kd", bundle, None, ["--terms::kd", "None"])
    assert composed.overrides == {"terms::kd": "$None"}


def test_an_override_cannot_append(bundle):
    with pytest.raises(ConfigError, match="--config_file"):
        compose("kd", bundle, None, ["--+train::handlers", "[1]"])


def test_arguments_of_monai_are_apart(bundle, tmp_path):
    (tmp_path / "args.yaml").write_text("run_id: check\nmax_epochs: 9\n")
    composed = compose("kd", bundle, None, ["--args_file", str(tmp_path / "args.yaml"), "--init_id", "start"])
    assert composed.options == {"run_id": "check", "init_id": "start"}
    assert composed.overrides == {"max_epochs": 9}


def test_keys_of_tracking_are_known(bundle):
    composed = compose("kd", bundle, None, ["--tracking", "mlflow", "--experiment_name", "first"])
    assert composed.overrides == {"experiment_name": "first"}
    with pytest.raises(UnknownNameError, match="experiment_name"):
        compose("kd", bundle, None, ["--experiment_name", "first"])


@pytest.mark.parametrize("tokens", [["--max_epoch", "5"], ["--term::kd::weight", "5"]])
def test_a_key_nothing_reads_is_refused(bundle, tokens):
    with pytest.raises(UnknownNameError, match=r"did you mean '(max_epochs|terms)'"):
        compose("kd", bundle, None, tokens)


def test_a_path_that_leads_nowhere_is_refused(bundle):
    with pytest.raises(ConfigError, match=r"command line: cannot set 'terms::kdd::weight'.*no kdd"):
        compose("kd", bundle, None, ["--terms::kdd::weight", "5"])


def test_a_recipe_that_asks_more_than_the_bundle_has_is_named(bundle):
    path = bundle / "configs" / "train.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "passes": {"student": {"keys": "image"}}}))
    with pytest.raises(ConfigError, match=r"fitnets.yaml: cannot set 'passes::teacher::taps'"):
        compose("fitnets", bundle, None, ["--layers", "{}", "--spatial_dims", "2", "--teacher_channels", "2"])


def test_a_recipe_for_another_kind_is_refused(bundle):
    (bundle / "configs" / "metadata.json").write_text('{"kind": "multilabel_classification"}')
    with pytest.raises(ConfigError, match=r"'uamt' is for .*'multilabel_classification'") as error:
        compose("uamt", bundle, None, [])
    fitting = error.value.fix.removeprefix("recipes that fit: ").split(", ")
    assert "kd" in fitting
    assert "uamt" not in fitting
    assert merged(bundle, name="kd")["terms"]["kd"]["weight"] == 0.9


def test_a_recipe_for_classes_that_exclude_each_other_is_refused_where_labels_may_occur_together(bundle):
    path = bundle / "configs" / "train.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "sigmoid": True}))
    with pytest.raises(ConfigError, match=r"'sigmoid': recipe 'uamt' is for classes that exclude each other") as error:
        compose("uamt", bundle, None, [])
    assert {"kd", "mean_teacher"} <= set(error.value.fix.removeprefix("recipes that fit: ").split(", "))
    assert compose("uamt", bundle, None, ["--sigmoid", "False"]).recipe.id == "uamt"
    assert compose("mean_teacher", bundle, None, []).recipe.id == "mean_teacher"


def test_a_bundle_without_a_kind_takes_any_recipe(bundle):
    (bundle / "configs" / "metadata.json").write_text("{}")
    assert merged(bundle, name="mean_teacher")["views"] == ["image", "image_2"]


def test_what_is_not_there_is_named(bundle, tmp_path):
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        compose("kd", tmp_path / "nowhere", None, [])
    with pytest.raises(ConfigError, match=r"no configs/train.yaml"):
        compose("kd", tmp_path, None, [])
    with pytest.raises(ConfigError, match=r"--config_file other.yaml"):
        compose("kd", bundle, "other.yaml", [])
    (bundle / "configs" / "evaluate.yaml").write_text("# nothing yet\n")
    with pytest.raises(ConfigError, match=r"evaluate.yaml: holds no keys"):
        compose("kd", bundle, "evaluate.yaml", [])
    with pytest.raises(UnknownNameError, match=r"did you mean 'train_alone'"):
        compose("train_alon", bundle, None, [])


def test_finds_the_ending(bundle):
    assert in_bundle(bundle, "metadata").name == "metadata.json"


def test_scripts_are_importable_only_inside(bundle):
    before = sys.path[:]
    with importable(bundle):
        assert sys.path[0] == str(bundle)
    assert sys.path == before


@pytest.mark.parametrize(
    "tokens, told",
    [
        (
            ["--network_def::in_feature", "3"],
            r"'network_def::in_feature': Linear has no argument.*did you mean 'in_features",
        ),
        (
            ["--label_loss::wieght", "3"],
            r"'label_loss::wieght': CrossEntropyLoss has no argument.*did you mean 'weight'",
        ),
        (["--terms::kd::loss::temperature", "2"], r"'terms::kd::loss' is '@kd_loss'. set --kd_loss::temperature$"),
    ],
)
def test_a_path_nobody_reads_is_refused(bundle, tokens, told):
    with pytest.raises(DistillationError, match=told):
        compose("kd", bundle, None, tokens)


def test_a_new_term_or_pass_is_read(bundle):
    term = "{'loss': '@kd_loss', 'inputs': ['student', 'teacher']}"
    assert "more" in merged(bundle, "--terms::more", term, "--passes::student::taps", "{'x': '0'}")["terms"]


def test_inference_is_no_training(bundle):
    command = f"python -m monai.bundle run --bundle_root {bundle} --config_file {bundle}/configs/inference.yaml"
    with pytest.raises(ConfigError, match=f"'inference': is no training.*{re.escape(command)}$"):
        compose("inference", bundle, None, [])
    (bundle / "configs" / "inference_regions.yaml").write_text("{}\n")
    with pytest.raises(ConfigError, match=r"inference.yaml', '.*inference_regions.yaml'\]") as error:
        compose("inference_regions", bundle, None, [])
    assert shlex.split(error.value.fix)[-1] == str(
        [f"{bundle}/configs/{n}.yaml" for n in ("inference", "inference_regions")]
    )
