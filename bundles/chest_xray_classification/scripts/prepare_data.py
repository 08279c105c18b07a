# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Make the data set of this bundle from PneumoniaMNIST, or from a file of MedMNIST of any size, one label a picture.

FILE is the archive as it is downloaded, with arrays train_images, train_labels, val_images, and so on. OUTPUT_DIR gets
the pictures and a dataset.json, with the sections that the archive has. A picture of training that is, to the last
pixel, one of validation or test is left out, as is one of validation that is of test.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from monai_kd.data import save_datalist
from monai_kd.utils.errors import DataError
from monai_kd.utils.new_folder import new_folder

SECTION = {"test": "test", "val": "validation", "train": "training"}  # what is seen first is kept
CLASSES = ("normal", "pneumonia")


def read_archive(file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read pictures [N, H, W] or [N, H, W, 3] in uint8 and labels [N] of each section.

    Args:
        file: the archive.

    Raises:
        DataError: it is no such archive; an array is missing, or is not what it should be; names the array.
    """
    try:
        with np.load(file) as archive:
            arrays = {name: archive[name] for part in SECTION for name in (f"{part}_images", f"{part}_labels")}
    except KeyError as error:
        name = error.args[0].split()[0]
        raise DataError(f"has no array {name}", where=str(file), fix="give a MedMNIST file") from error
    except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise DataError("cannot be read", where=str(file), why=str(error), fix="download it again") from error
    found = {}
    for part, section in SECTION.items():
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        where = f"{file}, {part}"
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)):
            raise DataError(f"images are {images.dtype} {list(images.shape)}, not pictures of 8 bits", where=where)
        if labels.shape not in ((len(images), 1), (len(images),)) or not np.issubdtype(labels.dtype, np.integer):
            what = f"labels are {labels.dtype} {list(labels.shape)}, not one class for each of {len(images)} pictures"
            raise DataError(what, where=where)
        found[section] = images, labels.reshape(-1)
    return found


def write_dataset(file: Path, folder: Path) -> dict[str, int]:
    """Write pictures and dataset.json; the folder is written beside and then renamed, so it is whole or not there.

    Args:
        file: the archive that was downloaded.
        folder: where to; new or empty.

    Returns:
        The number of pictures in each section.

    Raises:
        DataError: as `read_archive`; `folder` holds something.
    """
    with new_folder(folder) as temporary:
        sections = read_archive(file)
        classes = sorted({int(label) for _, labels in sections.values() for label in labels})
        names = dict(enumerate(CLASSES)) if classes == [0, 1] else {c: str(c) for c in classes}
        content: dict = {
            "name": "chest_xray",
            "description": f"Chest X-rays of {file.name}, {len(classes)} classes",
            "licence": "see docs/data_license.txt of the bundle",
            "tensorImageSize": "2D",
            "modality": {"0": "X-ray"},
            "labels": {str(c): name for c, name in names.items()},
        }

        (temporary / "images").mkdir()
        owner: dict[bytes, str] = {}
        left_out = 0
        for section, (images, labels) in sections.items():
            content[section] = []
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                if owner.setdefault(image.tobytes(), section) != section:
                    left_out += 1
                    continue
                case = f"{section}_{i:05d}"
                Image.fromarray(image).save(temporary / "images" / f"{case}.png")
                content[section].append({"image": f"images/{case}.png", "label": int(label), "case": case})
        content["split"] = f"the archive's own; {left_out} pictures that another section has, too, are left out"
        return save_datalist(content, temporary)


def main(argv: list[str] | None = None) -> None:
    """Run the command.

    Args:
        argv: what was typed after the program's name.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE", type=Path, help="what was downloaded, such as pneumoniamnist.npz")
    parser.add_argument("folder", metavar="OUTPUT_DIR", type=Path, help="where to; new or empty")
    args = parser.parse_args(argv)
    try:
        numbers = write_dataset(args.file, args.folder)
    except DataError as error:
        parser.exit(1, f"error: {error}\n")
    print(f"{args.folder}: {', '.join(f'{number} {name}' for name, number in numbers.items())}")


if __name__ == "__main__":
    main()
