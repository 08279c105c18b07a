# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "CheckpointWriteError",
    "ClassMismatchError",
    "ConfigError",
    "DataError",
    "DistillationError",
    "NonFiniteError",
    "ShapeMismatchError",
    "TapError",
    "TeacherChangedError",
    "UnknownLayerError",
    "UnknownNameError",
    "suggest",
]


class DistillationError(ValueError):
    """What went wrong, where, why, and how to mend it: the family of every error monai_kd raises on bad input.

    Args:
        what: what is wrong, one clause.
        where: the culprit: file, layer, key, label, term or pass.
        why: the cause, if it is known.
        fix: what to do about it.

    Example::

        >>> from monai_kd.utils.errors import DistillationError
        >>> str(DistillationError("no such layer", where="pass 'student'", fix="layers: conv, fc"))
        "pass 'student': no such layer. layers: conv, fc"
    """

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        self.what, self.where, self.why, self.fix = what, where, why, fix
        super().__init__(what, where, why, fix)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return ". ".join(part.rstrip(".") for part in (head, self.why, self.fix) if part)

    def __reduce__(self) -> tuple:
        return _rebuild, (type(self), self.what, self.where, self.why, self.fix)

    def at(self, where: str) -> DistillationError:
        """Return the same error with `where` put before what is already known of the place."""
        return type(self)(
            self.what, where=f"{where}, {self.where}" if self.where else where, why=self.why, fix=self.fix
        )


def _rebuild(kind: type[DistillationError], what: str, where: str, why: str, fix: str) -> DistillationError:
    return kind(what, where=where, why=why, fix=fix)


class UnknownNameError(DistillationError):
    """A name of the knowledge, a term, a recipe or a configuration key that does not exist."""


class UnknownLayerError(DistillationError):
    """A tap on a layer the network does not have."""


class ClassMismatchError(DistillationError):
    """Student and teacher answer with different numbers of classes."""


class ShapeMismatchError(DistillationError):
    """Two tensors that a loss compares differ in shape."""


class TapError(DistillationError):
    """A tap that fired twice, never, or whose tensor was overwritten in place."""


class ConfigError(DistillationError):
    """Parts that do not fit together: a pass, an optimiser, a bundle, an option."""


class CheckpointError(DistillationError):
    """A file of weights that is missing, partial, or of another network."""


class CheckpointWriteError(CheckpointError):
    """A file that cannot be written: the disk is full or read-only; the file that was there is as it was."""


class NonFiniteError(DistillationError):
    """A loss or weights that are nan or infinite."""


class TeacherChangedError(DistillationError):
    """A frozen teacher is not what it was when the run started."""


class DataError(DistillationError):
    """A data list, an image or a label that cannot be used."""


def suggest(name: str, choices: Iterable[str], kind: str, limit: int = 10) -> str:
    """Say which of `choices` is nearest to `name`, then list them (at most `limit`).

    Args:
        name: what was asked for.
        choices: what there is.
        kind: what the choices are called, in the plural ("layers").
        limit: how many to list.

    Example::

        >>> from monai_kd.utils.errors import suggest
        >>> suggest("layr1", ["layer1", "fc"], "layers")
        "did you mean 'layer1'? layers: 'layer1', 'fc'"
    """
    names = [c for c in choices if c]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    listed = near + [c for c in names if c not in near]
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return f"{hint}{kind}: {', '.join(map(repr, listed[:limit])) or 'none'}{more}"
