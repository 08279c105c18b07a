# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from monai_kd.report import load_runs
from monai_kd.report.figures import calibration, confusions, curves, examples
from monai_kd.report.results import rows_of
from monai_kd.report.tables import grouped, tint


@pytest.fixture
def pictures() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "images": generator.integers(256, size=(3, 6, 5), dtype=np.uint8),
        "privileged": generator.integers(256, size=(3, 6, 5, 3), dtype=np.uint8),
        "label": np.array([0, 1, 2]),
        "alone": np.array([0, 2, 2]),
        "distilled": np.array([0, 1, 0]),
    }


def first_group(make_run):
    rows = rows_of(load_runs(make_run.root), resamples=3)
    return grouped(rows)[0], rows


def said(node) -> str:
    return " ".join(node.itertext())


def test_curves_are_means_over_the_seeds_that_have_the_epoch(make_run):
    make_run.history(make_run("alone", 0), {"epoch": [1, 2, 3], "val_accuracy": [0.2, "", 0.6]})
    make_run.history(make_run("alone", 1), {"epoch": [1, 2], "val_accuracy": [0.4, 0.5]})
    (figure,) = curves(*first_group(make_run))
    lines = figure.findall(".//polyline")
    assert [len(line.get("points").split()) for line in lines] == [2, 2, 3]
    heights = [float(point.split(",")[1]) for line in lines for point in line.get("points").split()]
    first, last, second, middle, *mean = heights
    assert mean == pytest.approx([(first + second) / 2, middle, last], abs=0.1)


def test_each_validation_column_and_each_student_s_terms_get_a_figure(study):
    for folder in sorted(study.root.iterdir()):
        study.history(
            folder, {"epoch": [1, 2], "val_accuracy": [0.2, 0.3], "val_loss": [2, 1], "label": [1, 0.5], "kd": [2, 1]}
        )
    captions = [said(figure.find("figcaption")) for figure in curves(*first_group(study))]
    assert captions == [
        "validation accuracy",
        "validation loss",
        "Student alone training terms",
        "Student distilled training terms",
    ]


def test_pictures_are_shown_pixel_for_pixel(make_run, pictures):
    np.savez(make_run("distilled") / "examples.npz", **pictures)
    cards = examples(first_group(make_run)[0])
    for i, card in enumerate(cards):
        for image, key in zip(card.findall(".//img"), ("images", "privileged"), strict=True):
            data = base64.b64decode(image.get("src").removeprefix("data:image/png;base64,"))
            np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pictures[key][i])


def test_examples_say_who_is_right(make_run, pictures):
    np.savez(make_run("distilled", classes=["none", "some", "all"]) / "examples.npz", **pictures)
    cards = examples(first_group(make_run)[0])
    assert said(cards[1]).split() == ["label", "some", "alone", "all", "✗", "distilled", "some", "✓"]


def test_examples_are_limited(make_run, pictures):
    many = {key: np.repeat(values, 9, axis=0) for key, values in pictures.items()}
    np.savez(make_run("alone") / "examples.npz", **many)
    assert len(examples(first_group(make_run)[0])) == 12


def test_each_network_gets_its_diagram_and_its_matrix(study):
    group, rows = first_group(study)
    names = ["Teacher", "Student alone", "Student distilled"]
    for draw in (calibration, confusions):
        figures = draw(group, rows)
        assert [figure.find("figcaption").text for figure in figures] == names
        assert all(figure.find("svg") is not None for figure in figures)
    assert said(confusions(group, rows)[1].find("figcaption")).endswith("120 answers")


def test_recipes_have_colours_of_their_own(make_run):
    make_run("alone")
    for recipe in ("kd", "fitnets"):
        make_run("distilled", recipe=recipe)
    _, rows = first_group(make_run)
    assert [tint(row, rows) for row in rows] == ["c-alone", "c-d0", "c-d1"]
