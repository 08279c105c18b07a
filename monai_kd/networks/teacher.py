# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from monai_kd.networks.fast import choose_fast
from monai_kd.utils import ConfigError, is_compiled, unwrap

__all__ = ["Teacher", "frozen_teachers", "in_mode", "teachers_in"]


@contextmanager
def in_mode(network: nn.Module, training: bool) -> Iterator[None]:
    """Put every layer of `network` in train or eval mode, and each back as it was on leaving."""
    changed, waiting = [], [network]
    while waiting:  # at every forward: several times faster than network.modules()
        layer = waiting.pop()
        if layer.training != training:
            changed.append(layer)
        waiting.extend(child for child in layer._modules.values() if child is not None)
    if not changed:
        yield
        return
    network.train(training)
    try:
        yield
    finally:
        for layer in changed:
            layer.training = not training


def teachers_in(network: nn.Module) -> Iterator[Teacher]:
    """Every `Teacher` in `network`, those that a teacher holds included."""
    for layer in network.modules():
        if isinstance(layer, Teacher):
            yield layer
            yield from teachers_in(layer.network)


def frozen_teachers(networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Every network that teaches and stays as it is, out of any wrapper, by what an error calls it.

    Args:
        networks: of the passes, by name; copies of the student, which are meant to move, are passed over.

    Example::

        >>> import torch
        >>> from monai_kd.networks.teacher import Teacher, frozen_teachers
        >>> frozen_teachers({"teacher": Teacher(torch.nn.Linear(4, 2)), "peer": torch.nn.Linear(4, 2)})
        {"pass 'teacher'": Linear(in_features=4, out_features=2, bias=True)}
    """
    found: dict[str, nn.Module] = {}
    for name, network in networks.items():
        frozen = [teacher.network for teacher in teachers_in(network) if not teacher.copied]
        found |= {f"pass {name!r}" + (f", teacher {i}" if i else ""): unwrap(n) for i, n in enumerate(frozen)}
    return found


class Teacher(nn.Module):
    """A network that teaches and does not learn: no gradient, always in eval mode, invisible to the optimiser.

    The network is held, not registered: `parameters()` and `state_dict()` of a Teacher are empty, so no optimiser,
    checkpoint or `DistributedDataParallel` sees the teacher, and yet `.to()` moves it. What is given is not altered:
    its mode is set for the length of each forward and put back, its `requires_grad` flags are left alone. Hand it over
    in eval mode and nothing has to be put back.

    Args:
        network: any network; answers are passed on as they are (tensor, tuple, list, dict).
        train_mode: run in train mode instead (own BatchNorm statistics, dropout), as mean teachers of some papers do.
        fast: after the first forward run a faster copy, chosen by a short timing probe on the real input:
            True for every candidate, or a sequence of their names (see :func:`monai_kd.networks.choose_fast`); the
            deviation is logged. The original stays as it is. Not for a network that changes (`copy_of`, `train_mode`).

    Raises:
        ConfigError: `fast` is asked for a teacher that changes.

    Example::

        >>> import torch
        >>> from monai_kd.networks import Teacher
        >>> teacher = Teacher(torch.nn.Linear(4, 2))
        >>> teacher(torch.ones(1, 4)).requires_grad, list(teacher.parameters()), teacher.state_dict()
        (False, [], OrderedDict())
    """

    network: nn.Module

    def __init__(self, network: nn.Module, train_mode: bool = False, fast: bool | Sequence[str] | None = None) -> None:
        super().__init__()
        if fast and train_mode:
            raise ConfigError("fast is for frozen teachers", where="Teacher", fix="leave out fast or train_mode")
        if isinstance(network, Teacher):
            raise ConfigError("the network is a Teacher already", where="Teacher", fix="hand over its network")
        object.__setattr__(self, "network", network)  # past nn.Module, which would register it
        self.train_mode = train_mode
        self.fast = fast
        self.copied = False
        self._fast: dict[tuple[str, ...], Any] = {}
        self.train(train_mode)

    @classmethod
    def copy_of(cls, student: nn.Module, train_mode: bool = False) -> Teacher:
        """A teacher that starts as a copy of `student` and is moved by a handler (`EMA`, `Snapshot`).

        Args:
            student: the network to copy, out of any wrapper.
            train_mode: as in the constructor.
        """
        teacher = cls(copy.deepcopy(unwrap(student)).requires_grad_(False), train_mode=train_mode)
        teacher.copied = True
        return teacher

    def train(self, mode: bool = True) -> Teacher:
        """Keep the mode the teacher was built with, whatever is asked."""
        self.training = self.train_mode
        return self

    def _apply(self, fn: Callable, recurse: bool = True) -> Teacher:
        super()._apply(fn, recurse)
        self.network._apply(fn)
        self._fast.clear()
        return self

    def layers(self, tapped: Sequence[str] = ()) -> nn.Module:
        """The network that runs, in which taps are placed (the fast copy once there is one for these taps).

        Args:
            tapped: layer paths that will be noted down.
        """
        choice = self._fast.get(tuple(sorted(tapped)))
        return unwrap(self.network if choice is None else choice.network)

    def prepare(self, inputs: tuple[Any, ...], tapped: Sequence[str] = ()) -> None:
        """Choose the fast copy for these taps, if `fast` was asked for and it is not chosen yet."""
        key = tuple(sorted(tapped))
        if not self.fast or key in self._fast:
            return
        if self.copied:
            raise ConfigError("fast is for frozen teachers", where="Teacher.copy_of", fix="leave out fast")
        if is_compiled(self.network):
            raise ConfigError("fast copies the plain network", where="Teacher", fix="leave out fast, or torch.compile")
        options: dict[str, Any] = {} if self.fast is True else {"candidates": tuple(self.fast)}
        with torch.no_grad(), in_mode(self.network, False):
            self._fast[key] = choose_fast(unwrap(self.network), inputs, tapped=key, **options)

    def restore(self, value: Any, tapped: Sequence[str] = ()) -> Any:
        """Bring what the fast copy gave (tensors in mappings, tuples, lists) back to the input's dtype."""
        choice = self._fast.get(tuple(sorted(tapped)))
        return value if choice is None else choice.restore(value)

    def forward(self, *inputs: Any, tapped: Sequence[str] = ()) -> Any:
        """Answer `inputs` without a graph.

        Args:
            inputs: what the network takes.
            tapped: layer paths noted down during this forward (they decide what a fast copy may fold).
        """
        self.prepare(inputs, tapped)
        choice = self._fast.get(tuple(sorted(tapped))) if self._fast else None
        with torch.no_grad():
            if choice is not None and choice.name != "original":
                return choice(*inputs)
            with in_mode(self.network, self.train_mode):
                return self.network(*inputs)

    def extra_repr(self) -> str:
        kind = "copy of the student" if self.copied else "frozen"
        return f"{type(self.network).__name__}, {kind}{', train mode' if self.train_mode else ''}"
