# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What the CI of MONAI's model zoo checks of every bundle, without a network.

The published schema of `metadata.json` is a download. Here a stub stands in for it that asks for the mandatory keys and
their kinds: that the metadata fit the published schema is *not verified*.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, onnx_export, verify_net_in_out
from monai.data import set_track_meta

import monai_kd
from monai_kd.commands.plain import foreign
from monai_kd.data import write_ihc_patches
from monai_kd.utils.files import write_torchscript
from tests.bundles.chest_xray_classification.workflows import write_chest_xrays
from tests.bundles.fundus_multilabel_classification.workflows import write_fundus
from tests.bundles.skin_lesion_classification.workflows import prepare_data, write_ham10000
from tests.volumes import write_pictures, write_volumes

ROOT = Path(__file__).resolve().parents[2]


def write_skin_lesions(folder: Path) -> str:
    """A download in miniature, made ready by the bundle's own script."""
    prepare_data().write_dataset(write_ham10000(folder.with_name("source"), lesions=4), folder)
    return str(folder)


# what each bundle's training reads in these tests
DATA = {
    "chest_xray_classification": write_chest_xrays,
    "histology_patch_classification": lambda folder: write_ihc_patches(folder, stride=96),
    "fundus_multilabel_classification": write_fundus,
    "hippocampus_segmentation": lambda folder: write_volumes(folder, (2, 1, 1), (32, 48, 32)),
    "nuclei_segmentation": lambda folder: write_pictures(folder, (2, 1, 1), (192, 192)),
    "skin_lesion_classification": write_skin_lesions,
}
BUNDLES = sorted(path.parents[1] for path in (ROOT / "bundles").glob("*/configs/metadata.json"))
TEXT = {"type": "string", "minLength": 1}
TENSOR = {
    "type": "object",
    "required": "type format num_channels spatial_shape dtype value_range is_patch_data channel_def".split(),
}
FORMAT = {
    "type": "object",
    "required": ["inputs", "outputs"],
    "properties": {
        key: {"type": "object", "minProperties": 1, "additionalProperties": TENSOR} for key in ("inputs", "outputs")
    },
}
TEXTS = (
    "schema version name monai_version pytorch_version numpy_version task description authors copyright kind".split()
)
STUB = {
    "type": "object",
    "required": [*TEXTS, "changelog", "required_packages_version", "network_data_format"],
    "properties": {
        **dict.fromkeys(TEXTS, TEXT),
        "changelog": {"type": "object", "minProperties": 1, "additionalProperties": TEXT},
        "required_packages_version": {"type": "object", "additionalProperties": TEXT},
        "network_data_format": FORMAT,
    },
}
HEADINGS = ["Authors", "Tags", "Model Description", "Data", "Preprocessing", "Performance", "System Configuration"]
HEADINGS += ["Limitations", "Citation Info", "References"]

pytestmark = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)


@pytest.fixture(autouse=True)
def track_meta():
    yield
    set_track_meta(True)


def metadata(bundle: Path) -> dict:
    return json.loads((bundle / "configs" / "metadata.json").read_text())


def inference(bundle: Path) -> str:
    return str(bundle / "configs" / "inference.yaml")


def weights(bundle: Path, folder: Path) -> tuple[torch.nn.Module, Path]:
    """A student with weights of its own, and the file of them that inference reads: TorchScript where no class of
    MONAI's is the student."""
    torch.manual_seed(0)
    network = training(bundle, folder).get_parsed_content("network_def").eval()
    path = folder / published(bundle)
    torch.save(network.state_dict(), folder / "model.pt")
    if path.suffix == ".ts":
        write_torchscript(path, network)
    return network, path


def training(bundle: Path, root: Path) -> ConfigParser:
    config = ConfigParser.load_config_file(bundle / "configs" / "train.yaml")
    return ConfigParser({**config, "bundle_root": str(root)})


def exported(bundle: Path) -> str:
    """The configuration whose `network_def` is exported: of the training where inference reads what was exported."""
    return inference(bundle) if published(bundle).endswith(".pt") else str(bundle / "configs" / "train.yaml")


def published(bundle: Path) -> str:
    """Name of the file that inference reads."""
    checkpoint = ConfigParser.load_config_file(inference(bundle))["checkpoint"]
    (name,) = re.findall(r"models/(model\.\w+)", checkpoint)
    return name


def sample(bundle: Path) -> torch.Tensor:
    image = metadata(bundle)["network_data_format"]["inputs"]["image"]
    return torch.rand(1, image["num_channels"], *image["spatial_shape"])


def test_files_are_there(bundle):
    names = ["LICENSE", "docs/README.md", "docs/data_license.txt", "models/.gitkeep", "configs/metadata.json"]
    stems = ["train", "train_teacher", "train_alone", "evaluate", "inference", "multi_gpu_train"]
    names += ["configs/logging.conf", *(f"configs/{stem}.yaml" for stem in stems)]
    assert [name for name in names if not (bundle / name).is_file()] == []
    assert "Apache License" in (bundle / "LICENSE").read_text()
    assert metadata(bundle)["kind"] in bundle.name  # MONAI Label guesses the task from the folder's name


def test_only_the_student_is_ever_in_models(bundle):
    tracked = subprocess.run(["git", "ls-files", "models"], cwd=bundle, capture_output=True, text=True).stdout.split()
    assert set(tracked) <= {"models/.gitkeep"}
    checkpoint = ConfigParser.load_config_file(bundle / "configs" / "train.yaml")["teacher_checkpoint"]
    assert "models" not in checkpoint


def test_metadata_fits_the_stub_schema_the_real_one_is_unverified(bundle):
    jsonschema.validate(metadata(bundle), STUB)


@pytest.mark.parametrize("key", ["version", "network_data_format", "changelog", "schema"])
def test_stub_schema_notices_what_is_missing(bundle, key):
    with pytest.raises(jsonschema.ValidationError, match=key):
        jsonschema.validate({k: v for k, v in metadata(bundle).items() if k != key}, STUB)


def test_versions_are_told_and_true(bundle):
    told = metadata(bundle)
    assert told["version"] in told["changelog"]
    assert re.fullmatch(
        r"https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/\S+\.json", told["schema"]
    )
    assert told["required_packages_version"]["monai-kd"] == monai_kd.__version__
    pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert (told["monai_version"], told["pytorch_version"]) == (pinned["monai"], pinned["torch"])
    assert told["numpy_version"] == pinned["numpy"]


def test_model_card_has_monais_headings(bundle):
    text = (bundle / "docs" / "README.md").read_text()
    found = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    assert [heading for heading in HEADINGS if heading not in found] == []


def test_every_published_network_keeps_its_validation_score(bundle):
    handlers = ConfigParser.load_config_file(bundle / "configs" / "train.yaml")["train"]["handlers"]
    names = [handler["_target_"].rpartition(".")[2] for handler in handlers]
    score = handlers[names.index("FinalModelSaver") + 1]
    assert score["_target_"] == "monai_kd.handlers.ValidationScore"
    assert (score["path"], score["evaluator"]) == ("@checkpoint", "@validate::evaluator")


def test_inference_names_monai_and_torch_only(bundle):
    assert foreign(ConfigParser.load_config_file(inference(bundle))) == []


def test_train_and_inference_build_the_same_student(bundle, tmp_path):
    network, path = weights(bundle, tmp_path)
    config = ConfigParser({**ConfigParser.load_config_file(inference(bundle)), "checkpoint": str(path)})
    twin = config.get_parsed_content("network_def").eval()
    twin.load_state_dict(network.state_dict(), strict=True)
    image = sample(bundle)
    with torch.no_grad():
        torch.testing.assert_close(twin(image), network(image))


def test_properties_of_inference(bundle, tmp_path):
    weights(bundle, tmp_path)
    data = DATA[bundle.name](tmp_path / "data")
    given = {"bundle_root": str(tmp_path), "dataset_dir": data, "checkpoint": str(tmp_path / published(bundle))}
    workflow = ConfigWorkflow(inference(bundle), workflow_type="infer", logging_file=False, **given)
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize(
    "last", [[], ["train_alone.yaml"], ["evaluate.yaml"], ["train_teacher.yaml", "evaluate.yaml"]], ids=str
)
def test_properties_of_training_and_evaluation(bundle, tmp_path, last):
    data = DATA[bundle.name](tmp_path / "data")
    files = [str(bundle / "configs" / name) for name in ("train.yaml", *last)]
    given = {"bundle_root": str(tmp_path), "dataset_dir": data, "teacher_weights": "@teacher_def"}
    workflow = ConfigWorkflow(files, workflow_type="train", logging_file=False, **given)
    workflow.initialize()
    assert workflow.check_properties() == []


def test_network_takes_and_gives_what_the_metadata_say(bundle, tmp_path):
    given = {"meta_file": str(bundle / "configs" / "metadata.json"), "config_file": inference(bundle), "device": "cpu"}
    given["checkpoint"] = str(weights(bundle, tmp_path)[1])
    verify_net_in_out("network_def", **given)
    changed = {"_meta_::network_data_format::outputs::pred::num_channels": 17}
    with pytest.raises(ValueError, match="channel number"):
        verify_net_in_out("network_def", **given, **changed)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_answers_as_the_network(bundle, tmp_path):
    network, _ = weights(bundle, tmp_path)
    meta, out = str(bundle / "configs" / "metadata.json"), str(tmp_path / "exported.ts")
    given = {"bundle_root": str(tmp_path), "meta_file": meta, "config_file": exported(bundle)}
    ckpt_export("network_def", out, ckpt_file=str(tmp_path / "model.pt"), **given)
    image = sample(bundle)
    with torch.no_grad():
        assert torch.allclose(torch.jit.load(out).eval()(image), network(image), atol=1e-6)


@pytest.mark.slow
def test_onnx_answers_as_the_network(bundle, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    network, _ = weights(bundle, tmp_path)
    meta, out = str(bundle / "configs" / "metadata.json"), str(tmp_path / "model.onnx")
    given = {"bundle_root": str(tmp_path), "meta_file": meta, "config_file": exported(bundle)}
    onnx_export("network_def", out, ckpt_file=str(tmp_path / "model.pt"), **given)
    image, session = sample(bundle), onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(answer), network(image), atol=1e-5)


@pytest.mark.slow
def test_student_infers_where_monai_kd_cannot_be_imported(bundle, tmp_path):
    path = weights(bundle, tmp_path)[1]
    given = {
        "bundle_root": str(tmp_path),
        "checkpoint": str(path),
        "device": "cpu",
        "output_dir": str(tmp_path / "out"),
    }
    data = DATA[bundle.name](tmp_path / "data")
    given["dataset_dir"] = data + ("/images" if metadata(bundle)["kind"] == "segmentation" else "")
    script = (
        "import sys; sys.modules['monai_kd'] = None\n"
        "import yaml; from monai.bundle import run\n"
        "run(config_file=sys.argv[1], **yaml.safe_load(sys.argv[2]))"
    )
    command = [sys.executable, "-c", script, inference(bundle), yaml.safe_dump(given)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert "Setting logging properties" in said  # MONAI took the bundle's logging.conf
    if metadata(bundle)["kind"] == "segmentation":
        names = sorted(path.name for path in Path(data, "images").iterdir())
        assert sorted(path.name.replace("_seg", "") for path in (tmp_path / "out").iterdir()) == names
        return
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert len(lines) == len(json.loads(Path(data, "dataset.json").read_text())["test"])
    name, *probability = lines[0].split(",")
    values = list(map(float, probability))
    assert name.endswith((".png", ".jpg")) and min(values) >= 0 and max(values) <= 1
    if metadata(bundle)["kind"] == "classification":
        assert sum(values) == pytest.approx(1, abs=1e-5)
