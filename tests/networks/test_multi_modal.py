# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from monai_kd.inferers import Pass
from monai_kd.networks import BilinearFusion, MultiModalNetwork
from monai_kd.utils import ConfigError, ShapeMismatchError

N, D = 5, 3


def network(dims: int = 2, dropout: float = 0.0) -> MultiModalNetwork:
    encoders = {"image": (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](2, 4, 3), "genes": nn.Linear(7, 6)}
    made = MultiModalNetwork(encoders, {"image": 4, "genes": 6}, num_classes=3, features=D, dropout=dropout)
    return made.double()


def inputs(dims: int = 2, count: int = N) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 2, *[5] * dims).double(), torch.randn(count, 7).double()


def linear(layer: nn.Linear, x: list) -> list:
    return [
        sum(w * e for w, e in zip(row, x, strict=True)) + b for row, b in zip(layer.weight, layer.bias, strict=True)
    ]


def normed(layer: nn.BatchNorm1d, rows: list) -> list:
    """Batch normalisation by the statistics of the rows, and ReLU."""
    columns = []
    for c, column in enumerate(zip(*rows, strict=True)):
        mean = sum(column) / len(column)
        spread = (sum((x - mean) ** 2 for x in column) / len(column) + layer.eps).sqrt()
        columns.append([((x - mean) / spread * layer.weight[c] + layer.bias[c]).relu() for x in column])
    return list(zip(*columns, strict=True))


def test_the_fusion_is_the_plain_loop():
    fusion, pair = BilinearFusion(D, dropout=0.0).double(), torch.randn(2, N, D).double()
    nn.init.normal_(fusion.fuse[6].bias, 1.0)
    rows = []
    for n in range(N):
        opened = []
        for m in range(2):
            gate, form = [], fusion.gate[m]
            for k in range(D):
                z = form.bias[k]
                for i in range(D):
                    for j in range(D):
                        z = z + pair[0, n, i] * form.weight[k, i, j] * pair[1, n, j]
                gate.append(1 / (1 + (-z).exp()))
            hidden = [h.relu() for h in linear(fusion.hidden[m], list(pair[m, n]))]
            gated = linear(fusion.gated[m][0], [g * h for g, h in zip(gate, hidden, strict=True)])
            opened.append([*(o.relu() for o in gated), torch.ones(())])
        rows.append([a * b for a in opened[0] for b in opened[1]])
    for k in (1, 5):
        rows = normed(fusion.fuse[k + 1], [linear(fusion.fuse[k], list(row)) for row in rows])
    expected = torch.stack([torch.stack(row) for row in rows])
    torch.testing.assert_close(fusion(*pair), expected)
    assert expected.detach().count_nonzero() > N


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_answers_are_heads_of_what_each_and_both_say(dims):
    net, pair = network(dims), inputs(dims)
    told = net(*pair)
    assert list(told) == ["image", "image_feature", "genes", "genes_feature", "fused", "fused_feature"]
    features = []
    for name, x in zip(("image", "genes"), pair, strict=True):
        pooled = net.encoders[name](x)
        pooled = pooled.flatten(2).mean(2) if pooled.ndim > 2 else pooled
        project, norm, _ = net.embed[name]
        rows = normed(norm, [linear(project.layers.output, list(row)) for row in pooled])
        features.append(torch.stack([torch.stack(row) for row in rows]))
        torch.testing.assert_close(told[f"{name}_feature"], features[-1])
    torch.testing.assert_close(told["fused_feature"], net.fusion(*features))
    for name in ("image", "genes", "fused"):
        head, feature = net.heads[name], told[f"{name}_feature"]
        assert feature.shape == (N, D) and (feature >= 0).all()
        torch.testing.assert_close(told[name], feature @ head.weight.T + head.bias)


def test_each_answer_teaches_its_branch_and_the_fused_one_all():
    for answer, reached in (("image", {"image"}), ("genes", {"genes"}), ("fused", {"image", "genes"})):
        net = network()
        net(*inputs())[answer].square().sum().backward()
        got = {name for name, encoder in net.encoders.items() if encoder.weight.grad is not None}
        assert got == reached
        assert (net.fusion.gate[0].weight.grad is not None) == (answer == "fused")


def test_a_pass_names_its_entries():
    told = Pass(["image", "genes"]).run("both", network(), inputs())
    assert "both" not in told and {"both.fused", "both.fused_feature", "both.genes"} <= told.keys()


def test_a_lone_row_is_normalised_by_what_was_seen_before():
    net = network()
    for _ in range(3):
        net(*inputs())
    before = {k: v.clone() for k, v in net.state_dict().items()}
    pair = inputs(count=1)
    learning = net.train()(*pair)
    assert all(before[k].equal(v) for k, v in net.state_dict().items())
    answering = net.eval()(*pair)
    assert all(learning[k].equal(v) for k, v in answering.items())


def test_dropout_is_for_learning_alone():
    net, pair = network(dropout=0.5), inputs()
    assert not net(*pair)["fused"].equal(net(*pair)["fused"])
    net.eval()
    assert net(*pair)["fused"].equal(net(*pair)["fused"])


def test_what_does_not_fit_is_refused():
    one, two = nn.Linear(7, 6), nn.Linear(7, 6)
    for encoders in ({"image": one}, {"image": one, "fused": two}, {"image": one, "genes": two}):
        with pytest.raises(ConfigError, match="name two encoders"):
            MultiModalNetwork(encoders, {"image": 6, "other": 6}, num_classes=3)
    with pytest.raises(ShapeMismatchError, match="two keys"):
        network()(inputs()[0])
