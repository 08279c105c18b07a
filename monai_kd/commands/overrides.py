# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import fire
from fire.parser import DefaultParseValue

from monai_kd.utils.errors import ConfigError

__all__ = ["read_overrides", "set_apart", "typed"]


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


def set_apart(words: Sequence[str], known: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    """Divide what was typed into words of the command and overrides, `--key value` or `--key=value`, in any order.

    Args:
        words: what was typed.
        known: the command's own options, and whether each takes a value.

    Example::

        >>> from monai_kd.commands.overrides import set_apart
        >>> set_apart(["kd", "--max_epochs", "2", "--bundle", "DIR", "OUT"], {"--bundle": True})
        (['kd', '--bundle', 'DIR', 'OUT'], ['--max_epochs', '2'])
    """
    own: list[str] = []
    over: list[str] = []
    todo = list(words)
    while todo:
        word = todo.pop(0)
        name, equals, _ = word.partition("=")
        option = word.startswith("--") and len(word) > 2
        into = over if option and name not in known else own
        into.append(word)
        takes = option and not equals and (known[name] if into is own else not (todo and todo[0].startswith("--")))
        if takes and todo:
            into.append(todo.pop(0))
    return own, over


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
