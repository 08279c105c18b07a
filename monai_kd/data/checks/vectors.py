# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from monai_kd.data.checks.leaks import Case
from monai_kd.data.checks.report import Finding
from monai_kd.data.side_vectors import RESERVED, looks_like_vector, not_finite, wrong_form

__all__ = ["check_vectors", "vector_lengths"]


def vector_lengths(cases: Sequence[Case], keys: Sequence[str] | None = None) -> dict[str, Counter[int]]:
    """How many items have a side vector of which length, by key.

    Args:
        cases: all of them.
        keys: which keys; None takes all that look like vectors.
    """
    found: dict[str, Counter[int]] = defaultdict(Counter)
    for case in cases:
        for key, value in case.raw.items():
            if key not in RESERVED and (keys is None or key in keys) and looks_like_vector(value):
                found[key][len(value)] += 1
    return found


def check_vectors(cases: Sequence[Case], lengths: Mapping[str, Counter[int]]) -> Iterator[Finding]:
    """Say which side vectors are no lists of finite numbers, or not as long as most are; training items must have them.

    Of the numbers only their places are told.

    Args:
        cases: all of them, with their files.
        lengths: by :func:`vector_lengths`.
    """
    for key, counts in lengths.items():
        ((length, _),) = counts.most_common(1)
        trained = any(key in case.raw for case in cases if case.section == "training")
        for case in cases:
            fault, what = "K30", "is missing, though other items have it"
            if key in case.raw:
                form = wrong_form(case.raw[key], length)
                fault, what = ("K32", form) if form else ("K39", not_finite(case.raw[key]))
            elif not trained or case.section != "training":
                continue
            if what:
                called = case.raw.get("case", case.files.get("image", ""))
                fix = f"a vector is a list of {length} finite numbers in all items"
                yield Finding("error", fault, f"case {called}: {key} {what}", item=case.item, fix=fix)
