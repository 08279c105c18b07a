# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Make the data set of this bundle from ODIR-5K.

SOURCE_DIR holds a CSV table with a row for each eye (columns ID, filename, N, D, G, C, A, H, M, O and perhaps split)
and the photographs, named 17_left.jpg and 17_right.jpg, in folders or in zip files. OUTPUT_DIR gets one picture a
patient, both eyes side by side, and a dataset.json. An eye without a photograph is black. A patient is in one section.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image

from monai_kd.data import save_datalist, split_groups
from monai_kd.utils.errors import DataError
from monai_kd.utils.new_folder import new_folder

FINDINGS = {
    "N": "normal",
    "D": "diabetes",
    "G": "glaucoma",
    "C": "cataract",
    "A": "age-related macular degeneration",
    "H": "hypertension",
    "M": "myopia",
    "O": "other",
}
SIDES = ("left", "right")
SHARES = {"training": 0.7, "validation": 0.1, "test": 0.2}
SECTION = {"train": "training", "training": "training", "val": "validation", "validation": "validation", "test": "test"}
PICTURES = (".jpg", ".jpeg", ".png")


def read_patients(source: Path) -> dict[str, dict]:
    """Read what is known of each patient: findings, photographs by side, and perhaps section.

    Args:
        source: folder with the table.

    Raises:
        DataError: no table has the columns; a row's side, finding or section cannot be told, or two rows of a patient
            differ; names the file and the row.
    """
    for file in sorted(source.rglob("*.csv")):
        with file.open(newline="", encoding="utf-8-sig") as opened:
            rows = list(csv.DictReader(opened))
        if rows and {"ID", "filename", *FINDINGS} <= rows[0].keys():
            break
    else:
        fix = f"ODIR-5K has columns ID, filename, {', '.join(FINDINGS)}"
        raise DataError("no table of ODIR-5K", where=str(source), fix=fix)
    patients: dict[str, dict] = {}
    for number, row in enumerate(rows, 1):
        where = f"{file}, row {number}"
        name = Path(row["filename"]).name
        side = Path(name).stem.rpartition("_")[2]
        if side not in SIDES:
            raise DataError(f"{name!r} is of no side", where=where, fix="name it ..._left or ..._right")
        label = [row[finding].strip() for finding in FINDINGS]
        if set(label) - {"0", "1"}:
            raise DataError(f"findings are {', '.join(label)}, not zeros and ones", where=where)
        section = SECTION.get((row.get("split") or "").lower())
        if row.get("split") and section is None:
            raise DataError(f"no section {row['split']!r}", where=where, fix=f"sections: {', '.join(SECTION)}")
        new = {"label": [int(value) for value in label], "section": section, "eyes": {}}
        patient = patients.setdefault(row["ID"], new)
        for key in ("label", "section"):
            if patient[key] != new[key]:
                what = f"patient {row['ID']!r} has {key} {new[key]}, in another row {patient[key]}"
                raise DataError(what, where=where)
        if side in patient["eyes"]:
            raise DataError(f"patient {row['ID']!r} has two photographs of the {side} eye", where=where)
        patient["eyes"][side] = name
    return patients


def read_pictures(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every picture below `source`, in folders and in zip files."""
    for file in sorted(source.rglob("*")):
        if file.suffix.lower() in PICTURES:
            yield file.name, file.read_bytes()
        elif file.suffix.lower() == ".zip":
            with zipfile.ZipFile(file) as archive:
                for name in sorted(archive.namelist()):
                    if Path(name).suffix.lower() in PICTURES and "__MACOSX" not in Path(name).parts:
                        yield Path(name).name, archive.read(name)


def side_by_side(eyes: Mapping[str, bytes], size: int) -> bytes:
    """Join the photographs of one patient, each squeezed to a square.

    Args:
        eyes: the content of each side's file; of one side there may be none.
        size: of the square.
    """
    joined, out = Image.new("RGB", (2 * size, size)), io.BytesIO()
    for place, side in enumerate(SIDES):
        if side in eyes:
            with Image.open(io.BytesIO(eyes[side])) as picture:
                joined.paste(picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC), (place * size, 0))
    joined.save(out, "jpeg", quality=95)
    return out.getvalue()


def write_dataset(source: Path, folder: Path, seed: int = 0, size: int = 96) -> dict[str, int]:
    """Write pictures and dataset.json; the folder is written beside and then renamed, so it is whole or not there.

    Args:
        source: what was downloaded.
        folder: where to; new or empty.
        seed: of the division into sections, where the source has none.
        size: side of each eye's square.

    Returns:
        The number of patients in each section.

    Raises:
        DataError: as `read_patients`; `folder` holds something; a photograph is missing or cannot be read.
    """
    with new_folder(folder) as temporary:
        patients = read_patients(source)
        names, split = sorted(patients), "the table's own, by patient"
        if any(patient["section"] is None for patient in patients.values()):
            labels = [patients[name]["label"] for name in names]
            for name, part in zip(names, split_groups(labels, names, list(SHARES.values()), seed), strict=True):
                patients[name]["section"] = list(SHARES)[part]
            split = f"drawn by patient, stratified, seed {seed}"
        wanted = {file for patient in patients.values() for file in patient["eyes"].values()}
        found = {name: content for name, content in read_pictures(source) if name in wanted}
        if missing := sorted(wanted - found.keys()):
            what = f"{len(missing)} of {len(wanted)} photographs are missing, the first is {missing[0]}"
            raise DataError(what, where=str(source), fix="put the photographs, or their zip file, there")

        (temporary / "images").mkdir()
        content: dict = {
            "name": "fundus_findings",
            "description": f"Fundus photographs of both eyes, {len(FINDINGS)} findings that may occur together",
            "licence": "see docs/data_license.txt of the bundle",
            "tensorImageSize": "2D",
            "modality": {"0": "fundus photography"},
            "labels": {str(i): name for i, name in enumerate(FINDINGS.values())},
            "split": split,
            **{section: [] for section in SHARES},
        }
        for name in names:
            patient = patients[name]
            try:
                picture = side_by_side({side: found[file] for side, file in patient["eyes"].items()}, size)
            except OSError as error:
                files = ", ".join(patient["eyes"].values())
                raise DataError("cannot be read", where=f"{source}, {files}", why=str(error)) from error
            image = f"images/{name}.jpg"
            (temporary / image).write_bytes(picture)
            content[patient["section"]].append({"image": image, "label": patient["label"], "patient": name})
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
    parser.add_argument("--size", type=int, default=96, help="side of each eye's square in pixels")
    args = parser.parse_args(argv)
    try:
        numbers = write_dataset(args.source, args.folder, args.seed, args.size)
    except DataError as error:
        parser.exit(1, f"error: {error}\n")
    print(f"{args.folder}: {', '.join(f'{number} {name}' for name, number in numbers.items())}")


if __name__ == "__main__":
    main()
