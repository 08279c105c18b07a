# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Whatever numbers a loss is given, it answers with numbers: shapes, precisions and sizes are searched for faults."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from monai_kd import losses as kd

DTYPES = [torch.float16, torch.bfloat16, torch.float32]
SIZES = [0.0, 1e-4, 1.0, 60.0, 6e4]
EXAMPLES = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# how each is built, from a temperature
RESPONSE: dict[str, Callable[[float], nn.Module]] = {
    "kd": lambda t: kd.KDLoss(t),
    "binary": lambda t: kd.BinaryKDLoss(t),
    "logit_mse": lambda t: kd.LogitMSELoss(),
    "probability_mse": lambda t: kd.ProbabilityMSELoss(),
    "sigmoid_mse": lambda t: kd.ProbabilityMSELoss(sigmoid=True),
    "standardized": lambda t: kd.LogitStandardizedKDLoss(t),
    "dist": lambda t: kd.DISTLoss(temperature=t),
    "consensus": lambda t: kd.ConsensusLoss(),
    "pseudo": lambda t: kd.CrossPseudoSupervisionLoss(),
}
LABELLED: dict[str, Callable[[float], nn.Module]] = {
    "dkd": lambda t: kd.DKDLoss(temperature=t),
    "ofa": lambda t: kd.OFAKDLoss(),
    "margin": lambda t: kd.MarginKDLoss(),
}
# ABLoss is not here: its gradient is twice the feature, and float16 holds no twice 6e4
FEATURE: dict[str, Callable[[], nn.Module]] = {
    "hint": kd.HintLoss,
    "attention": kd.AttentionTransferLoss,
    "nst": kd.NSTLoss,
    "pkt": kd.PKTLoss,
    "rkd": kd.RKDLoss,
    "sp": kd.SimilarityPreservingLoss,
    "relation": kd.SampleRelationLoss,
    "congruence": kd.CorrelationCongruenceLoss,
    "gram": kd.ChannelGramLoss,
    "channel_wise": kd.ChannelWiseKDLoss,
    "hcl": kd.HCLLoss,
    "overlap": kd.AttentionOverlapLoss,
}
# DIST is not here: answers that are all alike have no correlation, with themselves or anything
ZERO = {
    "kd",
    "binary",
    "logit_mse",
    "probability_mse",
    "sigmoid_mse",
    "standardized",
    "consensus",
    "hint",
    "attention",
}
ZERO |= {"nst", "pkt", "rkd", "sp", "relation", "congruence", "gram", "hcl", "channel_wise"}


@st.composite
def pairs(draw: st.DrawFn, least_classes: int = 2, least_space: int = 0) -> tuple[Tensor, Tensor]:
    """A student and a teacher of one shape, of any size that float16 holds; entries may be alike, or few."""
    dims = draw(st.integers(least_space, 3))
    shape = [
        draw(st.integers(1, 4)),
        draw(st.integers(least_classes, 5)),
        *(draw(st.integers(1, 4)) for _ in range(dims)),
    ]
    dtype, generator = draw(st.sampled_from(DTYPES)), torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    found = []
    for _ in range(2):
        values = torch.rand(shape, generator=generator) * 2 - 1
        kind = draw(st.sampled_from(["spread", "constant", "few"]))
        if kind == "constant":
            values = torch.ones(shape) * (values.flatten()[0])
        elif kind == "few":
            values = values * (torch.rand(shape, generator=generator) < 0.2)
        found.append((values * draw(st.sampled_from(SIZES))).to(dtype))
    return found[0].requires_grad_(), found[1]


def check(loss: nn.Module, student: Tensor, *rest: Tensor) -> Tensor:
    value = loss(student, *rest)
    assert value.shape == () and torch.isfinite(value), value
    value.backward()
    assert student.grad is not None and torch.isfinite(student.grad).all()
    return value.detach()


@pytest.mark.parametrize("name", RESPONSE)
@EXAMPLES
@given(pair=pairs(), temperature=st.floats(1, 20))
def test_answers_of_any_size(name, pair, temperature):
    assert check(RESPONSE[name](temperature), *pair) >= 0


@pytest.mark.parametrize("name", LABELLED)
@EXAMPLES
@given(pair=pairs(least_classes=3), temperature=st.floats(1, 20), seed=st.integers(0, 999))
def test_answers_with_labels(name, pair, temperature, seed):
    student, teacher = pair
    shape = (student.shape[0], *student.shape[2:])
    label = torch.randint(0, student.shape[1], shape, generator=torch.Generator().manual_seed(seed))
    check(LABELLED[name](temperature), student, teacher, label)


@pytest.mark.parametrize("name", FEATURE)
@EXAMPLES
@given(pair=pairs(least_space=1))
def test_features_of_any_size(name, pair):
    check(FEATURE[name](), *pair)


@pytest.mark.parametrize("name", sorted(ZERO))
@EXAMPLES
@given(pair=pairs(least_space=1))
def test_a_student_that_answers_as_its_teacher_has_nothing_to_learn(name, pair):
    _, teacher = pair
    student = teacher.clone().requires_grad_()
    loss = RESPONSE[name](4.0) if name in RESPONSE else FEATURE[name]()
    assert check(loss, student, teacher) == pytest.approx(0, abs=1e-6)
    assert student.grad.abs().max() <= 1e-6 * max(1.0, float(teacher.abs().max()))
