# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What the recipes of few lines minimise: weighted sums of losses, of the answers named here, on labelled rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from monai_kd import losses as L
from monai_kd.handlers import EMA, ScheduleParameter, Weights
from monai_kd.recipes import Distillation
from tests.recipes.test_recipes import apply, batches, dense, network

CE, KD, AT, HCL = nn.CrossEntropyLoss(), L.KDLoss(4.0), L.AttentionTransferLoss(), L.HCLLoss()
Step = list[tuple[float, Callable[..., Tensor], str]]
BASE: Step = [(1, CE, "student label"), (1, KD, "student teacher")]  # what features are distilled besides
MOSTLY: Step = [(0.1, CE, "student label"), (0.9, KD, "student teacher")]


def hinted(weight: float, loss: nn.Module, names: str = "connector teacher.hint") -> Step:
    return [*BASE, (weight, loss, names)]


def mutual(loss: nn.Module, weight: float = 1.0) -> Step:
    return [
        (1, CE, "student label"),
        (1, CE, "peer label"),
        (weight, loss, "student peer"),
        (weight, loss, "peer student"),
    ]


# after the last warm-up: weight, loss and its inputs; what reads `label` sees labelled rows alone
STEPS: dict[str, Step] = {
    "kd": MOSTLY,
    "multi_teacher": MOSTLY,
    "born_again": BASE,
    "cross_modal": [(0.5, CE, "student label"), (0.5, KD, "student teacher")],
    "lskd": [(0.1, CE, "student label"), (9, L.LogitStandardizedKDLoss(2.0), "student teacher")],
    "dist": [(1, CE, "student label"), (1, L.DISTLoss(1, 1, 1), "student teacher")],
    "logit_mse": [(1, L.LogitMSELoss(), "student teacher")],
    "boundary_kd": [*BASE, (1, L.BoundaryKDLoss(2, 4.0), "student teacher label")],
    "cam_transfer": [
        BASE[0],
        (1, KD, "student teacher.logits"),
        (10, L.CAMTransferLoss(), "cam teacher.map"),
    ],
    "cwd": [(1, CE, "student label"), (3, L.ChannelWiseKDLoss(4.0), "student teacher")],
    "dkd": [(1, CE, "student label"), (1, L.DKDLoss(1, 8, 4), "student teacher label")],
    "ctkd": [(0.1, CE, "student label"), (0.9, L.CurriculumKDLoss(), "student teacher temperature")],
    "dml": mutual(L.KDLoss(1.0)),
    "cps": mutual(L.CrossPseudoSupervisionLoss(), 1.5),
    "mf_omkt": [
        *mutual(L.KDLoss(3.0)),
        (1, CE, "fusion label"),
        (1, L.KDLoss(3.0), "student fusion"),
        (1, L.KDLoss(3.0), "peer fusion"),
    ],
    "mean_teacher": [(1, CE, "student label"), (10, L.ProbabilityMSELoss(), "student teacher")],
    "uamt": [(1, CE, "student label"), (0.1, L.UncertaintyMaskedConsistencyLoss(1.0), "student teacher sure")],
    "skd": [BASE[0], (10, KD, "student teacher"), (1, L.StructuralPairwiseLoss(2), "connector teacher.hint")],
    "fitnets": hinted(100, L.HintLoss()),
    "ofd": hinted(1e-3, L.OFDLoss()),
    "nst": hinted(50, L.NSTLoss()),
    "ab": hinted(3e-3, L.ABLoss()),
    "mgd": hinted(2e-5, L.MGDLoss()),
    "srd": hinted(1, L.SRDLoss(), "connector normalized"),
    "sp": hinted(3000, L.SimilarityPreservingLoss(), "student.hint teacher.hint"),
    "cckd": hinted(1, L.CorrelationCongruenceLoss(), "student.hint teacher.hint"),
    "pkt": hinted(30000, L.PKTLoss(), "student.hint teacher.hint"),
    "rkd": hinted(1, L.RKDLoss(25, 50), "student.hint teacher.hint"),
    "ifvd": hinted(50, L.IntraClassVariationLoss(3), "student.hint teacher.hint label"),
    "region_affinity": hinted(1, L.RegionAffinityLoss(3), "student.hint teacher.hint label"),
    "prototype_kd": hinted(1, L.PrototypeKDLoss(3), "student.hint teacher.hint label"),
    "vid": hinted(1, L.VIDLoss(), "connector.mean teacher.hint connector.variance"),
    "semckd": hinted(50, L.LayerAttentionLoss(), "layers.distance layers.attention"),
    "fsp": hinted(50, L.FSPLoss(), "low high teacher.low teacher.high"),
    "crd": hinted(0.8, L.CRDLoss(), "bank.input bank.target"),
    "crd_in_batch": hinted(0.8, L.InfoNCELoss(0.07), "embedding teacher_embedding"),
    "ft": [
        *hinted(200, L.FactorTransferLoss(), "translator paraphraser.factor"),
        (1, L.HintLoss(), "paraphraser.reconstruction teacher.hint"),
    ],
    "reco_kd": [
        *hinted(1, L.RegionContextLoss(3), "connector teacher.hint label"),
        (1, L.HintLoss(), "context.input context.target"),
    ],
    "attention_transfer": [*BASE, *((1000, AT, f"student.{x} teacher.{x}") for x in ("low", "middle", "high"))],
    "reviewkd": [
        BASE[0],
        *((5, HCL, f"review.{i} teacher.{x}") for i, x in enumerate(("low", "middle", "high"))),
    ],
    "ofa": [
        BASE[0],
        *((1, L.OFAKDLoss(), f"{x} teacher label") for x in ("student", "exit_low", "exit_middle", "exit_high")),
    ],
    "simkd": [(1, L.HintLoss(), "projected wanted")],
}


def scheduled(method: Distillation, t: float) -> None:
    for handler in method.handlers:
        if isinstance(handler, ScheduleParameter | Weights):
            handler.set(t)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_the_weighted_sum(name: str) -> None:
    student = network(2, 2, dense(name))
    method = apply(name, 2, student, network(2, 4, dense(name)), labeled_key="labeled")
    scheduled(method, 2)
    batch = {**batches(2, dense(name))[0], "labeled": torch.tensor([True, False, True, True])}
    known = {**batch, **method.inferer(batch, student)}
    expected = torch.zeros(())
    for weight, loss, names in STEPS[name]:
        inputs = [known[key] for key in names.split()]
        if "label" in names.split():
            inputs = [x[batch["labeled"]] for x in inputs]
        expected = expected + weight * loss(*inputs)
    torch.testing.assert_close(method.objective(known, batch), expected)


def test_the_virtual_teacher_is_nearly_sure_and_heard_where_labels_are() -> None:
    student, label, labeled = network(2, 2, False), torch.tensor([0, 1, 2, 0]), torch.tensor([True, False, True, True])
    method = apply("tfkd", 2, student, network(2, 4, False), labeled_key="labeled")
    batch = {"image": torch.randn(4, 1, 16, 16), "label": label, "labeled": labeled}
    known = method.inferer(batch, student)
    told = torch.full((4, 3), 0.005).scatter(1, label[:, None], 0.99)
    torch.testing.assert_close(known["teacher"].softmax(1), told)
    expected = 0.9 * CE(known["student"][labeled], label[labeled])
    expected = expected + 0.1 * L.KDLoss(20.0)(known["student"][labeled], told.log()[labeled])
    torch.testing.assert_close(method.objective(known, batch), expected)


@pytest.mark.parametrize(
    ("name", "term", "weights"),
    [
        ("mean_teacher", "consistency", [10 * math.exp(-5), 10 * math.exp(-5 * 4 / 9), 10, 10]),
        ("uamt", "consistency", [0.1 * math.exp(-5), 0.1 * math.exp(-5 * 4 / 9), 0.1, 0.1]),
        ("born_again", "kd", [0, 0, 1, 1]),
        ("mf_omkt", "fusion_peer", [math.exp(-5), 1, 1, 1]),
    ],
)
def test_weights_rise(name: str, term: str, weights: list[float]) -> None:
    method = apply(name, 2, network(2, 2, dense(name)), network(2, 4, dense(name)), max_epochs=10)
    found = []
    for epoch in (0, 1, 5, 9):
        scheduled(method, epoch)
        found.append(method.objective.term(term).weight)
    assert found == pytest.approx(weights)


def test_the_temperature_learns_little_at_first() -> None:
    method = apply("ctkd", 2, network(2, 2), network(2, 4), max_epochs=20)
    strengths = []
    for epoch in range(4):
        scheduled(method, epoch)
        strengths.append(method.inferer.networks["temperature"].strength)
    assert strengths == pytest.approx([0, 0.5, 1, 1])


@pytest.mark.parametrize("name", ["mean_teacher", "uamt"])
def test_the_average_sees_a_view_of_its_own(name: str) -> None:
    method = apply(name, 2, network(2, 2), network(2, 4))
    assert {k: p.keys for k, p in method.inferer.passes.items()} == {
        "student": ("image",),
        **{k: ("image_2",) for k in method.inferer.passes if k != "student"},
    }
    assert [h.momentum for h in method.handlers if isinstance(h, EMA)] == [0.99]


@pytest.mark.parametrize(
    ("name", "term", "loss", "names"),
    [
        ("dml", "mutual", L.BinaryKDLoss(1.0, label_reduction="mean"), "student peer"),
        ("dml", "mutual_peer", L.BinaryKDLoss(1.0, label_reduction="mean"), "peer student"),
        ("mean_teacher", "consistency", L.ProbabilityMSELoss(sigmoid=True), "student teacher"),
    ],
)
def test_findings_that_do_not_exclude_each_other_are_compared_each_by_itself(name, term, loss, names) -> None:
    student = network(2, 2)
    method = apply(name, 2, student, network(2, 4), sigmoid=True)
    known = method.inferer(batches(2)[0], student)
    torch.testing.assert_close(method.objective.term(term)(known), loss(*(known[key] for key in names.split())))


@pytest.mark.parametrize(("sigmoid", "activation"), [(False, "softmax"), (True, "sigmoid")])
def test_several_teachers_are_averaged_in_probabilities(sigmoid: bool, activation: str) -> None:
    teacher = apply("multi_teacher", 2, network(2, 2), network(2, 4), sigmoid=sigmoid).inferer.networks["teacher"]
    assert (teacher.activation, teacher.average, teacher.weights) == (activation, "probabilities", [0.5, 0.5])
