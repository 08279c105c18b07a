# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.networks import RankedViews, ranked_selection
from monai_kd.utils import ConfigError, ShapeMismatchError


def rows(views: int = 4, n: int = 5) -> dict[str, torch.Tensor]:
    sizes = {"student": 3, "teacher": 3, "embedding": 4, "teacher_embedding": 6}
    given = {name: torch.randn(views * n, size, dtype=torch.float64) for name, size in sizes.items()}
    return {**given, "label": torch.randint(0, 3, (n,))}


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.75, 1.0])
def test_selection_matches_plain_loop(keep):
    scores, target = torch.randn(40, 5), torch.randint(-1, 5, (40,))
    ranks = [0 if y < 0 else sum(float(s) > float(row[y]) for s in row) for row, y in zip(scores, target, strict=True)]
    wrong = sorted((i for i in range(40) if ranks[i]), key=lambda i: (ranks[i], i))
    expected = {i for i in range(40) if not ranks[i]} | set(wrong[: math.floor(keep * len(wrong))])
    kept = ranked_selection(scores, target, keep)
    assert set(kept.nonzero().flatten().tolist()) == expected
    assert 10 < len(wrong) < 40


def test_ranked_views_keep_what_the_teacher_is_good_at():
    given = rows()
    answer = RankedViews(4, answers=0.5, similarity=0.75)(**given)
    z = given["teacher_embedding"]
    similarity = torch.cosine_similarity(z[5:, None], z[None, :5], dim=2)
    found = ranked_selection(similarity, torch.arange(15) % 5, 0.75)
    assert answer["embedding_views"].equal(given["embedding"][5:][found])
    assert answer["teacher_embedding_views"].equal(z[5:][found])
    assert answer["embedding"].equal(given["embedding"][:5])
    assert answer["student"].equal(given["student"][:5]) and answer["teacher_views"].equal(given["teacher"][5:])
    assert answer["kept"].equal(ranked_selection(given["teacher"][5:], given["label"].repeat(3), 0.5))
    assert RankedViews(4)(**given)["kept"].all()


def test_hidden_labels_choose_nothing():
    given = rows()
    labeled = torch.tensor([True, False, True, False, False])
    select = RankedViews(4, answers=0.0)
    kept = select(**given, labeled=labeled)["kept"]
    other = {**given, "label": torch.where(labeled, given["label"], (given["label"] + 1) % 3)}
    assert kept.equal(select(**other, labeled=labeled)["kept"])
    assert kept.view(3, 5)[:, ~labeled].all() and not kept.all()


def test_what_does_not_fit_is_named():
    with pytest.raises(ConfigError, match="answers must be between 0 and 1"):
        RankedViews(answers=2)
    with pytest.raises(ShapeMismatchError, match="stack the views"):
        RankedViews(3)(**rows(4))
