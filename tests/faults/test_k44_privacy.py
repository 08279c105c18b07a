# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K44: who a patient is, as a DICOM header tells it, is in no log, output, cache or error of any command."""

from __future__ import annotations

import gzip
import io
import json
import logging
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import set_track_meta
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from monai_kd.__main__ import main
from monai_kd.report import write_report
from monai_kd.utils import DataError
from tests import processes

BUNDLE = Path(__file__).parents[2] / "bundles" / "chest_xray_classification"
CANARY = {"PatientName": "SECRET^PATIENT", "PatientID": "MRN-0042", "PatientBirthDate": "19500101"}
SECTIONS = {"training": 12, "validation": 4, "test": 4}
FLAT = {"_target_": "SqueezeDimd", "keys": "image", "dim": -1}  # MONAI gives a single DICOM picture three axes


def write_dicom(path: Path, number: int) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    image = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    for tag, value in CANARY.items():
        setattr(image, tag, value)
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.SeriesInstanceUID, image.StudyInstanceUID, image.Modality = generate_uid(), generate_uid(), "CR"
    image.Rows = image.Columns = 28
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    image.PixelData = np.random.RandomState(number).randint(0, 255, (28, 28)).astype(np.uint8).tobytes()
    image.save_as(path, enforce_file_format=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder, content, number = tmp_path / "data", {"labels": {"0": "normal", "1": "pneumonia"}}, 0
    folder.mkdir()
    for section, count in SECTIONS.items():
        content[section] = []
        for _ in range(count):
            write_dicom(folder / f"{number:03d}.dcm", number)
            content[section].append({"image": f"{number:03d}.dcm", "label": number % 2, "patient": f"p{number}"})
            number += 1
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, and what is packed in it."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found = path.read_bytes()
        yield str(path), found
        if found[:2] == b"\x1f\x8b":
            yield f"{path} (unpacked)", gzip.decompress(found)
        if zipfile.is_zipfile(path):  # npz, pt, ts
            with zipfile.ZipFile(path) as archive:
                yield from ((f"{path}, {name}", archive.read(name)) for name in archive.namelist())


def traces(text: bytes) -> list[str]:
    canaries = [*CANARY.values(), "SECRET", "PATIENT^"]
    return [c for c in canaries if c.encode() in text or c.encode("utf-16-le") in text]


def test_the_search_finds_what_is_there(data, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x", "SECRET^PATIENT")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"MRN-0042"))
    found = {Path(name.split(",")[0].split(" ")[0]).name for name, text in contents(tmp_path) if traces(text)}
    assert {"a.npz", "b.gz", "000.dcm"} <= found


@pytest.fixture
def given(data: Path) -> list[str]:
    """Overrides that make a training short."""
    words = ["--dataset_dir", str(data), "--max_epochs", "1", "--val_interval", "1", "--batch_size", "6"]
    return [*words, "--device", "$torch.device('cpu')"]


def test_no_command_that_trains_passes_on_who_the_patient_is(data, given, tmp_path, caplog, capfd):
    out = tmp_path / "out"
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        with caplog.at_level(logging.DEBUG):
            for name, role in (("train_teacher", "teacher"), ("train_alone", "alone"), ("kd", "distilled")):
                files = ["--output_dir", str(out / role), "--teacher_checkpoint", str(out / "teacher.pt")]
                files += [] if role == "teacher" else ["--checkpoint", str(out / f"{role}.pt")]
                for over in ([], ["--config_file", "evaluate.yaml"]):
                    words = ["run", name, "--bundle", str(BUNDLE), *over]
                    assert main([*words, *given, *files, "--debug"]) == 0
            assert main(["report", str(out), "--debug"]) == 0
            broken = data / "019.dcm"
            broken.write_bytes(broken.read_bytes()[:-300])
            infer = BUNDLE / "configs" / "inference.yaml"
            steps = ConfigParser.load_config_file(infer)["preprocessing"]["transforms"]
            steps[0].pop("reader", None)  # that of pictures
            workflow = ConfigWorkflow(
                str(infer),
                workflow_type="infer",
                logging_file=False,
                bundle_root=str(BUNDLE),
                **{
                    "dataset_dir": str(data),
                    "output_dir": str(out / "inference"),
                    "checkpoint": str(out / "distilled.pt"),
                    "preprocessing::transforms": [steps[0], FLAT, *steps[1:]],
                    "mode": "$lambda item: 'L'",
                },
            )
            workflow.initialize()
            with pytest.raises(SystemExit) as told:
                workflow.run()
            assert "019.dcm" in str(told.value)
            with pytest.raises(RuntimeError) as error:
                main(["run", "train_alone", "--bundle", str(BUNDLE), *given, "--val_section", "test", "--debug"])
    finally:
        logging.getLogger().removeHandler(handler)
        set_track_meta(True)
    said = capfd.readouterr()
    texts = {"log": caplog.text, "stream": stream.getvalue(), "stdout": said.out, "stderr": said.err}
    texts |= {"inference": str(told.value), "error": repr(error.value) + str(error.value.__cause__)}
    assert len(texts["log"]) > 1000
    assert {name: found for name, text in texts.items() if (found := traces(text.encode()))} == {}
    assert {name: found for name, text in contents(out) if (found := traces(text))} == {}
    assert (out / "report.html").is_file() and (out / "inference" / "predictions.csv").is_file()


def test_nor_does_any_other_command(data, given, tmp_path, caplog, capfd, monkeypatch):
    monkeypatch.setattr("monai_kd.commands.trial.subprocess.run", processes.run)
    monkeypatch.setattr("monai_kd.commands.compare.write_report", partial(write_report, resamples=50))
    out, bundle, content = tmp_path / "out", str(BUNDLE), json.loads((data / "dataset.json").read_text())
    rows = [f"{item['image']},{item['label']},{item['patient']}" for name in SECTIONS for item in content[name]]
    (data / "cases.csv").write_text("\n".join(["image,label,patient", *rows, "gone.dcm,0,p99"]))
    columns = ["--image-column", "image", "--label-column", "label", "--group-column", "patient"]
    teacher = ["--teacher_checkpoint", str(out / "teacher.pt"), "--progress", "False"]
    compared = ["--recipes", "kd", "--seeds", "1", "--output_dir", str(out / "compare")]
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(DataError, match=r"gone\.dcm") as error:
            main(["datalist", str(data / "cases.csv"), *columns, "--out", str(out / "dataset.json"), "--debug"])
        (data / "cases.csv").write_text("\n".join(["image,label,patient", *rows]))
        for words in (
            ["datalist", str(data / "cases.csv"), *columns, "--out", str(out / "dataset.json")],
            ["check-data", str(data), "--checksums", str(out / "sums.txt"), "--json", str(out / "whole.json")],
            ["check-bundle", bundle],
            ["compare", "--bundle", bundle, *compared, *given, *teacher],
            ["pack", "kd", str(out / "packed"), "--bundle", bundle, *given, *teacher],
        ):
            assert main([*words, "--debug"]) == 0, words
        broken = data / "019.dcm"
        broken.write_bytes(broken.read_bytes()[:-300])
        assert main(["check-data", str(data), "--json", str(out / "broken.json"), "--debug"]) == 1
    set_track_meta(True)
    said = capfd.readouterr()
    texts = {"log": caplog.text, "stdout": said.out, "stderr": said.err, "error": repr(error.value)}
    assert "019.dcm" in said.out
    files = dict(contents(out))
    assert [name for name, text in texts.items() if traces(text.encode())] == []
    assert [name for name, text in files.items() if traces(text)] == []
    made = ("dataset.json", "sums.txt", "whole.json", "broken.json", "compare/report.html", "packed/configs/train.json")
    assert [name for name in made if not (out / name).is_file()] == []
