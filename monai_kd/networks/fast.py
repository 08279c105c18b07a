# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from monai_kd.networks.folding import fold_batchnorm
from monai_kd.utils import ConfigError, plain, suggest

__all__ = ["CANDIDATES", "FastChoice", "choose_fast"]

logger = logging.getLogger(__name__)

CANDIDATES = (
    "channels_last",
    "bfloat16",
    "channels_last+bfloat16",
    "folded_batchnorm+channels_last",
    "folded_batchnorm+channels_last+bfloat16",
)
"""What :func:`choose_fast` tries: conversions joined by `+`."""

CONVERSIONS = ("channels_last", "bfloat16", "folded_batchnorm")
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
CALLS = 3
GAIN = 0.97  # a copy has to need less than this share of the original's time
TOLERANCE, TOLERANCE_BFLOAT16 = 1e-2, 1e-1  # a copy that deviates more (TF32 convolutions: 1e-3) is wrong


@dataclass
class FastChoice:
    """The network that runs in a teacher's place, and what choosing it showed.

    Args:
        network: a faster copy in eval mode, or the original if no copy is faster.
        name: the candidate, "original" if none was faster.
        ratios: {candidate: its time over the original's}, the two measured turn by turn, for every one that ran.
        milliseconds: {name: one forward}: the original's shortest, and that times the ratio of each candidate.
        deviation: largest difference to the original's answer, over the largest absolute value of that answer.
        agreement: share of samples (voxels) whose strongest class is the original's.
        dtype: the input's dtype, which answers are brought back to.
    """

    network: nn.Module
    name: str = "original"
    ratios: dict[str, float] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)
    deviation: float = 0.0
    agreement: float = 1.0
    dtype: torch.dtype = torch.float32

    def prepare(self, value: Any) -> Any:
        """Bring an input (or a mapping, tuple or list of inputs) to the network's dtype and memory format."""
        return _each_tensor(self._prepare, value)

    def restore(self, value: Any) -> Any:
        """Bring an output (or a mapping, tuple or list of outputs) back to the input's dtype."""
        return _each_tensor(self._restore, value)

    def _prepare(self, x: Tensor) -> Tensor:
        if "bfloat16" in self.name and x.is_floating_point():
            x = x.bfloat16()
        if "channels_last" in self.name and x.ndim in FORMATS:
            x = x.contiguous(memory_format=FORMATS[x.ndim])
        return x

    def _restore(self, x: Tensor) -> Tensor:
        return x.to(self.dtype) if "bfloat16" in self.name and x.dtype == torch.bfloat16 else x

    def __call__(self, *inputs: Any) -> Any:
        """Run the network on inputs as they come; a bfloat16 copy runs outside autocast, which would only slow it."""
        device = _device(inputs).type
        autocast = "bfloat16" in self.name and torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=False) if autocast else nullcontext():
            return self.restore(self.network(*map(self.prepare, inputs)))


@torch.no_grad()
def choose_fast(
    network: nn.Module,
    inputs: tuple[Any, ...],
    tapped: Sequence[str] = (),
    candidates: Sequence[str] = CANDIDATES,
    lossless: bool = False,
) -> FastChoice:
    """Time converted copies of a frozen network on real inputs and take the fastest.

    Three conversions, alone or joined by `+`: `channels_last` (channels_last_3d for volumes), `bfloat16` (weights and
    inputs; answers come back in the input's dtype) and `folded_batchnorm` (see
    :func:`~monai_kd.networks.folding.fold_batchnorm`). Each copy takes turns with the original, three calls each after
    a warm-up, and the shortest counts; a copy is taken only if it is more than 3 % faster, so a machine without
    bfloat16 units keeps float32. A copy that cannot run, or that answers otherwise than the original, is left out with
    a warning.

    `channels_last` changes no number beyond the order of summation. For the student it needs no option: call
    `network.to(memory_format=torch.channels_last)` (2-D) or `torch.channels_last_3d` before training; convolutions pass
    the format on, so neither the data nor `prepare_batch` change.

    Args:
        network: the teacher, left as it is.
        inputs: what its forward takes; image tensors are [N, C, *spatial].
        tapped: paths of layers whose outputs are noted down; they decide what may be folded.
        candidates: what to try.
        lossless: try `channels_last` alone.

    Raises:
        ConfigError: a candidate that does not exist.

    Example::

        >>> import torch
        >>> from monai_kd.networks import choose_fast
        >>> network = torch.nn.Conv2d(3, 8, 3).eval()
        >>> choice = choose_fast(network, (torch.ones(2, 3, 16, 16),), candidates=["channels_last"])
        >>> choice(torch.ones(2, 3, 16, 16)).dtype, sorted(choice.milliseconds)
        (torch.float32, ['channels_last', 'original'])
    """
    for part in (part for name in candidates for part in name.split("+")):
        if part not in CONVERSIONS:
            raise ConfigError(f"no candidate {part!r}", where="fast", fix=suggest(part, CONVERSIONS, "conversions"))
    inputs = tuple(_each_tensor(plain, x) for x in inputs)
    training = any(layer.training for layer in network.modules())
    original = FastChoice(copy.deepcopy(network).eval() if training else network)
    original.dtype = next((x.dtype for x in _tensors(inputs) if x.is_floating_point()), torch.float32)
    answer = original(*inputs)
    best, shortest, ratios = original, float("inf"), {}
    for name in ["channels_last"] if lossless else candidates:
        try:
            copied = _convert(original, name, inputs, tapped)
            if copied is None:
                logger.debug("%s: %s changes nothing here", type(network).__name__, name)
                continue
            copied.deviation, copied.agreement = _compare(copied(*inputs), answer)
            if not copied.deviation <= (TOLERANCE_BFLOAT16 if "bfloat16" in name else TOLERANCE):
                raise RuntimeError(f"its answer deviates by {copied.deviation:.2g} of the original's scale")
            times = _take_turns([partial(original, *inputs), partial(copied, *inputs)], _device(inputs))
        except (RuntimeError, TypeError, ValueError) as error:
            logger.warning("%s: the fast copy %s is left out: %s", type(network).__name__, name, error)
            continue
        shortest, ratios[name] = min(shortest, times[0]), times[1] / times[0]
        if ratios[name] < min(GAIN, ratios.get(best.name, GAIN)):
            best = copied
    best.ratios = ratios
    best.milliseconds = {"original": shortest} if ratios else {}
    best.milliseconds |= {name: shortest * ratio for name, ratio in ratios.items()}
    logger.info(
        "%s: %s runs (%s ms a forward); deviation %.1e of the largest output, same strongest class in %.2f %%",
        type(network).__name__,
        best.name,
        ", ".join(f"{name} {ms:.3g}" for name, ms in best.milliseconds.items()),
        best.deviation,
        100 * best.agreement,
    )
    return best


def _convert(original: FastChoice, name: str, inputs: tuple, tapped: Sequence[str]) -> FastChoice | None:
    """A converted copy, or None where the conversion has nothing to work on."""
    conversions = name.split("+")
    dtypes = {original.dtype, *(p.dtype for p in original.network.parameters() if p.is_floating_point())}
    if "channels_last" in conversions and not any(x.ndim in FORMATS for x in _tensors(inputs)):
        return None
    if "bfloat16" in conversions and dtypes != {torch.float32}:
        return None
    fast = copy.deepcopy(original.network).requires_grad_(False)
    if "folded_batchnorm" in conversions and not fold_batchnorm(fast, tapped):
        return None
    if "bfloat16" in conversions:
        fast.bfloat16()
    for layer in fast.modules() if "channels_last" in conversions else ():
        if isinstance(layer, _ConvNd) and layer.weight.ndim in FORMATS:
            layer.weight.data = layer.weight.data.contiguous(memory_format=FORMATS[layer.weight.ndim])
    return FastChoice(fast, name, dtype=original.dtype)


def _compare(value: Any, reference: Any) -> tuple[float, float]:
    """The largest difference over the largest value, and how often the strongest class is the same."""
    pairs = [(a.double(), b.double()) for a, b in zip(_tensors(value), _tensors(reference), strict=True)]
    pairs = [(a, b) for a, b in pairs if b.numel()]
    if not pairs:
        return 0.0, 1.0
    deviation = max(float((a - b).abs().max() / b.abs().max().clamp_min(1e-30)) for a, b in pairs)
    a, b = (x if x.ndim < 2 or x.shape[1] > 1 else torch.cat([x, -x], 1) for x in pairs[0])  # one class: its sign
    return deviation, float((a.argmax(1) == b.argmax(1)).double().mean()) if a.ndim > 1 else 1.0


def _take_turns(calls: Sequence[Callable[[], Any]], device: torch.device) -> list[float]:
    """The shortest of a few timings of each call in milliseconds, one after the other in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(CALLS):
        for call, taken in zip(calls, times, strict=True):
            _synchronise(device)
            start = time.perf_counter()
            call()
            _synchronise(device)
            taken.append(1e3 * (time.perf_counter() - start))
    return [min(taken) for taken in times]


def _synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _device(inputs: tuple) -> torch.device:
    return next((x.device for x in _tensors(inputs)), torch.device("cpu"))


def _each_tensor(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each_tensor(change, item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_each_tensor(change, item) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(_each_tensor(change, item) for item in value)
    return value


def _tensors(value: Any) -> list[Tensor]:
    found: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        found.append(x)
        return x

    _each_tensor(keep, value)
    return found
