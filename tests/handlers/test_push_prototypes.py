# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from monai_kd.handlers import PushPrototypes
from monai_kd.inferers import DistillationInferer
from monai_kd.networks import PrototypeHead
from monai_kd.utils import ConfigError
from tests.nets import Classifier
from tests.ranks import result, run_on_two_ranks

EPOCH = 5


def images(labels: list[int], size: int = 3, dims: int = 2) -> list[dict[str, Tensor]]:
    """Batches of two images; the index is ten times the place in the list."""
    batches = []
    for start in range(0, len(labels), 2):
        label = torch.tensor(labels[start : start + 2])
        index = 10 * torch.arange(start, start + len(label))
        batches.append({"image": torch.randn(len(label), 1, *[size] * dims).double(), "label": label, "index": index})
    return batches


def setup(data: list, dims: int = 2, per_class: int = 4) -> tuple[PrototypeHead, PushPrototypes, SimpleNamespace]:
    network = Classifier(dims).double()
    head = PrototypeHead(dims, in_channels=4, num_classes=3, per_class=per_class, features=16).double()
    inferer = DistillationInferer({"student": {"taps": {"feature": "act"}}})
    state = SimpleNamespace(epoch=EPOCH, device=torch.device("cpu"))
    return head, PushPrototypes(head, data), SimpleNamespace(network=network, inferer=inferer, state=state)


def restated(head: PrototypeHead, network: nn.Module, data: list) -> dict[int, tuple[int, tuple, Tensor]]:
    """Image, place and patch that each prototype takes: every patch is looked at, images are crossed out one by one."""
    generator, taken = torch.Generator().manual_seed(EPOCH), {}
    before = head.prototypes.detach().clone()
    network.eval()
    for c in range(head.num_classes):
        patches = []
        for batch in data:
            maps = head.add_on(network.act(network.norm(network.conv(batch["image"])))).detach()
            for map, y, index in zip(maps, batch["label"].tolist(), batch["index"].tolist(), strict=True):
                if y == c:
                    size = map.shape[1:]
                    places = torch.cartesian_prod(*(torch.arange(n) for n in size)).reshape(-1, len(size)).tolist()
                    patches += [(index, tuple((i + 0.5) / n for i, n in zip(x, size, strict=True)),
                                 map[(slice(None), *x)]) for x in places]  # fmt: skip
        free = {index for index, _, _ in patches}
        order = torch.randperm(head.per_class, generator=generator).tolist() if patches else []
        for m in (c * head.per_class + i for i in order):
            allowed = [p for p in patches if p[0] in free] or patches
            taken[m] = min(allowed, key=lambda p: float((p[2] - before[m]).square().sum()))
            free.discard(taken[m][0])
    return taken


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("labels", [[0, 1, 2] * 6, [0, 0, 1] * 3 + [-1], [1, 1]], ids=["many", "few", "one class"])
def test_push_is_a_plain_greedy_loop(labels, dims):
    data = images(labels, dims=dims)
    head, handler, engine = setup(data, dims)
    expected, before = restated(head, engine.network, data), head.prototypes.detach().clone()
    handler.push(engine)
    for m in range(12):
        if m not in expected:  # a class without images
            assert head.image[m] == -1 and head.prototypes[m].equal(before[m])
            continue
        image, place, patch = expected[m]
        assert head.image[m] == image
        assert head.place[m].tolist() == pytest.approx(place)
        torch.testing.assert_close(head.prototypes[m].detach(), patch)
    if labels.count(0) >= 4:
        assert len(set(head.image[:4].tolist())) == 4  # every image once


def test_prototypes_that_are_patches_are_at_distance_zero_of_their_image():
    data = images([0, 1, 2, 2])
    head, handler, engine = setup(data, per_class=1)
    handler.push(engine)
    engine.network.eval()
    for m, image in enumerate((head.image // 10).tolist()):
        picture = data[image // 2]["image"][image % 2].unsqueeze(0)
        distance = head(engine.network.act(engine.network.norm(engine.network.conv(picture))))["distances"]
        assert distance[0, m] < 1e-6


def test_neither_the_network_nor_the_generator_moves():
    head, handler, engine = setup(images([0, 1, 2, 2]))
    engine.network.norm.eval()
    modes = [layer.training for layer in engine.network.modules()]
    state, random = {k: v.clone() for k, v in engine.network.state_dict().items()}, torch.get_rng_state()
    handler.push(engine)
    assert (head.image >= 0).all() and head.prototypes.requires_grad
    assert [layer.training for layer in engine.network.modules()] == modes
    assert all(state[k].equal(v) for k, v in engine.network.state_dict().items())
    assert torch.get_rng_state().equal(random)


def test_epochs_of_the_pushes():
    _, handler, engine = setup([])
    pushed: list[int] = []
    handler.push = lambda engine: pushed.append(engine.state.epoch)
    handler.start, handler.every = 2, 3
    for engine.state.epoch in range(1, 10):
        handler(engine)
    assert pushed == [3, 6, 9]


def pushed(case: str, rank: int) -> dict[str, Tensor]:
    """The head after a push, with another network in each process."""
    torch.manual_seed(rank)
    head, handler, engine = setup(images([0, 1, 2, 2]), per_class=1)
    found = restated(head, engine.network, handler.data)
    handler.push(engine)
    state = {name: value.clone() for name, value in head.state_dict().items()}
    return {**state, "own": torch.stack([found[m][2] for m in range(3)])}


@pytest.mark.slow
def test_every_process_takes_what_the_first_found(tmp_path):
    run_on_two_ranks(pushed, ["push"], tmp_path)
    first, second = result(tmp_path, "push")
    torch.testing.assert_close(first["prototypes"], first["own"])
    assert not torch.allclose(second["own"], first["own"])
    assert all(second[name].equal(first[name]) for name in ("prototypes", "image", "place"))


def test_what_is_missing_is_named():
    _, handler, engine = setup([{"image": torch.zeros(1, 1, 3, 3).double(), "label": torch.tensor([0])}])
    with pytest.raises(ConfigError, match=r"lacks \['index'\]"):
        handler.push(engine)
    with pytest.raises(ConfigError, match="at least 1 epoch, got 0"):
        PushPrototypes(handler.head, [], every=0)
