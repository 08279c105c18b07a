# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CASES, CLASSES = 60, 3


class RunFactory:
    """Writes folders of runs as a bundle would: predictions that are right with a chosen chance, in groups of four."""

    file = "predictions.npz"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.label = np.arange(CASES) % CLASSES

    def predictions(self, right: float, seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        wrong = (self.label + generator.integers(1, CLASSES, size=CASES)) % CLASSES
        answer = np.where(generator.random(CASES) < right, self.label, wrong)
        probability = np.eye(CLASSES)[answer] + generator.random((CASES, CLASSES)) * 0.9
        return probability / probability.sum(1, keepdims=True)

    def arrays(self, right: float, seed: int) -> dict[str, np.ndarray]:
        return {"label": self.label, "probability": self.predictions(right, seed)}

    def __call__(self, role: str, seed: int = 0, right: float = 0.7, **changes: Any) -> Path:
        """Make a run; `changes` replace entries of run.json and arrays of its file, or drop them with None."""
        arrays = {
            "case": np.array([f"case{i:03d}" for i in range(CASES)]),
            "group": np.arange(CASES) // 4,
            **self.arrays(right, seed * 10 + len(role)),
        }
        entries = {
            "role": role,
            "title": {"teacher": "Teacher", "alone": "Student alone", "distilled": "Student distilled"}[role],
            "recipe": "kd" if role == "distilled" else None,
            "seed": seed,
            "setting": "5 % labelled",
            "command": f"python -m monai_kd run --seed {seed}",
            "data": "made up",
            "split": "none",
            "parameters": 6147,
            "flops": 810_000,
            "latency_ms": 0.35,
            "file_bytes": 28_412,
            "train_seconds": 9.87,
        }
        for key, value in changes.items():
            (arrays if isinstance(value, np.ndarray) or (value is None and key in arrays) else entries)[key] = value
        folder = self.root / f"{len(list(self.root.iterdir())):02d}_{role}"
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps(entries))
        np.savez(folder / self.file, **{key: value for key, value in arrays.items() if value is not None})
        return folder

    def history(self, folder: Path, columns: dict[str, list]) -> None:
        with (folder / "history.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))


class ScoresFactory(RunFactory):
    """Writes folders of segmentation runs: Dice near a chosen value, the same hard cases for all."""

    file = "scores.npz"

    def arrays(self, right: float, seed: int) -> dict[str, np.ndarray]:
        hard, own = np.random.default_rng(0), np.random.default_rng(seed)
        dice = right - 0.1 * hard.random((CASES, 2)) - 0.05 * own.random((CASES, 2))
        return {"structures": np.array(["front", "back"]), "dice": dice, "hd95": 10 * (1 - dice)}


@pytest.fixture
def make_run(tmp_path) -> RunFactory:
    root = tmp_path / "runs"
    root.mkdir()
    return RunFactory(root)


@pytest.fixture
def make_scores(tmp_path) -> ScoresFactory:
    root = tmp_path / "scores"
    root.mkdir()
    return ScoresFactory(root)


@pytest.fixture
def scores(make_scores) -> ScoresFactory:
    """A teacher, and two seeds of both students; the distilled one segments clearly better."""
    make_scores("teacher", right=0.95, setting="", parameters=24_588)
    for seed in (0, 1):
        make_scores("alone", seed, right=0.8)
        make_scores("distilled", seed, right=0.9)
    return make_scores


@pytest.fixture
def study(make_run) -> RunFactory:
    """A teacher, and two seeds of both students; the distilled one is clearly better."""
    make_run("teacher", right=0.95, setting="", parameters=24_588)
    for seed in (0, 1):
        make_run("alone", seed, right=0.4)
        make_run("distilled", seed, right=0.85)
    return make_run
