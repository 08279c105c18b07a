# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Make the data set that this bundle reads of a folder or a zip of slides `NAME.jpg` (or png, tif) and `NAME_mask.png`.

The slides are divided by patient (the first three parts of a TCGA name), seeded, 60/15/25 %. Those to train with are
cut into tiles, the others stay whole. Masks become 0 and 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from monai_kd.utils import DataError

ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
PARTS = {"training": 0.6, "validation": 0.15, "test": 0.25}


def patient_of(name: str) -> str:
    """The patient of a slide: TCGA-SITE-PATIENT, or the whole name where it has another form."""
    parts = name.split("-")
    return "-".join(parts[:3]) if parts[0] == "TCGA" and len(parts) > 3 else name


def pairs_in(folder: Path) -> list[tuple[Path, Path]]:
    """Slides with their masks, by name.

    Args:
        folder: searched, folders below it too.
    """
    masks = sorted(folder.rglob("*_mask.png"))
    if not masks:
        raise DataError("no *_mask.png", where=str(folder), fix="name the folder or the zip of the slides")
    found = []
    for mask in masks:
        stem = mask.name.removesuffix("_mask.png")
        slides = [mask.with_name(stem + ending) for ending in ENDINGS if mask.with_name(stem + ending).is_file()]
        if not slides:
            raise DataError("no picture for this mask", where=str(mask), fix=f"{stem}.jpg must be beside it")
        found.append((slides[0], mask))
    return found


def divided(patients: list[str], seed: int) -> dict[str, str]:
    """Draw a section for each patient.

    Args:
        patients: one or more of each.
        seed: of the order.
    """
    names = sorted(set(patients))
    order = [names[i] for i in np.random.RandomState(seed).permutation(len(names))]
    cuts = np.cumsum([round(part * len(order)) for part in PARTS.values()])
    return {name: list(PARTS)[min(int(np.searchsorted(cuts, i, "right")), 2)] for i, name in enumerate(order)}


def tiles_of(shape: tuple[int, ...], tile: int) -> list[tuple[int, int]]:
    """Corners of the tiles that cover a picture as far as whole tiles go.

    Args:
        shape: rows and columns of the picture.
        tile: side of a tile in pixels.
    """
    return [(y, x) for y in range(0, shape[0] - tile + 1, tile) for x in range(0, shape[1] - tile + 1, tile)]


def main(argv: list[str] | None = None) -> Path:
    """Write the data set and return its `dataset.json`.

    Args:
        argv: what was typed after the program's name.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder or zip of slides and masks")
    parser.add_argument("output", type=Path, help="folder to write, for --dataset_dir; must not be there")
    parser.add_argument("--tile", type=int, default=250, help="side of the training tiles in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    args = parser.parse_args(argv)
    if args.output.exists():
        raise DataError("is there already", where=str(args.output), fix="name a new folder")
    with tempfile.TemporaryDirectory() as scratch:
        source = args.source
        if zipfile.is_zipfile(source):
            source = Path(scratch)
            with zipfile.ZipFile(args.source) as archive:
                archive.extractall(source)
        pairs = pairs_in(source)
        section = divided([patient_of(slide.stem) for slide, _ in pairs], args.seed)
        sections: dict[str, list[dict[str, str]]] = {name: [] for name in PARTS}
        for folder in ("images", "labels"):
            (args.output / folder).mkdir(parents=True)
        for slide, mask in pairs:
            patient = patient_of(slide.stem)
            image = np.asarray(Image.open(slide).convert("RGB"))
            label = (np.asarray(Image.open(mask).convert("L")) > 0).astype(np.uint8)
            if image.shape[:2] != label.shape:
                what = f"the mask is {label.shape}, the picture {image.shape[:2]}"
                raise DataError(what, where=str(mask), fix="both must have one grid of pixels")
            whole = section[patient] != "training"
            corners = [(0, 0)] if whole else tiles_of(label.shape, args.tile)
            for y, x in corners:
                case = slide.stem if whole else f"{slide.stem}_{y}_{x}"
                cut = (slice(None),) * 2 if whole else (slice(y, y + args.tile), slice(x, x + args.tile))
                for folder, array in (("images", image), ("labels", label)):
                    Image.fromarray(array[cut]).save(args.output / folder / f"{case}.png")
                item = {"image": f"images/{case}.png", "label": f"labels/{case}.png", "case": case, "patient": patient}
                sections[section[patient]].append(item)
    slides = {name: len({item["patient"] for item in items}) for name, items in sections.items()}
    empty = [name for name, items in sections.items() if not items]
    if empty:
        shutil.rmtree(args.output)
        raise DataError(f"nothing to put into {empty[0]}", where=str(args.source), why=f"{len(pairs)} slides")
    split = ", ".join(f"{len(items)} of {slides[name]} patients to {name}" for name, items in sections.items())
    labels = {"0": "background", "1": "nucleus"}
    content = {"name": "Nuclei", "description": "MoNuSeg 2018", "split": split, "labels": labels, **sections}
    path = args.output / "dataset.json"
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(f"{path}: {split}")
    return path


if __name__ == "__main__":
    main()
