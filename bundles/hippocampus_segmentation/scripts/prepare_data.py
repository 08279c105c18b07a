# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Make the data set that this bundle reads of the Decathlon's Task04_Hippocampus.

Two forms are taken: the Decathlon's own folder (`imagesTr`, `labelsTr`, `imagesTs`), whose labelled cases are split
anew, seeded, 60/20/20 %; or a zip of `images/` and `labels/` with a `cases.csv` that has columns `file` and `split`.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
from pathlib import Path

import numpy as np

from monai_kd.data import save_datalist
from monai_kd.utils import DataError
from monai_kd.utils.archives import extract, safe_name
from monai_kd.utils.new_folder import new_folder

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
    path = source / "cases.csv"
    if not path.is_file():
        raise DataError("no such file", where=str(path), fix="it has columns file and split")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        name, where = row.get("file") or "", f"{path}, row {number + 2}"
        if row.get("split") not in SECTIONS:
            raise DataError(f"split {row.get('split')!r}", where=where, fix=f"one of {', '.join(SECTIONS)}")
        if not name or name != safe_name(name, longest=255):
            fix = "letters, digits, `.`, `_` and `-`, and no folder"
            raise DataError(f"file {name!r} is not the name of a file", where=where, fix=fix)
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
    split, scratch = listed(source), output / "unpacked"
    extract(archives[0], scratch)
    for inside, outside in (("images", "imagesTr"), ("labels", "labelsTr")):
        (output / outside).mkdir()
        for name in split:
            if not (scratch / inside / name).is_file():
                raise DataError(f"has no {inside}/{name}", where=str(archives[0]), why="cases.csv names it")
            os.replace(scratch / inside / name, output / outside / name)
    shutil.rmtree(scratch)
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


def write_dataset(source: Path, output: Path, seed: int = 0) -> tuple[Path, str]:
    """Write the data set; the folder is written beside and then renamed, so it is whole or not there.

    Args:
        source: the Decathlon's folder, or one of a zip and its `cases.csv`.
        output: where to; new or empty.
        seed: of the split, where there is none.

    Returns:
        Its `dataset.json`, and how many volumes each section has.

    Raises:
        DataError: `output` holds something; a volume is missing, or its name leads elsewhere; the zip is malicious.
    """
    sections: dict[str, list[dict[str, str]]] = {section: [] for section in SECTIONS.values()}
    with new_folder(output) as folder:
        whole = (source / "imagesTr").is_dir()
        split = copy(source, folder, seed) if whole else unpack(source, folder)
        for name, part in sorted(split.items()):
            case = name.removesuffix(".nii.gz")
            sections[SECTIONS[part]].append({"image": f"imagesTr/{name}", "label": f"labelsTr/{name}", "case": case})
        told = "{} training, {} validation, {} test volumes".format(*map(len, sections.values()))
        content = {
            "name": "Hippocampus",
            "description": "Medical Segmentation Decathlon, Task04 Hippocampus",
            "split": told,
            "labels": LABELS,
            **sections,
        }
        save_datalist(content, folder)
    return output / "dataset.json", told


def main(argv: list[str] | None = None) -> Path:
    """Write the data set and return its `dataset.json`.

    Args:
        argv: what was typed after the program's name.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the Decathlon's folder, or one with a zip and cases.csv")
    parser.add_argument("output", type=Path, help="folder to write, for --dataset_dir; new or empty")
    parser.add_argument("--seed", type=int, default=0, help="of the split, where there is none")
    args = parser.parse_args(argv)
    try:
        path, told = write_dataset(args.source, args.output, args.seed)
    except DataError as error:
        parser.exit(1, f"error: {error}\n")
    print(f"{path}: {told}")
    return path


if __name__ == "__main__":
    main()
