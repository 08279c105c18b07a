# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import re
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from monai_kd.utils.errors import DataError

__all__ = ["extract", "safe_name"]

_BLOCK = 1 << 20
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class _Member(NamedTuple):
    name: str
    opened: IO[bytes] | None
    """None of a folder."""


def extract(
    archive: str | os.PathLike, folder: str | os.PathLike, max_bytes: int = 1 << 34, max_ratio: float = 100
) -> list[Path]:
    """Unpack a zip or tar of somebody else's into a folder, and nothing of it anywhere else.

    What is refused is refused before it is written, and what was written before that is taken away again.

    Args:
        archive: the file.
        folder: where to; made if need be. What is there already is not written over.
        max_bytes: most bytes of all files together, counted while they are written, whatever the archive says.
        max_ratio: most bytes for each byte of the archive; a megabyte is never too much.

    Returns:
        The files, in the order of the archive.

    Raises:
        DataError: the archive cannot be read, is too large, or holds an absolute path, one that leads out of the
            folder, a link, a device, or the name of a file that is there; names the member.

    Example::

        >>> import tempfile, zipfile
        >>> from pathlib import Path
        >>> from monai_kd.utils.archives import extract
        >>> folder = Path(tempfile.mkdtemp())
        >>> with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        ...     archive.writestr("scans/1.txt", "one")
        >>> [path.name for path in extract(folder / "a.zip", folder / "out")]
        ['1.txt']
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise DataError("no such file", where=str(archive))
    size, written = archive.stat().st_size, 0
    most = min(max_bytes, max(_BLOCK, int(max_ratio * size)))
    folder.parent.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        try:
            for member in _members(archive):
                where = f"{archive}, {member.name!r}"
                path = Path(scratch, _inside(member.name, where))
                if member.opened is None:
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.exists() or os.path.lexists(folder / path.relative_to(scratch)):
                    raise DataError("is there already", where=where, fix="unpack into a new folder")
                with member.opened, path.open("xb") as file:
                    while block := member.opened.read(_BLOCK):
                        written += len(block)
                        if written > most:
                            why = f"more than {most} bytes from {size}"
                            raise DataError("is too large", where=where, why=why, fix="is it meant to fill the disk?")
                        file.write(block)
                paths.append(path.relative_to(scratch))
        except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, OSError, NotImplementedError) as error:
            why = f"{type(error).__name__}: {error}"
            raise DataError("cannot be unpacked", where=str(archive), why=why, fix="fetch it again") from error
        for relative in paths:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            os.replace(Path(scratch, relative), folder / relative)
    folder.mkdir(exist_ok=True)
    return [folder / relative for relative in paths]


def _members(archive: Path) -> Iterator[_Member]:
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            for info in tar:
                where = f"{archive}, {info.name!r}"
                if not info.isreg() and not info.isdir():
                    raise DataError("is a link or a device, not a file", where=where, fix="ask for the files")
                try:
                    tarfile.data_filter(info, str(archive.parent.resolve()))
                except tarfile.FilterError as error:
                    raise DataError("leads out of the folder", where=where, why=str(error)) from error
                yield _Member(info.name, tar.extractfile(info))
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                mode, where = entry.external_attr >> 16, f"{archive}, {entry.filename!r}"
                if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise DataError("is a link or a device, not a file", where=where, fix="ask for the files")
                yield _Member(entry.orig_filename, None if entry.is_dir() else packed.open(entry))
    else:
        raise DataError("is neither a zip nor a tar", where=str(archive))


def _inside(name: str, where: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.search(r"[\\\x00-\x1f]|^[A-Za-z]:", name):
        raise DataError("leads out of the folder", where=where, fix="do not use this archive")
    return path


def safe_name(text: str, longest: int = 100) -> str:
    """Make the name of a file of a text that somebody else wrote, such as a DICOM header: letters, digits, `. _ -`.

    Args:
        text: anything.
        longest: most characters; the ending stays.

    Example::

        >>> from monai_kd.utils.archives import safe_name
        >>> safe_name("../../etc/passwd"), safe_name("T1 axial.dcm"), safe_name("..")
        ('passwd', 'T1_axial.dcm', 'unnamed')
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFKC", text).rstrip("/\\ "))[-1]
    name = re.sub(r"[^\w.-]+", "_", last, flags=re.ASCII).strip("._- ")
    if not name or _RESERVED.fullmatch(name):
        name = f"unnamed_{name}" if name else "unnamed"
    stem, dot, ending = name.rpartition(".")
    if len(name) > longest and dot and len(ending) < min(10, longest - 1):
        return f"{stem[: longest - len(ending) - 1]}.{ending}"
    return name[:longest]
