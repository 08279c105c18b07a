# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The tables of the documentation, made of the recipes and of the results that the bundles keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks.study_table import table

ROOT = Path(__file__).resolve().parents[1]


def results() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What every measured run left, by bundle and data set; the bundle's own set has no name."""
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path in sorted(ROOT.glob("bundles/*/docs/results/**/*.json")):
        bundle, _, _, *within = path.relative_to(ROOT / "bundles").parent.parts
        runs.setdefault((bundle, "/".join(within)), []).append(json.loads(path.read_text(encoding="utf-8")))
    return dict(sorted(runs.items()))


def recipe_table() -> str:
    """One row for every recipe, from the `recipe:` block that its file starts with."""
    rows = ["| id | method | role | knowledge | scheme | tasks | certainty | status |", "|" + "---|" * 8]
    measured: dict[str, set[str]] = {}
    for (bundle, _), runs in results().items():
        for run in runs:
            measured.setdefault(run["recipe"], set()).add(bundle.split("_")[0])
    for file in sorted(ROOT.glob("monai_kd/recipes/*.yaml")):
        recipe = yaml.safe_load(file.read_text(encoding="utf-8"))["recipe"]
        paper = f"[{recipe['paper']}](https://doi.org/{recipe['doi']})" if recipe.get("doi") else recipe["paper"]
        where = ", ".join(f"[{name}](results.md)" for name in sorted(measured.get(recipe["id"], ())))
        status = f"measured on {where}" if where else "runs, not measured"
        cells = [f"`{recipe['id']}`", f"{recipe['title']}. {paper}", recipe["role"], recipe["knowledge"]]
        cells += [recipe["scheme"], ", ".join(recipe["kinds"]), recipe["certainty"], status]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def result_tables() -> str:
    """For every bundle and data set its table, and how each row was made."""
    parts = []
    for (bundle, name), runs in results().items():
        commands = {run["command"].replace(" --progress False", "") for run in runs}
        data = "; ".join(dict.fromkeys(f"{run['data']}, {run['split']}" for run in runs))
        listed, title = "\n".join(sorted(commands)), ", ".join(filter(None, (bundle, name)))
        parts.append(f"## {title}\n\n{data}.\n\n{table(runs)}\n\n```bash\n{listed}\n```")
    return "\n\n".join(parts)
