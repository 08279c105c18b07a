# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from monai_kd.__main__ import main
from monai_kd.commands.datalist import write_datalist
from monai_kd.data import has_modality, load_datalist
from monai_kd.utils.errors import ConfigError, DataError, UnknownNameError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def content(folder: Path) -> dict:
    return json.loads((folder / "dataset.json").read_text())


def table(folder: Path, text: str) -> Path:
    (folder / "cases.csv").write_text(text)
    return folder / "cases.csv"


@pytest.fixture
def classes(tmp_path) -> Path:
    """Ten patients with two images of each of two classes."""
    names = [f"images/{c}/p{i}_{k}.png" for c in ("benign", "malignant") for i in range(10) for k in range(2)]
    return touch(tmp_path, *names, "images/benign/.hidden.png", "images/benign/notes.txt")


@pytest.fixture
def cohort(tmp_path) -> str:
    """The rows of twelve patients with two images each, one of either class."""
    touch(tmp_path, *(f"i{n}.png" for n in range(24)))
    return "".join(f"i{n}.png,{'ab'[n % 2]},p{n // 2}\n" for n in range(24))


def test_folder_of_classes_is_what_load_datalist_reads(classes):
    told = write_datalist(classes, group_pattern=r"^(p\d+)_")
    sections = {s: load_datalist(classes, s, num_classes=2) for s in ("training", "validation", "test")}
    assert {s: Counter(i["label"] for i in items) for s, items in sections.items()} == {
        "training": {0: 14, 1: 14},
        "validation": {0: 4, 1: 4},
        "test": {0: 2, 1: 2},
    }
    patients = [{item["group"] for item in items} for items in sections.values()]
    assert sum(map(len, patients)) == len(set().union(*patients)) == 10
    assert content(classes)["labels"] == {"0": "benign", "1": "malignant"}
    assert told.splitlines()[1].split() == ["benign", "malignant", "items", "patients"]
    assert "warning" not in told


def test_same_seed_same_file(classes):
    write_datalist(classes, seed=1)
    first = content(classes)
    write_datalist(classes, overwrite=True, seed=1)
    assert content(classes) == first
    write_datalist(classes, overwrite=True, seed=2)
    assert content(classes) != first


def test_folds(classes):
    told = write_datalist(classes, folds=5, test=0.2, group_pattern=r"p\d+")
    items = content(classes)["training"]
    assert Counter(item["fold"] for item in items) == {0: 8, 1: 8, 2: 8, 3: 4, 4: 4}
    assert len(load_datalist(classes, "training", fold=3)) + len(load_datalist(classes, "validation", fold=3)) == 32
    assert [line.split()[:2] for line in told.splitlines()[2:7]] == [["fold", str(i)] for i in range(5)]


def test_folders_that_are_divided_already(tmp_path):
    touch(tmp_path, *(f"{s}/{c}/{i}.png" for s in ("train", "val", "test") for c in "ab" for i in range(2)))
    told = write_datalist(tmp_path)
    assert [i["case"] for i in load_datalist(tmp_path, "test")] == ["test/a/0", "test/a/1", "test/b/0", "test/b/1"]
    assert content(tmp_path)["split"] == "as it was given, by image"
    assert "warning: no patients are given" in told
    with pytest.raises(ConfigError, match="--folds: is divided already"):
        write_datalist(tmp_path, overwrite=True, folds=2)


@pytest.mark.parametrize("names", [("imagesTr", "labelsTr", ".nii.gz"), ("images", "labels", ".png")])
def test_label_files(tmp_path, names):
    images, labels, ending = names
    touch(tmp_path, *(f"{folder}/c{i}{ending}" for folder in (images, labels) for i in range(10)))
    told = write_datalist(tmp_path)
    found = content(tmp_path)
    items = [item for section in ("training", "validation", "test") for item in found[section]]
    assert len(items) == 10 and "labels" not in found
    assert load_datalist(tmp_path, "test", ["image", "label"])[0]["label"].startswith(str(tmp_path / labels))
    assert all(item["label"] == item["image"].replace(images, labels) for item in items)
    assert told.splitlines()[1].split() == ["items", "patients"]
    assert 'warning: the classes in the label files have no names: add "labels"' in told
    (tmp_path / labels / f"c3{ending}").unlink()
    with pytest.raises(DataError, match=rf"{images}/c3{ending}: no label file of that name"):
        write_datalist(tmp_path, overwrite=True)


def test_table(tmp_path, cohort):
    write_datalist(table(tmp_path, "image,label,patient\n" + cohort))
    found = content(tmp_path)
    assert found["labels"] == {"0": "a", "1": "b"}
    assert found["split"] == "15 % validation, 15 % test, by patient, seed 0"
    assert sum(len(load_datalist(tmp_path, s)) for s in ("training", "validation", "test")) == 24


def test_table_of_named_columns_with_numbers_and_a_file_elsewhere(tmp_path, cohort):
    rows = cohort.replace(",a,", ",10,").replace(",b,", ",9,")
    file = table(tmp_path, "file,grade,who\n" + rows)
    out = tmp_path / "lists" / "dataset.json"
    write_datalist(file, out, image_column="file", label_column="grade", group_column="who")
    assert content(out.parent)["labels"] == {"0": "9", "1": "10"}
    assert load_datalist(out.parent)[0]["image"].startswith(str(tmp_path / "i"))


def test_vectors_by_columns(tmp_path, cohort):
    rows = "".join(f"{line},{40 + n},{n % 2}\n" for n, line in enumerate(cohort.splitlines()))
    file = table(tmp_path, "image,label,patient,age,sex\n" + rows)
    assert main(["datalist", str(file), "--vector", "attributes=age,sex", "--vector", "privileged=age"]) == 0
    items = [item for s in ("training", "validation", "test") for item in content(tmp_path)[s]]
    assert all(item["attributes"] == [*item["privileged"], item["privileged"][0] % 2] for item in items)
    assert load_datalist(tmp_path, vectors={"attributes": 2})[0]["attributes"].shape == (2,)
    for given, told in (
        ("attributes", "names no vector"),
        ("label=age", "names no vector"),
        ("a=ag", "no column 'ag'"),
    ):
        with pytest.raises((ConfigError, UnknownNameError), match=told):
            write_datalist(file, overwrite=True, vector=[given])
    table(tmp_path, "image,label,patient,age,sex\n" + rows.replace("43", "old"))
    with pytest.raises(DataError, match=r"cases.csv, line 5: column 'age' is no finite number$"):
        write_datalist(file, overwrite=True, vector=["attributes=age,sex"])
    with pytest.raises(ConfigError, match="--vector: does not apply here"):
        write_datalist(tmp_path, overwrite=True, vector=["attributes=age"])


def test_second_pictures_by_column(tmp_path, cohort):
    touch(tmp_path, *(f"clinical/c{n}.jpg" for n in range(24)))
    rows = "".join(f"{line},clinical/c{n}.jpg,{n}\n" for n, line in enumerate(cohort.splitlines()))
    file = table(tmp_path, "image,label,patient,clinic,age\n" + rows)
    out = tmp_path / "lists"
    assert main(["datalist", str(file), "--out", str(out), "--file", "privileged=clinic", "--file", "view=image"]) == 0
    assert has_modality(out, "privileged")
    for item in load_datalist(out, keys=["image", "privileged", "view"]):
        assert item["privileged"] == str(tmp_path / "clinical" / f"c{Path(item['image']).stem[1:]}.jpg")
        assert item["view"] == item["image"]
    for given, told in (
        ("privileged", "--file privileged: names no file. --file privileged=clinical"),
        ("label=clinic", "names no file"),
        ("a=image,clinic", "names no file"),
        ("a=clinik", "no column 'clinik'. did you mean 'clinic'"),
    ):
        with pytest.raises((ConfigError, UnknownNameError), match=told):
            write_datalist(file, out, overwrite=True, file=[given])
    with pytest.raises(ConfigError, match="--file and --vector: 'a' is both"):
        write_datalist(file, out, overwrite=True, file=["a=clinic"], vector=["a=age"])
    with pytest.raises(ConfigError, match="--file: does not apply here"):
        write_datalist(tmp_path, overwrite=True, file=["a=clinic"])
    (tmp_path / "clinical" / "c3.jpg").unlink()
    with pytest.raises(DataError, match=r"cases.csv, line 5: column 'clinic': there is no file .*c3.jpg"):
        write_datalist(file, out, overwrite=True, file=["privileged=clinic"])


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_what_divides_the_columns_is_seen(tmp_path, cohort, mark, start):
    rows = (f"image,label,patient,'a, or b; or c'\n{cohort}").replace(",", mark).replace("'", '"')
    write_datalist(table(tmp_path, start + rows))
    assert content(tmp_path)["labels"] == {"0": "a", "1": "b"}
    assert len({i["patient"] for s in ("training", "validation", "test") for i in content(tmp_path)[s]}) == 12


def test_columns_that_are_not_divided_are_told(tmp_path, cohort):
    file = table(tmp_path, ("image,label,patient\n" + cohort).replace(",", "|"))
    with pytest.raises(UnknownNameError, match=r"no column 'image'.*columns: 'image\|label\|patient', divided by ','"):
        write_datalist(file)


def test_sections_by_column(tmp_path, cohort):
    lines = [f"{line},{'train' if n < 16 else 'Test'}" for n, line in enumerate(cohort.splitlines())]
    file = table(tmp_path, "image,label,patient,split\n" + "\n".join(lines))
    told = write_datalist(file, split_column="split")
    assert {s: len(content(tmp_path)[s]) for s in ("training", "test")} == {"training": 16, "test": 8}
    assert "warning: there is no validation section" in told
    write_datalist(file, split_column="split", val=0.25, overwrite=True)
    assert len(content(tmp_path)["validation"]) == 4 and len(content(tmp_path)["test"]) == 8
    with pytest.raises(ConfigError, match="--test: is divided already"):
        write_datalist(file, split_column="split", test=0.1, overwrite=True)


def test_folds_by_column(tmp_path, cohort):
    lines = [f"{line},{n // 8}" for n, line in enumerate(cohort.splitlines())]
    write_datalist(table(tmp_path, "image,label,patient,fold\n" + "\n".join(lines)), split_column="fold")
    assert len(load_datalist(tmp_path, "validation", fold=2)) == 8


def test_masks_by_column(tmp_path):
    touch(tmp_path, *(f"{kind}{i}.png" for kind in "im" for i in range(6)))
    rows = "".join(f"i{i}.png,m{i}.png\n" for i in range(6))
    write_datalist(table(tmp_path, "image,label\n" + rows))
    assert {i["label"][0] for i in content(tmp_path)["training"]} == {"m"}
    with pytest.raises(DataError, match=r"cases.csv, line 8: column 'label': there is no file .*m9.png"):
        write_datalist(table(tmp_path, "image,label\n" + rows + "i0.png,m9.png\n"), overwrite=True)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("gone.png,a,p", r"line 26: column 'image': there is no file .*gone.png"),
        ("i0.png,,p", r"line 26: column 'label' is empty"),
        ("i0.png", r"line 26: column 'label' is empty"),
        ("i0.png,a,", r"line 26: column 'patient' is empty"),
        ("i0.png,a,p", r"line 26: this image is there already. it is .*line 2"),
    ],
)
def test_a_bad_row_is_named(tmp_path, cohort, row, message):
    with pytest.raises(DataError, match=message):
        write_datalist(table(tmp_path, "image,label,patient\n" + cohort + row + "\n"))
    assert not (tmp_path / "dataset.json").exists()


def test_a_leak_and_an_unknown_section_are_refused(tmp_path, cohort):
    lines = [f"{line},{'train' if n < 15 else 'test'}" for n, line in enumerate(cohort.splitlines())]
    file = table(tmp_path, "image,label,patient,split\n" + "\n".join(lines))
    with pytest.raises(DataError, match=r"line 17: patient 'p7' is in test, too. .*line 16 is in training"):
        write_datalist(file, split_column="split")
    file = table(tmp_path, "image,label,patient,split\n" + "\n".join(lines).replace("test", "tset"))
    with pytest.raises(DataError, match=r"line 17: column 'split': no section 'tset'. did you mean 'test'"):
        write_datalist(file, split_column="split")


def test_unknown_column_names_the_nearest(tmp_path, cohort):
    with pytest.raises(UnknownNameError, match=r"no column 'patient_id'. did you mean 'patient'"):
        write_datalist(table(tmp_path, "image,label,patient\n" + cohort), group_column="patient_id")


def test_a_class_that_a_section_lacks_is_a_warning(tmp_path):
    touch(tmp_path, *(f"a/{i}.png" for i in range(20)), "rare/0.png")
    told = write_datalist(tmp_path)
    assert "warning: validation has no 'rare'" in told and "warning: test has no 'rare'" in told


def test_nothing_is_written_over(classes):
    write_datalist(classes)
    with pytest.raises(ConfigError, match=r"dataset.json: is there already. --overwrite"):
        write_datalist(classes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": 0.5, "test": 0.5}, "nothing is left"),
        ({"val": -0.1}, "--val: must be at least 0"),
        ({"folds": 1}, "--folds: takes 2 or more"),
        ({"folds": 3, "val": 0.1}, "--folds: takes 2 or more, and no --val"),
        ({"image_column": "file"}, "--image-column: does not apply here"),
        ({"out": "list.json"}, "must be called dataset.json"),
    ],
)
def test_options_that_cannot_be(classes, options, message):
    with pytest.raises(ConfigError, match=message):
        write_datalist(classes, **options)


def test_what_holds_no_images_is_named(tmp_path):
    with pytest.raises(DataError, match="no images by class"):
        write_datalist(touch(tmp_path, "a/readme.txt"))
    with pytest.raises(DataError, match="no such folder"):
        write_datalist(tmp_path / "gone")
    touch(tmp_path, "a/x.png", "a/x.jpg")
    with pytest.raises(DataError, match="another image has that name"):
        write_datalist(tmp_path)
    with pytest.raises(DataError, match=r"x.png: its name does not fit --group-pattern"):
        write_datalist(tmp_path, extension="png", group_pattern="^q")


def test_command(classes, capsys):
    assert main(["datalist", str(classes), "--val", "0.2", "--test", "0", "--extension", ".png"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == str(classes / "dataset.json")
    assert len(content(classes)["validation"]) == 8 and "test" not in content(classes)
    assert main(["datalist", str(classes)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_several_label_columns_are_findings_that_may_occur_together(tmp_path):
    lines = [f"i{i}.png,p{i},{int(i % 2 == 0)},{int(i % 3 == 0)},{int(i == 7)}" for i in range(40)]
    touch(tmp_path, *(line.split(",")[0] for line in lines))
    (tmp_path / "cases.csv").write_text("image,patient,D,G,rare\n" + "\n".join(lines) + "\n")
    told = write_datalist(tmp_path / "cases.csv", label_column="D, G,rare")
    found = content(tmp_path)
    assert found["labels"] == {"0": "D", "1": "G", "2": "rare"}
    items = load_datalist(tmp_path, "training", num_classes=3, multilabel=True)
    for item in items:
        number = int(item["case"][1:])
        assert item["label"].tolist() == [number % 2 == 0, number % 3 == 0, number == 7]
    assert 12 <= sum(item["label"][0] for item in items) <= 16
    assert "has no 'rare'" in told and told.splitlines()[1].split() == ["D", "G", "rare", "items", "patients"]
    (tmp_path / "cases.csv").write_text("image,D,G\ni0.png,1,2\n")
    with pytest.raises(DataError, match=r"line 2: column 'G' is '2', not 0 or 1"):
        write_datalist(tmp_path / "cases.csv", label_column="D,G", overwrite=True)
    with pytest.raises(UnknownNameError, match="no column 'H'"):
        write_datalist(tmp_path / "cases.csv", label_column="D,H", overwrite=True)
