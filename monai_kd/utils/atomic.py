# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from monai_kd.utils.errors import CheckpointWriteError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["probe_folder", "replacing", "telling", "try_lock"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WHAT = {errno.EROFS: "read-only", errno.EACCES: "no permission", errno.EPERM: "no permission"}
_BLOCK = 1 << 16


@contextmanager
def replacing(path: str | os.PathLike, size: int = 0, previous: str | os.PathLike | None = None) -> Iterator[Path]:
    """Give the name of a file beside `path` to write; when it is written and on the disk, it takes the place of `path`.

    Whatever happens meanwhile, an error, a kill or a power cut, `path` is whole: as it was, or new. The file beside it
    is removed; one that a killed process left is removed by the next writing of the same file, where files can be
    locked.

    Args:
        path: the file; its folder is made if need be.
        size: bytes that will be written, for the error of a full disk.
        previous: where the file that was there goes; None keeps none.

    Raises:
        CheckpointWriteError: the disk is full, the folder is read-only, or it cannot be written for another reason.

    Example::

        >>> import tempfile
        >>> from monai_kd.utils.atomic import replacing
        >>> path = tempfile.mkdtemp() + "/notes.txt"
        >>> with replacing(path) as beside:
        ...     written = beside.write_text("whole")
        >>> open(path).read()
        'whole'
    """
    path = Path(path)
    with telling(path, size):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        with _beside(path) as file:
            try:
                yield Path(file.name)
            except RuntimeError:  # torch's zip writer does not say why; the operating system does, if asked again
                _append(file)
                raise
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()  # Windows renames no open file
            if previous is not None and path.exists():
                _keep(path, Path(previous))
            os.replace(file.name, path)
        _sync_folder(path.parent)


def probe_folder(folder: str | os.PathLike) -> None:
    """Write a small file to `folder` and remove it, so that what cannot be written is known before hours of training.

    Args:
        folder: made if need be.

    Raises:
        CheckpointWriteError: as `replacing`; names the folder.

    Example::

        >>> import os, tempfile
        >>> from monai_kd.utils.atomic import probe_folder
        >>> folder = tempfile.mkdtemp()
        >>> probe_folder(folder); os.listdir(folder)
        []
    """
    with telling(folder, 2 * _BLOCK):
        Path(folder).mkdir(parents=True, exist_ok=True)
        _remove_leftovers(Path(folder) / "probe")
        with _beside(Path(folder) / "probe") as file:
            _append(file)


@contextmanager
def telling(path: str | os.PathLike, size: int = 0) -> Iterator[None]:
    """Raise what the operating system refuses as an error that says what it is, of which file, and what to do.

    Args:
        path: what is written.
        size: bytes that it takes.

    Raises:
        CheckpointWriteError: instead of an OSError that has a number.

    Example::

        >>> from monai_kd.utils.atomic import telling
        >>> with telling("output/model.pt"):
        ...     raise OSError(30, "Read-only file system")
        Traceback (most recent call last):
        monai_kd.utils.errors.CheckpointWriteError: output/model.pt: read-only. Read-only file system. ...
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        what = _WHAT.get(error.errno, "cannot be written")
        fix = "choose a folder that can be written"
        if error.errno in _FULL:
            what = f"disk full: needs {-(-size // 10**5) / 10} MB, {_free(Path(path)) // 10**5 / 10} MB free"
            fix = "free some space, or choose another folder"
        raise CheckpointWriteError(what, where=str(path), why=os.strerror(error.errno), fix=fix) from error


def try_lock(file: BinaryIO) -> bool:
    """Lock an open file for this process without waiting; the kernel unlocks it when the process ends, however it does.

    Args:
        file: open for writing; closing it unlocks it.

    Returns:
        False if another process, or another opening of the file, holds it.

    Raises:
        OSError: nothing can be locked here.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, "this system has no flock")
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _beside(path: Path) -> Iterator[BinaryIO]:
    """A new file in the same folder, with the permissions the umask leaves; locked, so that no other removes it."""
    with open(_temporary(path), "xb", buffering=0) as file:
        try:
            with suppress(OSError):  # a file system without locks
                try_lock(file)
            yield file
        finally:
            file.close()
            Path(file.name).unlink(missing_ok=True)


def _append(file: BinaryIO) -> None:
    """Add bytes that nobody needs, so that the operating system says why it takes none."""
    file.seek(0, os.SEEK_END)
    for _ in range(2):  # of the first a part may still fit
        file.write(bytes(_BLOCK))
    os.fsync(file.fileno())


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _remove_leftovers(path: Path) -> None:
    """Remove what killed processes left beside `path`: what can be locked has lost its process."""
    pattern = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{8}\.tmp")
    for rest in [p for p in path.parent.iterdir() if pattern.fullmatch(p.name)]:
        with suppress(OSError), open(rest, "r+b") as file:  # gone meanwhile, another user's, or no locks here
            if try_lock(file):
                rest.unlink()


def _keep(path: Path, previous: Path) -> None:
    """Let `previous` be what `path` is; at every instant one of them is whole."""
    spare = _temporary(path)
    try:
        os.link(path, spare)
        os.replace(spare, previous)
    except OSError:  # a file system without hard links
        os.replace(path, previous)
    finally:
        spare.unlink(missing_ok=True)  # renaming does nothing if both are one file already


def _sync_folder(folder: Path) -> None:
    if fcntl is None:
        return  # Windows opens no folder
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that knows no such thing
            raise
    finally:
        os.close(opened)


def _free(path: Path) -> int:
    there = next((p for p in (path, *path.absolute().parents) if p.exists()), Path("/"))
    return shutil.disk_usage(there).free
