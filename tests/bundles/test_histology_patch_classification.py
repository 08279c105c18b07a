# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundle does what it says: teacher, student alone, distilled student, any recipe, and data of one's own."""

from __future__ import annotations

import csv
import importlib.util
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import set_track_meta
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from monai.networks.nets import DenseNet

from monai_kd.data import write_ihc_patches
from monai_kd.inferers import Pass
from monai_kd.metrics import count_parameters
from monai_kd.recipes import list_recipes
from monai_kd.report import load_runs
from monai_kd.utils import CheckpointError, DataError

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "histology_patch_classification" / "configs"
RECIPES = [r for r in list_recipes() if "classification" in r.info["kinds"]]
FLAT = {
    "in_channels": 1,
    "out_channels": 3,
    "init_features": 8,
    "growth_rate": 8,
    "block_config": (2, 2, 2),
    "bn_size": 2,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """The demo data, thinned out: 40 training patches, two batches of 20."""
    return write_ihc_patches(tmp_path_factory.mktemp("data") / "ihc", stride=64)


@pytest.fixture(scope="module")
def demo():
    """The module `scripts/demo.py`."""
    spec = importlib.util.spec_from_file_location("histology_demo", CONFIGS.parent / "scripts" / "demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    logging.disable(logging.NOTSET)


@pytest.fixture
def make(data, tmp_path) -> Callable[..., ConfigWorkflow]:
    """Make an initialised workflow whose bundle root is a folder of the test's own."""

    def make(*files: str | Path, **override) -> ConfigWorkflow:
        given = {"bundle_root": str(tmp_path), "dataset_dir": data, "device": "$torch.device('cpu')", "progress": False}
        given |= {"max_epochs": 1, "batch_size": 20, "labeled_fraction": 0.2, **override}
        paths = [str(CONFIGS / f) if isinstance(f, str) else str(f) for f in ("train.yaml", *files)]
        workflow = ConfigWorkflow(paths, workflow_type="train", logging_file=False, **given)
        workflow.initialize()
        return workflow

    yield make
    set_track_meta(True)


@pytest.fixture
def teacher(make, tmp_path) -> Path:
    """An untrained teacher, where train.yaml looks for one."""
    path = tmp_path / "teacher" / "model.pt"
    path.parent.mkdir()
    torch.save(make("train_teacher.yaml").network_def.state_dict(), path)
    return path


def run(workflow: ConfigWorkflow) -> ConfigWorkflow:
    workflow.run()
    workflow.finalize()
    return workflow


def copied(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in network.state_dict().items()}


def cause(error: BaseException | None, kind: type) -> str:
    """What the error of this kind said that MONAI wrapped into its own."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__
    return str(error)


def moved(before: dict[str, torch.Tensor], network: torch.nn.Module) -> bool:
    return any(not v.equal(before[k]) for k, v in network.named_parameters())


def test_distillation_moves_the_student_and_leaves_the_teacher(make, teacher, tmp_path):
    workflow, bytes_before = make(), teacher.read_bytes()
    before = copied(workflow.parser.get_parsed_content("network"))
    frozen = copied(workflow.parser.get_parsed_content("teacher_weights"))
    run(workflow)
    assert workflow.trainer.state.iteration == 2
    assert moved(before, workflow.trainer.network)
    assert not moved(frozen, workflow.parser.get_parsed_content("teacher_def"))
    assert teacher.read_bytes() == bytes_before
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["model.pt"]


def test_published_student_is_the_plain_network(make, teacher, tmp_path):
    run(make())
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    DenseNet(spatial_dims=2, act="relu", **FLAT).load_state_dict(state, strict=True)


def test_networks_are_postage_stamps(make):
    parser = make().parser
    assert count_parameters(parser.get_parsed_content("network_def")) == 10105
    assert count_parameters(parser.get_parsed_content("teacher_def")) == 39903


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_layers_and_channels_are_as_declared(make, role):
    parser = make().parser
    network = parser.get_parsed_content({"student": "network_def", "teacher": "teacher_def"}[role]).eval()
    stages = parser.get_parsed_content(f"{role}_stages")
    noted = Pass(taps=dict(zip("012", stages, strict=True))).run(
        "p", network, [torch.zeros(1, 1 if role == "student" else 3, 32, 32)]
    )
    assert [noted[f"p.{i}"].shape[1] for i in range(3)] == parser.get_parsed_content(f"{role}_stage_channels")
    assert stages[-1] == parser.get_parsed_content("layers")[role]
    assert noted["p.2"].shape[1] == parser.get_parsed_content(f"{role}_channels")


def test_teacher_is_trained_on_the_second_modality_with_all_labels(make, tmp_path):
    workflow = run(make("train_teacher.yaml", labeled_fraction=1.0))
    batch = next(iter(workflow.parser.get_parsed_content("train::dataloader")))
    assert batch["image"].shape[1] == 3 and batch["labeled"].all()
    assert len(workflow.train_dataset) == 40
    assert workflow.trainer.state.iteration == 2
    state = torch.load(tmp_path / "teacher" / "model.pt", weights_only=True)
    assert state["features.conv0.weight"].shape[1] == 3
    assert not (tmp_path / "models").exists()


def test_alone_draws_labeled_items_only_for_the_same_number_of_steps(make, tmp_path):
    workflow = make("train_alone.yaml", max_epochs=2)
    drawn = []
    workflow.trainer.add_event_handler("ITERATION_COMPLETED", lambda e: drawn.append(e.state.batch))
    run(workflow)
    assert all(batch["labeled"].all() for batch in drawn)
    assert sum(len(batch["label"]) for batch in drawn) == 2 * 40 and len(drawn) == 4
    assert (
        len(workflow.train_dataset) == sum(i["labeled"] for i in workflow.parser.get_parsed_content("train_items")) < 12
    )
    assert (tmp_path / "output" / "alone" / "model.pt").is_file() and not (tmp_path / "models").exists()


def test_alone_and_distilled_start_alike_with_the_same_labels(make, teacher):
    students = [make(*files, seed=3) for files in ((), ("train_alone.yaml",))]
    first, second = (s.parser.get_parsed_content("train_items") for s in students)
    assert [i["labeled"] for i in first] == [i["labeled"] for i in second]
    weights = [make(*files, seed=3).network_def.features.conv0.weight for files in ((), ("train_alone.yaml",))]
    assert weights[0].equal(weights[1])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.id)
def test_every_recipe_runs(make, teacher, recipe):
    workflow = make(recipe.path)
    network = workflow.parser.get_parsed_content("network")
    before = copied(network)
    run(workflow)
    objective = workflow.trainer.loss_function
    assert workflow.trainer.state.iteration == 2
    assert objective.values and all(torch.isfinite(v) for v in objective.values.values())
    assert moved(before, network)


def test_batch_gives_what_recipes_read(make):
    batch = next(iter(make().parser.get_parsed_content("train::dataloader")))
    assert {k: tuple(v.shape) for k, v in batch.items() if k in ("image", "privileged")} == {
        "image": (20, 1, 32, 32),
        "privileged": (20, 3, 32, 32),
    }
    assert batch["label"].dtype == torch.int64 and batch["labeled"].dtype == torch.bool
    assert len(batch["case"]) == len(batch["group"]) == 20 and batch["index"].shape == (20,)
    assert all(type(batch[key]) is torch.Tensor for key in ("image", "privileged"))


def turns(a: torch.Tensor, b: torch.Tensor) -> list[tuple[int, ...]]:
    """By which flip each row of `b` comes closest to that of `a`."""
    flips: list[tuple[int, ...]] = [(), (1,), (2,), (1, 2)]
    errors = torch.stack([(a - b.flip([d + 1 for d in dims])).square().mean((1, 2, 3)) for dims in flips])
    return [flips[i] for i in errors.argmin(0)]


def test_aligned_views_share_geometry_and_differ_in_noise(make):
    loader = make(views=["image", "image_2", "image_3"]).parser.get_parsed_content("train::dataloader")
    batch = next(iter(loader))
    for one, other in (("image", "image_2"), ("image", "image_3"), ("image_2", "image_3")):
        assert set(turns(batch[one], batch[other])) == {()}
        assert not batch[one].equal(batch[other])


def test_other_views_are_flipped_on_their_own(make):
    workflow = make(views=["image", "image_2"], views_aligned=False)
    batch = next(iter(workflow.parser.get_parsed_content("train::dataloader")))
    assert len(set(turns(batch["image"], batch["image_2"]))) == 4


def test_second_modality_is_flipped_with_the_image(make, data):
    """The hematoxylin of a flipped colour patch is the flipped hematoxylin."""
    dataset = make(**{"train::noises": "$[]"}).train_dataset
    for item in [dataset[i] for i in range(6)]:
        colour = item["privileged"].permute(1, 2, 0).numpy()
        stain = np.clip(skimage.color.rgb2hed(colour)[..., 0] / 0.1, 0, 1)
        assert np.corrcoef(stain.ravel(), item["image"][0].numpy().ravel())[0, 1] > 0.99


def test_missing_teacher_says_what_to_run(make):
    with pytest.raises(RuntimeError) as caught:
        make().run()
    error = cause(caught.value, CheckpointError)
    assert "monai-kd run train_teacher --bundle" in error and "model.pt" in error


def own_data(folder: Path, shape: tuple[int, ...], classes: int, **extra) -> Path:
    folder.mkdir()
    items = []
    for i in range(24):
        name = f"{i}.png"
        pixels = np.random.RandomState(i).randint(0, 255, shape).astype(np.uint8)
        skimage.io.imsave(folder / name, pixels, check_contrast=False)
        items.append({"image": name, "label": i % classes, "patient": f"p{i // 2}", "fold": i // 6, **extra})
    content = {"training": items[:18], "test": items[18:]}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def test_ones_own_colour_data_without_a_second_modality(make, tmp_path):
    own = {"dataset_dir": str(own_data(tmp_path / "own", (40, 48, 3), 2)), "in_channels": 3, "num_classes": 2}
    own |= {"batch_size": 6, "fold": 1}
    run(make("train_teacher.yaml", **own))
    workflow = run(make(**own))
    assert workflow.trainer.state.iteration == 2
    assert workflow.parser.get_parsed_content("privileged_key") == "image"
    assert len(workflow.train_dataset) == 12
    run(make("evaluate.yaml", **own))
    (one,) = load_runs(tmp_path / "output")
    assert one.probability.shape == (6, 2) and set(one.group) == {"p9", "p10", "p11"} and one.classes == ("0", "1")


@pytest.mark.parametrize(
    ("override", "message"),
    [({"num_classes": 3}, "3 channels.*takes 1"), ({"in_channels": 3, "num_classes": 1}, "label 1.*num_classes 1")],
)
def test_ones_own_data_that_does_not_fit_is_named(make, tmp_path, override, message):
    folder = own_data(tmp_path / "own", (40, 48, 3), 2)
    with pytest.raises(RuntimeError) as caught:
        make("train_alone.yaml", dataset_dir=str(folder), **override).run()
    assert re.search(f"dataset.json, training.*{message}", cause(caught.value, DataError))


def test_evaluation_writes_what_a_report_reads(make, teacher, tmp_path):
    run(make("train_alone.yaml"))
    workflow = run(make("train_alone.yaml", "evaluate.yaml"))
    (one,) = load_runs(tmp_path / "output")
    assert (one.role, one.recipe, one.seed, one.setting) == ("alone", None, 0, "20 % of the training patches labelled")
    assert one.classes == ("negative", "partial", "positive") and one.parameters == 10105
    assert one.train_seconds > 0 and one.file_bytes > 4 * 10105 and one.flops > 0 and one.latency_ms > 0
    accuracy = (one.probability.argmax(1) == one.label).mean()
    assert workflow.evaluator.state.metrics["val_accuracy"] == pytest.approx(accuracy)
    assert all(case.startswith("test_") for case in one.case) and len(one.case) == 16
    assert list(one.history) == ["epoch", "label"]


def test_evaluation_is_of_the_checkpoint(make, tmp_path):
    run(make("train_alone.yaml"))
    first = np.load(_evaluated(make, tmp_path))["probability"]
    path = tmp_path / "output" / "alone" / "model.pt"
    state = torch.load(path)
    state["class_layers.out.bias"] += torch.tensor([0.0, 5.0, 0.0])
    torch.save(state, path)
    second = np.load(_evaluated(make, tmp_path))["probability"]
    odds = np.log(second[:, 1] / second[:, 0]) - np.log(first[:, 1] / first[:, 0])
    assert np.allclose(odds, 5, atol=1e-4)


def _evaluated(make, tmp_path) -> Path:
    run(make("train_alone.yaml", "evaluate.yaml"))
    return tmp_path / "output" / "alone" / "predictions.npz"


def test_curves_and_resuming(make, teacher, tmp_path):
    run(make(max_epochs=2, val_interval=2, save_interval=1))
    workflow = run(make(max_epochs=3, val_interval=2, save_interval=1, resume=True))
    with (tmp_path / "output" / "distilled" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"] and workflow.trainer.state.iteration == 6
    assert rows[1]["val_accuracy"] and not rows[0]["val_accuracy"] and float(rows[2]["kd"]) > 0


def test_demo_plans_every_comparison(demo):
    jobs = demo.plan(seeds=2, labeled_fraction=0.05, full_seeds=1)
    assert [job.name for job in jobs] == [
        "teacher",
        "alone_0.05_seed0",
        "distilled_0.05_seed0",
        "alone_0.05_seed1",
        "distilled_0.05_seed1",
        "alone_1_seed0",
        "distilled_1_seed0",
    ]
    told = demo.command(jobs[1], {"max_epochs": 3})
    files = "['configs/train.yaml', 'configs/train_alone.yaml']"
    assert told.endswith(f'run --config_file "{files}" --seed 0 --labeled_fraction 0.05 --max_epochs 3')


@pytest.mark.slow
def test_demo_writes_a_report_and_nothing_elsewhere(demo, tmp_path):
    before = sorted(p for p in CONFIGS.parent.rglob("*") if "__pycache__" not in p.parts)
    old = tmp_path / "alone_0.5_seed9"
    old.mkdir()
    (old / "run.json").touch()
    page = demo.main(["--output_dir", str(tmp_path), "--max_epochs", "1", "--seeds", "2", "--full_seeds", "1"])
    assert page == tmp_path / "report.html"
    assert {r.role for r in load_runs(tmp_path)} == {"teacher", "alone", "distilled"}
    examples = np.load(tmp_path / "distilled_0.05_seed0" / "examples.npz")
    assert {"images", "privileged", "label", "teacher", "alone", "distilled"} == set(examples.files)
    assert sorted(p for p in CONFIGS.parent.rglob("*") if "__pycache__" not in p.parts) == before
    assert not old.exists()


@pytest.mark.slow
def test_two_processes_train_one_student(data, teacher, tmp_path):
    files = [str(CONFIGS / name) for name in ("train.yaml", "multi_gpu_train.yaml")]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "-m",
        "monai.bundle",
    ]
    command += ["run", "--config_file", str(files), "--bundle_root", str(tmp_path), "--dataset_dir", data]
    command += ["--max_epochs", "2", "--batch_size", "10", "--val_interval", "1"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(CONFIGS.parents[2]),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    DenseNet(spatial_dims=2, act="relu", **FLAT).load_state_dict(state, strict=True)
    with (tmp_path / "output" / "distilled" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"] and all(row["val_accuracy"] for row in rows)


def test_a_federated_client_exchanges_the_student(data, teacher, tmp_path):
    shutil.copytree(CONFIGS, tmp_path / "configs")
    extra = {
        "dataset_dir": data,
        "max_epochs": 1,
        "batch_size": 20,
        "progress": False,
        "device": "$torch.device('cpu')",
    }
    for name in ("train.yaml", "evaluate.yaml"):
        config = ConfigParser.load_config_file(tmp_path / "configs" / name)
        ConfigParser.export_config_file(config | (extra if name == "train.yaml" else {}), tmp_path / "configs" / name)
    run_here = {
        "config_train_filename": "configs/train.yaml",
        "config_evaluate_filename": ["configs/train.yaml", "configs/evaluate.yaml"],
    }
    client = MonaiAlgo(bundle_root=str(tmp_path), local_epochs=1, send_weight_diff=False, **run_here)
    client.initialize(extra={ExtraItems.CLIENT_NAME: "clinic"})
    plain = DenseNet(spatial_dims=2, act="relu", **FLAT)
    weights = {k: v.numpy() for k, v in plain.state_dict().items()}
    client.train(ExchangeObject(weights=weights), extra={})
    sent = client.get_weights(extra={}).weights
    assert sent.keys() == plain.state_dict().keys()
    measured = client.evaluate(ExchangeObject(weights=weights), extra={}).metrics
    assert 0 <= measured["val_accuracy"] <= 1
