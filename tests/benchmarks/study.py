# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Train one network of a bundle, test it, and keep its figures as one small file:

    python -m tests.benchmarks.study BUNDLE METHOD [--seed 0] [--labeled_fraction 1] [--set NAME] [MONAI's overrides]
    python -m tests.benchmarks.study BUNDLE --table [--set NAME]

METHOD is `teacher`, `alone` or a recipe; one that says `teacher_labels: labeled` has a teacher of its own for each seed
and fraction, which is trained first. What was trained stands in `--output_dir` (default `study/BUNDLE`), a broken
run is resumed there; the figures go to `bundles/BUNDLE/docs/results/`, those of a data set that is not the bundle's own
to a folder NAME in it, and `--table` prints all that are there.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser

from monai_kd.commands.overrides import read_overrides
from monai_kd.commands.trial import Trial
from monai_kd.metrics import shot_scores
from monai_kd.recipes import load_recipe
from monai_kd.report.tasks import CLASSIFICATION, MULTILABEL
from tests.benchmarks.bags import scores as bag_scores
from tests.benchmarks.study_table import table

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
KEPT = ("recipe", "role", "seed", "setting", "data", "split", "parameters", "flops", "latency_ms", "train_seconds")


def run(
    bundle: Path,
    method: str,
    seed: int,
    fraction: float,
    folder: Path,
    extra: dict[str, Any],
    name: str = "",
    over: Sequence[str] = (),
) -> Path:
    """Train, or go on where it broke off, and test; return the folder of what was written.

    Args:
        bundle: its folder.
        method: teacher, alone, or a recipe.
        seed: of weights, batches and the draw of labels.
        fraction: of the training labels.
        folder: of all runs.
        extra: overrides from the command line.
        name: of its row; the method's if empty.
        over: files of the bundle's configs laid over the method.
    """
    name = name or method
    where = folder / (name if method == "teacher" else f"{name}_{fraction:g}_seed{seed}")
    own = {"teacher": "train_teacher", "alone": "train_alone"}
    taught_by = where if method == "teacher" else folder / "teacher"  # a second teacher has a name of its own
    if wants_labeled_teacher(method):
        taught_by = labeled_teacher(bundle, seed, fraction, folder, extra)
    given: dict[str, Any] = {"teacher_checkpoint": str(taught_by / "model.pt"), "seed": seed}
    if method != "teacher":
        given |= {"labeled_fraction": fraction, "checkpoint": str(where / "model.pt")}
    Trial(own.get(method, method), bundle, where, where / "model.pt", {**given, **extra}, over).finish()
    return where


def wants_labeled_teacher(method: str) -> bool:
    """Whether a recipe's teacher must not have seen more labels than its student.

    Args:
        method: teacher, alone, or a recipe.
    """
    return method not in ("teacher", "alone") and load_recipe(method).info.get("teacher_labels") == "labeled"


def labeled_teacher(bundle: Path, seed: int, fraction: float, folder: Path, extra: dict[str, Any]) -> Path:
    """Train, or go on with, a teacher that sees the labels of one student alone; return its folder.

    Args:
        bundle, seed, fraction, folder: see `run`.
        extra: overrides of the student; those that the teacher does not know, or settles itself, are left out.
    """
    where = folder / f"teacher_{fraction:g}_seed{seed}"
    fixed, known = (ConfigParser.load_config_file(bundle / "configs" / f"{n}.yaml") for n in ("train_teacher", "train"))
    shared = {k: v for k, v in extra.items() if k.split("::")[0] in known and k.split("::")[0] not in fixed}
    own = {"teacher_checkpoint": str(where / "model.pt"), "seed": seed, "labeled_fraction": fraction}
    Trial("train_teacher", bundle, where, where / "model.pt", {**shared, **own}, test=False).finish()
    return where


def figures(where: Path, bags: bool = False) -> dict[str, Any]:
    """What is kept of a run: scores of the test section, a score for each case, costs.

    Args:
        where: folder of `run.json` and of `predictions.npz` or `scores.npz`.
        bags: whether groups are bags, and scored, too.
    """
    told = json.loads((where / "run.json").read_text(encoding="utf-8"))
    kept = {key: told.get(key) for key in KEPT}
    if (where / "predictions.npz").is_file():
        with np.load(where / "predictions.npz") as archive:
            label, probability, case = (archive[key] for key in ("label", "probability", "case"))
        if told.get("subsets"):
            kept["shots"] = shot_scores(label, probability, told["subsets"])
        task = MULTILABEL if label.ndim == 2 else CLASSIFICATION
        scores = {name: float(measure.metric(label, probability)) for name, measure in task.scores.items()}
        if label.ndim == 2:
            share = ((probability >= 0.5) == (label == 1)).mean(1)[np.argsort(case)]
            return {**kept, "scores": scores, "cases": {"correct_share": share.round(3).tolist()}}
        if bags:
            whole = bag_scores(where / "predictions.npz")
            scores |= {f"{name}_auc": value for name, value in whole.items() if name != "instance"}  # that is `auc`
        right = (probability.argmax(1) == label)[np.argsort(case)]
        return {**kept, "scores": scores, "cases": {"correct": "".join(map(str, right.astype(int)))}}
    with np.load(where / "scores.npz") as archive:
        dice, hd95, names, case = (archive[key] for key in ("dice", "hd95", "structures", "case"))
    scores = {}
    for metric, values in (("dice", dice), ("hd95", hd95)):
        scores |= {f"{metric}_{name}": float(column.mean()) for name, column in zip(names, values.T, strict=True)}
        scores[metric] = float(values.mean())
    return {**kept, "scores": scores, "cases": {"dice": dice[np.argsort(case)].mean(1).round(5).tolist()}}


def typed_command(words: Sequence[str]) -> str:
    """What was typed, with the folders of this machine left out.

    Args:
        words: after the program's name.
    """
    named = {"--dataset_dir": "DATA", "--output_dir": "OUT"}
    folders = {word: named[before] for before, word in pairwise(words) if before in named}
    said = ["python", "-m", "tests.benchmarks.study"]
    for word in words:
        for folder in sorted(folders, key=len, reverse=True):  # one may be the beginning of another's name
            word = word.replace(folder, folders[folder])
        said.append(word)
    return shlex.join(said)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one and keep its figures, or print the table.

    Args:
        argv: what was typed after the program's name.
    """
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks.study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", help="name of a folder in bundles/")
    parser.add_argument("method", nargs="?", help="teacher, alone, or a recipe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labeled_fraction", type=float, default=1.0)
    parser.add_argument("--set", default="", metavar="NAME", help="of the data set, where it is not the bundle's own")
    parser.add_argument("--name", default="", help="of the row, where overrides make another method of it")
    parser.add_argument("--over", action="append", default=[], help="a file of the bundle's configs laid over it")
    parser.add_argument("--bags", action="store_true", help="groups are bags, of which AUCs are kept, too")
    parser.add_argument("--output_dir", type=Path, help="of what is trained; by default study/BUNDLE/NAME")
    parser.add_argument("--table", action="store_true", help="print the table of what was kept")
    args, tokens = parser.parse_known_args(argv)
    bundle = BUNDLES / args.bundle
    results = bundle / "docs" / "results" / args.set
    if args.table:
        print(table([json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]))
        return
    extra = read_overrides(tokens)
    folder = args.output_dir or Path("study") / args.bundle / args.set
    where = run(bundle, args.method, args.seed, args.labeled_fraction, folder.resolve(), extra, args.name, args.over)
    kept = {
        "command": typed_command(sys.argv[1:] if argv is None else argv),
        "method": args.name or args.method,
        "labeled_fraction": args.labeled_fraction,
    }
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{where.name}.json"
    path.write_text(json.dumps({**kept, **figures(where, args.bags)}, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
