# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from tests.benchmarks.bags import main, scores


def test_bags_score_by_their_most_positive_instances(tmp_path, capsys):
    score = np.array([0.9, 0.1, 0.2, 0.3, 0.8, 0.7])
    np.savez(
        tmp_path / "p.npz",
        label=[1, 0, 0, 0, 1, 1],
        probability=np.stack([1 - score, score], 1),
        group=["a", "a", "b", "b", "c", "c"],
    )
    assert scores(tmp_path / "p.npz") == {"instance": 1.0, "bag_max": 1.0, "bag_top3": 1.0}
    np.savez(tmp_path / "q.npz", label=[1, 1], probability=np.full((2, 2), 0.5), group=["a", "b"])
    main([str(tmp_path / "q.npz")])
    assert capsys.readouterr().out.endswith("instance nan bag_max nan bag_top3 nan\n")


def test_the_bag_classifier_scores_by_itself(tmp_path):
    label, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.8, 0.2, 0.7])
    both = {"label": label, "probability": np.stack([1 - score, score], 1)}
    np.savez(tmp_path / "predictions.npz", group=["a", "a", "b", "b"], **both)
    assert "bag_teacher" not in scores(tmp_path / "predictions.npz")
    np.savez(tmp_path / "bags.npz", case=list("abcd"), **both)
    assert scores(tmp_path / "predictions.npz")["bag_teacher"] == 0.5  # two of four pairs are in order
