# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from monai_kd.utils import TapError, find_layer, plain

__all__ = ["Taps", "entries"]


class _DeepestTapReached(BaseException):  # past a network that catches every Exception
    """Ends a teacher's forward when nothing more is needed of it."""


def entries(name: str, value: Any, image_dims: int = 0) -> dict[str, Tensor]:
    """Give every tensor of a network's answer a name.

    A tensor is `name`. A tuple or list is `name.0`, `name.1`, ..., and `name` is the first. A mapping is `name.key`
    for each key. A stack of deep-supervision heads [N, heads, C, *spatial] is taken apart like a list of heads.

    Args:
        name: what the answer is called.
        value: the answer.
        image_dims: dimensions of the input [N, C, *spatial]; one more in the answer means a stack of heads. 0: never.
    """
    value = plain(value)
    if isinstance(value, Tensor):
        if image_dims < 4 or value.ndim != image_dims + 1:
            return {name: value}
        value = value.unbind(1)
    if isinstance(value, Mapping):
        return {k: v for key, item in value.items() for k, v in entries(f"{name}.{key}", item, image_dims).items()}
    if not isinstance(value, (tuple, list)):
        return {}
    named = {k: v for i, item in enumerate(value) for k, v in entries(f"{name}.{i}", item, image_dims).items()}
    if f"{name}.0" in named:
        named[name] = named[f"{name}.0"]
    return named


def _versions(output: Any) -> list[int]:
    """How often each tensor of a layer's output was written to."""
    tensors = (output,) if isinstance(output, Tensor) else entries("", output).values()
    return [0 if t.is_inference() else t._version for t in tensors]  # inference mode counts none


class Taps:
    """Note down the outputs of layers during one forward, and leave no hook behind.

    Args:
        network: an unwrapped network.
        paths: {tap: layer path}.
        stop: end the forward (silently) once every tap is noted.
        compiled: the network runs under `torch.compile`.

    Raises:
        UnknownLayerError: a path is no layer.
        TapError: a tap fired twice or never, or its tensor was overwritten in place after it was noted.
    """

    def __init__(
        self, network: nn.Module, paths: Mapping[str, str], stop: bool = False, compiled: bool = False
    ) -> None:
        self.network, self.paths, self.stop, self.compiled = network, dict(paths), stop, compiled
        self.noted: dict[str, Any] = {}
        self.versions: dict[str, list[int]] = {}
        self.handles: list[RemovableHandle] = []

    def __enter__(self) -> Taps:
        if self.compiled and self.paths:  # else a tap first asked for after the compilation is missed
            torch._dynamo.config.skip_nnmodule_hook_guards = False
        layers = [(tap, find_layer(self.network, path)) for tap, path in self.paths.items()]
        self.handles = [layer.register_forward_hook(partial(self._note, tap)) for tap, layer in layers]
        return self

    def _note(self, tap: str, layer: nn.Module, inputs: tuple, output: Any) -> None:
        if tap in self.noted:
            raise TapError(
                "the layer ran twice in one forward",
                where=f"tap {tap!r} on {self.paths[tap]!r}",
                why="it is shared, or the network runs window by window",
                fix="tap a layer that runs once",
            )
        self.noted[tap] = output
        if not self.compiled:
            self.versions[tap] = _versions(output)
        if self.stop and len(self.noted) == len(self.paths):
            raise _DeepestTapReached

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        for handle in self.handles:
            handle.remove()
        if error is None or kind is _DeepestTapReached:
            self._check()
            return True
        return False

    def _check(self) -> None:
        for tap, path in self.paths.items():
            where = f"tap {tap!r} on {path!r}"
            if tap not in self.noted:
                raise TapError("the layer did not run in this forward", where=where, fix="tap a layer that runs")
            if not self.compiled and self.versions[tap] != _versions(self.noted[tap]):
                raise TapError(
                    "the layer's output was overwritten in place after it was noted",
                    where=where,
                    why="a later layer such as ReLU(inplace=True) reuses its memory",
                    fix="tap that later layer, or build the network without in-place layers",
                )
