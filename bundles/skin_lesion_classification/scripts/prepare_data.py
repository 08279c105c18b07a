# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Make the data set of this bundle from HAM10000 or ISIC 2019 as they are downloaded.

SOURCE_DIR holds CSV files and the pictures, in folders or in zip files. HAM10000: one CSV with columns image_id,
lesion_id and dx, and perhaps split. ISIC 2019: a ground truth with one column a class, and metadata with image and
lesion_id. OUTPUT_DIR gets the pictures and a dataset.json. A lesion, of which there may be several pictures, is in one
section only, and every section has its share of every class.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from monai_kd.data import save_datalist, split_groups
from monai_kd.utils.errors import DataError
from monai_kd.utils.new_folder import new_folder

SHARES = {"training": 0.7, "validation": 0.1, "test": 0.2}
SECTION = {"train": "training", "training": "training", "val": "validation", "validation": "validation", "test": "test"}
PICTURES = (".jpg", ".jpeg", ".png")
NAMES = {
    "akiec": "actinic keratosis or intraepithelial carcinoma",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "vasc": "vascular lesion",
    "ak": "actinic keratosis",
    "scc": "squamous cell carcinoma",
}


def read_rows(source: Path) -> list[dict[str, str]]:
    """Read what is known of each picture: image, lesion, class (dx), and perhaps split.

    Args:
        source: folder with the CSV files.

    Raises:
        DataError: neither HAM10000's table nor ISIC 2019's is there; a row without a class.
    """
    tables = {}
    for file in sorted(source.rglob("*")):
        if file.suffix.lower() == ".csv" or file.name == "HAM10000_metadata":  # as the Dataverse names it
            with file.open(newline="", encoding="utf-8-sig") as opened:
                tables[file] = list(csv.DictReader(opened))
    for file, rows in tables.items():
        if rows and {"image_id", "lesion_id", "dx"} <= rows[0].keys():
            return [
                {
                    "image": row["image_id"],
                    "lesion": row["lesion_id"] or row["image_id"],
                    "dx": _known(row["dx"].strip().lower(), file, i),
                    "split": row.get("split") or "",
                }
                for i, row in enumerate(rows)
            ]
    truth = next(((f, r) for f, r in tables.items() if r and {"image", "MEL", "NV"} <= r[0].keys()), None)
    lesions = {row["image"]: row["lesion_id"] for r in tables.values() if r and "lesion_id" in r[0] for row in r}
    if truth is None or not lesions:
        fix = "HAM10000 has image_id, lesion_id and dx; ISIC 2019 image, MEL, NV, ..., and another table lesion_id"
        raise DataError("no table of HAM10000 or of ISIC 2019", where=str(source), fix=fix)
    file, rows = truth
    return [
        {
            "image": row["image"],
            "lesion": lesions.get(row["image"]) or row["image"],  # of some pictures no lesion is told
            "dx": _known(_one_hot(row, file, i), file, i),
            "split": "",
        }
        for i, row in enumerate(rows)
    ]


def _one_hot(row: dict[str, str], file: Path, number: int) -> str:
    chosen = [name for name, value in row.items() if name != "image" and value and float(value) == 1]
    if len(chosen) != 1:
        raise DataError(f"{len(chosen)} classes are 1, not one", where=f"{file}, row {number + 1}")
    return chosen[0].lower()


def _known(dx: str, file: Path, number: int) -> str:
    if dx not in NAMES:
        raise DataError(f"no class {dx!r}", where=f"{file}, row {number + 1}", fix=f"classes: {', '.join(NAMES)}")
    return dx


def read_pictures(source: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield name without ending, ending and content of every picture below `source`, in folders and in zip files."""
    for file in sorted(source.rglob("*")):
        if file.suffix.lower() in PICTURES:
            yield file.stem, file.suffix.lower(), file.read_bytes()
        elif file.suffix.lower() == ".zip":
            with zipfile.ZipFile(file) as archive:
                for name in sorted(archive.namelist()):
                    path = Path(name)
                    if path.suffix.lower() in PICTURES and "__MACOSX" not in path.parts:
                        yield path.stem, path.suffix.lower(), archive.read(name)


def resized(content: bytes, size: int) -> bytes:
    """Squeeze a picture to a square, as the bundle does in any case: it is then read much faster."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC).save(out, "jpeg", quality=95)
    return out.getvalue()


def write_dataset(source: Path, folder: Path, seed: int = 0, size: int | None = None) -> dict[str, int]:
    """Write pictures and dataset.json; the folder is written beside and then renamed, so it is whole or not there.

    Args:
        source: what was downloaded.
        folder: where to; new or empty.
        seed: of the division into sections, where the source has none.
        size: side of the pictures that are written; None writes them as they are.

    Returns:
        The number of pictures in each section.

    Raises:
        DataError: `folder` holds something; a picture is missing; a lesion is in two sections, or in none.
    """
    with new_folder(folder) as temporary:
        rows = read_rows(source)
        classes = sorted({row["dx"] for row in rows})
        if all(row["split"] for row in rows):
            for row in rows:
                if row["split"].lower() not in SECTION:
                    fix = f"sections: {', '.join(SECTION)}"
                    raise DataError(f"no section {row['split']!r}", where=f"{source}, {row['image']}", fix=fix)
            sections = [SECTION[row["split"].lower()] for row in rows]
            split = "the table's own"
        else:
            labels, lesions = [classes.index(row["dx"]) for row in rows], [row["lesion"] for row in rows]
            names = list(SHARES)
            sections = [names[part] for part in split_groups(labels, lesions, list(SHARES.values()), seed)]
            split = f"drawn by lesion, stratified, seed {seed}"
        first: dict[str, str] = {}
        for row, section in zip(rows, sections, strict=True):
            if first.setdefault(row["lesion"], section) != section:
                why = f"in {first[row['lesion']]} and in {section}"
                raise DataError("a lesion is in two sections", where=f"{source}, {row['lesion']}", why=why)

        (temporary / "images").mkdir()
        wanted, found = {row["image"] for row in rows}, {}
        for stem, ending, content in read_pictures(source):
            if stem in wanted and stem not in found:
                found[stem] = f"images/{stem}{ending if size is None else '.jpg'}"
                (temporary / found[stem]).write_bytes(content if size is None else resized(content, size))
        if missing := sorted(wanted - found.keys()):
            what = f"{len(missing)} of {len(wanted)} pictures are missing, the first is {missing[0]}"
            raise DataError(what, where=str(source), fix="put the pictures, or their zip files, there")
        content = {
            "name": "skin_lesions",
            "description": f"Dermoscopic pictures of skin lesions, {len(classes)} classes",
            "licence": "see docs/data_license.txt of the bundle",
            "tensorImageSize": "2D",
            "modality": {"0": "dermoscopy"},
            "labels": {str(i): dx for i, dx in enumerate(classes)},
            "names": {dx: NAMES[dx] for dx in classes},
            "split": f"lesions are never divided; {split}",
            **{name: [] for name in SHARES},
        }
        for row, section in zip(rows, sections, strict=True):
            item = {"image": found[row["image"]], "label": classes.index(row["dx"]), "patient": row["lesion"]}
            content[section].append({**item, "case": row["image"]})
        return save_datalist(content, temporary)


def main(argv: list[str] | None = None) -> None:
    """Run the command.

    Args:
        argv: what was typed after the program's name.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SOURCE_DIR", type=Path, help="what was downloaded")
    parser.add_argument("folder", metavar="OUTPUT_DIR", type=Path, help="where to; new or empty")
    parser.add_argument("--seed", type=int, default=0, help="of the division, where the source has none")
    parser.add_argument("--size", type=int, help="squeeze the pictures to this side; by default they stay as they are")
    args = parser.parse_args(argv)
    try:
        numbers = write_dataset(args.source, args.folder, args.seed, args.size)
    except DataError as error:
        parser.exit(1, f"error: {error}\n")
    print(f"{args.folder}: {', '.join(f'{number} {name}' for name, number in numbers.items())}")


if __name__ == "__main__":
    main()
