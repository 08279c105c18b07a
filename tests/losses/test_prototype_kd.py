# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_kd.losses.prototype_kd import PrototypeKDLoss
from tests.losses.region_checks import AnyWidth, RegionChecks, prototypes, regions
from tests.losses.relation_checks import cosine


class TestPrototypeKDLoss(AnyWidth, RegionChecks):
    def build(self):
        return PrototypeKDLoss(num_classes=4)

    def nearness(self, features, label):
        for vectors, classes in regions(features, label):
            means = prototypes(vectors, classes).values()
            yield [cosine(v, m) for v in vectors for m in means]

    def oracle(self, input, target, label):
        images = list(zip(self.nearness(input, label), self.nearness(target, label), strict=True))
        return sum(sum((s - t) ** 2 for s, t in zip(*pair, strict=True)) / len(pair[0]) for pair in images) / len(
            images
        )
