# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Whatever numbers a loss is given, it answers with numbers: shapes, precisions and sizes are searched for faults.

`--hypothesis-profile=thorough` tries 10 000 examples a loss; see `tests/conftest.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from monai_kd import losses as kd
from monai_kd.losses.relations import unit

DTYPES = [torch.float16, torch.bfloat16, torch.float32]
SIZES = [0.0, 1e-4, 1.0, 60.0, 6e4]
KINDS = ["spread", "constant", "few"]


class Given(NamedTuple):
    """What a case may take: a student and a teacher of one shape, classes, a temperature, and numbers in 0 to 1."""

    student: Tensor
    teacher: Tensor
    label: Tensor
    temperature: float
    chances: Tensor


@dataclass
class Case:
    """How a loss is called, and what it takes."""

    value: Callable[[Given], Tensor]
    classes: int = 2  # at least
    space: tuple[int, int] = (0, 3)  # dimensions, from and to
    least: float = 0.0  # value


def simple(loss: Callable[[], nn.Module], space: tuple[int, int] = (1, 3), least: float = 0.0) -> Case:
    return Case(lambda g: loss()(g.student, g.teacher), space=space, least=least)


def tempered(loss: Callable[..., nn.Module], space: tuple[int, int] = (0, 3)) -> Case:
    return Case(lambda g: loss(temperature=g.temperature)(g.student, g.teacher), space=space)


def labelled(loss: Callable[[], nn.Module], classes: int = 2) -> Case:
    return Case(lambda g: loss()(g.student, g.teacher, g.label), classes=classes)


def by_class(loss: Callable[[int], nn.Module]) -> Case:
    """Features [N, C, *spatial] and a label of three classes at each place."""
    return Case(lambda g: loss(3)(g.student, g.teacher, g.label % 3), space=(1, 3))


def boxes(x: Tensor) -> Tensor:
    return x.float().sigmoid().to(x.dtype)[:, :4]


# An objective and its terms are none; GradientAgreement weighs terms.
CASES = {
    "AB": simple(kd.ABLoss),
    "AttentionKD": tempered(kd.AttentionKDLoss, space=(0, 0)),
    "AttentionOverlap": simple(kd.AttentionOverlapLoss),
    "AttentionTransfer": simple(kd.AttentionTransferLoss),
    "BinaryKD": tempered(kd.BinaryKDLoss),
    "BoundaryKD": Case(lambda g: kd.BoundaryKDLoss(1, g.temperature)(g.student, g.teacher, g.label), space=(1, 3)),
    "BoxTransfer": Case(lambda g: kd.BoxTransferLoss()(boxes(g.student), boxes(g.teacher)), classes=4, space=(0, 0)),
    "CAMTransfer": simple(kd.CAMTransferLoss),
    "CRD": Case(lambda g: kd.CRDLoss()(g.student, g.teacher), space=(0, 0), least=-math.inf),
    "ChannelGram": simple(kd.ChannelGramLoss),
    "ChannelWiseKD": tempered(kd.ChannelWiseKDLoss, space=(1, 3)),
    "ClassGuidedContrastive": Case(
        lambda g: kd.ClassGuidedContrastiveLoss(positives=1)(g.student, g.teacher), space=(0, 0)
    ),
    "ClassRelation": Case(
        lambda g: kd.ClassRelationLoss()(
            unit(g.student.float()), unit(g.teacher.float()), unit(g.chances.float()), unit(g.chances.float())
        ),
        space=(0, 0),
    ),
    "Consensus": simple(kd.ConsensusLoss, space=(0, 3)),
    "CorrelationCongruence": simple(kd.CorrelationCongruenceLoss),
    "CrossPseudoSupervision": simple(kd.CrossPseudoSupervisionLoss, space=(0, 3)),
    "CurriculumKD": Case(lambda g: kd.CurriculumKDLoss()(g.student, g.teacher, torch.tensor(g.temperature))),
    "DIST": tempered(kd.DISTLoss),
    "DKD": Case(
        lambda g: kd.DKDLoss(temperature=g.temperature)(g.student, g.teacher, g.label),
        classes=3,
        least=-1e-7,  # float64's rounding of logits of 6e4
    ),
    "FSP": Case(lambda g: kd.FSPLoss()(g.student, g.student, g.teacher, g.teacher), space=(1, 3)),
    "FactorTransfer": simple(kd.FactorTransferLoss),
    "GazeTransfer": Case(
        lambda g: kd.GazeTransferLoss(g.temperature)(g.student, g.chances[:, :1].contiguous()), space=(1, 3)
    ),
    "HCL": simple(kd.HCLLoss),
    "Hint": simple(kd.HintLoss),
    "InfoNCE": simple(kd.InfoNCELoss, space=(0, 0)),
    "IntraClassVariation": by_class(kd.IntraClassVariationLoss),
    "KD": tempered(kd.KDLoss),
    "LayerAttention": Case(
        lambda g: kd.LayerAttentionLoss()(g.student.abs(), g.teacher.float().softmax(2)), space=(1, 1)
    ),
    "LogitMSE": simple(kd.LogitMSELoss, space=(0, 3)),
    "LogitStandardizedKD": tempered(kd.LogitStandardizedKDLoss),
    "LowRank": Case(lambda g: kd.LowRankLoss()(g.student, g.teacher), least=-math.inf),
    "MGD": simple(kd.MGDLoss),
    "MarginKD": labelled(kd.MarginKDLoss),
    "NST": simple(kd.NSTLoss, least=-1e-5),  # float32's rounding of sums that cancel
    "NTXent": simple(kd.NTXentLoss, space=(0, 0)),
    "OFAKD": labelled(kd.OFAKDLoss, classes=3),
    "OFD": simple(kd.OFDLoss, space=(0, 3)),
    "PKT": simple(kd.PKTLoss),
    "ProbabilisticallyCompact": Case(lambda g: kd.ProbabilisticallyCompactLoss()(g.student, g.label)),
    "ProbabilityMSE": simple(kd.ProbabilityMSELoss, space=(0, 3)),
    "ProbabilityMSE of regions": simple(lambda: kd.ProbabilityMSELoss(sigmoid=True), space=(0, 3)),
    "PrototypeCluster": Case(lambda g: kd.PrototypeClusterLoss(2)(g.student[:, :2].abs(), g.label % 2), space=(0, 0)),
    "PrototypeKD": by_class(kd.PrototypeKDLoss),
    "PrototypeSeparation": Case(
        lambda g: kd.PrototypeSeparationLoss(2)(g.student[:, :2].abs(), g.label % 2), space=(0, 0)
    ),
    "RKD": simple(kd.RKDLoss),
    "RegionAffinity": by_class(kd.RegionAffinityLoss),
    "RegionContext": by_class(kd.RegionContextLoss),
    "SRD": simple(kd.SRDLoss, space=(0, 3), least=-math.inf),
    "SampleRelation": simple(kd.SampleRelationLoss),
    "SelfSupervisedSimilarity": Case(
        lambda g: kd.SelfSupervisedSimilarityLoss(g.temperature)(g.student, 2 - g.student, g.teacher, 1 + g.teacher),
        space=(0, 0),
    ),
    "SimilarityPreserving": simple(kd.SimilarityPreservingLoss),
    "SoftTargetKD": Case(
        lambda g: kd.SoftTargetKDLoss(g.temperature)(g.student, g.teacher.float().softmax(1).to(g.student.dtype))
    ),
    "StructuralPairwise": simple(kd.StructuralPairwiseLoss),
    "SubsetKD": Case(lambda g: kd.SubsetKDLoss((0, 1), g.temperature)(g.student, g.teacher)),
    "UncertaintyMaskedConsistency": Case(
        lambda g: kd.UncertaintyMaskedConsistencyLoss()(g.student, g.teacher, g.chances)
    ),
    "VICReg": Case(lambda g: kd.VICRegLoss()(g.student, g.teacher), space=(0, 0)),
    "VID": Case(
        lambda g: kd.VIDLoss()(g.student, g.teacher, torch.full((g.student.shape[1],), g.temperature)),
        least=-math.inf,
    ),
}
# At the teacher these are 0, without a gradient. DIST is not here: answers that are all alike have no correlation, with
# themselves or anything. The others compare more than a student with a teacher, or have another minimum.
ZERO = """AttentionKD AttentionTransfer BinaryKD BoundaryKD CAMTransfer ChannelGram ChannelWiseKD Consensus
    CorrelationCongruence CurriculumKD FSP FactorTransfer HCL Hint IntraClassVariation KD LogitMSE LogitStandardizedKD
    MGD NST OFD PKT ProbabilityMSE PrototypeKD RKD RegionAffinity RegionContext SampleRelation SimilarityPreserving
    StructuralPairwise SubsetKD""".split()


@st.composite
def examples(draw: st.DrawFn, case: Case) -> Given:
    """Numbers of any size that float16 holds; entries may be alike, or few."""
    dims = draw(st.integers(*case.space))
    classes = draw(st.integers(case.classes, max(5, case.classes)))
    shape = [draw(st.integers(1, 4)), classes, *(draw(st.integers(1, 4)) for _ in range(dims))]
    dtype, generator = draw(st.sampled_from(DTYPES)), torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    found = []
    for _ in range(2):
        values = torch.rand(shape, generator=generator) * 2 - 1
        kind = draw(st.sampled_from(KINDS))
        if kind == "constant":
            values = torch.ones(shape) * (values.flatten()[0])
        elif kind == "few":
            values = values * (torch.rand(shape, generator=generator) < 0.2)
        found.append((values * draw(st.sampled_from(SIZES))).to(dtype))
    label = torch.randint(0, classes, (shape[0], *shape[2:]), generator=generator)
    temperature, chances = draw(st.floats(1, 20)), torch.rand(shape, generator=generator)
    return Given(found[0].requires_grad_(), found[1], label, temperature, F.normalize(chances, p=1.0, dim=1))


def check(case: Case, given: Given) -> Tensor:
    """Value and gradient are numbers, except where the gradient is more than the precision holds."""
    value = case.value(given)
    assert value.shape == () and torch.isfinite(value), value
    value.backward()
    wide = given._replace(student=given.student.detach().float().requires_grad_(), teacher=given.teacher.float())
    case.value(wide).backward()
    assert given.student.grad is not None and wide.student.grad is not None
    assert torch.isfinite(wide.student.grad).all(), "in float32"
    held = wide.student.grad.to(given.student.dtype).isfinite()
    assert torch.isfinite(given.student.grad[held]).all(), given.student.dtype
    return value.detach()


@pytest.mark.parametrize("name", CASES)
def test_numbers_of_any_size(name):
    case = CASES[name]

    @given(example=examples(case))
    def search(example):
        assert check(case, example) >= case.least

    search()


@pytest.mark.parametrize("name", ZERO)
def test_a_student_that_answers_as_its_teacher_has_nothing_to_learn(name):
    case = CASES[name]

    @given(example=examples(case))
    def search(example):
        student = example.teacher.clone().requires_grad_()
        assert check(case, example._replace(student=student)) == pytest.approx(0, abs=1e-6)
        assert student.grad.abs().max() <= 1e-6 * max(1.0, float(example.teacher.abs().max()))

    search()


def test_every_loss_is_searched():
    known = {name.split()[0] + "Loss" for name in CASES}
    assert known == {name for name, loss in vars(kd).items() if isinstance(loss, type) and name.endswith("Loss")}
