# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Measure how fast a data set is checked: `python -m tests.benchmarks.check_data [--cases N] [--workers N]`."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_kd.data import check_dataset


def write_cases(folder: Path, cases: int) -> None:
    """Write images of smooth noise and their labels, 32 x 32 x 32 of int16 each, as `.nii.gz`."""
    draw = np.random.default_rng(0)
    ramp = np.add.outer(np.add.outer(np.arange(32), np.arange(32)), np.arange(32))
    items = []
    for number in range(cases):
        image = (10 * ramp + draw.normal(0, 30, ramp.shape)).astype(np.int16)
        for name, array in ((f"i{number}.nii.gz", image), (f"l{number}.nii.gz", (image > 400).astype(np.int16))):
            nib.save(nib.Nifti1Image(array, np.eye(4)), folder / name)
        items.append({"image": f"i{number}.nii.gz", "label": f"l{number}.nii.gz", "patient": number})
    content = {"training": items[: cases // 2], "validation": items[cases // 2 :]}
    (folder / "dataset.json").write_text(json.dumps(content))


def main() -> None:
    """Print volumes (images and labels) per second of wall time and of processor time, and the load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_cases(Path(folder), options.cases)
        check_dataset(folder, num_classes=2)  # the files are in memory then, and what is imported late is there
        wall, used = time.perf_counter(), time.process_time()
        report = check_dataset(folder, num_classes=2, workers=options.workers)
        wall, used = time.perf_counter() - wall, time.process_time() - used
    volumes = 2 * options.cases
    rates = f"{volumes / wall:.0f} a second, {volumes / used:.0f} a second of one core"
    print(f"{volumes} volumes, {options.workers} workers, ok {report.ok}: {rates}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
