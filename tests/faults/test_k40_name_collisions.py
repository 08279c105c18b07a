# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K40: images of one name, in folders of their own, have answers of their own; no answer is written over another."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image
from torch import nn

from monai_kd.commands.datalist import write_datalist
from monai_kd.utils import DataError
from tests.volumes import blobs

BUNDLES = Path(__file__).parents[2] / "bundles"
CASES = {
    "hippocampus_segmentation": (nn.Conv3d(1, 3, 1), "nii.gz", (33, 48, 32)),
    "nuclei_segmentation": (nn.Conv2d(3, 2, 1), "png", (64, 64)),
}


def write(path: Path, number: int, size: tuple[int, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image, _ = blobs(number, size)
    if len(size) == 3:
        nib.save(nib.Nifti1Image(image, np.eye(4)), path)
    else:
        Image.fromarray(np.uint8(255 * (image - image.min()) / np.ptp(image))).convert("RGB").save(path)


@pytest.fixture(params=list(CASES))
def infer(request, tmp_path):
    network, ending, size = CASES[request.param]
    torch.jit.save(torch.jit.script(network), tmp_path / "model.ts")

    def infer(pattern: str) -> list[str]:
        workflow = ConfigWorkflow(
            str(BUNDLES / request.param / "configs" / "inference.yaml"),
            workflow_type="infer",
            logging_file=False,
            dataset_dir=str(tmp_path / "clinic"),
            output_dir=str(tmp_path / "out"),
            checkpoint=str(tmp_path / "model.ts"),
            device="$torch.device('cpu')",
            pattern=pattern,
        )
        workflow.initialize()
        workflow.run()
        return sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))

    return infer, tmp_path / "clinic", ending, size


def test_two_patients_with_files_of_one_name(infer):
    answer, clinic, ending, size = infer
    for number, patient in enumerate(("p1", "p2")):
        write(clinic / patient / f"img.{ending}", number, size)
    assert answer(f"*/*.{ending}") == [f"p1/img_seg.{ending}", f"p2/img_seg.{ending}"]


def test_two_files_that_would_have_one_answer_are_refused(infer):
    answer, clinic, ending, size = infer
    other = "nii" if ending == "nii.gz" else "jpg"
    for number, name in enumerate((ending, other)):
        write(clinic / f"img.{name}", number, size)
    with pytest.raises(SystemExit, match=r"two files of one name, whose answers would be one file: .*clinic/img$"):
        answer("img.*")


@pytest.mark.parametrize("other", ["a.nii", "a.mha"])
def test_a_data_list_does_not_take_one_name_with_two_endings(tmp_path, other):
    for name in ("benign/a.nii.gz", f"benign/{other}", "malign/b.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"another image has that name, with another ending.*a\."):
        write_datalist(tmp_path)
