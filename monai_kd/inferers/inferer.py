# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from graphlib import CycleError, TopologicalSorter
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from monai_kd.inferers.passes import Pass
from monai_kd.networks import Teacher
from monai_kd.utils import (
    ConfigError,
    DistillationError,
    ShapeMismatchError,
    UnknownNameError,
    find_layer,
    suggest,
    unwrap,
)
from monai_kd.utils.arguments import check_arguments

__all__ = ["DistillationInferer"]


class DistillationInferer(Inferer):
    """Run the passes and return the knowledge: a dictionary of named tensors.

    Passes run in the order of their dependencies, whatever their order in the file, and only those that are needed.
    The inferer keeps nothing between calls: one may serve several trainers.

    Args:
        passes: {name: pass}; a plain mapping becomes `Pass(**mapping)`, None is dropped (so an overlay can switch a
            pass off).
        autocast: arguments of `torch.autocast` for the passes, as on a CPU, where MONAI's `amp` does nothing:
            `{"device_type": "cpu", "dtype": "bfloat16"}`. A dtype may be given by name.

    Raises:
        ConfigError: no pass, a cycle, or a name with a dot.
        UnknownNameError: a mapping has a key that `Pass` does not take.

    Example::

        >>> import torch
        >>> from monai_kd.inferers import DistillationInferer
        >>> from monai_kd.networks import Teacher
        >>> teacher = Teacher(torch.nn.Linear(4, 2))
        >>> inferer = DistillationInferer({"student": {}, "teacher": {"network": teacher}})
        >>> sorted(inferer({"image": torch.ones(1, 4)}, torch.nn.Linear(4, 2)))
        ['student', 'teacher']
    """

    def __init__(self, passes: Mapping[str, Pass | Mapping | None], autocast: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.passes = {
            name: p if isinstance(p, Pass) else _pass(name, p) for name, p in passes.items() if p is not None
        }
        if not self.passes:
            raise ConfigError(
                "no passes", where="DistillationInferer", fix="give at least {'student': {'keys': 'image'}}"
            )
        for name in self.passes:
            if "." in name:
                raise ConfigError("a pass name holds no dot", where=f"pass {name!r}", fix="dots name taps and entries")
            for tap in self.passes[name].taps:
                if "." in tap:
                    raise ConfigError("a tap name holds no dot", where=f"pass {name!r}, tap {tap!r}")
        self.autocast = dict(autocast) if autocast else None
        if self.autocast and isinstance(self.autocast.get("dtype"), str):
            self.autocast["dtype"] = getattr(torch, self.autocast["dtype"].removeprefix("torch."))
        # lists, not sets: the order must be the same in every process
        self._plans: dict[frozenset[str], dict[str, set[str] | None]] = {}
        graph = {name: [r for r in map(_root, p.keys) if r in self.passes] for name, p in self.passes.items()}
        try:
            self.order = tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise ConfigError("passes read one another", where=" -> ".join(error.args[1])) from None

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks of the passes that have their own, by pass name."""
        return {name: p.network for name, p in self.passes.items() if p.network is not None}

    @property
    def prediction(self) -> str:
        """The first pass without a network of its own: what the trainer publishes as the prediction."""
        for name, p in self.passes.items():
            if p.network is None:
                return name
        raise ConfigError(
            "every pass has its own network",
            where="DistillationInferer",
            fix="leave out the network of the student's pass",
        )

    def check(self, network: nn.Module, needs: Iterable[str] = ()) -> None:
        """Look up every layer, and every name that can be looked up before there is a batch.

        Args:
            network: the trainer's network.
            needs: names that will be asked for.

        Raises:
            UnknownLayerError: a tap is on no layer of its network.
            UnknownNameError: `x.y` where there is no pass `x`.
        """
        for name, p in self.passes.items():
            net = p.network if p.network is not None else network
            target = net.network if isinstance(net, Teacher) else net
            for tap, path in p.taps.items():
                try:
                    find_layer(unwrap(target), path)
                except DistillationError as error:
                    raise error.at(f"pass {name!r}, tap {tap!r}") from None
        asked = set(needs).union(*(p.keys for p in self.passes.values()))
        for name in sorted(asked):
            if "." in name and _root(name) not in self.passes:
                raise UnknownNameError(f"no pass {_root(name)!r}", where=f"name {name!r}", fix=self._choices(name))

    def wanted(self, needs: Iterable[str] | None) -> dict[str, set[str] | None]:
        """What is wanted of each pass that has to run, in running order; None of a pass: all of it.

        Args:
            needs: names that are asked for; None for everything.
        """
        if needs is None:
            return dict.fromkeys(self.order)
        key = frozenset(needs)
        if key not in self._plans:
            self._plans[key] = self._plan(key)
        return self._plans[key]

    def _plan(self, needs: frozenset[str]) -> dict[str, set[str] | None]:
        wanted: dict[str, set[str]] = {}
        for asked in needs:
            if (root := _root(asked)) in self.passes:
                wanted.setdefault(root, set()).add(asked)
        for name in reversed(self.order):
            for key in self.passes[name].keys if name in wanted else ():
                if (root := _root(key)) in self.passes:
                    wanted.setdefault(root, set()).add(key)
        return {name: wanted[name] for name in self.order if name in wanted}

    def __call__(  # type: ignore[override]
        self, inputs: Tensor | Mapping[str, Any], network: nn.Module, needs: Iterable[str] | None = None
    ) -> dict[str, Tensor]:
        """Run the passes that `needs` asks for.

        Args:
            inputs: the batch; a tensor is taken as its `image`.
            network: the network of the passes that have none.
            needs: names that are asked for; None runs every pass with every tap.

        Returns:
            The knowledge: what the passes gave, by name. Batch keys stay in the batch.

        Raises:
            UnknownNameError: a name that neither the batch nor a pass gives; lists what there is.
            ConfigError: a pass and a batch key have one name.
            ShapeMismatchError: a pass's own network does not take what the pass reads.
        """
        batch = inputs if isinstance(inputs, Mapping) else {"image": inputs}
        if clash := sorted(self.passes.keys() & batch.keys()):
            raise ConfigError("a batch key has the same name", where=f"pass {clash[0]!r}", fix="rename the pass")
        knowledge: dict[str, Tensor] = {}
        with torch.autocast(**self.autocast) if self.autocast else nullcontext():
            for name, wanted in self.wanted(needs).items():
                p = self.passes[name]
                tensors = [self._look_up(key, knowledge, batch, f"pass {name!r}") for key in p.keys]
                net = network if p.network is None else p.network
                try:
                    knowledge.update(p.run(name, net, tensors, wanted))
                except DistillationError as error:
                    raise error.at(f"pass {name!r}") from error
                except RuntimeError as error:
                    if net is network or isinstance(error, _OF_THE_DEVICE):
                        raise
                    raise _does_not_fit(net, p.keys, tensors, error).at(f"pass {name!r}") from error
        for name in needs or ():
            self._look_up(name, knowledge, batch, "knowledge")
        return knowledge

    def _look_up(self, name: str, knowledge: Mapping, batch: Mapping, where: str) -> Any:
        if name in knowledge:
            return knowledge[name]
        if name in batch:
            return batch[name]
        raise UnknownNameError(f"no {name!r}", where=where, fix=self._choices(name, knowledge, batch))

    def _choices(self, name: str, knowledge: Iterable[str] = (), batch: Iterable[str] = ()) -> str:
        taps = [f"{p}.{tap}" for p, item in self.passes.items() for tap in item.taps]
        known = dict.fromkeys([*self.passes, *taps, *knowledge, *map(str, batch)])
        return suggest(name, known, "names", limit=20)


def _pass(name: str, given: Mapping) -> Pass:
    check_arguments(Pass, given, where=f"pass {name!r}")
    return Pass(**given)


_OF_THE_DEVICE = (torch.AcceleratorError, torch.OutOfMemoryError)


def _does_not_fit(
    network: nn.Module, keys: Sequence[str], tensors: Sequence[Any], error: RuntimeError
) -> ShapeMismatchError:
    """What a pass's own network could not take, in our words and torch's."""
    network = network.network if isinstance(network, Teacher) else network
    given = ", ".join(f"{k} {tuple(x.shape)}" for k, x in zip(keys, tensors, strict=True) if isinstance(x, Tensor))
    return ShapeMismatchError(
        f"{type(unwrap(network)).__name__} cannot take {given or ', '.join(keys)}",
        why=str(error).splitlines()[0] if str(error) else type(error).__name__,
        fix="its channels must be those of what it reads (a bundle's student_channels, teacher_channels, ...)",
    )


def _root(name: str) -> str:
    """The pass (or batch key) that a name begins with."""
    return name.split(".")[0]
