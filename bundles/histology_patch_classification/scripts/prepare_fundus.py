# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Make bags of fundus photographs: `python -m scripts.prepare_fundus GRADING_DIR LESIONS_DIR OUTPUT_DIR`.

GRADING_DIR holds a zip of square photographs and labels.csv (`file`, `split`, `dr_grade`); LESIONS_DIR a zip of
photographs SPLIT/NAME.jpg with masks SPLIT/NAME_mask.png, whose bits 0 to 3 are lesions, and overlap_with_grading.csv.
A bag is a photograph, its instances are tiles, its label whether the retinopathy is of grade 2 or more. The same data
set in OUTPUT_DIR/instances tests on the tiles of lesion photographs, each with its own label: whether it shows a
lesion. A photograph that is in the training part of the grading data, too, is left out of it.
"""

from __future__ import annotations

import argparse
import csv
import io
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_kd.data import save_datalist
from monai_kd.utils.errors import DataError

LESIONS = 0b1111  #: bits of a mask: microaneurysms, haemorrhages, hard and soft exudates
DARK = 20  #: of 255; what is darker in every colour is outside the field of view
LEAST = 4  #: pixels of a tile that must be of a lesion
REFERABLE = 2  #: grade
HELD_OUT = 5  #: every fifth training photograph of a class validates

Content = dict[str, Any]


def tiles(photograph: np.ndarray, size: int) -> Iterator[tuple[str, tuple[slice, slice]]]:
    """Name and place of every tile of which half or more is inside the field of view.

    Args:
        photograph: [H, W, 3], uint8.
        size: side of a tile, in pixels.
    """
    inside = photograph.max(2) >= DARK
    for row in range(0, photograph.shape[0] - size + 1, size):
        for column in range(0, photograph.shape[1] - size + 1, size):
            place = np.s_[row : row + size, column : column + size]
            if inside[place].mean() >= 0.5:
                yield f"{row:04d}_{column:04d}", place


def square(photograph: np.ndarray, lesions: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut to the field of view, pad to a square with black, resize: as the graded photographs are.

    Args:
        photograph: [H, W, 3], uint8.
        lesions: where there is one, [H, W].
        side: of the result, in pixels.
    """
    inside = photograph.max(2) >= DARK
    rows, columns = (np.flatnonzero(inside.mean(axis) > 0.02)[[0, -1]] for axis in (1, 0))
    place = np.s_[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1]
    height, width = rows[1] + 1 - rows[0], columns[1] + 1 - columns[0]
    missing = abs(height - width)
    pad = (missing // 2, missing - missing // 2)
    pads = [pad, (0, 0)] if height < width else [(0, 0), pad]
    colours = Image.fromarray(np.pad(photograph[place], [*pads, (0, 0)])).resize(
        (side, side), Image.Resampling.BILINEAR
    )
    area = Image.fromarray(np.pad(lesions[place], pads).astype(np.float32)).resize((side, side), Image.Resampling.BOX)
    return np.asarray(colours), np.asarray(area) >= 0.25


def write_fundus(grading: Path, lesions: Path, output: Path, tile: int = 64) -> Content:
    """Cut all photographs into tiles.

    Args:
        grading: folder of graded photographs.
        lesions: folder of photographs with masks.
        output: receives the tiles.
        tile: side of a tile, in pixels of the graded photographs.

    Raises:
        DataError: a file is missing, a photograph is not there; names it.
    """
    sections: dict[str, list[Content]] = {"training": [], "validation": [], "test": [], "instances": []}
    seen: Counter[tuple[str, int]] = Counter()
    side = 0
    with zipfile.ZipFile(_archive(grading)) as archive:
        for row in _rows(grading / "labels.csv"):
            photograph = _opened(archive, row["file"])
            side, name, label = photograph.shape[0], Path(row["file"]).stem, int(int(row["dr_grade"]) >= REFERABLE)
            section = "training" if row["split"] == "train" else "test"
            seen[section, label] += 1
            if section == "training" and seen[section, label] % HELD_OUT == 0:
                section = "validation"
            for at, place in tiles(photograph, tile):
                sections[section].append(_item(output, name, at, photograph[place], label))
    taught = {
        (row["lesion_split"], row["lesion_id"])
        for row in _rows(lesions / "overlap_with_grading.csv")
        if row["grading_split"] == "train" and row["same_image"] == "1"
    }
    with zipfile.ZipFile(_archive(lesions)) as archive:
        for member in sorted(name for name in archive.namelist() if name.endswith(".jpg")):
            split, name = Path(member).parent.name, Path(member).stem
            if (split, name) in taught:
                continue
            mask = _opened(archive, f"{member.removesuffix('.jpg')}_mask.png") & LESIONS
            photograph, there = square(_opened(archive, member), mask > 0, side)
            for at, place in tiles(photograph, tile):
                label = int(there[place].sum() >= LEAST)
                sections["instances"].append(_item(output, f"{split}_{name}", at, photograph[place], label))
    counts = ", ".join(
        f"{len({item['patient'] for item in items})} photographs ({len(items)} tiles) {name}"
        for name, items in sections.items()
    )
    told = {"labels": {"0": "rest", "1": "positive"}, "split": counts}
    instances = sections.pop("instances")
    beside = {
        name: [{**item, "image": f"../{item['image']}"} for item in items]
        for name, items in {**sections, "test": instances}.items()
    }
    description = "Fundus photographs (IDRiD) as bags of tiles: "
    _write(output / "instances", {"description": description + "tiles with lesions", **told, **beside})
    content = {"description": description + "referable diabetic retinopathy", **told, **sections}
    _write(output, content)
    return content


def _write(folder: Path, content: Content) -> None:
    folder.mkdir(exist_ok=True)
    save_datalist({"name": "fundus", **content}, folder)


def _item(output: Path, name: str, at: str, pixels: np.ndarray, label: int) -> Content:
    image = f"images/{name}_{at}.png"
    (output / "images").mkdir(exist_ok=True)
    Image.fromarray(pixels).save(output / image)
    return {"image": image, "label": label, "case": f"{name}_{at}", "patient": name}


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError("there is no such file", where=str(path))
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _archive(source: Path) -> Path:
    archives = sorted(source.glob("*.zip"))
    if len(archives) != 1:
        raise DataError(f"{len(archives)} zip files", where=str(source), fix="there must be one")
    return archives[0]


def _opened(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    found = [name for name in archive.namelist() if name == member or name.endswith(f"/{member}")]
    if len(found) != 1:
        raise DataError(f"{len(found)} pictures {member!r} in the zip", where=str(archive.filename))
    return np.asarray(Image.open(io.BytesIO(archive.read(found[0]))))


def main(argv: list[str] | None = None) -> Path:
    """Write the data set, whole or not at all, and return its `dataset.json`.

    Args:
        argv: what was typed after the program's name.

    Raises:
        DataError: the output is there already; see also `write_fundus`.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grading_dir", type=Path, help="graded photographs")
    parser.add_argument("lesions_dir", type=Path, help="photographs with masks of lesions")
    parser.add_argument("output_dir", type=Path, help="folder to write, for --dataset_dir; must not be there")
    parser.add_argument("--tile", type=int, default=64, help="side of a tile in pixels")
    args = parser.parse_args(argv)
    output: Path = args.output_dir
    if output.exists():
        raise DataError("is there already", where=str(output), fix="name a new folder")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        content = write_fundus(args.grading_dir, args.lesions_dir, made, args.tile)
        made.rename(output)
    print(f"{output / 'dataset.json'}: {content['split']}")
    return output / "dataset.json"


if __name__ == "__main__":
    main()
