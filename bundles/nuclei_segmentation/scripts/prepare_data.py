# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Make the data set that this bundle reads of a folder or a zip of slides `NAME.jpg` (or png, tif) and `NAME_mask.png`.

The slides are divided by patient (the first three parts of a TCGA name), seeded, 60/15/25 %. Those to train with are
cut into tiles, the others stay whole. Masks become 0 and 1.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from monai_kd.data import save_datalist
from monai_kd.utils import DataError
from monai_kd.utils.archives import extract
from monai_kd.utils.new_folder import new_folder

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


def read_picture(path: Path, mode: str) -> np.ndarray:
    """The pixels of a picture.

    Args:
        path: the file.
        mode: Pillow's name of the colours.
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert(mode))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError("cannot be read", where=str(path), why=f"{type(error).__name__}: {error}") from error


def tiles_of(shape: tuple[int, ...], tile: int) -> list[tuple[int, int]]:
    """Corners of the tiles that cover a picture as far as whole tiles go.

    Args:
        shape: rows and columns of the picture.
        tile: side of a tile in pixels.
    """
    return [(y, x) for y in range(0, shape[0] - tile + 1, tile) for x in range(0, shape[1] - tile + 1, tile)]


def write_dataset(source: Path, output: Path, tile: int = 250, seed: int = 0) -> tuple[Path, str]:
    """Write the data set; the folder is written beside and then renamed, so it is whole or not there.

    Args:
        source: folder or archive of slides and masks.
        output: where to; new or empty.
        tile: side of the training tiles in pixels.
        seed: of the split.

    Returns:
        Its `dataset.json`, and what is in each section.

    Raises:
        DataError: `output` holds something; a slide is missing or cannot be read; a section would be empty; the
            archive is malicious.
    """
    with new_folder(output) as folder, tempfile.TemporaryDirectory(dir=folder.parent, prefix=".slides.") as scratch:
        found = source
        if source.is_file():
            found = Path(scratch, "slides")
            extract(source, found)
        pairs = pairs_in(found)
        section = divided([patient_of(slide.stem) for slide, _ in pairs], seed)
        sections: dict[str, list[dict[str, str]]] = {name: [] for name in PARTS}
        for name in ("images", "labels"):
            (folder / name).mkdir()
        for slide, mask in pairs:
            patient = patient_of(slide.stem)
            image = read_picture(slide, "RGB")
            label = (read_picture(mask, "L") > 0).astype(np.uint8)
            if image.shape[:2] != label.shape:
                what = f"the mask is {label.shape}, the picture {image.shape[:2]}"
                raise DataError(what, where=str(mask), fix="both must have one grid of pixels")
            whole = section[patient] != "training"
            corners = [(0, 0)] if whole else tiles_of(label.shape, tile)
            for y, x in corners:
                case = slide.stem if whole else f"{slide.stem}_{y}_{x}"
                cut = (slice(None),) * 2 if whole else (slice(y, y + tile), slice(x, x + tile))
                for name, array in (("images", image), ("labels", label)):
                    Image.fromarray(array[cut]).save(folder / name / f"{case}.png")
                item = {"image": f"images/{case}.png", "label": f"labels/{case}.png", "case": case, "patient": patient}
                sections[section[patient]].append(item)
        empty = [name for name, items in sections.items() if not items]
        if empty:
            raise DataError(f"nothing to put into {empty[0]}", where=str(source), why=f"{len(pairs)} slides")
        patients = {name: len({item["patient"] for item in items}) for name, items in sections.items()}
        split = ", ".join(f"{len(items)} of {patients[name]} patients to {name}" for name, items in sections.items())
        labels = {"0": "background", "1": "nucleus"}
        content = {"name": "Nuclei", "description": "MoNuSeg 2018", "split": split, "labels": labels, **sections}
        save_datalist(content, folder)
    return output / "dataset.json", split


def main(argv: list[str] | None = None) -> Path:
    """Write the data set and return its `dataset.json`.

    Args:
        argv: what was typed after the program's name.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder or zip of slides and masks")
    parser.add_argument("output", type=Path, help="folder to write, for --dataset_dir; new or empty")
    parser.add_argument("--tile", type=int, default=250, help="side of the training tiles in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    args = parser.parse_args(argv)
    try:
        path, split = write_dataset(args.source, args.output, args.tile, args.seed)
    except DataError as error:
        parser.exit(1, f"error: {error}\n")
    print(f"{path}: {split}")
    return path


if __name__ == "__main__":
    main()
