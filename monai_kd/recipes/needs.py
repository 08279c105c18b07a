# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re

__all__ = ["how_to_give"]

_LAYERS = "give layers={'student': path, 'teacher': path} and example=, an image batch that both networks take"
_TEACHERS = "give teachers=[...], the networks"
_HOW = {
    "teacher": "give the network that teaches as the second argument",
    "teachers": _TEACHERS,
    "bundle_root": _TEACHERS,
    "val_items": _TEACHERS,
    "layers": _LAYERS,
    **{
        f"{role}_{what}": _LAYERS
        for role in ("student", "teacher")
        for what in ("channels", "stages", "stage_channels")
    },
    "spatial_dims": _LAYERS,
    "num_classes": _LAYERS,
    "heads": "give heads={'student': path, 'teacher': path}, the layers that give the answers",
    "head_input": "give head_input=, the path of the layer that the head reads",
    "teacher_def": "give teacher_def=, the network that learns beside the student; or teachers=[...], trained ones",
    "train_items": "give train_items=, the training items in the order of their `index`: {'label': 2, 'labeled': True}",
    "in_channels": "give in_channels=, the channels of an image",
    "dataset_dir": "give teacher_accuracies=[...], one of each teacher",
    "validate": "give batches of your own: unlabeled= for fial_wbc, prototype_images= for braix_protopnet",
}


def how_to_give(told: str) -> str:
    """Say how a recipe is given, in Python, what it lacks.

    Args:
        told: what MONAI said of a reference that leads nowhere.

    Example::

        >>> from monai_kd.recipes.needs import how_to_give
        >>> how_to_give("the referring item `@teacher` is not defined in the config content.")
        'give the network that teaches as the second argument'
    """
    found = re.search(r"`@(\w+)", told)
    name = found[1] if found else ""
    return _HOW.get(name, f"give it by name: {name}=" if name else "")
