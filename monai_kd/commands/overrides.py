# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import fire
from fire.parser import DefaultParseValue

from monai_kd.utils.errors import ConfigError

__all__ = ["read_overrides", "typed"]


def read_overrides(tokens: Sequence[str]) -> dict[str, Any]:
    """Read `--key value` pairs as MONAI's command line does, which is to say as fire does.

    Args:
        tokens: what was typed, split into words.

    Raises:
        ConfigError: a word that belongs to no key, or `true` and `false`, which are no Python: text, and so both true.

    Example::

        >>> from monai_kd.commands.overrides import read_overrides
        >>> read_overrides(["--terms::kd::weight", "0.5", "--views=[image, image_2]", "--amp"])
        {'terms::kd::weight': 0.5, 'views': ['image', 'image_2'], 'amp': True}
    """
    found: dict[str, Any] = {}

    def capture(*words: Any, **overrides: Any) -> None:
        if words:
            raise ConfigError(
                f"{words[0]!r} belongs to no --key", where="command line", fix="quote a value with spaces"
            )
        found.update(overrides)

    fire.Fire(capture, command=list(tokens))
    for key, value in found.items():
        if isinstance(value, str) and value in ("true", "false"):
            raise ConfigError(
                f"{value} is text here, and any text is true", where=f"--{key}", fix="write True or False"
            )
    return found


def typed(key: str, value: Any) -> str:
    """Write an override as it would be typed in a shell.

    Args:
        key: the configuration's key.
        value: what `read_overrides` is to read again.

    Example::

        >>> from monai_kd.commands.overrides import typed
        >>> print(typed("views", ["image"]), typed("run_name", "3"), typed("terms::kd", "$None"))
        --views "['image']" --run_name "'3'" --terms::kd '$None'
    """
    text = value if isinstance(value, str) and DefaultParseValue(value) == value else repr(value)
    plain = "'" in text and not set(text) & set('"$`\\!')  # inside of "", only these mean something to a shell
    return f"--{key} " + (f'"{text}"' if plain else shlex.quote(text))
