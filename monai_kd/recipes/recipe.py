# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from monai_kd.engines import trainable
from monai_kd.inferers import DistillationInferer, Pass
from monai_kd.losses import Objective
from monai_kd.recipes.keys import check_keys
from monai_kd.recipes.needs import how_to_give
from monai_kd.recipes.overlay import lay_over
from monai_kd.recipes.paths import check_paths
from monai_kd.utils import ConfigError, UnknownNameError, suggest

__all__ = ["Distillation", "Recipe", "list_recipes", "load_recipe"]

_FOLDER = Path(__file__).parent

# What a bundle gives a recipe, for a student and a teacher held in Python. `None` where only the caller can know.
_BASE: dict[str, Any] = {
    "imports": ["$import copy", "$import glob", "$import monai_kd", "$import torch"],
    "label_loss": {"_target_": "torch.nn.CrossEntropyLoss"},
    "kd_loss": {"_target_": "monai_kd.losses.KDLoss", "temperature": 4.0},
    "sigmoid": False,
    "labeled_key": None,
    "teacher_keys": "image",
    "privileged_key": "privileged",
    "max_epochs": 100,
    "views": ["image"],
    "views_aligned": True,
    "loading": [],  # the loader is the caller's
    "geometry_keys": [],
    "lr_scheduler": {},  # the optimiser is the caller's
    "initialize": [],
    "passes": {"student": {"keys": "image"}, "teacher": {"keys": "@teacher_keys", "network": "@teacher"}},
    "terms": {
        "label": {"loss": "@label_loss", "inputs": ["student", "label"], "where": "@labeled_key"},
        "kd": {"loss": "@kd_loss", "inputs": ["student", "teacher"]},
    },
    "train": {
        "inferer": {"_target_": "monai_kd.inferers.DistillationInferer", "passes": "@passes"},
        "loss": {"_target_": "monai_kd.losses.Objective", "terms": "@terms"},
        "handlers": [],
        "preprocessing": {},  # the loader and the trainer are the caller's: what a recipe says of them is not read
        "dataset": {},
        "dataloader": {},
        "trainer": {},
    },
}


class Distillation(NamedTuple):
    """A recipe applied to networks: what a `DistillationTrainer` is given."""

    inferer: DistillationInferer
    objective: Objective
    handlers: list
    parameters: list[nn.Parameter]
    """What the optimiser gets: of the student and of every pass that learns."""


class Recipe:
    """A published method: a YAML overlay that turns any fitting bundle, or a pair of networks, into that method.

    Args:
        path: the YAML file; its `recipe:` block says what it is.

    Example::

        >>> import torch, monai_kd
        >>> from monai.networks.nets import resnet10
        >>> make = lambda: resnet10(spatial_dims=2, n_input_channels=1, num_classes=3)
        >>> student, teacher = make(), make()
        >>> method = monai_kd.load_recipe("fitnets")(
        ...     student, teacher, layers={"student": "layer2", "teacher": "layer2"}, example=torch.zeros(2, 1, 32, 32))
        >>> sorted(method.objective.terms)
        ['hint', 'kd', 'label']
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The file's content."""
        return ConfigParser.load_config_file(self.path)

    @property
    def info(self) -> dict[str, Any]:
        """The `recipe:` block: id, title, paper, doi, role, knowledge, scheme, kinds, certainty."""
        return self.config["recipe"]

    @property
    def id(self) -> str:
        """The name of the file without its ending."""
        return self.path.stem

    def __repr__(self) -> str:
        return f"Recipe({self.id!r}: {self.info.get('title')})"

    def __call__(
        self,
        student: nn.Module,
        teacher: nn.Module | None = None,
        *,
        layers: Mapping[str, str | Sequence[str]] | None = None,
        example: Tensor | None = None,
        **values: Any,
    ) -> Distillation:
        """Apply the recipe to networks, without a bundle.

        Args:
            student: the network to train.
            teacher: the network that teaches, for methods that have one from outside; it is wrapped in a `Teacher`.
            layers: {"student": path, "teacher": path} of the layers compared, or lists of paths, shallow to deep.
            example: an image batch [N, C, *spatial] that both networks take; needed where a connector must know the
                number of channels of the `layers`.
            values: what a bundle's configuration would set, over the recipe: `kd_loss=KDLoss(2.0)`,
                `labeled_key="labeled"`, `max_epochs=50`, `**{"terms::hint::weight": 10}`. Some recipes need one, for
                there is no bundle to have it: `train_items`, the training items in the order of their `index`,
                dictionaries with `label` and `labeled` (`crd`, `crckd`, `gmcd`, `rskd`, `weno`, `fial_wbc`);
                `teachers`, a list of networks (`multi_teacher`, `multi_teacher_fewshot`, `xkd_cxr`); `teacher_def`, the
                network that learns beside the student, mostly of `privileged` (`gmcd`, `mf_omkt`, `more_from_less`,
                `trident`); `heads` and `head_input`, paths of layers (`simkd`, and those of `privileged`).

        The loader is yours: a recipe with several `views` needs batches with `image_2` and so on beside `image`
        (`recipe.config["views"]` names them), others `index`, `privileged`, or `bag` and `bag_label`, as the keys of
        its passes say.

        Raises:
            ConfigError: the recipe needs a value that was not given, or one that cannot be laid over it; says how it is
                given.
            UnknownNameError: a value that nothing reads.
        """
        given = {"network": student, **_facts(student, teacher, layers, example)}
        if teacher is not None:
            given["teacher"] = {"_target_": "monai_kd.networks.Teacher", "network": teacher}
        check_keys({**_BASE, **given}, [self.config, values])
        parser = ConfigParser({**_copied(_BASE), **given})
        lay_over(parser, _copied(self.config), f"recipe {self.id!r}")
        before = _copied(parser.get())
        lay_over(parser, _copied(values), "values")
        check_paths(before, [values], parser.get())
        try:
            inferer, objective, handlers = (
                parser.get_parsed_content(f"train::{name}") for name in ("inferer", "loss", "handlers")
            )
        except ValueError as error:
            if "is not defined" not in str(error):
                raise
            told = str(error).strip()
            raise ConfigError(told, where=f"recipe {self.id!r}", fix=how_to_give(told)) from None
        return Distillation(inferer, objective, list(handlers), trainable(student, inferer))


def _copied(config: Any) -> Any:
    if isinstance(config, dict):
        return {k: _copied(v) for k, v in config.items()}
    return [_copied(v) for v in config] if isinstance(config, list) else config


def _facts(
    student: nn.Module, teacher: nn.Module | None, layers: Mapping[str, Any] | None, example: Tensor | None
) -> dict[str, Any]:
    """What a bundle says of its layers: paths, channels, spatial dimensions."""
    facts: dict[str, Any] = {}
    if example is not None:
        facts["spatial_dims"] = example.ndim - 2
    for role, network in (("student", student), ("teacher", teacher)):
        paths = (layers or {}).get(role)
        if paths is None:
            continue
        stages = [paths] if isinstance(paths, str) else list(paths)
        facts.setdefault("layers", {})[role] = stages[-1]
        facts[f"{role}_stages"] = stages
        if example is not None and network is not None:
            channels, classes = _channels(network, stages, example)
            facts[f"{role}_channels"], facts[f"{role}_stage_channels"] = channels[-1], channels
            facts.setdefault("num_classes", classes)
    return facts


def _channels(network: nn.Module, stages: Sequence[str], example: Tensor) -> tuple[list[int], int | None]:
    """The channels of the stages, and of the answer."""
    was_training = {layer: layer.training for layer in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            noted = Pass(taps={str(i): path for i, path in enumerate(stages)}).run("pass", network, (example,))
    finally:
        for layer, mode in was_training.items():
            layer.training = mode
    answer = noted.get("pass")
    classes = None if answer is None or answer.ndim < 2 else answer.shape[1]
    return [noted[f"pass.{i}"].shape[1] for i in range(len(stages))], classes


def list_recipes() -> list[Recipe]:
    """Every recipe that comes with the package, by name."""
    return [Recipe(path) for path in sorted(_FOLDER.glob("*.yaml"))]


def load_recipe(name: str | os.PathLike) -> Recipe:
    """Find a recipe by its id, or read one from a file.

    Args:
        name: an id (`kd`) or the path of a YAML file.

    Raises:
        UnknownNameError: there is none; names the nearest.

    Example::

        >>> import monai_kd
        >>> monai_kd.load_recipe("kd").info["scheme"]
        'offline'
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
        return Recipe(path)
    known = {recipe.id: recipe for recipe in list_recipes()}
    if str(name) not in known:
        raise UnknownNameError(f"no recipe {str(name)!r}", fix=suggest(str(name), known, "recipes", limit=50))
    return known[str(name)]
