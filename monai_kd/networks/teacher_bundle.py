# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import warnings
from pathlib import Path

from monai.bundle import ConfigParser
from torch import nn

from monai_kd.networks.teacher import Teacher
from monai_kd.networks.weights import load_weights
from monai_kd.utils import ConfigError, suggest
from monai_kd.utils.bundle import apart, read_bundle
from monai_kd.utils.preprocessing import differences, read_preprocessing

__all__ = ["bundle_network", "load_teacher_bundle", "warn_prepared_otherwise"]


def bundle_network(folder: str | os.PathLike, network: str = "network_def") -> nn.Module:
    """Build the network of a MONAI bundle, without its weights.

    From `configs/inference`, or else `configs/train`. The bundle's own `scripts` are found, and do not get in the way
    of another bundle's. Building runs what the configuration says, as MONAI does: take bundles you trust.

    Args:
        folder: the bundle's folder.
        network: the key of the network.

    Raises:
        ConfigError: no such configuration or key, or what is there is no network.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError("no such folder", where=str(folder), fix="a bundle is a folder with configs and models")
    parser = read_bundle(folder)
    if network not in parser:
        raise ConfigError(
            f"has no {network!r}", where=str(folder), fix=suggest(network, map(str, parser.get()), "keys")
        )
    with apart(folder):
        built = parser.get_parsed_content(network)
    if not isinstance(built, nn.Module):
        raise ConfigError(f"{network!r} is a {type(built).__name__}, not a network", where=str(folder))
    return built


def load_teacher_bundle(
    folder: str | os.PathLike,
    student: str | os.PathLike | None = None,
    network: str = "network_def",
    checkpoint: str = "models/model.pt",
) -> Teacher:
    """Make the network that a MONAI bundle publishes a teacher: of the model zoo, or of one's own.

    The network comes from :func:`bundle_network`, with all its weights.

    A teacher expects images as it was trained on. Where the student's bundle brings them to another spacing,
    orientation, range of values or size, a warning names each difference.

    Args:
        folder: the bundle's folder.
        student: the folder of the student's bundle, to compare what both do to an image; None does not.
        network: the key of the network.
        checkpoint: the file of weights, below the folder.

    Raises:
        ConfigError: no such configuration or key, or what is there is no network.
        CheckpointError: the weights are missing, or of another network.

    Example::

        >>> import json, pathlib, tempfile, torch
        >>> from monai_kd.networks import load_teacher_bundle
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("configs", "models"):
        ...     (folder / name).mkdir()
        >>> definition = {"network_def": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}}
        >>> written = (folder / "configs" / "inference.json").write_text(json.dumps(definition))
        >>> torch.save(torch.nn.Linear(2, 3).state_dict(), folder / "models" / "model.pt")
        >>> load_teacher_bundle(folder)(torch.ones(1, 2)).shape
        torch.Size([1, 3])
    """
    folder = Path(folder)
    built = bundle_network(folder, network)
    load_weights(built, folder / checkpoint, hint="a bundle's folder holds the weights it was published with")
    if student is not None:
        warn_prepared_otherwise(read_bundle(Path(student)), Path(student), folder)
    return Teacher(built.eval())


def warn_prepared_otherwise(student: ConfigParser, student_folder: Path, teacher_folder: Path) -> None:
    """Warn where student and teacher look at images that were prepared differently.

    Args:
        student: the configuration of the student's bundle.
        student_folder: where its scripts are.
        teacher_folder: the teacher's bundle.
    """
    read = []
    for folder, parser in ((student_folder, student), (teacher_folder, read_bundle(teacher_folder))):
        try:
            with apart(folder):
                read.append(read_preprocessing(parser))
        except ConfigError as error:
            why = error.at(str(folder))
            warnings.warn(f"what student and teacher do to an image is not compared: {why}", stacklevel=3)
            return
    if found := differences(*read):
        what = "the teacher's images were prepared otherwise than the student's are"
        warnings.warn(f"{teacher_folder}: {what}: {'; '.join(found)}", stacklevel=3)
