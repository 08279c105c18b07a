# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from monai_kd.losses.averaging import mean_parts
from monai_kd.losses.broadcasting import refuse_to_broadcast
from monai_kd.utils import (
    ConfigError,
    DistillationError,
    ShapeMismatchError,
    connected_zero,
    gather_rows,
    is_distributed,
    joint_mean,
    to_float,
)

__all__ = ["Term"]


class Term(nn.Module):
    """What is compared, how hard, on which samples: a loss, the names it reads, a weight and a mask.

    Args:
        loss: any callable from tensors to a scalar (a tensor is averaged): ours, MONAI's or torch's.
        inputs: names handed to the loss in order, student first (`[student, teacher]`), or by argument
            (`{input: student, target: teacher, label: label}`).
        weight: factor of this term in the objective; at 0 the term is not computed, nor what only it needs.
        where: batch key of a boolean per sample, [N]: only rows where it is true are compared. If there is none the
            term is a zero that stays connected to the graph.

    Under `torch.distributed` the average over processes is the mean over the rows of all, though each selects another
    number of them: by `where`, by an argument that the loss names in its class attribute `selected_by` (`label`,
    `mask`), by `ignore_index` or class weights of torch's cross-entropy. A loss whose mean is over anything else
    (places near a border, bags, images with a class) says how many these are by a method `count`, of the same arguments
    as its `forward`: a scalar in float64 without gradient; where it is 0 the loss is a zero connected to the graph. A
    loss that relates samples to one another (class attribute `relational = True`) sees the rows of every process.

    Any other loss is averaged over the processes, as `DistributedDataParallel` does. That is a mean of means without
    `where` if their numbers of samples differ, and for `ConsensusLoss`, a sum of two means; `ChannelGramLoss` and
    `SRDLoss`, the root and the logarithm of a mean or sum; `OFDLoss` with the margin of the batch; MONAI's losses over
    the batch or with class weights; and a loss that selects or counts, with a `reduction` other than 'mean'.

    Example::

        >>> import torch
        >>> from monai_kd.losses import Term
        >>> term = Term(torch.nn.CrossEntropyLoss(), ["student", "label"], where="labeled")
        >>> batch = {"label": torch.tensor([0, -1]), "labeled": torch.tensor([True, False])}
        >>> round(float(term({"student": torch.zeros(2, 2), **batch})), 4)
        0.6931
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        inputs: Sequence[str] | Mapping[str, str],
        weight: float = 1.0,
        where: str | None = None,
    ) -> None:
        super().__init__()
        if isinstance(inputs, str) or not inputs:
            raise ConfigError(f"inputs must be a list or mapping of names, got {inputs!r}", where="Term")
        if not callable(loss):
            raise ConfigError(f"the loss must be callable, got {type(loss).__name__}", where="Term")
        self.loss = loss
        self.keywords = tuple(inputs) if isinstance(inputs, Mapping) else None
        self.names = tuple(inputs.values()) if isinstance(inputs, Mapping) else tuple(inputs)
        self.weight = float(weight)
        self.where = where

    def needs(self) -> set[str]:
        """The names this term reads."""
        return {*self.names, *([self.where] if self.where else [])}

    def get_extra_state(self) -> dict[str, float]:
        """The weight, which schedules move."""
        return {"weight": self.weight}

    def set_extra_state(self, state: Mapping[str, float]) -> None:
        """Take up the weight where it was."""
        self.weight = float(state["weight"])

    def forward(self, knowledge: Mapping[str, Tensor]) -> Tensor:
        """Compare, without the weight.

        Args:
            knowledge: tensors by name; rows first.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the tensors do not fit the loss, the mask is not one boolean per row.
            ClassMismatchError: a loss that would broadcast is given different numbers of classes.
            ConfigError: there is a mask, and nothing of what is compared is floating.
        """
        tensors = [to_float(knowledge[name]) for name in self.names]
        relational = is_distributed() and getattr(self.loss, "relational", False)
        joint = is_distributed() and not relational
        count = None
        if self.where is not None:
            tensors, count = self._select(tensors, knowledge[self.where])
        if relational:
            tensors = [gather_rows(t) for t in tensors]
            count = tensors[0].shape[0]
        if count == 0:
            zero = connected_zero(*(t for t in tensors if t.is_floating_point()))
            return joint_mean(zero, 0.0) if joint else zero
        refuse_to_broadcast(self.loss, tensors)
        parts: tuple[Tensor, Tensor | int] | None = mean_parts(self.loss, tensors, self.keywords) if joint else None
        if parts is None:
            value = self._compare(tensors)
            value = value.mean() if value.ndim else value
            if not joint or count is None:
                return value
            parts = value * count, count
        return joint_mean(*parts)

    def _select(self, tensors: list[Tensor], where: Tensor) -> tuple[list[Tensor], int]:
        column = where.ndim > 0 and where.numel() == len(where)  # [N] or [N, 1]
        for name, tensor in zip(self.names, tensors, strict=True):
            if not column or tensor.shape[:1] != where.shape[:1]:
                raise ShapeMismatchError(
                    f"{tuple(where.shape)} does not select among the rows of {name!r} {tuple(tensor.shape)}",
                    where=f"where: {self.where!r}",
                    fix="where must be one boolean per sample",
                )
        if not any(t.is_floating_point() for t in tensors):
            raise ConfigError(
                f"none of {', '.join(map(repr, self.names))} is floating",
                where=f"where: {self.where!r}",
                why="where no row is selected, the zero must stay connected to something",
                fix="give the student's answer, not its classes",
            )
        rows = where.reshape(-1).bool()
        count = int(rows.sum())
        return (tensors if count == len(rows) else [t[rows] for t in tensors]), count

    def _compare(self, tensors: list[Tensor]) -> Tensor:
        if self.keywords is None:
            return self.loss(*tensors)
        return self.loss(**dict(zip(self.keywords, tensors, strict=True)))

    def describe(self, error: DistillationError, name: str) -> DistillationError:
        """Say in which term, between which names, `error` happened."""
        return error.at(f"term {name!r} ({', '.join(self.names)})")

    def extra_repr(self) -> str:
        where = f", where={self.where!r}" if self.where else ""
        return f"inputs={list(self.names)}, weight={self.weight:g}{where}"
