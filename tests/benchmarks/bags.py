# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Instance and bag AUC of what an evaluation wrote: `python -m tests.benchmarks.bags FILE.npz [FILE.npz ...]`.

A file is `predictions.npz` of one section: its groups are bags. A bag scores as its most positive instance, as the mean
of the three most positive, and, where `bags.npz` lies beside, by the bag classifier that was trained with the student.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_kd.metrics import macro_auc


def auc(label: np.ndarray, score: np.ndarray) -> float:
    """Area under the curve of a score; not a number where all labels are alike.

    Args:
        label: 0 or 1, [N].
        score: of 1, [N].
    """
    if len(np.unique(label)) < 2:
        return float("nan")
    return float(macro_auc(label, np.stack([1 - score, score], 1)))


def scores(path: Path) -> dict[str, float]:
    """AUC over instances and over bags.

    Args:
        path: of `predictions.npz`, two classes.

    Returns:
        `instance`, `bag_max`, `bag_top3` and, where there is `bags.npz`, `bag_teacher`.
    """
    with np.load(path) as archive:
        label, score, group = archive["label"], archive["probability"][:, 1], archive["group"]
    bags = [(label[group == name].max(), np.sort(score[group == name])[::-1]) for name in np.unique(group)]
    known = np.array([is_positive for is_positive, _ in bags])
    found = {
        "instance": auc(label, score),
        "bag_max": auc(known, np.array([ordered[0] for _, ordered in bags])),
        "bag_top3": auc(known, np.array([ordered[:3].mean() for _, ordered in bags])),
    }
    if (classified := path.with_name("bags.npz")).is_file():
        with np.load(classified) as archive:
            found["bag_teacher"] = auc(archive["label"], archive["probability"][:, 1])
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line a file.

    Args:
        argv: what was typed after the program's name.
    """
    parser = argparse.ArgumentParser("python -m tests.benchmarks.bags", description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="predictions.npz")
    for path in parser.parse_args(argv).files:
        print(path, *(f"{name} {value:.3f}" for name, value in scores(path).items()))


if __name__ == "__main__":
    main()
