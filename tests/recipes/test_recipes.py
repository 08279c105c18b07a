# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Every recipe runs for real, in 2-D and 3-D: finite loss, the student moves, the teacher does not."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
from monai.networks.nets import DenseNet, UNet
from torch import Tensor, nn

from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import EMA, Snapshot
from monai_kd.networks import Teacher, TeacherEnsemble
from monai_kd.recipes import Distillation, Recipe, check_keys, list_recipes, load_recipe
from monai_kd.utils import ConfigError, DistillationError, UnknownNameError
from tests.recipes.plain import loss_of, trainer

RECIPES = [recipe.id for recipe in list_recipes()]
# every other is handed a teacher
OWN_TEACHER = {"mean_teacher", "dml", "born_again", "multi_teacher", "uamt", "cps", "tfkd", "crckd", "weno"}
OWN_TEACHER |= {"braix_protopnet", "topo_kd_pcr", "src_mt", "noteacher", "fial_wbc", "rskd", "xkd_cxr", "efml", "dc_mt"}
SAMPLES = 8
# what a recipe must be told besides the two networks and their layers, by id
VALUES: dict[str, dict[str, Any]] = {
    "crckd": {"sample_labels": [0, 1, 2, 0] * (SAMPLES // 4)},
    "crd": {"num_samples": SAMPLES},
    "gmcd": {"sample_labels": [0, 1, 2, 0] * (SAMPLES // 4)},
    "weno": {"num_samples": SAMPLES},
    "multi_teacher_fewshot": {"teacher_accuracies": [0.9, 0.8]},
    "rskd": {
        "subsets": {"many": [0, 1], "medium": [1, 2], "few": [0, 2]},
        "subset_weights": {"many": 1.0, "medium": 1.0, "few": 1.0},
    },
    "topo_kd_pcr": {"betti_features": 6},
    "xkd_cxr": {
        "label_loss": lambda z, y: nn.functional.binary_cross_entropy_with_logits(z, torch.eye(3)[y]),
    },
    "fial_wbc": {"num_samples": SAMPLES},
    "simkd": {"heads": {"student": "class_layers", "teacher": "class_layers"}, "head_input": "features"},
}
for one in ("more_from_less", "trident"):
    VALUES[one] = {**VALUES["simkd"], "projection": 16}
VALUES["gmcd"]["heads"] = VALUES["simkd"]["heads"]
JOINT = {"more_from_less", "trident", "mf_omkt", "gmcd"}  # a network of the recipe reads what is privileged
BLOCKWISE = {"multi_teacher_fewshot"}  # learns part by part
STAGED = {"resolution_kd"}  # its terms take turns
REBUILDS = {"simkd"}  # publishes another network than it was given
# at 16 a BatchNorm of the 3-D network sees four numbers a channel: of one pattern, they still the convolution behind
SIDES = {"xkd_cxr": 32}


def dense(name: str) -> bool:
    """Whether the recipe is tried on a segmentation task, else on a classification task."""
    return "segmentation" in load_recipe(name).info["kinds"]


def network(dims: int, width: int, dense: bool = True) -> nn.Module:
    """A small network of three stages and three classes."""
    if dense:
        return UNet(dims, 1, 3, channels=(width, 2 * width, 4 * width), strides=(2, 2), norm="batch", act="relu")
    return DenseNet(
        dims, 1, 3, init_features=2 * width, growth_rate=width, block_config=(1, 1, 1), bn_size=2, act="relu"
    )


def stages(dense: bool) -> dict[str, list[str]]:
    """Its layers, shallow to deep, of student and teacher alike."""
    unet = ["model.0", "model.1.submodule.0", "model.1.submodule.1"]
    paths = unet if dense else [f"features.denseblock{i}" for i in (1, 2, 3)]
    return {"student": paths, "teacher": paths}


def batches(dims: int, dense: bool = True, side: int | None = None) -> list[dict[str, Tensor]]:
    size = [side or (8 if dense else 16)] * dims
    views = {
        key: torch.randn(4, 1, *size) for key in ("image", "image_2", "image_3", "image_4", "privileged", "magnified")
    }
    label = torch.tensor([0, 1, 2, 0]) if not dense else torch.randint(0, 3, (4, *size))
    bags = {"bag": torch.tensor([0, 0, 1, 1]), "bag_label": torch.tensor([0, 2])}
    views["betti"] = torch.rand(4, 6)
    return [{**views, **bags, "label": label, "index": torch.arange(4) + 4 * i} for i in range(SAMPLES // 4)]


def apply(name: str, dims: int, student: nn.Module, teacher: nn.Module, **more: Any) -> Distillation:
    values = {"max_epochs": 2, **VALUES.get(name, {}), **more}
    if name in ("multi_teacher", "multi_teacher_fewshot", "xkd_cxr"):
        values["teachers"] = [teacher, network(dims, 4, dense(name))]
    if name == "fial_wbc":
        values["unlabeled"] = batches(dims, dense(name))
    if name == "braix_protopnet":
        values["prototype_images"] = batches(dims, dense(name))
    if name in JOINT:
        values["teacher_def"] = network(dims, 4, dense(name))
    return load_recipe(name)(
        student,
        None if name in OWN_TEACHER else teacher,
        layers=stages(dense(name)),
        example=torch.zeros(1, 1, *[8 if dense(name) else 16] * dims),
        **values,
    )


def train(method: Distillation, student: nn.Module, data: list, epochs: int = 2) -> DistillationTrainer:
    trained = trainer(method, student, data, epochs)
    trained.run()
    return trained


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", RECIPES)
def test_recipe_runs(name: str, dims: int) -> None:
    student, teacher = (network(dims, width, dense(name)) for width in (2, 4))
    plain, frozen = set(student.state_dict()), copy.deepcopy(teacher.state_dict())
    method = apply(name, dims, student, teacher)
    before = copy.deepcopy(student.state_dict())
    trained = train(method, student, batches(dims, dense(name), SIDES.get(name)))
    assert trained.state.iteration == 4
    last = method.objective.active() if name in STAGED else method.objective.terms
    assert method.objective.values.keys() == last.keys()
    assert all(torch.isfinite(value) for value in method.objective.values.values())
    learns = [(k, p) for k, p in student.named_parameters() if p.ndim > 1 and p.requires_grad]  # BN stills biases
    assert learns and all(not before[k].equal(p) for k, p in learns), [k for k, p in learns if before[k].equal(p)]
    assert all(frozen[k].equal(v) for k, v in teacher.state_dict().items())
    assert (set(student.state_dict()) == plain) != (name in REBUILDS)


@pytest.mark.parametrize("name", RECIPES)
def test_gradient_reaches_only_what_learns(name: str) -> None:
    student, teacher = (network(2, width, dense(name)) for width in (2, 4))
    method = apply(name, 2, student, teacher)
    data = batches(2, dense(name))[0]
    loss_of(method, student, data).backward()
    assert (any if name in BLOCKWISE else all)(p.grad is not None for p in method.parameters)
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize("name", RECIPES)
def test_block_says_what_the_recipe_is(name: str) -> None:
    info = load_recipe(name).info
    assert info["id"] == name
    fields = ("title", "paper", "doi", "role", "knowledge", "scheme", "certainty", "simplified")
    assert all(isinstance(info[field], str) and info[field] for field in fields)
    assert info["doi"].startswith("10.")
    assert info.get("teacher_labels", "labeled") == "labeled"  # the only word that is understood
    assert set(info["kinds"]) <= {"classification", "multilabel_classification", "segmentation"}
    longest = 70 if name == "gmcd" else 60  # its first stage alone compares eight things
    assert len(load_recipe(name).path.read_text().splitlines()) <= longest


def test_mean_teacher_follows_the_student() -> None:
    student = network(2, 2)
    method = apply("mean_teacher", 2, student, network(2, 4))
    train(method, student, batches(2))
    (ema,) = [h for h in method.handlers if isinstance(h, EMA)]
    assert ema.steps == 4
    pairs = zip(ema.teacher.network.parameters(), student.parameters(), strict=True)
    assert all(not mine.equal(its) for mine, its in pairs if mine.ndim > 1)


def test_born_again_generation_learns_from_the_last() -> None:
    student = network(2, 2)
    method = apply("born_again", 2, student, network(2, 4))
    train(method, student, batches(2))
    (snapshot,) = [h for h in method.handlers if isinstance(h, Snapshot)]
    assert snapshot.generation == 1
    assert method.objective.term("kd").weight == 1


def test_peers_start_apart_and_both_move() -> None:
    student = network(2, 2)
    method = apply("dml", 2, student, network(2, 4))
    peer = method.inferer.networks["peer"]
    start = copy.deepcopy(peer.state_dict())
    assert not next(peer.parameters()).equal(next(student.parameters()))
    train(method, student, batches(2))
    assert not next(peer.parameters()).equal(next(iter(start.values())))


def test_ensemble_and_privileged_key() -> None:
    several = apply("multi_teacher", 2, network(2, 2), network(2, 4))
    assert isinstance(several.inferer.networks["teacher"], TeacherEnsemble)
    other = apply("cross_modal", 2, network(2, 2), network(2, 4))
    assert other.inferer.passes["teacher"].keys == ("privileged",)
    assert isinstance(other.inferer.networks["teacher"], Teacher)


def test_values_go_over_the_recipe() -> None:
    student, teacher = network(2, 2), network(2, 4)
    method = load_recipe("kd")(student, teacher, labeled_key="labeled", **{"terms::kd::weight": 0.5})
    assert method.objective.term("kd").weight == 0.5
    assert method.objective.term("label").where == "labeled"


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match="teacher"):
        load_recipe("kd")(network(2, 2))
    with pytest.raises(ConfigError, match="layers"):
        load_recipe("fitnets")(network(2, 2), network(2, 4))
    with pytest.raises(UnknownNameError, match="labeled_key"):
        load_recipe("kd")(network(2, 2), network(2, 4), labelled_key="labeled")
    with pytest.raises(UnknownNameError, match="fitnets"):
        load_recipe("fitnet")
    with pytest.raises(DistillationError, match="no layer"):
        load_recipe("fitnets")(
            network(2, 2),
            network(2, 4),
            layers={"student": "modle.0", "teacher": "model.0"},
            example=torch.zeros(1, 1, 8, 8),
        )


def test_a_key_that_nothing_reads_is_refused() -> None:
    base = {"max_epochs": 3, "trainer": {"epochs": "@max_epochs"}}
    check_keys(base, [{"max_epochs": 5, "recipe": {}, "_meta_": {}, "new": 1, "trainer::rate": "$@new * 2"}])
    check_keys(base, [{"imports": [], "run": [], "+trainer": {}}])
    check_keys(base, [{"content": {}, "number": 1, "trainer::name": "$@content.get('name', @number)"}])
    with pytest.raises(UnknownNameError, match=r"'max_epoch'.*'max_epochs'"):
        check_keys(base, [{"max_epoch": 5}])


def test_a_recipe_file_of_ones_own(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("recipe: {id: mine, kinds: [classification]}\nterms::kd::weight: 3\n")
    recipe = load_recipe(path)
    assert isinstance(recipe, Recipe)
    assert recipe(network(2, 2), network(2, 4)).objective.term("kd").weight == 3


def test_review_warms_up() -> None:
    student, teacher = network(2, 2), network(2, 4)
    method = load_recipe("reviewkd")(
        student, teacher, layers=stages(True), example=torch.zeros(1, 1, 8, 8), max_epochs=10
    )
    weights = []

    class Note:
        def attach(self, engine: DistillationTrainer) -> None:
            engine.add_event_handler("EPOCH_COMPLETED", self)

        def __call__(self) -> None:
            weights.append(method.objective.term("review_low").weight)

    method.handlers.append(Note())
    train(method, student, batches(2), epochs=4)
    assert weights[0] < weights[1] <= weights[2] == weights[3] == 5


def test_uncertainty_threshold_rises_to_one() -> None:
    student = network(2, 2)
    method = apply("uamt", 2, student, network(2, 4))
    train(method, student, batches(2))
    assert method.objective.term("consistency").loss.threshold == 1


def test_bank_remembers_every_sample_it_saw() -> None:
    student, teacher = (network(2, width, False) for width in (2, 4))
    method = apply("crd", 2, student, teacher)
    bank = method.inferer.networks["bank"]
    before = bank.input_bank.clone()
    train(method, student, batches(2, False))
    assert all(not a.equal(b) for a, b in zip(bank.state_dict()["input_bank"], before, strict=True))


@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda recipe: recipe.id)
def test_every_stage_has_a_name_of_its_own_and_does_as_the_bundle(recipe) -> None:
    asked = {key: f"@{key}" for key in ("device", "amp", "output_dir")}
    asked["checkpoint"] = {key: f"@{key}" for key in ("save_interval", "resume", "origin")}
    ran = {re.split(r"::|\.", line)[0] for part in recipe.config.get("run", []) for line in part.split("@")[1:]}
    for name in ran - {"train"}:
        assert recipe.config[name]["_target_"] == "monai_kd.engines.stage"
        assert recipe.config[name]["name"] == name
        assert asked.items() <= recipe.config[name].items()
