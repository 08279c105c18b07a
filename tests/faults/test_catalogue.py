# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The table of the documentation has every fault, and the tests that it names are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_fault_has_a_test_that_is_there_or_is_open():
    rows = re.findall(
        r"^\| K(\d+) \| .* \| (open|`(.*?)`) \|$", (ROOT / "docs" / "reliability.md").read_text(), re.MULTILINE
    )
    assert [int(number) for number, *_ in rows] == list(range(1, 46))
    assert [path for _, state, path in rows if state != "open" and not (ROOT / path).is_file()] == []
    assert [int(number) for number, state, _ in rows if state == "open"] == [21, 22]  # until there is a cache
