# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from monai.bundle import ConfigParser, ReferenceResolver

from monai_kd.commands.plain import strings

__all__ = ["reached"]


def reached(config: Mapping[str, Any], start: tuple[str, ...] = ("initialize", "run", "finalize")) -> set[str]:
    """Name the top-level keys that a workflow builds, following references from where MONAI starts.

    Args:
        config: a whole configuration, merged.
        start: the keys that MONAI runs.

    Example::

        >>> from monai_kd.commands.reached import reached
        >>> sorted(reached({"run": ["$@student.train()"], "student": {"width": "@width"}, "width": 8, "teacher": 1}))
        ['run', 'student', 'width']
    """
    parser = ConfigParser(copy.deepcopy(dict(config)))
    parser.resolve_macro_and_relative_ids()
    seen: set[str] = set()
    todo = [key for key in start if key in parser]
    while todo:
        key = todo.pop()
        if key not in seen and key in parser:
            seen.add(key)
            todo += [ref for _, text in strings(parser[key]) for ref in ReferenceResolver.match_refs_pattern(text)]
    return {key.split("::")[0] for key in seen}
