# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_kd.losses.region_affinity import RegionAffinityLoss
from tests.losses.region_checks import AnyWidth, RegionChecks, prototypes, regions
from tests.losses.relation_checks import cosine


class TestRegionAffinityLoss(AnyWidth, RegionChecks):
    def build(self):
        return RegionAffinityLoss(num_classes=4)

    def affinity(self, features, label):
        for vectors, classes in regions(features, label):
            means = prototypes(vectors, classes).values()
            yield [cosine(a, b) for a in means for b in means]

    def oracle(self, input, target, label):
        images = list(zip(self.affinity(input, label), self.affinity(target, label), strict=True))
        return sum(sum((s - t) ** 2 for s, t in zip(*pair, strict=True)) / len(pair[0]) for pair in images) / len(
            images
        )
