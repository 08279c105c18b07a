# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_kd.networks.connector import PooledConnector
from monai_kd.networks.row_norm import RowNorm
from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["BilinearFusion", "MultiModalNetwork"]


class BilinearFusion(nn.Module):
    r"""Fuse the embeddings of two modalities: each passes a gate that both open, then all their products are weighed.

    .. math:: y = e_2\bigl(e_1(\mathrm{vec}([o_1, 1] \otimes [o_2, 1]))\bigr), \qquad
        o_m = \mathrm{ReLU}\bigl(V_m (\sigma(x_1^\top B_m\, x_2) \odot \mathrm{ReLU}(W_m x_m))\bigr)

    with biases everywhere and e a linear layer, batch normalisation and ReLU. Dropout follows each ReLU but the inner
    one, and the products. Weights take O(D^3) memory.

    Chen et al., "Pathomic fusion", IEEE TMI 2022 (arXiv 1912.08937), without its skip connections and with the batch
    normalisation of Xing et al. (see `MultiModalNetwork`).

    Args:
        features: D, length of both embeddings and of their fusion.
        dropout: the probability.

    Example::

        >>> import torch
        >>> from monai_kd.networks import BilinearFusion
        >>> BilinearFusion(features=8)(torch.rand(2, 8), torch.rand(2, 8)).shape
        torch.Size([2, 8])
    """

    def __init__(self, features: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        d = features
        self.hidden = nn.ModuleList(nn.Linear(d, d) for _ in range(2))  # W
        self.gate = nn.ModuleList(nn.Bilinear(d, d, d) for _ in range(2))  # B
        self.gated = nn.ModuleList(nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Dropout(dropout)) for _ in range(2))
        self.fuse = nn.Sequential(
            nn.Dropout(dropout),
            *(nn.Linear((d + 1) ** 2, d), RowNorm(d), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(d, d), RowNorm(d), nn.ReLU(), nn.Dropout(dropout)),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fuse.

        Args:
            first: embeddings of one modality, [N, D].
            second: those of the other, [N, D].

        Returns:
            [N, D].
        """
        parts = zip((first, second), self.hidden, self.gate, self.gated, strict=True)
        opened = [out(gate(first, second).sigmoid() * hidden(x).relu()) for x, hidden, gate, out in parts]
        a, b = (F.pad(o, (0, 1), value=1.0) for o in opened)
        return self.fuse(torch.einsum("ni,nj->nij", a, b).flatten(1))


class MultiModalNetwork(nn.Module):
    r"""Classify by two modalities: by each alone, and by both fused.

    .. math:: z_m = C_m f_m + c_m, \quad m \in \{1, 2, \text{fused}\}, \qquad
        f_m = \mathrm{ReLU}(\mathrm{BN}(W_m\, \overline{E_m(x_m)})), \quad f_{\text{fused}} = \mathrm{fusion}(f_1, f_2)

    with the bar a mean over space, E the encoders and `BilinearFusion`. In a pass its answers and features have names:
    `{keys: [image, privileged], network: ...}` of a pass `teacher` gives `teacher.fused`, `teacher.fused_feature` and
    the two of each modality.

    Xing et al., Gradient modulated contrastive distillation of low-rank multi-modal knowledge for disease diagnosis,
    MedIA 2023.

    Args:
        encoders: two networks by the name of what they read, in the order of the inputs: of an input a map
            [N, C, *spatial] or a vector [N, C] (`without_head`).
        in_channels: C of each, by the same names.
        num_classes: K.
        features: length of the embeddings.
        dropout: in the fusion.

    Raises:
        ConfigError: there are not two encoders, one is called `fused`, or `in_channels` has other names.
        ShapeMismatchError: in `forward`: there are not two inputs.

    Example::

        >>> import torch
        >>> from monai_kd.networks import MultiModalNetwork
        >>> encoders = {"image": torch.nn.Conv2d(1, 4, 3), "genes": torch.nn.Linear(9, 5)}
        >>> network = MultiModalNetwork(encoders, {"image": 4, "genes": 5}, num_classes=3, features=8)
        >>> {name: tuple(x.shape) for name, x in network(torch.rand(2, 1, 6, 6), torch.rand(2, 9)).items()}
        {'image': (2, 3), 'image_feature': (2, 8), 'genes': (2, 3), 'genes_feature': (2, 8), 'fused': (2, 3),
         'fused_feature': (2, 8)}
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        in_channels: Mapping[str, int],
        num_classes: int,
        features: int = 128,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        names = list(encoders)
        if len(names) != 2 or "fused" in names or set(in_channels) != set(names):
            raise ConfigError(
                f"encoders of {names}, channels of {list(in_channels)}",
                where="MultiModalNetwork",
                fix="name two encoders, neither of them 'fused', and the channels of both",
            )
        self.encoders = nn.ModuleDict(encoders)
        self.embed = nn.ModuleDict()
        for name, channels in in_channels.items():
            self.embed[name] = nn.Sequential(PooledConnector(channels, features), RowNorm(features), nn.ReLU())
        self.fusion = BilinearFusion(features, dropout)
        self.heads = nn.ModuleDict({name: nn.Linear(features, num_classes) for name in (*names, "fused")})

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Classify.

        Args:
            inputs: what each encoder reads, of the same N samples.

        Returns:
            By each encoder's name and `fused` the logits [N, K], by `NAME_feature` the embedding [N, features].
        """
        if len(inputs) != 2:
            raise ShapeMismatchError(
                f"{len(inputs)} inputs for {list(self.encoders)}",
                where="MultiModalNetwork",
                fix="give the pass two keys",
            )
        pairs = zip(self.encoders.items(), inputs, strict=True)
        embedded = {name: self.embed[name](encode(x)) for (name, encode), x in pairs}
        embedded["fused"] = self.fusion(*embedded.values())
        told: dict[str, Tensor] = {}
        for name, feature in embedded.items():
            told |= {name: self.heads[name](feature), f"{name}_feature": feature}
        return told
