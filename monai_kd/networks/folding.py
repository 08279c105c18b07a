# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["fold_batchnorm"]

logger = logging.getLogger(__name__)

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@torch.no_grad()
def fold_batchnorm(network: nn.Module, tapped: Sequence[str] = ()) -> int:
    """Merge each BatchNorm of a network in eval mode into the convolution before it, in place.

    .. math:: W' = W \\frac{\\gamma}{\\sqrt{\\sigma^2 + \\epsilon}}, \\quad
        b' = (b - \\mu) \\frac{\\gamma}{\\sqrt{\\sigma^2 + \\epsilon}} + \\beta

    The BatchNorm becomes an identity, so layer paths stay. A pair is found by tracing the network and folded if each of
    the two runs once, nothing but the BatchNorm reads the convolution, no hook watches them, and no tap needs the value
    in between. A network that cannot be traced is left as it is, which is logged.

    Args:
        network: a network in eval mode that nobody else uses (a copy).
        tapped: paths of layers whose outputs must stay what they are.

    Returns:
        How many pairs were folded.

    Example::

        >>> import torch
        >>> from monai_kd.networks.folding import fold_batchnorm
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).eval()
        >>> fold_batchnorm(network), network[1]
        (1, Identity())
    """
    try:
        graph = fx.symbolic_trace(copy.deepcopy(network)).graph  # of a copy: some forwards leave tensors in the network
    except Exception as error:  # whatever a forward raises when it meets proxies in place of tensors
        logger.info("%s: BatchNorm not folded, the network cannot be traced: %s", type(network).__name__, error)
        return 0
    replaced: dict[nn.Module, nn.Module] = {}
    for conv_path, norm_path in _pairs(graph, dict(network.named_modules())):
        if not _separated(conv_path, norm_path, tapped):
            conv, norm = network.get_submodule(conv_path), network.get_submodule(norm_path)
            transpose = isinstance(conv, _ConvTransposeNd)
            replaced[conv] = fuse_conv_bn_eval(conv, norm, transpose=transpose)  # type: ignore[arg-type, type-var]
            replaced[norm] = nn.Identity()
    for parent in list(network.modules()):
        for name, child in parent._modules.items():  # under every name a layer has
            if child in replaced:
                parent._modules[name] = replaced[child]
    return len(replaced) // 2


def _pairs(graph: fx.Graph, layers: dict[str, nn.Module]) -> Iterator[tuple[str, str]]:
    """The paths of every convolution and BatchNorm that can be one layer."""
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    read = {node.target for node in graph.nodes if node.op == "get_attr"}
    for node in graph.nodes:
        source = node.args[0] if node.op == "call_module" and len(node.args) == 1 else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) > 1:
            continue
        conv, norm = layers[str(source.target)], layers[str(node.target)]
        once = calls[source.target] == calls[node.target] == 1
        own = any(str(attribute).startswith((f"{source.target}.", f"{node.target}.")) for attribute in read)
        if once and not own and _is_foldable(conv, norm):
            yield str(source.target), str(node.target)


def _is_foldable(conv: nn.Module, norm: nn.Module) -> bool:
    if type(conv) not in CONVOLUTIONS or not isinstance(norm, _BatchNorm) or norm.running_var is None:
        return False  # subclasses of a convolution may compute something else
    if isinstance(conv, _ConvTransposeNd) and conv.groups > 1:
        return False
    return not any(m._forward_hooks or m._forward_pre_hooks for m in (conv, norm))


def _separated(conv: str, norm: str, tapped: Sequence[str]) -> bool:
    """Whether a tap asks for the BatchNorm's own output, or for the value between the two."""
    return any(tap == norm or (_within(conv, tap) and not _within(norm, tap)) for tap in tapped)


def _within(path: str, parent: str) -> bool:
    return path == parent or path.startswith(f"{parent}.")
