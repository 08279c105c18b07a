# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import zipfile

import pytest
import torch
from monai.networks.nets import resnet10
from torch import nn

from monai_kd.networks import fresh_copy, load_weights, reset_parameters
from monai_kd.networks.weights import loaded_from
from monai_kd.utils import CheckpointError, write_state, write_torchscript
from tests.nets import Classifier, same, state_of


class Token(nn.Module):
    """A bare parameter, as the class token of a transformer."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s, "epoch": 3}])
def test_loads_every_key_and_returns_the_network(tmp_path, wrap):
    written, network = Classifier(), Classifier()
    torch.save(wrap(written.state_dict()), tmp_path / "model.pt")
    assert load_weights(network, tmp_path / "model.pt") is network
    assert same(network, written.state_dict())


def test_loads_into_a_wrapped_network(tmp_path):
    written, network = Classifier(), Classifier()
    torch.save(written.state_dict(), tmp_path / "model.pt")
    load_weights(torch.compile(network, backend="eager"), str(tmp_path / "model.pt"))
    assert same(network, written.state_dict())


def test_a_missing_file_is_named_with_what_to_run(tmp_path):
    with pytest.raises(CheckpointError, match=r"teacher.pt: no such file. run train_teacher"):
        load_weights(Classifier(), tmp_path / "teacher.pt", hint="run train_teacher")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Classifier(norm=False), r"missing.*'norm\.bias'"),
        (nn.Sequential(Classifier()), r"unexpected.*'0\.conv\.bias'"),
        (Classifier(width=2), r"of another shape.*'conv\.weight'"),
        (Classifier(classes=5), r"2 of another shape.*'head\.weight', 'head\.bias'"),
    ],
)
def test_weights_of_another_network_are_refused_with_file_and_keys(tmp_path, other, message):
    network = Classifier()
    before = state_of(network)
    torch.save(other.state_dict(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=f"model.pt: not the weights of this Classifier: .*{message}"):
        load_weights(network, tmp_path / "model.pt")
    assert same(network, before)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"no weights"),
        lambda path: path.write_bytes(b""),
        lambda path: torch.save(torch.zeros(3), path),
        lambda path: torch.save(["conv.weight"], path),
        lambda path: torch.save(Classifier(), path),
    ],
    ids=["text", "empty", "tensor", "list", "module"],
)
def test_a_file_that_holds_no_weights_is_named(tmp_path, write):
    write(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"model.pt"):
        load_weights(Classifier(), tmp_path / "model.pt")


def test_a_damaged_file_is_named(tmp_path):
    torch.save(Classifier().state_dict(), tmp_path / "model.pt")
    whole = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"model.pt"):
        load_weights(Classifier(), tmp_path / "model.pt")


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_fresh_copy_has_new_weights_and_new_statistics(spatial_dims):
    network = Classifier(spatial_dims)
    network.norm.running_mean.fill_(3)
    before = state_of(network)
    peer = fresh_copy(network)
    assert same(network, before) and type(peer) is Classifier
    for layer in (peer.conv, peer.deep, peer.head):
        assert not torch.equal(layer.weight, network.get_submodule(layer_name(peer, layer)).weight)
    assert (peer.norm.running_mean == 0).all()


def layer_name(network: nn.Module, layer: nn.Module) -> str:
    return next(name for name, found in network.named_modules() if found is layer)


def test_a_fresh_copy_of_a_network_of_monai_works():
    network = resnet10(spatial_dims=2, n_input_channels=1, num_classes=2)
    peer = fresh_copy(torch.compile(network, backend="eager"))
    assert type(peer) is type(network) and not torch.equal(peer.conv1.weight, network.conv1.weight)


def test_weights_drawn_anew_depend_on_the_seed_alone():
    networks = []
    for _ in range(2):
        network = Classifier()
        torch.manual_seed(7)
        reset_parameters(network)
        networks.append(network)
    assert same(networks[0], networks[1].state_dict())


def test_a_layer_that_cannot_be_drawn_anew_is_named():
    with pytest.raises(CheckpointError, match=r"layer '1' \(Token\)"):
        fresh_copy(nn.Sequential(nn.Linear(2, 2), Token()))


def test_nothing_is_drawn_anew_where_a_layer_cannot_be():
    network = nn.Sequential(nn.Linear(2, 2), Token())
    before = state_of(network)
    with pytest.raises(CheckpointError):
        reset_parameters(network)
    assert same(network, before)


def test_a_networks_own_initialisation_comes_last_and_covers_its_layers():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.head = Token(), nn.Linear(2, 2)

        def reset_parameters(self):
            nn.init.constant_(self.token.token, 5.0)
            nn.init.constant_(self.head.weight, 7.0)

    network = Network()
    reset_parameters(network)
    assert network.token.token.item() == 5 and (network.head.weight == 7).all()
    with pytest.raises(CheckpointError, match=r"layer 'other' \(Token\)"):
        reset_parameters(nn.ModuleDict({"network": network, "other": Token()}))


def test_loads_safetensors(tmp_path):
    written, network = Classifier(), Classifier()
    write_state(tmp_path / "model.safetensors", written.state_dict())
    assert same(load_weights(network, tmp_path / "model.safetensors"), written.state_dict())


def test_knows_which_file_it_was_loaded_from_and_does_not_publish_it(tmp_path):
    network = nn.Linear(2, 1)
    assert loaded_from(network) is None
    torch.save(network.state_dict(), tmp_path / "teacher.pt")
    load_weights(torch.compile(network, backend="eager"), tmp_path / "teacher.pt")
    assert loaded_from(network) == loaded_from(copy.deepcopy(network)) == tmp_path / "teacher.pt"
    write_torchscript(tmp_path / "model.ts", network)
    with zipfile.ZipFile(tmp_path / "model.ts") as archive:
        assert not any(b"teacher.pt" in archive.read(name) for name in archive.namelist())
