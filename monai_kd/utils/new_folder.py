# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monai_kd.utils.errors import DataError

__all__ = ["new_folder"]


@contextmanager
def new_folder(folder: str | os.PathLike) -> Iterator[Path]:
    """Give a folder beside to fill; when that is done it takes the place of `folder`, which is whole or not there.

    Args:
        folder: new or empty; its parent is made if need be.

    Raises:
        DataError: it holds something.

    Example::

        >>> import os, tempfile
        >>> from monai_kd.utils.new_folder import new_folder
        >>> folder = tempfile.mkdtemp() + "/data"
        >>> with new_folder(folder) as beside:
        ...     written = (beside / "dataset.json").write_text("{}")
        >>> os.listdir(folder)
        ['dataset.json']
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError("is not empty", where=str(folder), fix="give a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        if folder.is_dir():
            folder.rmdir()
        os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
