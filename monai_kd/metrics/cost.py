# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import os
from pathlib import Path

from monai.networks.utils import eval_mode
from torch import Tensor, nn
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from monai_kd.utils.errors import CheckpointError

__all__ = ["count_flops", "count_parameters", "cpu_latency", "file_bytes"]


def count_parameters(network: nn.Module) -> int:
    """Number of parameters, trainable or not, each shared one once; buffers such as running means are not counted.

    Args:
        network: the network to publish.

    Example::

        >>> import torch
        >>> from monai_kd.metrics import count_parameters
        >>> count_parameters(torch.nn.Linear(4, 2))
        10
    """
    return sum(parameter.numel() for parameter in network.parameters())


def count_flops(network: nn.Module, input: Tensor) -> int:
    """Floating-point operations of one case through `network`: two for each multiply-add.

    Counted by `torch.utils.flop_counter`: convolutions, matrix products and attention; norms, activations and
    additions of a bias are not counted, as is the custom.

    Args:
        network: run in evaluation mode and without gradient; left as it was.
        input: a batch on the network's device, of which the first case is used, [N, ...].

    Example::

        >>> import torch
        >>> from monai_kd.metrics import count_flops
        >>> count_flops(torch.nn.Linear(4, 2), torch.zeros(8, 4))
        16
    """
    with eval_mode(network), FlopCounterMode(display=False) as counter:
        network(input[:1])
    return counter.get_total_flops()


def cpu_latency(network: nn.Module, input: Tensor, seconds: float = 0.5, threads: int = 1) -> float:
    """Milliseconds that one case takes through `network` on the CPU: the median over repeats, after a warm-up.

    Measured by `torch.utils.benchmark`; on a busy machine expect it to wander by some ten per cent.

    Args:
        network: a copy of it is run, on the CPU and in evaluation mode.
        input: a batch of which the first case is used, [N, ...].
        seconds: how long to repeat.
        threads: CPU threads one forward may use; one makes figures of different machines comparable.

    Example::

        >>> import torch
        >>> from monai_kd.metrics import cpu_latency
        >>> cpu_latency(torch.nn.Linear(4, 2), torch.zeros(8, 4), seconds=0.01) > 0
        True
    """
    network, case = copy.deepcopy(network).cpu(), input[:1].cpu()
    with eval_mode(network):
        timer = Timer("network(case)", globals={"network": network, "case": case}, num_threads=threads)
        return timer.blocked_autorange(min_run_time=seconds).median * 1e3


def file_bytes(path: str | os.PathLike) -> int:
    """Size of a file of weights in bytes.

    Args:
        path: the file that is shipped.

    Raises:
        CheckpointError: there is no such file.

    Example::

        >>> import tempfile, torch
        >>> from monai_kd.metrics import file_bytes
        >>> path = tempfile.mkdtemp() + "/model.pt"
        >>> torch.save(torch.nn.Linear(4, 2).state_dict(), path)
        >>> file_bytes(path) > 10 * 4
        True
    """
    if not Path(path).is_file():
        raise CheckpointError("there is no such file to weigh", where=str(path))
    return Path(path).stat().st_size
