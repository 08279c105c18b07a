# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import logging
import time

import pytest
import torch
from monai.data import MetaTensor
from monai.networks.nets import DenseNet121, DynUNet, ResNet, SegResNet, UNet
from torch import nn

from monai_kd.networks import fast
from monai_kd.networks.fast import CANDIDATES, FastChoice, choose_fast
from monai_kd.utils import ConfigError


def resnet(spatial_dims: int) -> nn.Module:
    return ResNet("bottleneck", [1, 1, 1, 1], [4, 8, 8, 16], spatial_dims=spatial_dims, num_classes=5)


NETWORKS = {
    "resnet 2d": lambda: (resnet(2), (2, 3, 32, 32)),
    "resnet 3d": lambda: (resnet(3), (1, 3, 16, 16, 16)),
    "densenet 2d": lambda: (DenseNet121(2, 1, 3, init_features=8, growth_rate=4, block_config=(2, 2)), (1, 1, 32, 32)),
    "segresnet 3d": lambda: (SegResNet(spatial_dims=3, init_filters=8, in_channels=1), (1, 1, 16, 16, 16)),
    "unet 3d": lambda: (UNet(3, 1, 3, (4, 8), (2,), num_res_units=1), (1, 1, 8, 8, 8)),
    "unet 2d, batch": lambda: (UNet(2, 1, 3, (4, 8), (2,), norm="batch"), (1, 1, 8, 8)),
    "dynunet 3d": lambda: (DynUNet(3, 1, 2, [3] * 3, [1, 2, 2], [2, 2], filters=[4, 4, 4]), (1, 1, 8, 8, 8)),
}


@pytest.fixture
def as_timed(monkeypatch):
    """Replace the stopwatch: `as_timed(0.5)` makes every copy take half the original's time."""

    def set_ratio(ratio: float) -> None:
        def take_turns(calls, device):
            for call in calls:
                call()
            return [10.0, 10.0 * ratio]

        monkeypatch.setattr(fast, "_take_turns", take_turns)

    return set_ratio


def conv() -> tuple[nn.Module, torch.Tensor]:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3)).eval(), torch.rand(
        2, 1, 9, 9
    )


class TestChooseFast:
    @pytest.mark.parametrize("candidate", CANDIDATES)
    @pytest.mark.parametrize("name", NETWORKS)
    def test_every_candidate_answers_like_the_original(self, name, candidate, as_timed):
        as_timed(0.5)
        network, shape = NETWORKS[name]()
        x = torch.rand(shape)
        choice = choose_fast(network, (x,), candidates=[candidate])
        with torch.no_grad():
            answer, expected = choice(x), network.eval()(x)
        batchnorm = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
        assert choice.name == (candidate if batchnorm or "folded" not in candidate else "original")
        assert answer.dtype == torch.float32
        deviation = float((answer - expected).abs().max() / expected.abs().max())
        assert deviation == pytest.approx(choice.deviation, rel=0.1, abs=1e-6)
        assert deviation < (0.05 if "bfloat16" in choice.name else 1e-4)

    def test_original_is_untouched(self, as_timed):
        as_timed(0.5)
        network, x = conv()
        network.train()
        before = copy.deepcopy(network.state_dict())
        choice = choose_fast(network, (x,))
        assert choice.network is not network and not choice.network.training and network.training
        assert all(p.requires_grad and p.is_contiguous() and p.dtype == torch.float32 for p in network.parameters())
        assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
        assert isinstance(network[1], nn.BatchNorm2d)

    def test_original_stays_if_nothing_is_faster(self, as_timed):
        as_timed(0.98)
        network, x = conv()
        choice = choose_fast(network, (x,))
        assert choice.network is network and choice.name == "original"
        assert (choice.deviation, choice.agreement) == (0.0, 1.0)
        assert set(choice.milliseconds) == {"original", *CANDIDATES}

    def test_fastest_wins(self, monkeypatch):
        ratios = iter([0.9, 0.5, 0.7])
        monkeypatch.setattr(fast, "_take_turns", lambda calls, device: [1.0, next(ratios)])
        network, x = conv()
        choice = choose_fast(network, (x,), candidates=["channels_last", "channels_last+bfloat16", "bfloat16"])
        assert choice.name == "channels_last+bfloat16" and choice.ratios[choice.name] == 0.5

    def test_lossless_tries_channels_last_alone(self):
        network, x = conv()
        assert set(choose_fast(network, (x,), lossless=True).milliseconds) == {"original", "channels_last"}

    def test_timing_tells_slow_from_fast(self):
        calls = [lambda: time.sleep(0.02), lambda: time.sleep(0.002)]
        slow, quick = fast._take_turns(calls, torch.device("cpu"))
        assert 20 <= slow and 2 <= quick < slow / 2

    def test_tapped_batchnorm_is_not_folded(self, as_timed):
        as_timed(0.5)
        network, x = conv()
        candidates = ["folded_batchnorm"]
        assert choose_fast(network, (x,), tapped=["1"], candidates=candidates).name == "original"
        assert isinstance(choose_fast(network, (x,), tapped=["2"], candidates=candidates).network[1], nn.Identity)

    def test_formats_and_dtypes(self, as_timed):
        as_timed(0.5)
        network, x = conv()
        choice = choose_fast(network, (x,), candidates=["channels_last+bfloat16"])
        x = torch.rand(2, 4, 9, 9)
        assert choice.prepare(x).is_contiguous(memory_format=torch.channels_last)
        assert choice.prepare((x, torch.ones(2, dtype=torch.int64)))[1].dtype == torch.int64
        answer = choice.restore({"a": [x.bfloat16()], "b": (x.bfloat16(), None)})
        assert answer["a"][0].dtype == answer["b"][0].dtype == torch.float32 and answer["b"][1] is None
        assert choice.network[3].weight.dtype == torch.bfloat16
        assert choice.network[3].weight.is_contiguous(memory_format=torch.channels_last)

    def test_image_candidates_need_images(self, as_timed):
        as_timed(0.5)
        choice = choose_fast(nn.Linear(4, 2).eval(), (torch.ones(3, 4),))
        assert choice.name == "bfloat16" and set(choice.milliseconds) == {"original", "bfloat16"}

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_bfloat16_is_for_float32_networks(self, dtype, as_timed):
        as_timed(0.5)
        choice = choose_fast(nn.Linear(4, 2).to(dtype).eval(), (torch.ones(3, 4, dtype=dtype),))
        assert choice.name == "original"

    def test_nested_answers_and_metatensor(self, as_timed):
        class Heads(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(1, 3, 1)

            def forward(self, x):
                assert type(x) is torch.Tensor
                return {"out": self.conv(x), "deep": [self.conv(x)]}

        as_timed(0.5)
        choice = choose_fast(Heads(), (MetaTensor(torch.rand(1, 1, 4, 4)),), candidates=["bfloat16"])
        answer = choice(torch.rand(1, 1, 4, 4))
        assert choice.name == "bfloat16" and answer["deep"][0].dtype == torch.float32

    def test_candidate_that_cannot_run_is_left_out(self, as_timed, caplog):
        class Float32Inside(nn.Linear):
            def forward(self, x):
                return torch.ones(1, 4) @ self.weight.T  # float32 times bfloat16 raises

        as_timed(0.5)
        assert choose_fast(Float32Inside(4, 2).eval(), (torch.ones(1, 4),)).name == "original"
        assert "Float32Inside: the fast copy bfloat16 is left out" in caplog.text

    def test_candidate_that_deviates_is_left_out(self, as_timed, caplog):
        class Difference(nn.Linear):
            def forward(self, x):
                return super().forward(x) - super().forward(x + 1e-4)  # nothing of it survives eight bits

        as_timed(0.5)
        assert choose_fast(Difference(4, 2).eval(), (torch.ones(1, 4),)).name == "original"
        assert "deviates by" in caplog.text

    @pytest.mark.parametrize("candidate", ["channels_last", "bfloat16"])
    def test_bfloat16_copy_leaves_autocast(self, candidate, as_timed):
        class Asks(nn.Conv2d):
            def forward(self, x):
                self.autocast = torch.is_autocast_enabled("cpu")
                return super().forward(x)

        as_timed(0.5)
        x = torch.rand(1, 1, 4, 4)
        with torch.autocast("cpu", torch.bfloat16):
            choice = choose_fast(Asks(1, 2, 3).eval(), (x,), candidates=[candidate])
            answer = choice(x)
        assert choice.name == candidate and choice.network.autocast == (candidate == "channels_last")
        assert answer.dtype == (torch.bfloat16 if candidate == "channels_last" else torch.float32)

    def test_agreement(self):
        reference = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [3.0, 0.0]])
        value = reference.clone()
        value[0] = torch.tensor([0.0, 0.6])
        assert fast._compare(value, reference) == (pytest.approx(1 / 3), 0.75)
        assert fast._compare(value[:, :1] - 0.5, reference[:, :1] - 0.5)[1] == 0.75  # one class: the sign

    def test_choice_is_logged(self, as_timed, caplog):
        as_timed(0.5)
        network, x = conv()
        with caplog.at_level(logging.INFO):
            choose_fast(network, (x,), candidates=["bfloat16"])
        assert "Sequential: bfloat16 runs (original 10, bfloat16 5 ms a forward); deviation" in caplog.text

    def test_unknown_candidate(self):
        with pytest.raises(ConfigError, match=r"no candidate 'chanels_last'.*did you mean 'channels_last'"):
            choose_fast(nn.Linear(1, 1), (torch.ones(1, 1),), candidates=["chanels_last+bfloat16"])


def test_original_choice_passes_values_through():
    choice, x = FastChoice(nn.Identity()), torch.rand(1, 2, 3, 3).bfloat16()
    assert choice(x) is x


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_student_needs_no_option(spatial_dims):
    network = UNet(spatial_dims, 1, 3, (4, 8, 8), (2, 2), norm="batch")
    x = torch.rand(2, 1, *[16] * spatial_dims)
    before = network(x)
    memory_format = fast.FORMATS[x.ndim]
    after = network.to(memory_format=memory_format)(x)  # the batch itself is contiguous
    assert after.is_contiguous(memory_format=memory_format) and not before.is_contiguous(memory_format=memory_format)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
