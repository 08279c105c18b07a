# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Terms of two gloo processes, which select unequal numbers of rows, average to the term of the joined batch."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses import (
    AttentionKDLoss,
    BoundaryKDLoss,
    BoxTransferLoss,
    ChannelWiseKDLoss,
    DKDLoss,
    GazeTransferLoss,
    IntraClassVariationLoss,
    KDLoss,
    ProbabilityMSELoss,
    PrototypeClusterLoss,
    PrototypeKDLoss,
    RegionAffinityLoss,
    RegionContextLoss,
    RKDLoss,
    SubsetKDLoss,
    Term,
    UncertaintyMaskedConsistencyLoss,
)
from tests.ranks import result, run_on_two_ranks

WEIGHT = torch.tensor([0.2, 1.0, 3.0])
PAIR, LABEL = {"input": "student", "target": "teacher"}, {"input": "student", "target": "label"}
TERMS = {
    "mask": Term(KDLoss(), {**PAIR, "mask": "mask"}),
    "mask of weights": Term(ProbabilityMSELoss(), {**PAIR, "mask": "share"}),
    "mask of a part": Term(SubsetKDLoss([0, 2]), {**PAIR, "mask": "mask"}),
    "mask and where": Term(KDLoss(), {**PAIR, "mask": "mask"}, where="labeled"),
    "labels": Term(DKDLoss(), ["student", "teacher", "label"]),
    "labels and mask": Term(DKDLoss(), {**PAIR, "label": "label", "mask": "mask"}),
    "one-hot": Term(DKDLoss(), ["student", "teacher", "one_hot"], where="labeled"),
    "ignored": Term(nn.CrossEntropyLoss(ignore_index=-1), ["student", "label"]),
    "ignored and where": Term(nn.CrossEntropyLoss(ignore_index=-1), ["student", "label"], where="labeled"),
    "class weights": Term(nn.CrossEntropyLoss(WEIGHT), LABEL | {"target": "known"}),
    "smoothed": Term(nn.CrossEntropyLoss(WEIGHT, ignore_index=-1, label_smoothing=0.1), ["student", "label"]),
    "a function": Term(F.cross_entropy, ["student", "known"]),
    "a part of one": Term(partial(F.cross_entropy, weight=WEIGHT, ignore_index=-1), ["student", "label"]),
    "likelihood": Term(nn.NLLLoss(WEIGHT, ignore_index=-1), ["student", "label"]),
    "probabilities": Term(nn.CrossEntropyLoss(WEIGHT), ["student", "one_hot"], where="labeled"),
    "each row": Term(nn.CrossEntropyLoss(reduction="none", ignore_index=-1), ["student", "label"]),
    "a sum": Term(KDLoss(reduction="sum"), {**PAIR, "mask": "mask"}),
    "relations": Term(RKDLoss(), ["student", "teacher"]),
    "relations where": Term(RKDLoss(), ["student", "teacher"], where="labeled"),
    "channels": Term(ChannelWiseKDLoss(), {**PAIR, "mask": "mask"}),
    "channels of all": Term(ChannelWiseKDLoss(), ["student", "teacher"]),
    "channels where": Term(ChannelWiseKDLoss(), {**PAIR, "mask": "share"}, where="labeled"),
    "certain": Term(UncertaintyMaskedConsistencyLoss(), ["student", "teacher", "probability"]),
    "certain and mask": Term(
        UncertaintyMaskedConsistencyLoss(), {**PAIR, "probability": "probability", "mask": "share"}
    ),
    "bags": Term(AttentionKDLoss(), {"input": "score", "target": "other_score", "mask": "instances"}),
    "bags of all": Term(AttentionKDLoss(), ["score", "other_score"]),
    "a part of bags": Term(partial(AttentionKDLoss(), mask=None), ["score", "other_score"], where="labeled"),
    "borders": Term(BoundaryKDLoss(1), ["student", "teacher", "label"]),
    "borders where": Term(BoundaryKDLoss(1), ["student", "teacher", "one_hot"], where="labeled"),
    "variation": Term(IntraClassVariationLoss(3), ["student", "teacher", "label"]),
    "affinity": Term(RegionAffinityLoss(3), ["student", "teacher", "label"]),
    "prototypes": Term(PrototypeKDLoss(3), ["student", "teacher", "label"]),
    "regions": Term(RegionContextLoss(3), {**PAIR, "label": "label"}),
    "regions where": Term(RegionContextLoss(3), ["student", "teacher", "label"], where="labeled"),
    "gaze": Term(GazeTransferLoss(), ["student", "heat"]),
    "clusters": Term(PrototypeClusterLoss(3), ["student_distances", "label_of_image"]),
    "boxes": Term(BoxTransferLoss(), {"input": "box", "target": "other_box", "mask": "boxed"}),
}
CASES = ("some", "none here")


def terms(case: str, rank: int | None) -> dict[str, Tensor]:
    """Value and gradient of every term on twelve samples of three places, or on this rank's four or eight."""
    torch.manual_seed(3)
    x, weight = torch.randn(12, 3, 3), torch.randn(3, 3)
    label = torch.randint(0, 3, (12, 3))
    chosen = torch.rand(12, 3) < torch.linspace(0.1, 1, 12).unsqueeze(1)
    labeled = torch.arange(12) % 3 > 0
    if case == "none here":
        chosen[:4], labeled[:4] = False, False
    batch = {
        "label": label.where(chosen, -1),
        "known": label,
        "one_hot": F.one_hot(label, 3).movedim(-1, 1).float(),
        "mask": chosen,
        "share": torch.rand(12, 3) * chosen,
        "labeled": labeled,
        "teacher": torch.randn(12, 3, 3),
        "other_box": torch.rand(12, 4),
        "probability": (9 * torch.randn(12, 3, 3) * chosen.any(1).reshape(-1, 1, 1)).softmax(1),
        "other_score": torch.randn(12, 9),
        "instances": chosen.repeat(1, 3),
        "heat": (torch.rand(12, 3) * chosen).unsqueeze(1),
        "boxed": chosen[:, 0],
        "label_of_image": label[:, 0].where(chosen[:, 0], -1),
    }
    mine = {None: slice(None), 0: slice(0, 4), 1: slice(4, 12)}[rank]
    found: dict[str, Tensor] = {}
    for name, term in TERMS.items():
        w = weight.clone().requires_grad_()
        student = w @ x[mine]
        answers = {"student": student, "score": student.flatten(1), "box": student.flatten(1)[:, :4]}
        answers["student_distances"] = student.flatten(1)[:, :6].square()
        value = term({k: v[mine] for k, v in batch.items()} | answers)
        value.backward()
        found |= {name: value.detach(), f"gradient of {name}": w.grad}
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    run_on_two_ranks(terms, CASES, folder)
    return folder


@pytest.mark.parametrize("name", [name for name in TERMS if name not in ("each row", "a sum")])
@pytest.mark.parametrize("case", CASES)
def test_the_average_is_the_term_of_the_joined_batch(case: str, name: str, folder: Path) -> None:
    joined, (one, other) = terms(case, None), result(folder, case)
    for key in (name, f"gradient of {name}"):
        torch.testing.assert_close((one[key] + other[key]) / 2, joined[key], msg=lambda m, k=key: f"{k}: {m}")


def test_what_is_averaged_over_every_row_stays_a_mean_of_means(folder: Path) -> None:
    one, other = result(folder, "some")
    joined = terms("some", None)["each row"]
    torch.testing.assert_close((one["each row"] * 4 + other["each row"] * 8) / 12, joined)


def test_a_sum_stays_that_of_each_process(folder: Path) -> None:
    one, other = result(folder, "some")
    torch.testing.assert_close(one["a sum"] + other["a sum"], terms("some", None)["a sum"])
