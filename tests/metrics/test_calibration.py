# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from monai_kd.metrics import expected_calibration_error, reliability_bins


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.integers(4, size=200), generator.dirichlet(np.ones(4), size=200)


def loop(label: list[int], probability: list[list[float]], bins: int) -> list[list[tuple[float, bool]]]:
    """(confidence, right) of the cases of each bin."""
    cells: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for y, row in zip(label, probability, strict=True):
        sure = max(row)
        cells[min(int(sure * bins), bins - 1)].append((sure, row.index(sure) == y))
    return cells


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_bins_match_plain_loop(answers, bins):
    ours, cells = reliability_bins(*answers, bins=bins), loop(answers[0].tolist(), answers[1].tolist(), bins)
    assert ours.count.tolist() == [len(cell) for cell in cells]
    for i, cell in enumerate(cells):
        if cell:
            assert ours.confidence[i] == pytest.approx(sum(sure for sure, _ in cell) / len(cell), rel=1e-5)
            assert ours.accuracy[i] == pytest.approx(sum(right for _, right in cell) / len(cell), rel=1e-5)
        else:
            assert math.isnan(ours.confidence[i])
            assert math.isnan(ours.accuracy[i])


def test_error_matches_plain_loop(answers):
    gaps = [
        abs(sum(right for _, right in cell) - sum(sure for sure, _ in cell))
        for cell in loop(answers[0].tolist(), answers[1].tolist(), 15)
    ]
    assert expected_calibration_error(*answers) == pytest.approx(sum(gaps) / 200, rel=1e-5)


def test_sure_and_right_is_calibrated_and_in_the_last_bin():
    label, probability = [0, 1], [[1.0, 0.0], [0.0, 1.0]]
    assert expected_calibration_error(label, probability) == 0
    assert reliability_bins(label, probability).count.tolist() == [0] * 14 + [2]


def test_sure_and_wrong_is_off_by_one():
    assert expected_calibration_error([1, 0], [[1.0, 0.0], [0.0, 1.0]]) == 1


def test_answers_drawn_from_the_probabilities_are_calibrated():
    generator = torch.Generator().manual_seed(0)
    probability = torch.softmax(torch.randn(20000, 3, generator=generator), 1)
    label = torch.multinomial(probability, 1, generator=generator)[:, 0]
    assert expected_calibration_error(label, probability) < 0.02
    assert expected_calibration_error(label, torch.softmax(probability.log() * 3, 1)) > 0.1
