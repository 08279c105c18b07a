# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monai.utils import ensure_tuple
from torch import Tensor, nn

from monai_kd.inferers.taps import Taps, entries
from monai_kd.networks import Teacher
from monai_kd.utils import is_compiled, unwrap

__all__ = ["Pass"]


class Pass:
    """Who looks at what, and what is noted down: a network, the names it reads, and taps on its layers.

    A pass `p` writes `p` (its network's output), `p.tap` for each tap, and `p.0`, `p.1` or `p.key` for the entries of
    an output that is a tuple, a list, a stack of deep-supervision heads or a mapping (`p` is then the first; a mapping
    has no first). Taps are hooks for the length of one forward, placed inside `DistributedDataParallel`,
    `torch.compile` and `Teacher`.

    Args:
        keys: names the network reads, in order: batch keys (`image`), other passes (`student`) or their taps
            (`student.hint`).
        network: the network; None is the trainer's own, the one the stage trains.
        taps: {tap: layer path as in `named_modules()`}.
        deep_supervision: an answer with one axis more than the image (the first key) is a stack of heads; False for a
            network that answers with such a tensor, as of views [N, V, C, H, W].

    Example::

        >>> import torch
        >>> from monai_kd.inferers import Pass
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
        >>> answer = Pass("image", taps={"hidden": "0"}).run("student", net, (torch.ones(1, 4),))
        >>> {name: tuple(tensor.shape) for name, tensor in answer.items()}
        {'student': (1, 2), 'student.hidden': (1, 8)}
    """

    def __init__(
        self,
        keys: str | Sequence[str] = "image",
        network: nn.Module | None = None,
        taps: Mapping[str, str] | None = None,
        deep_supervision: bool = True,
    ) -> None:
        self.keys: tuple[str, ...] = ensure_tuple(keys)
        self.network = network
        self.taps = {tap: path for tap, path in (taps or {}).items() if path is not None}
        self.deep_supervision = deep_supervision
        self._plans: dict[tuple, tuple[dict[str, str], bool]] = {}
        self._seen: set[frozenset[str]] = set()  # taps that a whole forward has shown to be sound

    def run(
        self, name: str, network: nn.Module, inputs: Sequence[Tensor], wanted: set[str] | None = None
    ) -> dict[str, Tensor]:
        """Run `network` once and name what it gives.

        Args:
            name: what this pass is called.
            network: the pass's own network, or the trainer's.
            inputs: the tensors of `keys`.
            wanted: names that are needed of this pass (`p`, `p.tap`); None for all. A `Teacher` stops after its
                deepest tap if its output is not among them.

        Raises:
            TapError: a tap fired twice, never, or was overwritten in place.
            UnknownLayerError: a tap is on no layer.
        """
        taps, output_wanted = self._plan(name, wanted)
        stacked = self.deep_supervision and bool(inputs) and isinstance(inputs[0], Tensor)
        image_dims = inputs[0].ndim if stacked else 0
        if isinstance(network, Teacher):
            return self._teach(name, network, inputs, taps, output_wanted, image_dims)
        if not taps:
            return entries(name, network(*inputs), image_dims)
        with Taps(unwrap(network), taps, compiled=is_compiled(network)) as note:
            output = network(*inputs)
        return _named(name, output, note.noted, image_dims)

    def _plan(self, name: str, wanted: set[str] | None) -> tuple[dict[str, str], bool]:
        """Which taps to place, and whether the output is wanted; worked out once for each set of names."""
        key = (name, None if wanted is None else frozenset(wanted))
        if key not in self._plans:
            taps = {tap: path for tap, path in self.taps.items() if wanted is None or _asked(f"{name}.{tap}", wanted)}
            self._plans[key] = taps, wanted is None or any(not _asked_of(w, name, self.taps) for w in wanted)
        return self._plans[key]

    def _teach(
        self,
        name: str,
        teacher: Teacher,
        inputs: Sequence[Tensor],
        taps: dict[str, str],
        output_wanted: bool,
        image_dims: int,
    ) -> dict[str, Tensor]:
        if not taps:
            return entries(name, teacher(*inputs), image_dims)
        paths, compiled = tuple(taps.values()), is_compiled(teacher.network)
        teacher.prepare(tuple(inputs), paths)
        key = frozenset(taps)
        # the first forward runs to its end, so that a tap that fires twice or is overwritten is found
        stop = not output_wanted and not compiled and key in self._seen
        output = None
        with Taps(teacher.layers(paths), taps, stop=stop, compiled=compiled) as note:
            output = teacher(*inputs, tapped=paths)
        self._seen.add(key)
        return _named(name, output, teacher.restore(note.noted, paths), image_dims)


def _asked(name: str, wanted: set[str]) -> bool:
    """Whether `name`, or an entry of it, is wanted."""
    return any(w == name or w.startswith(f"{name}.") for w in wanted)


def _asked_of(wanted: str, name: str, taps: Mapping[str, str]) -> bool:
    """Whether a wanted name is a tap (or an entry of one), not the output."""
    return wanted != name and wanted[len(name) + 1 :].split(".")[0] in taps


def _named(name: str, output: object, noted: Mapping[str, object], image_dims: int) -> dict[str, Tensor]:
    named = entries(name, output, image_dims)
    for tap, value in noted.items():
        named.update(entries(f"{name}.{tap}", value))
    return named
