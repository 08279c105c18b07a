# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import logging
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["failure", "unexpected", "without_tracebacks"]


@contextmanager
def without_tracebacks() -> Iterator[None]:
    """Keep tracebacks out of the log for a while, as MONAI's `StatsHandler` writes them of every error of an engine."""
    before = logging.getLogRecordFactory()

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        record.exc_info = None
        return record

    logging.setLogRecordFactory(make)
    try:
        yield
    finally:
        logging.setLogRecordFactory(before)


def failure(error: BaseException) -> str | None:
    """Say in one line which item of a configuration could not be built, and why; None where that is not what happened.

    What happens while an engine runs is no such thing: it may need its whole traceback.

    Args:
        error: what MONAI raised.

    Returns:
        The item's key, what went wrong at the bottom, and the settings that the item reads; or, of an error of
        monai_kd, that alone.

    Example::

        >>> from monai.bundle import ConfigParser
        >>> from monai_kd.commands.failure import failure
        >>> parser = ConfigParser({"width": "two", "net": {"_target_": "torch.nn.Linear", "in_features": "@width"}})
        >>> try:
        ...     parser.get_parsed_content("net")
        ... except RuntimeError as error:
        ...     print(failure(error))
        net: TypeError: Linear.__init__() missing 1 required positional argument: 'out_features'. it reads
        width='two'. --debug shows where
    """
    from monai_kd.utils.errors import DistillationError

    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, DistillationError):
            return _line(one)
    if any(f.f_globals.get("__name__") == "ignite.engine.engine" and f.f_code.co_name == "run" for f in _frames(chain)):
        return None
    building = [f for f in _frames(chain[:1]) if f.f_code.co_name == "_resolve_one_item"]
    if not building:
        return None
    item = building[-1].f_locals
    settings = ", ".join(f"{name}={value!r}" for name, value in _settings(item))
    root = next((one for one in chain if "is not defined in the config" in str(one)), chain[-1])
    what = f"{item['id']}: {type(root).__name__}: {_line(root).rstrip('.')}"
    return f"{what}{f'. it reads {settings}' if settings else ''}. --debug shows where"


def unexpected(error: BaseException) -> str:
    """Say in one line what went wrong that nobody foresaw, and keep its traceback in a file.

    Args:
        error: what was raised.

    Returns:
        Its kind and what it says, and where the file is: in the folder of temporary files.
    """
    with tempfile.NamedTemporaryFile("w", prefix="monai-kd-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.writelines(traceback.format_exception(error))
    root = list(_chain(error))[-1]
    return f"{type(root).__name__}: {_line(root).rstrip('.')}. its traceback is in {file.name}, --debug shows it here"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from: MONAI wraps what a configuration raises."""
    while error is not None:
        yield error
        error = error.__cause__


def _frames(chain: list[BaseException]) -> Iterator[FrameType]:
    for error in chain:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            yield frame


def _settings(item: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Numbers and texts that an item refers to, in MONAI's `ReferenceResolver._resolve_one_item`."""
    resolver = item["self"]
    for name in resolver.find_refs_in_config(item.get("item_config"), item["id"]):
        value = resolver.resolved_content.get(name)
        if isinstance(value, (bool, int, float, str)) and not name.startswith(f"{item['id']}::"):
            yield name, value


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
