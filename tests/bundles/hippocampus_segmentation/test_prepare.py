# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from monai_kd.data import load_datalist
from monai_kd.utils import DataError
from tests.bundles.hippocampus_segmentation.conftest import CONFIGS
from tests.bundles.workflows import load_script

SHARED = Path(os.environ.get("MONAI_KD_DATA", "../shared/data")) / "seg3d_hippocampus"


@pytest.fixture
def prepare():
    """The module `scripts/prepare_data.py`."""
    return load_script(CONFIGS.parent / "scripts" / "prepare_data.py")


def packed(folder: Path, cases: str, names: list[str]) -> Path:
    folder.mkdir()
    (folder / "cases.csv").write_text(cases)
    with zipfile.ZipFile(folder / "volumes.zip", "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return folder


def test_a_zip_with_a_split_is_unpacked(prepare, tmp_path):
    names = [f"{part}/{x}.nii.gz" for part in ("images", "labels") for x in "abc"]
    source = packed(tmp_path / "in", "file,split\na.nii.gz,train\nb.nii.gz,val\nc.nii.gz,test\n", names)
    prepare.main([str(source), str(tmp_path / "out")])
    found = {s: load_datalist(tmp_path / "out", s, ["image", "label"])[0] for s in ("training", "validation", "test")}
    assert [found[s]["case"] for s in found] == ["a", "b", "c"]
    assert Path(found["test"]["label"]).read_text() == "labels/c.nii.gz"


def test_the_decathlons_folder_is_split_by_a_seed(prepare, tmp_path):
    for part in ("imagesTr", "labelsTr"):
        (tmp_path / "in" / part).mkdir(parents=True)
        for i in range(10):
            (tmp_path / "in" / part / f"h_{i}.nii.gz").write_text(part)
        (tmp_path / "in" / part / "._h_0.nii.gz").touch()  # as the Decathlon's archives have them
    paths = [
        prepare.main([str(tmp_path / "in"), str(tmp_path / name), "--seed", seed]) for name, seed in ("a0", "b0", "c1")
    ]
    contents = [json.loads(path.read_text()) for path in paths]
    assert [len(contents[0][s]) for s in ("training", "validation", "test")] == [6, 2, 2]
    assert contents[0] == contents[1] != contents[2]
    assert not (tmp_path / "a" / "imagesTr" / "._h_0.nii.gz").exists()


def test_what_is_missing_is_named(prepare, tmp_path):
    source, out = packed(tmp_path / "in", "file,split\na.nii.gz,train\n", ["images/a.nii.gz"]), tmp_path / "out"
    with pytest.raises(DataError, match=r"volumes.zip.*no labels/a.nii.gz"):
        prepare.write_dataset(source, out)
    (source / "cases.csv").write_text("file,split\na.nii.gz,other\n")
    with pytest.raises(DataError, match=r"row 2.*'other'"):
        prepare.write_dataset(source, out)
    with pytest.raises(DataError, match="is not empty"):
        prepare.write_dataset(source, source)
    (source / "cases.csv").unlink()
    with pytest.raises(DataError, match=r"cases.csv: no such file"):
        prepare.write_dataset(source, out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="0 zip files"):
        prepare.write_dataset(tmp_path / "empty", out)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "empty"}  # nothing half made


@pytest.mark.parametrize("name", ["../../../escaped.nii.gz", "/escaped.nii.gz", "a/b.nii.gz", "..", ""])
def test_a_name_of_the_table_is_no_path(prepare, tmp_path, name):
    escaped = [f"{part}/{name}" for part in ("images", "labels")]
    source = packed(tmp_path / "in", f"file,split\n{name},train\n", escaped)
    with pytest.raises(DataError, match=r"cases.csv, row 2: file .* is not the name of a file"):
        prepare.write_dataset(source, tmp_path / "a" / "b" / "out")
    assert not list(tmp_path.rglob("escaped*")) and not list((tmp_path / "a" / "b").iterdir())


def test_a_malicious_zip_is_told_in_one_line(prepare, tmp_path, capsys):
    source = packed(tmp_path / "in", "file,split\na.nii.gz,train\n", ["../../escaped.nii.gz"])
    with pytest.raises(SystemExit) as end:
        prepare.main([str(source), str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert end.value.code == 1 and said.startswith("error: ") and said.count("\n") == 1 and "leads out" in said
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no {SHARED}: set MONAI_KD_DATA")
def test_the_real_volumes(prepare, tmp_path):
    prepare.main([str(SHARED), str(tmp_path / "out")])
    counts = [len(load_datalist(tmp_path / "out", s, ["image", "label"])) for s in ("training", "validation", "test")]
    assert counts == [156, 52, 52]
