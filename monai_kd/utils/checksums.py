# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of files, and the files of them that `sha256sum` writes and checks."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from monai_kd.utils.atomic import replacing
from monai_kd.utils.errors import CheckpointError, DataError

__all__ = ["check_sum", "file_sha256", "read_sums", "sum_beside", "write_sums"]

_LINE = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)")
_ESCAPED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_MEANT = {escaped: letter for letter, escaped in _ESCAPED.items()}


def file_sha256(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's bytes, as `sha256sum` prints it.

    Args:
        path: the file.

    Example::

        >>> import tempfile
        >>> from monai_kd.utils.checksums import file_sha256
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     file_sha256(file.name)[:16]
        'e3b0c44298fc1c14'
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sum_beside(path: str | os.PathLike) -> Path:
    """Where the checksum of a file lies: `NAME.sha256` beside it.

    Args:
        path: the file.

    Example::

        >>> from monai_kd.utils.checksums import sum_beside
        >>> sum_beside("models/model.pt").name
        'model.pt.sha256'
    """
    return Path(path).with_name(f"{Path(path).name}.sha256")


def check_sum(path: str | os.PathLike, required: bool = False) -> None:
    """Compare a file of weights with the checksum beside it, the first word of `NAME.sha256`.

    Args:
        path: the file.
        required: whether there must be a checksum; otherwise a file without one passes.

    Raises:
        CheckpointError: there is none, or the file is another.

    Example::

        >>> import tempfile
        >>> from pathlib import Path
        >>> from monai_kd.utils.checksums import check_sum, file_sha256, sum_beside, write_sums
        >>> path = Path(tempfile.mkdtemp()) / "model.pt"
        >>> length = path.write_bytes(b"weights")
        >>> write_sums(sum_beside(path), {path.name: file_sha256(path)})
        >>> check_sum(path)
        >>> length = path.write_bytes(b"Weights")
        >>> check_sum(path)
        Traceback (most recent call last):
        monai_kd.utils.errors.CheckpointError: ...model.pt: is not what its checksum says. ...
    """
    beside, name = sum_beside(path), Path(path).name
    if not beside.is_file():
        if required:
            fix = f"ask for {beside.name}; of weights of your own: sha256sum {name} > {beside.name}"
            raise CheckpointError("has no checksum beside it", where=str(path), fix=fix)
        return
    told = beside.read_text(encoding="utf-8", errors="replace").lower().lstrip("\\").split()
    if told[:1] != [file_sha256(path)]:
        why = f"it or {beside.name} was damaged or replaced"
        fix = f"fetch both again; only if the file is as you made it: sha256sum {name} > {beside.name}"
        raise CheckpointError("is not what its checksum says", where=str(path), why=why, fix=fix)


def write_sums(path: str | os.PathLike, sums: Mapping[str, str]) -> None:
    """Write checksums by name, a line each, as `sha256sum` does: whole, or the file is as it was.

    Args:
        path: the file; `sha256sum -c` checks it, where the names lead from.
        sums: {name: SHA-256}.

    Raises:
        CheckpointWriteError: the disk is full, or the folder cannot be written to.
    """
    lines = []
    for name, value in sums.items():
        escaped = "".join(_ESCAPED.get(letter, letter) for letter in name)
        lines.append(f"{'' if escaped == name else chr(92)}{value}  {escaped}\n")
    text = "".join(lines)
    with replacing(path, len(text)) as beside:
        beside.write_text(text, encoding="utf-8", errors="surrogateescape", newline="\n")


def read_sums(path: str | os.PathLike) -> dict[str, str]:
    """Read checksums by name, as :func:`write_sums` or `sha256sum` wrote them.

    Args:
        path: the file.

    Raises:
        DataError: a line is none, or two are of one name; names the line.

    Example::

        >>> import tempfile
        >>> from monai_kd.utils.checksums import read_sums, write_sums
        >>> path = tempfile.mkdtemp() + "/sums"
        >>> write_sums(path, {"a.nii": 64 * "0"})
        >>> list(read_sums(path))
        ['a.nii']
    """
    sums: dict[str, str] = {}
    text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    for number, line in enumerate(text.split("\n")[: -1 if text.endswith("\n") else None], 1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise DataError("is no checksum", where=f"{path}, line {number}", fix="as of sha256sum: the sum, the name")
        name = re.sub(r"\\[\\nr]", lambda match: _MEANT[match[0]], found[3]) if found[1] else found[3]
        if name in sums:
            raise DataError(f"names {name!r} a second time", where=f"{path}, line {number}")
        sums[name] = found[2].lower()
    return sums
