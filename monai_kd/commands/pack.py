# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

import monai_kd
from monai_kd.commands.composition import Composition, config_files, importable, in_bundle, merge
from monai_kd.commands.plain import foreign, strings
from monai_kd.commands.reached import reached
from monai_kd.networks.weights import read_weights
from monai_kd.utils import write_state
from monai_kd.utils.checksums import file_sha256
from monai_kd.utils.errors import ConfigError
from monai_kd.utils.preprocessing import PLACES, differences, read_preprocessing

__all__ = ["pack"]

_NOT_FOLLOWED = {"bundle_root", "checkpoint", "dataset_dir", "device", "output_dir"}
_CARRIED = ("LICENSE", "docs", "scripts", "configs/logging.conf")


def pack(composed: Composition, out: str | os.PathLike) -> Path:
    """Write a bundle and what is laid over it as one bundle that needs no file of monai_kd, all in JSON.

    Its `train.json` is the bundle's with the recipe in it, and `train_teacher.json` or `train_alone.json` are the
    bundle's own, each with all that it needs. `metadata.json` says by which recipe, from which paper and from which
    teacher, by checksum. The student's files `models/model.*` come along if there are any, the teacher never does;
    `model.pt` once more as `model.safetensors`, with its checksum beside it.

    Args:
        composed: a bundle's training and what is laid over it. A setting (a number, a text, a list of them) that is
            laid over the training reaches `inference`, too, where its preprocessing, network or inferer reads it.
        out: the folder to write; it appears when it is complete.

    Raises:
        ConfigError: `out` holds something; what is laid over the bundle is no recipe, or one that publishes another
            network than the plain student; `inference` names other classes than MONAI's and torch's, would build
            another network than `train`, or prepares images otherwise; a file has no equal in JSON.
        CheckpointError: the student's weights cannot be read, are not what their checksum says, or are no tensors.
    """
    out = Path(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ConfigError("is not empty", where=str(out), fix="pack into a new folder")
    if composed.options:
        raise ConfigError("is for running, not for packing", where=", ".join(f"--{key}" for key in composed.options))
    if not composed.info.get("id"):
        raise ConfigError("has no `recipe:` block", where=str(composed.recipe.path), fix="pack takes a recipe")
    if composed.info.get("rebuilds"):
        why = "the network it publishes is not the plain student that `inference` builds"
        raise ConfigError(
            "cannot be packed", where=composed.recipe.id, why=why, fix="export the network to TorchScript"
        )
    for stem in ("metadata", "inference"):
        in_bundle(composed.bundle, stem)
    configs = {"train": composed.merged()}
    for file in config_files(composed.bundle):
        if file.stem.startswith("train_"):
            configs[file.stem] = merge([composed.files[0], file])
        elif file.stem != "train":
            configs[file.stem] = ConfigParser.load_config_file(file)
    for stem, config in configs.items():
        _check_alone(stem, config)
    over = {**_settings(composed, configs), **composed.published}
    configs["inference"] = merge([in_bundle(composed.bundle, "inference")], over)
    with importable(composed.bundle):
        _check_preprocessing(composed, configs)
        _check_inference(composed, configs)
        teachers = _teachers(composed, configs)
    configs["metadata"] = _described(configs["metadata"], composed, teachers)
    texts = {stem: _as_json(stem, config) for stem, config in configs.items()}

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        build = Path(scratch) / "bundle"
        (build / "configs").mkdir(parents=True)
        for stem, text in texts.items():
            (build / "configs" / f"{stem}.json").write_text(text, encoding="utf-8")
        _carry(composed.bundle, build, set(teachers.values()))
        if out.is_dir():
            out.rmdir()
        os.replace(build, out)
    return out


def _described(metadata: dict[str, Any], composed: Composition, teachers: dict[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = {key: composed.info[key] for key in ("title", "paper", "doi") if key in composed.info}
    block = {"recipe": composed.recipe.id, **told}
    if teachers:
        block["teacher"] = [{"file": name, "sha256": digest} for name, digest in teachers.items()]
    required = {**metadata.get("required_packages_version", {}), "monai-kd": monai_kd.__version__}
    return {**metadata, "required_packages_version": required, "distillation": block}


def _teachers(composed: Composition, configs: dict[str, Any]) -> dict[str, str]:
    """Names and checksums of the weights that the training reads as a teacher's, of those that are there."""
    root, found = composed.bundle.resolve(), {}
    parser = _parser(configs, "train", root)
    for key in sorted({"teacher_checkpoint", "teacher_checkpoints"} & reached(configs["train"])):
        value = parser.get_parsed_content(key)
        for path in map(Path, [value] if isinstance(value, (str, os.PathLike)) else value):
            if path.is_file():
                inside = path.resolve().is_relative_to(root)
                found[path.resolve().relative_to(root).as_posix() if inside else path.name] = file_sha256(path)
    return found


def _parser(configs: dict[str, Any], stem: str, root: Path) -> ConfigParser:
    return ConfigParser({**copy.deepcopy(configs[stem]), "bundle_root": str(root), "_meta_": configs["metadata"]})


def _check_alone(stem: str, config: dict[str, Any]) -> None:
    for key, text in strings(config):
        if text.startswith("%") and ConfigParser.split_path_id(text[1:])[0]:
            fix = "write the value itself there"
            raise ConfigError(f"reads another file, {text!r}", where=f"{stem}, {key}", fix=fix)


def _check_inference(composed: Composition, configs: dict[str, Any]) -> None:
    where = f"{composed.bundle}, inference"
    others = foreign(configs["inference"])
    if others:
        what = f"names more than MONAI and torch: {', '.join(others)}"
        raise ConfigError(what, where=where, why="a published student must load where monai_kd is not installed")
    parameters = []
    for stem in ("train", "inference"):
        parser = _parser(configs, stem, composed.bundle.resolve())
        if "torch.jit.load" in str(configs[stem].get("network_def")):  # what training exports, if it has
            if not Path(parser.get_parsed_content("checkpoint")).is_file():
                return
        network = parser.get_parsed_content("network_def")
        parameters.append({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})
    if parameters[0] != parameters[1]:
        differ = sorted(dict(parameters[0].items() ^ parameters[1].items()))
        why = f"{len(differ)} tensors differ, the first is {differ[0]!r}"
        fix = "give inference the network_def that train has, as --inference::network_def::KEY VALUE"
        raise ConfigError("builds another network than train", where=where, why=why, fix=fix)


def _settings(composed: Composition, configs: dict[str, Any]) -> dict[str, Any]:
    """What is laid over the training and read by inference under the same name: numbers, texts, lists of them."""
    before, train, inference = ConfigParser.load_config_file(composed.files[0]), configs["train"], configs["inference"]
    read = reached(inference, ("preprocessing", "network_def", "inferer")) - _NOT_FOLLOWED
    same = [key for key in before.keys() & inference.keys() & read if before[key] == inference[key]]
    return {key: train[key] for key in sorted(same) if train.get(key) != before[key] and _is_setting(train[key])}


def _is_setting(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_setting, value))
    return isinstance(value, (int, float)) or (isinstance(value, str) and value[:1] not in ("$", "@", "%"))


def _check_preprocessing(composed: Composition, configs: dict[str, Any]) -> None:
    steps = []
    for stem in ("train", "inference"):
        parser = _parser(configs, stem, composed.bundle.resolve())
        parser.resolve_macro_and_relative_ids()
        if not any(place in parser for place in PLACES):
            return
        steps.append(read_preprocessing(parser))
    found = differences(*steps, names=("training", "inference"), as_written=False)
    what, why = "prepares images otherwise than train", "; ".join(found)
    if found and not any(key.startswith("preprocessing") for key in composed.published):
        fix = (
            "lay over inference what is to be: --inference::preprocessing::transforms, or ::KEY VALUE of what it reads"
        )
        raise ConfigError(what, where=f"{composed.bundle}, inference", why=why, fix=fix)
    if found:
        warnings.warn(f"{composed.bundle}, inference: {what}, as was asked for: {why}", stacklevel=3)


def _as_json(stem: str, config: dict[str, Any]) -> str:
    why = "keys must be text"
    try:
        text = json.dumps(config, indent=4, allow_nan=False) + "\n"
        if json.loads(text) == config:
            return text
    except (TypeError, ValueError) as error:
        why = str(error)
    raise ConfigError("has no equal in JSON", where=f"{stem} of the bundle, or what is laid over it", why=why)


def _carry(bundle: Path, build: Path, teachers: set[str]) -> None:
    for name in _CARRIED:
        if (bundle / name).is_dir():
            shutil.copytree(bundle / name, build / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (bundle / name).is_file():
            shutil.copy(bundle / name, build / name)
    for file in sorted((bundle / "models").glob("model.*")):
        if file_sha256(file) in teachers:
            raise ConfigError("is the teacher", where=str(file), fix="models/ is for the student; train it first")
        (build / "models").mkdir(exist_ok=True)
        shutil.copy(file, build / "models")
    student = bundle / "models" / "model.pt"
    if student.is_file():
        write_state(build / "models" / "model.safetensors", read_weights(student))
