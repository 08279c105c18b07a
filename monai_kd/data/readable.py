# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from monai_kd.utils.errors import ConfigError, DataError
from monai_kd.utils.files import write_text

__all__ = ["readable_items"]


def readable_items(
    items: Sequence[Mapping[str, Any]],
    transform: Callable[[dict[str, Any]], Any],
    on_error: str = "fail",
    max_skipped: float = 0.01,
    skipped_file: str | os.PathLike | None = None,
) -> list[Mapping[str, Any]]:
    """Try every item once and return those that can be read, in their order.

    Args:
        items: of a data list.
        transform: what reads an item, as `LoadDicomSeriesd(keys)` or MONAI's `LoadImaged(keys)`.
        on_error: "fail" stops at the first that cannot be read; "skip" leaves such items out.
        max_skipped: most that may be left out, as a fraction of all items.
        skipped_file: a CSV of what was left out: case, key, reason. It is written even if that is too much. The case
            is the item's `case`, else its number; the key is that of the file that the reason names, else empty.

    Raises:
        DataError: an item cannot be read ("fail"), or more than `max_skipped` cannot ("skip").
        ConfigError: `on_error` is neither.

    Example::

        >>> from monai_kd.data import readable_items
        >>> items = [{"image": "1"}, {"image": "two"}]
        >>> readable_items(items, lambda item: int(item["image"]), on_error="skip", max_skipped=0.5)
        [{'image': '1'}]
    """
    if on_error not in ("fail", "skip"):
        raise ConfigError(f"on_error is {on_error!r}", fix="fail or skip")
    kept, skipped = [], []
    for number, item in enumerate(items):
        try:
            transform(dict(item))
        except Exception as error:  # a reader raises anything; the reason is kept, and told
            case, reason = str(item.get("case", number)), _reason(error)
            if on_error == "fail":
                raise DataError("cannot be read", where=f"case {case!r}", why=reason) from error
            skipped.append((case, _key(item, reason), reason))
        else:
            kept.append(item)
    if skipped_file is not None:
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("case", "key", "reason"), *skipped])
        write_text(skipped_file, table.getvalue())
    if len(skipped) > max_skipped * len(items):
        case, _, reason = skipped[0]
        raise DataError(
            f"{len(skipped)} of {len(items)} items cannot be read, more than max_skipped={max_skipped:g} allows",
            why=f"the first is case {case!r}: {reason}",
            fix=f"all are in {skipped_file}" if skipped_file else "give skipped_file for a list of all",
        )
    return kept


def _reason(error: BaseException) -> str:
    """What went wrong first: MONAI puts "applying transform" above it."""
    while error.__cause__ is not None and not isinstance(error, DataError):
        error = error.__cause__
    return " ".join(f"{error}".split()) or type(error).__name__


def _key(item: Mapping[str, Any], reason: str) -> str:
    """The key of the longest path of `item` that `reason` names."""
    paths = {str(value): key for key, value in item.items() if isinstance(value, str | os.PathLike) and key != "case"}
    named = [path for path in paths if path and path in reason]
    return paths[max(named, key=len)] if named else ""
