# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import importlib.metadata
import platform

from monai.config import get_config_values

__all__ = ["environment"]


def environment() -> dict[str, str]:
    """Return the versions that a result depends on, for the key `environment` of a `run.json`.

    Example::

        >>> from monai_kd.report import environment
        >>> sorted(environment())
        ['MONAI', 'Numpy', 'Python', 'Pytorch', 'machine', 'monai_kd']
    """
    try:
        version = importlib.metadata.version("monai-kd")
    except importlib.metadata.PackageNotFoundError:
        version = "run from a checkout"
    return {
        "monai_kd": version,
        **{name: str(value) for name, value in get_config_values().items()},
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
