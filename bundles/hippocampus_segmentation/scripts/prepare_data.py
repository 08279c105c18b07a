# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Make the data set that this bundle reads of the Decathlon's Task04_Hippocampus.

Two forms are taken: the Decathlon's own folder (`imagesTr`, `labelsTr`, `imagesTs`), whose labelled cases are split
anew, seeded, 60/20/20 %; or a zip of `images/` and `labels/` with a `cases.csv` that has columns `file` and `split`.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np

from monai_kd.utils import DataError

LABELS = {"0": "background", "1": "anterior", "2": "posterior"}
SECTIONS = {"train": "training", "val": "validation", "test": "test"}
PARTS = (0.6, 0.2)  # to train and to validate; the rest tests


def drawn(names: list[str], seed: int) -> dict[str, str]:
    """Draw a section for each case.

    Args:
        names: of the cases.
        seed: of the order.
    """
    order = [sorted(names)[i] for i in np.random.RandomState(seed).permutation(len(names))]
    cuts = [round(len(order) * sum(PARTS[: i + 1])) for i in range(len(PARTS))]
    return {name: "train" if i < cuts[0] else "val" if i < cuts[1] else "test" for i, name in enumerate(order)}


def listed(source: Path) -> dict[str, str]:
    """The section of each case as `cases.csv` says.

    Args:
        source: folder of the file.
    """
    with (source / "cases.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        if row.get("split") not in SECTIONS:
            where = f"{source / 'cases.csv'}, row {number + 2}"
            raise DataError(f"split {row.get('split')!r}", where=where, fix=f"one of {', '.join(SECTIONS)}")
    return {row["file"]: row["split"] for row in rows}


def unpack(source: Path, output: Path) -> dict[str, str]:
    """Bring images and labels to `output`, and say which section each case belongs to.

    Args:
        source: folder of a zip and its `cases.csv`.
        output: receives `imagesTr` and `labelsTr`.
    """
    archives = sorted(source.glob("*.zip"))
    if len(archives) != 1:
        raise DataError(f"{len(archives)} zip files", where=str(source), fix="there must be one, or imagesTr")
    split = listed(source)
    with zipfile.ZipFile(archives[0]) as archive:
        members = set(archive.namelist())
        for name in split:
            for inside, outside in (("images", "imagesTr"), ("labels", "labelsTr")):
                if f"{inside}/{name}" not in members:
                    raise DataError(f"has no {inside}/{name}", where=str(archives[0]), why="cases.csv names it")
                target = output / outside / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(f"{inside}/{name}") as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)
    return split


def copy(source: Path, output: Path, seed: int) -> dict[str, str]:
    """Copy the Decathlon's folder to `output`, and draw which section each labelled case belongs to.

    Args:
        source: folder of `imagesTr` and `labelsTr`.
        output: receives them.
        seed: of the draw.
    """
    names = sorted(path.name for path in (source / "imagesTr").glob("[!.]*.nii.gz"))
    without = [name for name in names if not (source / "labelsTr" / name).is_file()]
    if not names or without:
        what = f"no label for {without[0]}" if without else "no *.nii.gz in imagesTr"
        raise DataError(what, where=str(source), fix="unpack Task04_Hippocampus.tar and name its folder")
    for folder in ("imagesTr", "labelsTr"):
        shutil.copytree(source / folder, output / folder, ignore=shutil.ignore_patterns(".*"))
    return drawn(names, seed)


def main(argv: list[str] | None = None) -> Path:
    """Write the data set and return its `dataset.json`.

    Args:
        argv: what was typed after the program's name.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the Decathlon's folder, or one with a zip and cases.csv")
    parser.add_argument("output", type=Path, help="folder to write, for --dataset_dir; must not be there")
    parser.add_argument("--seed", type=int, default=0, help="of the split, where there is none")
    args = parser.parse_args(argv)
    if args.output.exists():
        raise DataError("is there already", where=str(args.output), fix="name a new folder")
    whole = (args.source / "imagesTr").is_dir()
    split = copy(args.source, args.output, args.seed) if whole else unpack(args.source, args.output)
    sections: dict[str, list[dict[str, str]]] = {section: [] for section in SECTIONS.values()}
    for name, part in sorted(split.items()):
        case = name.removesuffix(".nii.gz")
        sections[SECTIONS[part]].append({"image": f"imagesTr/{name}", "label": f"labelsTr/{name}", "case": case})
    content = {
        "name": "Hippocampus",
        "description": "Medical Segmentation Decathlon, Task04 Hippocampus",
        "split": "{} training, {} validation, {} test volumes".format(*map(len, sections.values())),
        "labels": LABELS,
        **sections,
    }
    path = args.output / "dataset.json"
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(f"{path}: {content['split']}")
    return path


if __name__ == "__main__":
    main()
