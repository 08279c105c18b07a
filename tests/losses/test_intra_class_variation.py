# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_kd.losses.intra_class_variation import IntraClassVariationLoss
from tests.losses.region_checks import AnyWidth, RegionChecks, prototypes, regions
from tests.losses.relation_checks import cosine


class TestIntraClassVariationLoss(AnyWidth, RegionChecks):
    def build(self):
        return IntraClassVariationLoss(num_classes=4)

    def variation(self, features, label):
        for vectors, classes in regions(features, label):
            means = prototypes(vectors, classes)
            yield from (cosine(v, means[c]) for v, c in zip(vectors, classes, strict=True) if c >= 0)

    def oracle(self, input, target, label):
        pairs = list(zip(self.variation(input, label), self.variation(target, label), strict=True))
        return sum((s - t) ** 2 for s, t in pairs) / len(pairs)
