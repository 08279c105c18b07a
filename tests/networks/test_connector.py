# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import itertools
import math
import pickle
import re

import monai
import pytest
import torch
from torch import nn

from monai_kd.networks import Connector, PooledConnector
from monai_kd.utils import ConfigError, ShapeMismatchError


def resized(values: list[float], size: int) -> list[float]:
    """One axis: bins where it shrinks, straight lines between pixel centres where it grows."""
    old = len(values)
    if size <= old:
        bins = [(i * old // size, math.ceil((i + 1) * old / size)) for i in range(size)]
        return [sum(values[a:b]) / (b - a) for a, b in bins]
    output = []
    for i in range(size):
        place = min(max((i + 0.5) * old / size - 0.5, 0), old - 1)
        left, right = math.floor(place), min(math.floor(place) + 1, old - 1)
        output.append(values[left] * (1 - place + left) + values[right] * (place - left))
    return output


def oracle(x: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    for axis, new in enumerate(size, start=2):
        old = x.movedim(axis, -1)
        x = torch.zeros(*old.shape[:-1], new, dtype=x.dtype)
        for index in itertools.product(*map(range, old.shape[:-1])):
            x[index] = torch.tensor(resized(old[index].tolist(), new), dtype=x.dtype)
        x = x.movedim(-1, axis)
    return x


SIZES = [
    ((7,), (3,)),
    ((8, 12), (4, 6)),
    ((8, 12), (3, 5)),
    ((4, 6), (7, 12)),
    ((8, 5), (3, 11)),
    ((5, 6), (5, 9)),
    ((4, 6), (4, 6)),
    ((4, 3, 6), (2, 5, 6)),
]


@pytest.mark.parametrize(("old", "new"), SIZES)
@pytest.mark.parametrize("way", ["like", "size"])
def test_matches_plain_loop(old, new, way):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *old, dtype=torch.float64)
    connector = Connector(len(old), 3, 4, size=new if way == "size" else None, norm=None).double()
    weight = connector.conv.weight.flatten(1)
    answer = connector(x, torch.zeros(2, 9, *new)) if way == "like" else connector(x)
    bias = connector.conv.bias.reshape(1, -1, *[1] * len(old))
    torch.testing.assert_close(answer, torch.einsum("oc,nc...->no...", weight, oracle(x, new)) + bias)


def test_size_stays_without_target():
    assert Connector(3, 2, 5)(torch.randn(2, 2, 3, 4, 5)).shape == (2, 5, 3, 4, 5)


def test_one_number_sizes_every_axis():
    assert Connector(3, 2, 5, size=4)(torch.randn(2, 2, 3, 4, 5)).shape == (2, 5, 4, 4, 4)


def test_size_of_a_config_is_a_list():
    assert Connector(2, 2, 5, size=[4, 6])(torch.randn(2, 2, 8, 8)).shape == (2, 5, 4, 6)


def test_values_of_target_are_not_read_and_get_no_gradient():
    x, like = torch.randn(2, 3, 4, 4), torch.full((2, 8, 6, 3), math.nan, requires_grad=True)
    answer = Connector(2, 3, 8)(x, like)
    answer.sum().backward()
    assert answer.isfinite().all() and like.grad is None


@pytest.mark.parametrize("dims", [2, 3])
def test_gradient_reaches_every_parameter_and_the_student(dims):
    torch.manual_seed(0)
    connector, x = Connector(dims, 3, 4, act="relu"), torch.randn(2, 3, *[6] * dims, requires_grad=True)
    connector(x, torch.randn(2, 4, *range(5, 5 + dims))).square().sum().backward()
    assert x.grad.abs().max() > 0 and all(p.grad.abs().max() > 0 for p in connector.parameters())


def test_norm_and_act_are_monais():
    connector = Connector(2, 3, 4, norm=("group", {"num_groups": 2}), act=("leakyrelu", {"negative_slope": 0.3}))
    assert isinstance(connector.norm, nn.GroupNorm) and connector.norm.num_groups == 2
    assert connector.act.negative_slope == 0.3 and connector.conv.bias is None


def test_batch_norm_sees_the_output_size():
    connector = Connector(2, 3, 4)
    answer = connector(torch.randn(8, 3, 4, 4), torch.zeros(8, 4, 9, 2))
    torch.testing.assert_close(answer.var((0, 2, 3), unbiased=False), torch.ones(4), atol=1e-2, rtol=0)


@pytest.mark.parametrize("like", [None, torch.zeros(2, 1, 3, 9)])
def test_half_precision(like):
    connector = Connector(2, 3, 4).bfloat16()
    assert connector(torch.randn(2, 3, 6, 6).bfloat16(), like).dtype == torch.bfloat16


def test_connector_names_wrong_channels():
    with pytest.raises(
        ShapeMismatchError, match=r"Connector: the input has 5 channels, in_channels is 3.*student_channels"
    ):
        Connector(2, 3, 4)(torch.randn(2, 5, 6, 6))


@pytest.mark.parametrize("name", ["input", "like"])
def test_connector_names_tensor_without_space(name):
    tensors = {"input": torch.randn(2, 3, 6, 6), "like": torch.randn(2, 4, 6, 6), name: torch.randn(2, 3)}
    with pytest.raises(ShapeMismatchError, match=rf"{name} has shape \[2, 3\]"):
        Connector(2, 3, 4)(**tensors)


@pytest.mark.parametrize("size", [0, (4,), (4, 4, 4), (4, -1), []])
def test_impossible_size(size):
    with pytest.raises(ConfigError, match="size must be a positive number or 2 of them"):
        Connector(2, 3, 4, size=size)


def test_impossible_dimensions():
    with pytest.raises(ConfigError, match="spatial_dims must be 1, 2 or 3, got 4"):
        Connector(4, 3, 4)


def test_two_sizes_contradict():
    with pytest.raises(ConfigError, match=r"size is fixed to \(4, 4\)"):
        Connector(2, 3, 4, size=4)(torch.randn(2, 3, 8, 8), torch.randn(2, 4, 5, 5))


def test_names_are_not_monais():
    for module in (monai.networks.nets, monai.networks.blocks, monai.networks.layers):
        assert not hasattr(module, "Connector") and not hasattr(module, "PooledConnector")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("module", [Connector(2, 3, 4), PooledConnector(3, 4, 5)])
def test_copies_answer_the_same(module, copied):
    x = torch.randn(2, 3, 6, 6)
    assert copied(module).eval()(x).equal(module.eval()(x))


@pytest.mark.parametrize("shape", [(), (5,), (4, 6), (2, 3, 5)])
def test_linear_projection_of_the_mean(shape):
    torch.manual_seed(0)
    head, x = PooledConnector(3, 4), torch.randn(2, 3, *shape)
    for n in range(2):
        mean = torch.stack([x[n, c].sum() / x[n, c].numel() for c in range(3)])
        torch.testing.assert_close(head(x)[n], head.layers.output.weight @ mean + head.layers.output.bias)


def test_hidden_layer_is_linear_norm_act_linear():
    torch.manual_seed(0)
    head, x = PooledConnector(3, 4, hidden_channels=8).double(), torch.randn(6, 3, dtype=torch.float64)
    hidden = x @ head.layers.hidden.weight.T
    hidden = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
    expected = hidden.clamp(min=0) @ head.layers.output.weight.T + head.layers.output.bias
    torch.testing.assert_close(head(x), expected)


def test_normalized_rows_point_the_same_way():
    head, x = PooledConnector(3, 4, normalize=True), torch.randn(5, 3, 2, 2)
    plain = PooledConnector(3, 4)
    plain.load_state_dict(head.state_dict())
    torch.testing.assert_close(head(x), plain(x) / plain(x).square().sum(1, keepdim=True).sqrt())


def test_normalized_zero_row_stays_finite_in_half_precision():
    head = PooledConnector(3, 4, normalize=True).half()
    nn.init.zeros_(head.layers.output.bias)
    answer = head(torch.zeros(2, 3).half())
    assert answer.dtype == torch.float32 and answer.equal(torch.zeros(2, 4))


def test_gradient_reaches_every_parameter_of_the_head():
    torch.manual_seed(0)
    head = PooledConnector(3, 4, hidden_channels=8)
    head(torch.randn(6, 3, 2, 2)).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in head.parameters())


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3), (3,)])
def test_head_names_wrong_channels(shape):
    with pytest.raises(ShapeMismatchError, match=re.escape(f"has shape {list(shape)}, its axis 1 should be the 3")):
        PooledConnector(3, 4)(torch.zeros(shape))


def test_head_refuses_instance_norm():
    with pytest.raises(ConfigError, match="norm='instance'"):
        PooledConnector(3, 4, hidden_channels=8, norm="instance")


@pytest.mark.parametrize(("norm", "bias"), [("batch", False), (None, True)])
def test_a_hidden_layer_has_a_bias_where_no_norm_brings_one(norm, bias):
    hidden = PooledConnector(3, 4, hidden_channels=8, norm=norm).layers.hidden
    assert (hidden.bias is not None) == bias
