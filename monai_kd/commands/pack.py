# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

import monai_kd
from monai_kd.commands.plain import foreign, strings
from monai_kd.commands.reached import reached
from monai_kd.commands.workflow import Workflow, config_files, importable, in_bundle
from monai_kd.utils.errors import ConfigError

__all__ = ["pack"]

_CARRIED = ("LICENSE", "docs", "scripts", "configs/logging.conf")


def pack(flow: Workflow, out: str | os.PathLike) -> Path:
    """Write a bundle and what is laid over it as one bundle that needs no file of monai_kd, all in JSON.

    Its `train.json` is the bundle's with the recipe in it; other ways to train (`train_*`) stay behind. `metadata.json`
    says by which recipe, from which paper and from which teacher, by checksum. The student's files `models/model.*`
    come along if there are any, the teacher never does.

    Args:
        flow: a bundle's training and what is laid over it.
        out: the folder to write; it appears when it is complete.

    Raises:
        ConfigError: `out` holds something; what is laid over the bundle is no recipe; `inference` names other classes
            than MONAI's and torch's, or would build another network than `train`; a file has no equal in JSON.
    """
    out = Path(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ConfigError("is not empty", where=str(out), fix="pack into a new folder")
    if flow.options:
        raise ConfigError("is for running, not for packing", where=", ".join(f"--{key}" for key in flow.options))
    for stem in ("metadata", "inference"):
        in_bundle(flow.bundle, stem)
    configs = {"train": flow.merged()}
    for file in config_files(flow.bundle):
        if not file.stem.startswith("train"):
            configs[file.stem] = ConfigParser.load_config_file(file)
    for stem, config in configs.items():
        _check_alone(stem, config)
    _check_inference(flow, configs["inference"])
    teachers = _teachers(flow, configs)
    configs["metadata"] = _described(configs["metadata"], flow, teachers)
    texts = {stem: _as_json(stem, config) for stem, config in configs.items()}

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        build = Path(scratch) / "bundle"
        (build / "configs").mkdir(parents=True)
        for stem, text in texts.items():
            (build / "configs" / f"{stem}.json").write_text(text, encoding="utf-8")
        _carry(flow.bundle, build, set(teachers.values()))
        if out.is_dir():
            out.rmdir()
        os.replace(build, out)
    return out


def _described(metadata: dict[str, Any], flow: Workflow, teachers: dict[str, str]) -> dict[str, Any]:
    info = flow.recipe.config.get("recipe")
    if info is None:
        raise ConfigError("has no `recipe:` block", where=str(flow.recipe.path), fix="pack takes a recipe")
    block: dict[str, Any] = {"recipe": flow.recipe.id, **{k: info[k] for k in ("title", "paper", "doi") if k in info}}
    if teachers:
        block["teacher"] = [{"file": name, "sha256": digest} for name, digest in teachers.items()]
    required = {**metadata.get("required_packages_version", {}), "monai-kd": monai_kd.__version__}
    return {**metadata, "required_packages_version": required, "distillation": block}


def _teachers(flow: Workflow, configs: dict[str, Any]) -> dict[str, str]:
    """Names and checksums of the weights that the training reads as a teacher's, of those that are there."""
    train, root = configs["train"], flow.bundle.resolve()
    parser = ConfigParser({**copy.deepcopy(train), "bundle_root": str(root), "_meta_": configs["metadata"]})
    found: dict[str, str] = {}
    with importable(root):
        for key in sorted({"teacher_checkpoint", "teacher_checkpoints"} & reached(train)):
            value = parser.get_parsed_content(key)
            for path in map(Path, [value] if isinstance(value, (str, os.PathLike)) else value):
                if path.is_file():
                    inside = path.resolve().is_relative_to(root)
                    found[path.resolve().relative_to(root).as_posix() if inside else path.name] = _sha256(path)
    return found


def _check_alone(stem: str, config: dict[str, Any]) -> None:
    for key, text in strings(config):
        if text.startswith("%") and ConfigParser.split_path_id(text[1:])[0]:
            fix = "write the value itself there"
            raise ConfigError(f"reads another file, {text!r}", where=f"{stem}, {key}", fix=fix)


def _check_inference(flow: Workflow, config: dict[str, Any]) -> None:
    others = foreign(config)
    if others:
        what = f"names more than MONAI and torch: {', '.join(others)}"
        why = "a published student must load where monai_kd is not installed"
        raise ConfigError(what, where=f"{flow.bundle}, inference", why=why)
    changed = [file.name for file in flow.files[1:] if _touches_network(ConfigParser.load_config_file(file))]
    if changed or _touches_network(flow.overrides):
        what = "would build another network than train"
        why = f"network_def is changed by {', '.join(changed) or 'the command line'}"
        fix = "change it in the bundle's own train and inference"
        raise ConfigError(what, where=f"{flow.bundle}, inference", why=why, fix=fix)


def _touches_network(config: dict[str, Any]) -> bool:
    return any(key.lstrip("+").replace("#", "::").split("::")[0] == "network_def" for key in config)


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
        if _sha256(file) in teachers:
            raise ConfigError("is the teacher", where=str(file), fix="models/ is for the student; train it first")
        (build / "models").mkdir(exist_ok=True)
        shutil.copy(file, build / "models")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
