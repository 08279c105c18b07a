# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from monai_kd.metrics import accuracy, agreement, balanced_accuracy, expected_calibration_error, macro_auc
from monai_kd.report import load_runs, write_report
from monai_kd.utils.errors import DataError

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Parses a page, and insists that every tag is closed by its own end tag."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.cells: list[list[str]] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += f"{data}|"

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def row(self, name: str) -> list[list[str]]:
        """The cells of the table's row of that name, each cut into its lines."""
        (found,) = (cells for cells in self.cells if cells[0].split("|")[0].strip() == name)
        return [cell.strip("|").split("|") for cell in found]


def write(study) -> Page:
    return Page(write_report(study.root, resamples=50))


def test_the_page_holds_independently_computed_numbers(study):
    page, runs = write(study), load_runs(study.root)
    teacher = runs[0]
    for role, name in (("alone", "Student alone"), ("distilled", "Student distilled")):
        cells, own = page.row(name), [run for run in runs if run.role == role]
        for cell, metric in zip(
            cells[1:5], (accuracy, balanced_accuracy, macro_auc, expected_calibration_error), strict=True
        ):
            values = [metric(run.label, run.probability) for run in own]
            assert cell[:2] == [f"{statistics.mean(values):.3f}", f"± {statistics.stdev(values):.3f}"]
        same = statistics.mean(agreement(run.probability, teacher.probability) for run in own)
        assert cells[5][0] == f"{same:.3f}"
        assert [cell[0] for cell in cells[6:]] == ["6.15 k", "810 k", "0.35 ms", "28.4 kB"]


def test_the_difference_is_that_of_the_two_rows(study):
    page, runs = write(study), load_runs(study.root)
    gains = [
        balanced_accuracy(b.label, b.probability) - balanced_accuracy(a.label, a.probability)
        for a in runs
        for b in runs
        if (a.role, b.role) == ("alone", "distilled") and a.seed == b.seed
    ]
    assert page.row("Distilled − alone")[2][:2] == [
        f"{statistics.mean(gains):+.3f}",
        f"± {statistics.stdev(gains):.3f}",
    ]


def test_json_holds_the_same_numbers_as_the_page(study):
    page = write(study)
    numbers = json.loads((study.root / "report.json").read_text())
    by_role = {row["role"]: row for row in numbers["rows"]}
    auc = by_role["distilled"]["intervals"]["auc"]
    assert page.row("Student distilled")[3][2] == f"{auc['low']:.3f} to {auc['high']:.3f}"
    assert numbers["headline"] in page.text
    assert numbers["comparisons"][0]["sentence"] in page.text
    assert numbers["comparisons"][0]["kind"] == "helps"
    assert by_role["teacher"]["scores"]["accuracy"]["spread"] is None


def test_swapping_the_students_turns_the_verdict(study):
    assert "Distillation helps with 5 % labelled." in write(study).text
    for path in study.root.rglob("run.json"):
        values = json.loads(path.read_text())
        other = {"alone": ("distilled", "kd"), "distilled": ("alone", None)}.get(values["role"], ("teacher", None))
        path.write_text(json.dumps({**values, "role": other[0], "recipe": other[1]}))
    text = write(study).text
    assert "Distillation does not help with 5 % labelled." in text
    assert "train it alone" in text


def test_nothing_is_loaded_from_outside(study):
    examples = {"images": np.zeros((2, 8, 8), np.uint8), "label": np.zeros(2, int)}
    np.savez(study.root / "02_distilled" / "examples.npz", **examples)
    page = write(study)
    source = re.sub(r'data:image[^"]*', "", (study.root / "report.html").read_text(encoding="utf-8"))
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link|<iframe", source)
    assert all(
        value.startswith("data:") for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href")
    )


def test_every_text_is_escaped(make_run):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    texts = dict.fromkeys(("title", "setting", "command", "data", "split"), evil)
    for role in ("teacher", "alone", "distilled"):
        folder = make_run(role, **texts, classes=[evil, "b", "c"], environment={evil: evil}, recipe=evil)
        make_run.history(folder, {"epoch": [1, 2], f"val_{evil}": [0.1, 0.2], evil: [1, 2]})
    page = write(make_run)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    assert page.text.count(evil) > 10


def test_bare_runs_make_a_page(make_run):
    costs = dict.fromkeys(("flops", "latency_ms", "file_bytes", "parameters", "train_seconds"))
    make_run("alone", label=np.ones(60, int), group=np.zeros(60), setting="", **costs)
    make_run("distilled", label=np.ones(60, int), group=np.zeros(60), setting="", **costs)
    page = write(make_run)
    cells = page.row("Student alone")
    assert cells[3] == ["undefined", "no interval"]
    assert [cell[0] for cell in cells[5:]] == ["–"] * 5
    assert "Distillation may or may not help." in page.text
    assert page.text.count("No run recorded any.") == 2


def test_a_teacher_alone_makes_a_page(make_run):
    make_run("teacher")
    assert "nothing to compare" in write(make_run).text


def test_teacher_is_shown_beside_every_setting(make_run):
    make_run("teacher", setting="all")
    for setting in ("few", "some"):
        make_run("alone", setting=setting)
    page = write(make_run)
    names = [cells[0].split("|")[0].strip() for cells in page.cells]
    assert names == ["Network", "few", "Teacher", "Student alone", "some", "Teacher", "Student alone"]


def test_few_groups_are_pointed_out(make_run):
    make_run("alone", group=np.arange(60) % 3)
    assert "Only 3 groups" in write(make_run).text


def test_commands_and_provenance_are_told(study):
    text = write(study).text
    for said in ("python -m monai_kd run --seed 1", "9.9 s of training", "made up", "alone 0, 1", "Pytorch", "4 times"):
        assert said in text


def test_recorded_versions_come_before_this_machine_s(make_run):
    make_run("alone", environment={"torch": "0.0.1"})
    make_run("distilled", environment={"torch": "0.0.2"})
    write(make_run)
    assert json.loads((make_run.root / "report.json").read_text())["environment"] == {"torch": "0.0.1, 0.0.2"}


@pytest.mark.parametrize("output", ["page.html", "new/folder/page.html"])
def test_output_may_be_named(study, tmp_path, output):
    path = write_report(study.root, tmp_path / output, resamples=5)
    assert path == tmp_path / output
    assert path.with_suffix(".json").is_file()


def test_output_may_be_a_folder(study, tmp_path):
    assert write_report(study.root, tmp_path / "site", resamples=5) == tmp_path / "site" / "report.html"


def test_the_same_runs_make_the_same_page(study):
    first = write_report(study.root, resamples=5).read_bytes()
    assert write_report(study.root, resamples=5).read_bytes() == first


def test_nothing_is_written_if_a_run_is_broken(study):
    (study.root / "00_teacher" / "run.json").write_text("{}")
    with pytest.raises(DataError, match=r"run\.json, key 'role': is missing"):
        write_report(study.root)
    assert not (study.root / "report.html").exists() and not (study.root / "report.json").exists()


def test_a_page_of_segmentation_holds_independently_computed_numbers(scores):
    page, runs = write(scores), load_runs(scores.root)
    assert page.cells[0][:5] == ["Network|", "Dice ↑|mean|", "Dice ↑|front|", "Dice ↑|back|", "HD95 ↓|mean, mm|"]
    assert page.cells[0][5:] == ["Parameters|", "FLOPs|per case|", "CPU latency|batch 1|", "File size|"]
    for role, name in (("alone", "Student alone"), ("distilled", "Student distilled")):
        cells, own = page.row(name), [run for run in runs if run.role == role]
        for cell, values in zip(
            cells[1:4],
            ([r.dice.mean() for r in own], *([r.dice[:, i].mean() for r in own] for i in (0, 1))),
            strict=True,
        ):
            assert cell[:2] == [f"{statistics.mean(values):.3f}", f"± {statistics.stdev(values):.3f}"]
        assert cells[4][0] == f"{statistics.mean(run.hd95.mean() for run in own):.2f}"
        assert [cell[0] for cell in cells[5:]] == ["6.15 k", "810 k", "0.35 ms", "28.4 kB"]


def test_p_values_are_on_the_page_and_in_the_json(scores):
    page, numbers = write(scores), json.loads((scores.root / "report.json").read_text())
    (comparison,) = numbers["comparisons"]
    assert set(comparison["p_values"]) == {"dice", "dice_front", "dice_back", "hd95", "hd95_front", "hd95_back"}
    assert comparison["p_values"]["dice"] < 0.001 and numbers["primary"] == "dice"
    assert [cell[3] for cell in page.row("Distilled − alone")[1:5]] == ["p < 0.001"] * 4
    assert "Wilcoxon’s signed-rank test" in page.text and comparison["sentence"] in page.text


def test_a_page_of_segmentation_has_its_own_sections(scores):
    text = write(scores).text
    assert "Case by case" in text and "Learning curves" in text
    for word in ("Calibration", "Confusions", "Examples", "agreement", "Agreement", "ECE", "AUC", "κ"):
        assert word not in text
    assert text.count("No run recorded any.") == 1  # learning curves, of which these runs have none


def test_each_case_is_a_dot_for_each_structure_and_their_mean(scores):
    page = write(scores)
    assert sum(tag == "circle" and attrs["class"] == "bar c-d0" for tag, attrs in page.tags) == 60 * 3 * 2


def test_bare_segmentations_make_a_page(make_scores):
    make_scores("teacher", structures=np.array(["nucleus"]), dice=np.ones((60, 1)), hd95=np.zeros((60, 1)))
    assert "Case by case" not in write(make_scores).text
    for role in ("alone", "distilled"):
        changes = {"dice": np.ones((60, 1)), "hd95": np.zeros((60, 1)), "group": np.zeros(60)}
        make_scores(role, structures=np.array(["nucleus"]), flops=None, **changes)
    page = write(make_scores)
    assert page.row("Distilled − alone")[1] == ["0.000", "no interval", "p = 1.000"]
    assert "Mean Dice of nucleus is 1.000 alone and 1.000 distilled" in page.text


def test_segmentations_without_a_common_seed_make_a_page(make_scores):
    make_scores("alone", 0)
    make_scores("distilled", 1)
    text = write(make_scores).text
    assert "No seed was run both alone and distilled" in text and "Case by case" not in text
