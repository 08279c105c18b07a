# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from monai.bundle import ConfigParser

import monai_kd
from monai_kd.__main__ import main
from monai_kd.commands.check_bundle import findings
from monai_kd.commands.composition import compose
from monai_kd.commands.pack import pack
from monai_kd.commands.reached import reached
from monai_kd.networks import read_origin, write_origin
from monai_kd.utils import read_state
from monai_kd.utils.errors import CheckpointError, ConfigError

FITTING = ["--layers", "{}", "--spatial_dims", "2"]  # what fitnets needs and the toy bundle lacks


@pytest.fixture
def taught(bundle):
    """The toy bundle with weights of a teacher and of a student, and a run that builds the passes."""
    train = bundle / "configs" / "train.yaml"
    train.write_text(train.read_text().replace('["$print(@words)"]', '["$print(@words)", "$@passes"]'))
    for name in ("teacher", "models"):
        (bundle / name).mkdir()
        torch.save(torch.nn.Linear(2, 2).state_dict(), bundle / name / "model.pt")
    (bundle / "models" / "checkpoint_epoch=3.pt").write_text("not the student")
    return bundle


def packed(bundle, name="kd", *tokens, config_file=None):
    return pack(compose(name, bundle, config_file, tokens), bundle.parent / "out")


def read(folder, name):
    return json.loads((folder / "configs" / f"{name}.json").read_text())


def test_train_is_bundle_recipe_and_overrides(bundle):
    tokens = ["--terms::hint::weight", "7", *FITTING]
    out = packed(bundle, "fitnets", *tokens)
    assert read(out, "train") == compose("fitnets", bundle, None, tokens).merged()
    assert read(out, "train")["terms"]["hint"]["weight"] == 7
    assert read(out, "train")["bundle_root"] == "."


def test_holds_what_a_bundle_needs_and_nothing_else(taught):
    out = packed(taught)
    assert sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()) == [
        "LICENSE",
        *(f"configs/{name}.json" for name in ("evaluate", "inference", "metadata", "multi_gpu_train")),
        "configs/train.json",
        "configs/train_alone.json",
        "docs/README.md",
        "models/model.pt",
        "models/model.safetensors",
        "models/model.safetensors.sha256",
        "scripts/__init__.py",
        "scripts/words.py",
    ]


def test_metadata_says_where_it_comes_from(taught):
    metadata, info = read(packed(taught), "metadata"), monai_kd.load_recipe("kd").info
    digest = hashlib.sha256((taught / "teacher" / "model.pt").read_bytes()).hexdigest()
    assert metadata["distillation"] == {
        "recipe": "kd",
        **{key: info[key] for key in ("title", "paper", "doi")},
        "teacher": [{"file": "teacher/model.pt", "sha256": digest}],
    }
    assert metadata["required_packages_version"] == {"monai-kd": monai_kd.__version__}
    assert metadata["version"] == "0.1.0"


def test_the_student_is_published_as_safetensors_too(taught):
    written = torch.load(taught / "models" / "model.pt", weights_only=True)
    (taught / "models" / "model.safetensors").write_bytes(b"of another training")
    out = packed(taught)
    published = read_state(out / "models" / "model.safetensors")
    assert published.keys() == written.keys() and all(published[k].equal(v) for k, v in written.items())
    assert [one for one in findings(out) if one.file.startswith("models")] == []


def test_a_student_that_is_not_what_its_checksum_says_is_refused(taught, tmp_path):
    (taught / "models" / "model.pt.sha256").write_text(64 * "0")
    with pytest.raises(CheckpointError, match=r"models/model.pt: is not what its checksum says"):
        packed(taught)
    assert [path.name for path in tmp_path.iterdir()] == [taught.name]


def test_a_teacher_that_does_not_teach_is_not_named(taught):
    assert "teacher" in read(packed(taught), "metadata")["distillation"]
    other = pack(compose("dml", taught, None, []), taught.parent / "dml")
    assert "teacher" not in read(other, "metadata")["distillation"]


def test_packed_bundle_is_a_bundle(taught, capsys):
    out = packed(taught)
    assert main(["pack", "kd", "--bundle", str(out), str(out.parent / "again")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out.parent / "again")
    again = read(out.parent / "again", "train")
    assert again == read(out, "train")


def test_never_overwrites(bundle, tmp_path):
    (tmp_path / "out").mkdir()
    assert packed(bundle) == tmp_path / "out"  # empty, so it may
    with pytest.raises(ConfigError, match="out: is not empty"):
        packed(bundle)


@pytest.mark.parametrize(
    ("file", "text", "match"),
    [
        ("inference.yaml", "network_def: {_target_: monai_kd.networks.MobileNetV2}", "MobileNetV2.*not installed"),
        ("inference.yaml", "net: '%configs/train.yaml::network_def'", "inference, net: reads another file"),
        ("evaluate.yaml", "names: {0: benign}", "evaluate.*no equal in JSON. keys must be text"),
        ("evaluate.yaml", "day: 2024-02-29", "evaluate.*no equal in JSON.*date"),
        ("evaluate.yaml", "limit: .inf", "evaluate.*no equal in JSON"),
    ],
)
def test_what_cannot_be_published_is_refused(bundle, tmp_path, file, text, match):
    (bundle / "configs" / file).write_text(text + "\n")
    with pytest.raises(ConfigError, match=match):
        packed(bundle)
    assert [path.name for path in tmp_path.iterdir()] == [bundle.name]


def test_other_ways_to_train_are_whole_and_not_the_recipe(bundle):
    out = packed(bundle, "fitnets", *FITTING)
    alone = compose("train_alone", bundle, None, []).merged()
    assert read(out, "train_alone") == alone
    again = compose("train_alone", out, None, []).merged()
    assert {key: again[key] for key in alone} == alone
    assert reached(again) == reached(alone)


LINEAR = torch.nn.Linear(2, 2)


def test_the_student_of_another_training_is_refused(taught):
    write_origin(taught / "models" / "model.pt", {"recipe": "crckd", "seed": 0})
    train = taught / "configs" / "train.yaml"
    train.write_text(train.read_text() + "seed: 0\norigin: {recipe: '@recipe::id', seed: '@seed'}\n")
    with pytest.raises(CheckpointError, match=r"models/model.pt: is of another training: recipe 'crckd', now 'kd'"):
        packed(taught)
    write_origin(taught / "models" / "model.pt", {"recipe": "kd", "seed": 0})
    assert (packed(taught) / "models" / "model.pt").is_file()


def test_the_student_is_the_one_that_is_named_and_places_stay_here(taught, tmp_path):
    train = taught / "configs" / "train.yaml"
    train.write_text(train.read_text() + "checkpoint: \"$@bundle_root + '/models/model.pt'\"\noutput_dir: out\n")
    torch.save(LINEAR.state_dict(), tmp_path / "mine.pt")
    torch.jit.script(LINEAR).save(tmp_path / "mine.ts")
    out = packed(taught, "kd", "--checkpoint", str(tmp_path / "mine.pt"), "--output_dir", "runs/3")
    models = out / "models"
    assert torch.load(models / "model.pt", weights_only=True)["weight"].equal(LINEAR.weight)
    assert torch.jit.load(models / "model.ts").weight.equal(LINEAR.weight)
    assert str(tmp_path) not in "".join(file.read_text() for file in (out / "configs").iterdir())
    assert read(out, "train")["output_dir"] == "out"


def test_what_is_not_of_these_weights_is_not_packed(taught, recwarn):
    models = taught / "models"
    (models / "model.bag_teacher.pt").write_bytes(b"a teacher of bags")
    (models / "model.onnx").write_bytes(b"of some training")
    out = packed(taught)
    assert {file.name for file in (out / "models").iterdir()} == {
        "model.pt",
        "model.safetensors",
        "model.safetensors.sha256",
    }
    assert any("model.onnx is not packed: nothing tells" in str(one.message) for one in recwarn)
    torch.jit.script(LINEAR).save(models / "model.ts")
    with pytest.raises(CheckpointError, match=r"model.ts: has other weights than the student beside it. export it"):
        pack(compose("kd", taught, None, []), taught.parent / "other")
    (models / "model.ts").write_bytes(b"no zip")
    with pytest.raises(CheckpointError, match=r"model.ts: cannot be read.*export it"):
        pack(compose("kd", taught, None, []), taught.parent / "other")


CLASSES = """
num_classes: 2
dataset_dir: data
classes: "$monai_kd.data.class_names(@dataset_dir, @num_classes)"
"""


@pytest.fixture
def described(taught):
    """A bundle whose metadata name the classes of its own data."""
    train = taught / "configs" / "train.yaml"
    wide = train.read_text().replace("out_features: 2", 'out_features: "@num_classes"')
    train.write_text(wide + CLASSES)
    (taught / "configs" / "train_teacher.yaml").write_text("network_def: '@teacher_def'\nterms::kd: null\n")
    linear = "{_target_: torch.nn.Linear, in_features: 2, out_features: '@num_classes'}"
    inference = f"num_classes: 2\nnetwork_def: {linear}\n"
    (taught / "configs" / "inference.yaml").write_text(inference)
    form = {"inputs": {}, "outputs": {"pred": {"num_channels": 2, "channel_def": {"0": "benign", "1": "malignant"}}}}
    told = {"version": "0.1.0", "task": "Tell two kinds apart", "network_data_format": form}
    (taught / "configs" / "metadata.json").write_text(json.dumps(told))
    for file in (taught / "models").iterdir():
        file.unlink()
    return taught


def test_the_classes_of_ones_own_data_are_described(described, tmp_path):
    items = {"labels": {"0": "a", "1": "b", "2": "c"}, "training": []}
    (tmp_path / "dataset.json").write_text(json.dumps(items))
    with pytest.warns(UserWarning, match="metadata.json still tells of the bundle's own data in task: rewrite"):
        out = packed(described, "kd", "--num_classes", "3", "--dataset_dir", str(tmp_path))
    pred = read(out, "metadata")["network_data_format"]["outputs"]["pred"]
    assert pred == {"num_channels": 3, "channel_def": {"0": "a", "1": "b", "2": "c"}}
    assert [read(out, name)["num_classes"] for name in ("train", "inference", "train_teacher")] == [3, 3, 3]
    assert read(out, "train_teacher")["network_def"] == "@teacher_def" and read(out, "train")["dataset_dir"] == "data"


def test_without_the_data_classes_are_called_by_their_numbers(described, recwarn):
    pred = read(packed(described), "metadata")["network_data_format"]["outputs"]["pred"]
    assert pred["channel_def"] == {"0": "benign", "1": "malignant"}
    assert [str(one.message).partition("models/")[2] for one in recwarn] == [
        "model.pt is not there: the packed bundle has no student"
    ]
    with pytest.warns(UserWarning, match="rewrite"):
        other = pack(compose("kd", described, None, ["--num_classes", "3"]), described.parent / "other")
    pred = read(other, "metadata")["network_data_format"]["outputs"]["pred"]
    assert pred["channel_def"] == {"0": "0", "1": "1", "2": "2"}


def test_weights_of_another_network_are_refused(taught):
    torch.save(torch.nn.Linear(2, 3).state_dict(), taught / "models" / "model.pt")
    match = r"models/model.pt: not the weights of this Linear: 2 of another shape .*weight"
    with pytest.raises(CheckpointError, match=match):
        packed(taught)
    train = taught / "configs" / "train.yaml"
    train.write_text(train.read_text() + "checkpoint: models/model.pt\n")
    with pytest.raises(CheckpointError, match=r"nosuch.pt: no such file. --checkpoint names"):
        packed(taught, "kd", "--checkpoint", "nosuch.pt")
    assert [path.name for path in taught.parent.iterdir()] == [taught.name]


def test_the_teacher_that_is_named_is_the_one_that_taught(taught):
    student, teacher = taught / "models" / "model.pt", taught / "teacher" / "model.pt"
    digest = hashlib.sha256(teacher.read_bytes()).hexdigest()
    write_origin(student, {"recipe": "kd", "teachers": [digest]})
    out = packed(taught)
    assert read(out, "metadata")["distillation"]["teacher"] == [{"file": "teacher/model.pt", "sha256": digest}]
    assert read_origin(out / "models" / "model.pt") == {"recipe": "kd", "teachers": [digest]}
    torch.save(LINEAR.state_dict(), teacher)
    with pytest.raises(CheckpointError, match=r"model.pt: was taught by other weights than teacher/model.pt. give --t"):
        pack(compose("kd", taught, None, []), taught.parent / "other")
    teacher.unlink()
    gone = pack(compose("kd", taught, None, []), taught.parent / "gone")
    assert read(gone, "metadata")["distillation"]["teacher"] == [{"sha256": digest}]


def test_what_a_file_of_the_bundle_means_for_inference_is_packed(bundle):
    for name in ("wide", "inference_wide"):
        (bundle / "configs" / f"{name}.yaml").write_text("network_def::bias: false\n")
    out = packed(bundle, config_file="wide")
    assert read(out, "inference")["network_def"]["bias"] is False


def test_out_may_stand_last(bundle, capsys):
    out = bundle.parent / "out"
    assert main(["pack", "kd", "--bundle", str(bundle), "--max_epochs", "2", str(out)]) == 0
    assert read(out, "train")["max_epochs"] == 2 and capsys.readouterr().out.splitlines()[-1] == str(out)


def test_a_teacher_among_the_students_is_refused(taught, tmp_path):
    (taught / "models" / "model.pt").write_bytes((taught / "teacher" / "model.pt").read_bytes())
    with pytest.raises(ConfigError, match=r"models/model.pt: is the teacher"):
        packed(taught)
    assert [path.name for path in tmp_path.iterdir()] == [taught.name]  # nothing half written


def test_another_student_than_inference_builds_is_refused(bundle):
    with pytest.raises(ConfigError, match=r"inference: builds another network than train. 2 tensors differ, .*'bias'"):
        packed(bundle, "kd", "--network_def::out_features", "3")


@pytest.fixture
def pictures(bundle):
    """The toy bundle with a preprocessing, of one setting, in training and inference."""
    steps = "patch_size: [8, 8]\npreprocessing: [{_target_: Resized, keys: image, spatial_size: '@patch_size'}]\n"
    for name in ("train", "inference"):
        file = bundle / "configs" / f"{name}.yaml"
        file.write_text(file.read_text() + steps)
    return bundle


def test_a_setting_reaches_inference(pictures):
    out = packed(pictures, "kd", "--patch_size", "[4, 4]", "--max_epochs", "9")
    assert read(out, "inference")["patch_size"] == [4, 4] and "max_epochs" not in read(out, "inference")


LOWER = "+preprocessing: [{_target_: monai_kd.transforms.Pyramidd, keys: image, factors: 2, names: image}]\n"


def test_another_preprocessing_than_inference_has_is_refused(pictures):
    (pictures / "configs" / "lower.yaml").write_text(LOWER)
    match = r"prepares images otherwise than train. size: Resize.* then Pyramid.*for training.*--inference::preproc"
    with pytest.raises(ConfigError, match=match):
        packed(pictures, "kd", config_file="lower.yaml")
    asked = ["--inference::preprocessing::0::spatial_size", "[4, 4]"]
    with pytest.warns(UserWarning, match="as was asked for: size: Resize"):
        out = packed(pictures, "kd", *asked, config_file="lower.yaml")
    assert read(out, "inference")["preprocessing"][0]["spatial_size"] == [4, 4]


def test_what_only_inference_has_is_given_by_its_name(pictures):
    out = packed(pictures, "kd", "--inference::patch_size", "[8, 8]", "--inference::network_def::bias", "True")
    assert read(out, "inference")["network_def"]["bias"] is True and "bias" not in read(out, "train")["network_def"]
    with pytest.raises(ConfigError, match=r"spatial_size of Resize is .8, 8. for training, .4, 4. for inference"):
        pack(compose("kd", pictures, None, ["--inference::patch_size", "[4, 4]"]), out.parent / "other")


def test_inference_is_not_laid_over_to_run(pictures, capsys):
    assert main(["run", "kd", "--bundle", str(pictures), "--inference::patch_size", "[4, 4]"]) == 1
    assert "--inference::patch_size: is for packing" in capsys.readouterr().err


def test_a_recipe_that_publishes_another_network_is_refused(bundle):
    with pytest.raises(ConfigError, match=r"simkd.*cannot be packed.*not the plain student"):
        packed(bundle, "simkd")


def test_only_a_recipe_is_packed(bundle):
    for block in ("", "recipe: {id: null}\n"):
        (bundle / "configs" / "train_alone.yaml").write_text(f"terms::kd: null\n{block}")
        with pytest.raises(ConfigError, match=r"train_alone.yaml: has no `recipe:` block"):
            packed(bundle, "train_alone")
    with pytest.raises(ConfigError, match="--run_id: is for running"):
        packed(bundle, "kd", "--run_id", "check")


def test_every_config_is_read_by_monai(bundle):
    for file in sorted((packed(bundle) / "configs").iterdir()):
        assert ConfigParser.load_config_file(file)
