# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Teacher and student train on pictures; the published student paints masks where monai_kd is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_kd.inferers import Pass
from monai_kd.metrics import count_flops, count_parameters
from monai_kd.recipes import load_recipe
from monai_kd.utils import DataError
from tests.bundles.nuclei_segmentation.conftest import CONFIGS
from tests.bundles.workflows import as_one_process_of_a_group, load_script, run, streams_of_two_iterations


@pytest.fixture
def prepare():
    """The module `scripts/prepare_data.py`."""
    return load_script(CONFIGS.parent / "scripts" / "prepare_data.py")


def test_student_is_a_tenth_of_the_teacher_and_layers_are_as_declared(make):
    parser = make().parser
    image = torch.zeros(1, 3, 64, 64)
    networks = {
        "student": parser.get_parsed_content("network_def"),
        "teacher": parser.get_parsed_content("teacher_def"),
    }
    assert 10 * count_parameters(networks["student"]) <= count_parameters(networks["teacher"])
    assert 10 * count_flops(networks["student"], image) <= count_flops(networks["teacher"], image)
    for role, network in networks.items():
        layers = [*parser.get_parsed_content(f"{role}_stages"), parser.get_parsed_content("layers")[role]]
        taps = dict(zip("012l", layers, strict=True))
        noted = Pass(taps=taps).run("p", network.eval(), [image])
        widths = [*parser.get_parsed_content(f"{role}_stage_channels"), parser.get_parsed_content(f"{role}_channels")]
        assert [noted[f"p.{i}"].shape[1] for i in "012l"] == widths


@pytest.mark.parametrize("recipe", [None, "cwd", "mean_teacher"])
def test_training_moves_the_student(make, teacher, tmp_path, recipe):
    workflow = make(*([] if recipe is None else [load_recipe(recipe).path]), labeled_fraction=0.5)
    before = {k: v.clone() for k, v in workflow.parser.get_parsed_content("network").state_dict().items()}
    frozen = teacher.read_bytes()
    run(workflow)
    assert workflow.trainer.state.iteration == 2 and teacher.read_bytes() == frozen
    assert any(not v.equal(before[k]) for k, v in workflow.trainer.network.named_parameters())
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["model.origin.json", "model.pt", "model.ts"]


def test_label_moves_with_the_picture(make):
    torch.manual_seed(0)
    for batch in make("train_alone.yaml").parser.get_parsed_content("train::dataloader"):
        image, label = torch.as_tensor(batch["image"])[:, 0], batch["label"][:, 0]
        assert image[label == 1].mean() < image[label == 0].mean() - 0.2  # nuclei are dark


def test_evaluation_is_of_whole_pictures(make, tmp_path):
    run(make("train_alone.yaml"))
    run(make("train_alone.yaml", "evaluate.yaml"))
    found = np.load(tmp_path / "output" / "alone" / "scores.npz")
    assert found["dice"].shape == (2, 1) and found["structures"].tolist() == ["nucleus"]
    assert json.loads((tmp_path / "output" / "alone" / "run.json").read_text())["parameters"] == 15826


@pytest.mark.slow
def test_inference_paints_masks_without_monai_kd(make, teacher, tmp_path, data):
    workflow = run(make())
    network = workflow.trainer.network.eval()
    script = (
        "import sys; sys.modules['monai_kd'] = None\n"
        "from monai.bundle import run\n"
        "run(config_file=sys.argv[1], bundle_root=sys.argv[2], dataset_dir=sys.argv[3], window_size=[64, 64])"
    )
    command = [sys.executable, "-c", script, str(CONFIGS / "inference.yaml"), str(tmp_path), data + "/images"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=environment)
    painted = np.asarray(Image.open(tmp_path / "output" / "inference" / "test_0_seg.png"))
    picture = np.asarray(Image.open(Path(data) / "images" / "test_0.png"))
    image = torch.tensor(picture / 127.5 - 1, dtype=torch.float32).permute(2, 0, 1)[None]
    padded = torch.nn.functional.pad(image, [8, 8, 12, 12])  # as the sliding window pads a picture smaller than it
    with torch.no_grad():
        expected = network(padded.transpose(2, 3)).transpose(2, 3)[0, :, 12:-12, 8:-8].argmax(0)
    assert painted.shape == picture.shape[:2] and set(np.unique(painted)) <= {0, 255}
    assert ((painted > 0) == expected.bool().numpy()).mean() > 0.99


def slides(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    random = np.random.RandomState(0)
    for name in names:
        Image.fromarray(random.randint(0, 255, (50, 60, 3), dtype=np.uint8)).save(folder / f"{name}.png")
        Image.fromarray(255 * random.randint(0, 2, (50, 60), dtype=np.uint8)).save(folder / f"{name}_mask.png")
    return folder


def test_slides_are_divided_by_patient_and_cut_into_tiles(prepare, tmp_path):
    names = [f"TCGA-AA-{patient:04d}-{slide}" for patient in range(8) for slide in range(2)]
    path = prepare.main([str(slides(tmp_path / "in", names)), str(tmp_path / "out"), "--tile", "20"])
    content = json.loads(path.read_text())
    patients = {s: {i["patient"] for i in content[s]} for s in ("training", "validation", "test")}
    assert [len(patients[s]) for s in patients] == [5, 1, 2] and len(set.union(*patients.values())) == 8
    assert len(content["training"]) == 5 * 2 * 6 and len(content["test"]) == 4
    item = next(i for i in content["training"] if i["case"].endswith("_20_40"))
    source = item["case"].removesuffix("_20_40")
    mask = np.asarray(Image.open(tmp_path / "in" / f"{source}_mask.png")) // 255
    assert np.array_equal(Image.open(tmp_path / "out" / item["label"]), mask[20:40, 40:60])
    again = prepare.main([str(tmp_path / "in"), str(tmp_path / "again"), "--tile", "20"])
    assert again.read_text() == path.read_text()


def test_what_cannot_be_prepared_is_named(prepare, tmp_path):
    folder, out = slides(tmp_path / "in", ["a", "b"]), tmp_path / "out"
    with pytest.raises(DataError, match="nothing to put into"):
        prepare.write_dataset(folder, out)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(folder / "a_mask.png")
    with pytest.raises(DataError, match=r"a_mask.png.*\(5, 5\)"):
        prepare.write_dataset(folder, out)
    (folder / "a_mask.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a_mask.png: cannot be read"):
        prepare.write_dataset(folder, out)
    (folder / "a.png").unlink()
    with pytest.raises(DataError, match=r"a_mask.png.*no picture"):
        prepare.write_dataset(folder, out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no .*_mask\.png"):
        prepare.write_dataset(tmp_path / "empty", out)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "empty"}  # nothing half made


@pytest.mark.parametrize(("name", "content", "told"), [("../x_mask.png", b"x", "leads out"), ("x", 2**25, "too large")])
def test_a_malicious_zip_is_told_in_one_line(prepare, tmp_path, capsys, name, content, told):
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content if isinstance(content, bytes) else bytes(content))
    with pytest.raises(SystemExit) as end:
        prepare.main([str(tmp_path / "in.zip"), str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert end.value.code == 1 and said.startswith("error: ") and said.count("\n") == 1 and told in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.zip"]


def test_a_zip_of_slides_is_a_folder_of_slides(prepare, tmp_path):
    folder = slides(tmp_path / "in", [f"TCGA-AA-{patient:04d}-0" for patient in range(8)])
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"slides/{path.name}")
    texts = [
        prepare.write_dataset(source, tmp_path / f"out{i}", 20)[0].read_text()
        for i, source in enumerate((folder, tmp_path / "in.zip"))
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("first", ["two_stream", "multi_gpu_train"])
def test_two_streams_and_several_processes_go_together(make, monkeypatch, first):
    as_one_process_of_a_group(monkeypatch)
    files = sorted(["multi_gpu_train.yaml", "two_stream.yaml"], reverse=first == "two_stream")
    workflow = make(load_recipe("mean_teacher").path, *files, labeled_fraction=0.5)
    assert streams_of_two_iterations(workflow) == [[True, False]] * 2
