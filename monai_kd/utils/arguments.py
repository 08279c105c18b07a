# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from monai_kd.utils.errors import UnknownNameError, suggest

__all__ = ["check_arguments"]


def check_arguments(target: Any, names: Iterable[str], where: str) -> None:
    """Refuse a name that a callable has no argument of; one that takes `**kwargs`, or does not tell, takes all.

    Args:
        target: a class or a function.
        names: of the arguments that it is to be given.
        where: what is said to be wrong.

    Raises:
        UnknownNameError: it has no such argument; names the nearest.

    Example::

        >>> from monai_kd.losses import KDLoss
        >>> from monai_kd.utils.arguments import check_arguments
        >>> check_arguments(KDLoss, ["temprature"], where="kd_loss")
        Traceback (most recent call last):
        ...
        monai_kd.utils.errors.UnknownNameError: kd_loss: KDLoss has no argument 'temprature'. did you mean ...
    """
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # no callable, or written in C
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in names:
        if name not in known:
            what = f"{getattr(target, '__name__', target)} has no argument {name!r}"
            raise UnknownNameError(what, where=where, fix=suggest(name, known, "arguments", limit=20))
