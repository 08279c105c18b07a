# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from monai_kd.losses.term import Term
from monai_kd.utils import ConfigError, DistillationError, UnknownNameError, connected_zero, suggest
from monai_kd.utils.arguments import check_arguments

__all__ = ["Objective"]

Weighting = Callable[[dict[str, Tensor], Mapping[str, Tensor]], Mapping[str, "Tensor | float"]]


class Objective(nn.Module):
    """The weighted sum of terms over the knowledge: the `loss_function` of a `DistillationTrainer`.

    .. math:: L = \\sum_k w_k \\, f_k \\, L_k

    with w_k the weight of term k and f_k the factor of `weighting` (1 without it). Autocast is off inside, and half
    precision is brought to float32, whatever the losses do.

    Args:
        terms: {name: term}; a plain mapping becomes `Term(**mapping)`, None is dropped.
        weighting: `weighting(losses, knowledge)` gives factors by term name (missing: 1), as by gradient agreement.

    After each call `values` and `weighted` hold each term's value of that step (detached, on the device), and `empty`
    counts the calls in which no term was active.

    Raises:
        ConfigError: there is no term.
        UnknownNameError: a mapping has a key that `Term` does not take.

    Example::

        >>> import torch
        >>> from monai_kd.losses import KDLoss, Objective
        >>> objective = Objective({
        ...     "label": {"loss": torch.nn.CrossEntropyLoss(), "inputs": ["student", "label"]},
        ...     "kd": {"loss": KDLoss(temperature=4), "inputs": ["student", "teacher"], "weight": 0.9},
        ... })
        >>> knowledge = {"student": torch.zeros(2, 3), "teacher": torch.zeros(2, 3)}
        >>> total = objective(knowledge, {"label": torch.tensor([0, 1])})
        >>> {name: round(float(value), 4) for name, value in objective.values.items()}
        {'label': 1.0986, 'kd': 0.0}
    """

    def __init__(self, terms: Mapping[str, Term | Mapping | None], weighting: Weighting | None = None) -> None:
        super().__init__()
        kept = {name: t if isinstance(t, Term) else _term(name, t) for name, t in terms.items() if t is not None}
        if not kept:
            raise ConfigError("no terms", where="Objective", fix="give at least one term that is not None")
        self.terms = nn.ModuleDict(kept)
        self.weighting = weighting
        self.values: dict[str, Tensor] = {}
        self.weighted: dict[str, Tensor] = {}
        self.empty = 0

    def term(self, name: str) -> Term:
        """The term called `name`.

        Raises:
            UnknownNameError: there is none; lists those there are.
        """
        if name not in self.terms:
            raise UnknownNameError(f"no term {name!r}", where="Objective", fix=suggest(name, self.terms, "terms"))
        return self.terms[name]  # type: ignore[return-value]

    def active(self) -> dict[str, Term]:
        """The terms whose weight is not 0."""
        return {name: term for name, term in self.terms.items() if term.weight != 0}  # type: ignore[misc]

    def needs(self) -> set[str]:
        """The names that the active terms read."""
        return set().union(*(term.needs() for term in self.active().values()))

    def names(self) -> set[str]:
        """The names that any term reads, active or not."""
        return set().union(*(term.needs() for term in self.terms.values()))  # type: ignore[operator]

    def forward(self, knowledge: Mapping[str, Tensor], batch: Mapping[str, Tensor] | None = None) -> Tensor:
        """Sum the terms.

        Args:
            knowledge: what the inferer returned.
            batch: batch keys, such as the label; the knowledge goes first.

        Returns:
            A scalar with a graph.

        Raises:
            DistillationError: as the terms raise, with the term's name and inputs put before.
        """
        known = {**(batch or {}), **knowledge}
        losses: dict[str, Tensor] = {}
        active = self.active()
        device = next((t.device.type for t in knowledge.values() if isinstance(t, Tensor)), "cpu")
        with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext():
            for name, term in active.items():
                if missing := term.needs() - known.keys():
                    asked = min(missing)
                    raise UnknownNameError(f"no {asked!r}", where=f"term {name!r}", fix=suggest(asked, known, "names"))
                try:
                    losses[name] = term(known)
                except DistillationError as error:
                    raise term.describe(error, name) from error
            factors = self.weighting(losses, known) if self.weighting else {}
            weighted = {k: _scaled(v, active[k].weight, factors.get(k)) for k, v in losses.items()}
            self.values = {k: v.detach() for k, v in losses.items()}
            self.weighted = {k: self.values[k] if v is losses[k] else v.detach() for k, v in weighted.items()}
            if weighted:
                return reduce(add, weighted.values())
            self.empty += 1
            return connected_zero(*(t for t in knowledge.values() if t.is_floating_point()))


def _term(name: str, given: Mapping) -> Term:
    check_arguments(Term, given, where=f"term {name!r}")
    return Term(**given)


def _scaled(value: Tensor, weight: float, factor: Tensor | float | None) -> Tensor:
    value = value if weight == 1 else value * weight
    return value if factor is None else value * factor
