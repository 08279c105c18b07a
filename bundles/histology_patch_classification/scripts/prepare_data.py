# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Make a data set that this bundle reads of pictures as they are downloaded.

`oral`: SOURCE_DIR holds a zip of pictures and labels.csv with columns file, label, cls and split; no patients are
known. `paired`: SOURCE_DIR holds a zip of fields SPLIT/NAME_PANEL.jpg (or png), co-registered stains of one section,
and a panel `seg` in which positive cells are red, negative ones blue. Fields are cut into patches; the label is the
grade of a patch's red area. OUTPUT_DIR gets the pictures and a dataset.json.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_kd.data import save_datalist
from monai_kd.utils.errors import DataError
from monai_kd.utils.new_folder import new_folder

SECTIONS = {"train": "training", "val": "validation", "test": "test"}
PARTS = {"training": (0, 10), "validation": (10, 13), "test": (13, 16)}  #: rows of a field, in sixteenths
CUTS = (0.01,)
GRADES = ("negative", "positive")  #: less than 1 % of the patch is red, or more
PANELS = ("ihc", "hematoxylin", "dapi", "lap2", "ki67")
COLOURS = 64  #: of a `seg`, at most: it is drawn, not photographed

Content = dict[str, Any]


def write_oral(source: Path, output: Path) -> Content:
    """Unpack the pictures that labels.csv names, into the sections it names.

    Args:
        source: folder of the zip and labels.csv.
        output: receives the pictures.

    Raises:
        DataError: a row without a known split or label, or a picture that is not there; names the row.
    """
    table = source / "labels.csv"
    if not table.is_file():
        raise DataError("there is no such file", where=str(table), fix="SOURCE_DIR holds a zip and labels.csv")
    sections: dict[str, list[Content]] = {name: [] for name in SECTIONS.values()}
    labels: dict[str, str] = {}
    with zipfile.ZipFile(_archive(source)) as archive, table.open(newline="", encoding="utf-8") as file:
        members = {Path(name).name: name for name in archive.namelist()}
        for number, row in enumerate(csv.DictReader(file)):
            where = f"{table}, row {number + 2}"
            if row.get("split") not in SECTIONS:
                raise DataError(f"split {row.get('split')!r}", where=where, fix=f"one of {', '.join(SECTIONS)}")
            if not row["label"].isdigit():
                raise DataError(f"label {row['label']!r} is no number", where=where)
            if row["file"] not in members:
                raise DataError(f"no picture {row['file']!r} in the zip", where=where)
            (output / "images").mkdir(exist_ok=True)
            (output / "images" / row["file"]).write_bytes(archive.read(members[row["file"]]))
            labels.setdefault(row["label"], row["cls"])
            item = {"image": f"images/{row['file']}", "label": int(row["label"]), "case": Path(row["file"]).stem}
            sections[SECTIONS[row["split"]]].append(item)
    return {
        "name": "oral",
        "description": "Oral-cavity photomicrographs, H&E, two magnifications",
        "labels": labels,
        "split": _counted(sections) + " pictures, as labels.csv has it; patients are unknown, one may be in several",
        **sections,
    }


def write_paired(
    source: Path, output: Path, routine: str = "hematoxylin", privileged: str = "ihc", tile: int = 32
) -> Content:
    """Cut each field by rows, ten sixteenths to train, three to validate, three to test, then into patches.

    The archive's own sections are not used: a field that is there twice is taken once, and one whose `seg` is a
    photograph, not a drawing, has no label and is left out; each is told.

    Args:
        source: folder of the zip.
        output: receives the patches.
        routine: panel that the student sees.
        privileged: panel that only the teacher sees.
        tile: side of a patch in pixels; divides a sixteenth of a field's rows, or is a multiple of it.

    Raises:
        DataError: a panel is missing or has another size than the others, or no field is left.
    """
    sections: dict[str, list[Content]] = {name: [] for name in PARTS}
    seen: dict[bytes, str] = {}
    with zipfile.ZipFile(_archive(source)) as archive:
        names = {name.rsplit(".", 1)[0]: name for name in archive.namelist()}
        for field in sorted((n.removesuffix("_seg") for n in names if n.endswith("_seg")), key=_order):
            packed = [_panel(archive, names, f"{field}_{panel}") for panel in (routine, privileged, "seg")]
            if packed[0] in seen:
                print(f"{field}: the same picture as {seen[packed[0]]}, left out")
                continue
            seen[packed[0]] = field
            stain, dense, drawn = (np.asarray(Image.open(io.BytesIO(p)).convert("RGB")) for p in packed)
            if stain.shape != dense.shape or stain.shape != drawn.shape:
                raise DataError(f"panels of {stain.shape}, {dense.shape}, {drawn.shape}", where=f"field {field}")
            if len(np.unique(drawn.reshape(-1, 3), axis=0)) > COLOURS:
                print(f"{field}: its seg is no drawing, so that it has no label, left out")
                continue
            for section, item in _patches(field, stain, dense, drawn, tile, output):
                sections[section].append(item)
    if not all(sections.values()):
        raise DataError("no patches are left to train, validate and test", where=str(source), fix="a smaller --tile")
    return {
        "name": "paired",
        "description": f"Co-registered stains of one section, {routine} and {privileged}, graded by the positive area",
        "labels": {str(i): grade for i, grade in enumerate(GRADES)},
        "split": _counted(sections) + " patches, by rows of each field, so that every patient is in all of them",
        **sections,
    }


def _patches(
    field: str, stain: np.ndarray, dense: np.ndarray, drawn: np.ndarray, tile: int, output: Path
) -> list[tuple[str, Content]]:
    found = []
    red = (drawn[..., 0] > 127) & (drawn[..., 1:] < 128).all(2)
    unit = stain.shape[0] / 16
    for section, (start, stop) in PARTS.items():
        for row in range(round(start * unit), round(stop * unit) - tile + 1, tile):
            for column in range(0, stain.shape[1] - tile + 1, tile):
                window = np.s_[row : row + tile, column : column + tile]
                case = f"{field.replace('/', '_')}_{row:04d}_{column:04d}"
                item: Content = {"image": f"routine/{case}.png", "privileged": f"privileged/{case}.png"}
                for name, pixels in zip(item.values(), (stain, dense), strict=True):
                    (output / name).parent.mkdir(exist_ok=True)
                    Image.fromarray(pixels[window]).save(output / name)
                found.append((section, {**item, "label": int(np.digitize(red[window].mean(), CUTS)), "case": case}))
    return found


def _order(field: str) -> tuple[int, str]:
    """Fields to train with first, so that a copy elsewhere is what is left out."""
    return (not field.startswith("train/"), field)


def _panel(archive: zipfile.ZipFile, names: dict[str, str], panel: str) -> bytes:
    if panel not in names:
        raise DataError(f"no panel {panel!r}", where=str(archive.filename), fix=f"panels: {', '.join(PANELS)}, seg")
    return archive.read(names[panel])


def _archive(source: Path) -> Path:
    archives = sorted(source.glob("*.zip"))
    if len(archives) != 1:
        raise DataError(f"{len(archives)} zip files", where=str(source), fix="there must be one")
    return archives[0]


def _counted(sections: dict[str, list[Content]]) -> str:
    return ", ".join(f"{len(items)} {name}" for name, items in sections.items())


def main(argv: list[str] | None = None) -> Path:
    """Write the data set, whole or not at all, and return its `dataset.json`.

    Args:
        argv: what was typed after the program's name.

    Raises:
        DataError: the output is there already; see also `write_oral` and `write_paired`.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("oral", "paired"):
        sub = kinds.add_parser(kind)
        sub.add_argument("source_dir", type=Path, help="what was downloaded")
        sub.add_argument("output_dir", type=Path, help="folder to write, for --dataset_dir; must not be there")
    sub.add_argument("--routine", choices=PANELS, default="hematoxylin", help="panel that the student sees")
    sub.add_argument("--privileged", choices=PANELS, default="ihc", help="panel that only the teacher sees")
    sub.add_argument("--tile", type=int, default=32, help="side of a patch in pixels")
    given = vars(parser.parse_args(argv))
    kind, source, output = given.pop("kind"), given.pop("source_dir"), given.pop("output_dir")
    if output.exists():
        raise DataError("is there already", where=str(output), fix="name a new folder")
    with new_folder(output) as temporary:
        content = {"oral": write_oral, "paired": write_paired}[kind](source, temporary, **given)
        save_datalist(content, temporary)
    print(f"{output / 'dataset.json'}: {content['split']}")
    return output / "dataset.json"


if __name__ == "__main__":
    main()
