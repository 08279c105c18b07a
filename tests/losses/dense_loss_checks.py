# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

"""What is true of every loss that compares logits row by row; a test file gives constructor and formula of one row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from monai_kd.utils import ClassMismatchError, ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class DenseLossChecks(LossChecks):
    """Checks of a loss that compares logits row by row, [N, C, *spatial], with a `mask` and a `reduction`."""

    scale = 3.0
    mismatches = (
        ((2, 3), (2, 5), ClassMismatchError, "student has 3 classes, teacher 5"),
        ((2, 3, 4, 4), (2, 1, 4, 4), ClassMismatchError, "student has 3 classes, teacher 1"),
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, r"student is \(2, 3, 4, 4\), teacher \(1, 3, 4, 4\)"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
        ((2, 3, 4, 4), (2, 3, 4), ShapeMismatchError, r"teacher \(2, 3, 4\)"),
        ((3,), (3,), ShapeMismatchError, r"\[N, C, \*spatial\], got \(3,\)"),
    )

    def build(self, **options: Any) -> nn.Module:
        raise NotImplementedError

    def row(self, student: list[float], teacher: list[float], *label: int) -> float:
        """The value of one row by the formula: logits of one sample, pixel or voxel, and its class if one is needed."""
        raise NotImplementedError

    def rows(self, input: Tensor, target: Tensor, label: Tensor | None = None) -> Iterator[float]:
        columns = [x.movedim(1, -1).flatten(0, -2).tolist() for x in (input, target)]
        columns += [] if label is None else [label.flatten().tolist()]
        for row in zip(*columns, strict=True):
            yield self.row(*row)

    def oracle(self, input: Tensor, target: Tensor, **extras: Any) -> float:
        values = list(self.rows(input, target, **extras))
        return sum(values) / len(values)

    def test_reductions_agree(self, shape):
        (input, target), extras = self.pair(shape), self.extras(shape)
        rows = self.build(reduction="none")(input, target, **extras)
        assert rows.shape == (shape[0], *shape[2:])
        assert rows.flatten().tolist() == pytest.approx(list(self.rows(input.detach(), target, **extras)), rel=1e-10)
        torch.testing.assert_close(self.build(reduction="sum")(input, target, **extras), rows.sum())
        torch.testing.assert_close(self.build(reduction="mean")(input, target, **extras), rows.mean())

    def test_unknown_reduction_is_refused(self):
        with pytest.raises(ConfigError, match="reduction must be 'mean', 'sum' or 'none', got 'avg'"):
            self.build(reduction="avg")

    def test_dense_logits_are_rows(self, shape):
        """The class axis is the second one, and voxels are averaged, never summed."""
        (input, target), extras = self.pair(shape), self.extras(shape)
        flat = [x.movedim(1, -1).flatten(0, -2) for x in (input, target)]
        flat_extras = {name: x.flatten() for name, x in extras.items()}
        expected = self.build()(*flat, **flat_extras)
        torch.testing.assert_close(self.build()(input, target, **extras), expected, rtol=1e-12, atol=0)

    @pytest.mark.parametrize("dtype", [torch.bool, torch.float64], ids=str)
    def test_mask_takes_the_weighted_mean(self, shape, dtype):
        (input, target), rows, extras = self.pair(shape), (shape[0], *shape[2:]), self.extras(shape)
        mask = torch.rand(rows, dtype=torch.float64)
        mask = mask.masked_fill(mask < 0.4, 0).to(dtype)
        weights = mask.flatten().double().tolist()
        products = [w * x for w, x in zip(weights, self.rows(input.detach(), target, **extras), strict=True)]
        for m in (mask, mask.unsqueeze(1)):
            value = self.build()(input, target, mask=m, **extras)
            assert value.item() == pytest.approx(sum(products) / sum(weights), rel=1e-10)
        rows = self.build(reduction="none")(input, target, mask=mask, **extras)
        assert rows.flatten().tolist() == pytest.approx(products)

    def test_empty_mask_is_a_connected_zero(self, shape):
        mask = torch.zeros((shape[0], *shape[2:]), dtype=torch.bool)
        value, gradient = self.run(self.build(), *self.pair(shape), mask=mask, **self.extras(shape))
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    def test_nothing_outside_of_the_mask_counts(self, shape):
        (input, target), mask = self.pair(shape), torch.ones((shape[0], *shape[2:]), dtype=torch.bool)
        mask[0] = False
        extras = self.extras(shape)
        expected, _ = self.run(self.build(), input[1:], target[1:], **{name: x[1:] for name, x in extras.items()})
        with torch.no_grad():
            input[0], target[0] = torch.nan, torch.inf
        value, gradient = self.run(self.build(), input, target, mask=mask, **extras)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
        assert torch.equal(gradient[0], torch.zeros_like(gradient[0])) and gradient[1:].isfinite().all()

    def test_no_gradient_flows_into_the_mask(self, shape):
        (input, target), extras = self.pair(shape), self.extras(shape)
        mask = torch.rand((shape[0], *shape[2:]), dtype=torch.float64, requires_grad=True)
        self.build()(input, target, mask=mask, **extras).backward()
        assert input.grad.abs().max() > 0 and mask.grad is None

    def test_mask_compiles_whole(self):
        """A graph in one piece has no value read back and no shape that depends on data."""
        shape = self.shapes[-1]
        (input, target), extras = self.pair(shape), self.extras(shape)
        mask = torch.rand((shape[0], 1, *shape[2:])) < 0.7
        torch._dynamo.reset()
        compiled = torch.compile(self.build(), fullgraph=True, backend="eager")
        expected = self.build()(input, target, mask=mask, **extras)
        torch.testing.assert_close(compiled(input, target, mask=mask, **extras), expected)

    def test_wrong_mask_is_refused(self):
        input, extras = torch.zeros(2, 3, 4, 4), self.extras((2, 3, 4, 4))
        with pytest.raises(ShapeMismatchError, match=r"mask is \(2, 4\).*\(2, 4, 4\) or \(2, 1, 4, 4\)"):
            self.build()(input, input, mask=torch.ones(2, 4), **extras)
        with pytest.raises(ConfigError, match=r"mask must be boolean or floating, got torch.int64"):
            self.build()(input, input, mask=torch.ones(2, 4, 4, dtype=torch.int64), **extras)


class LabeledLossChecks(DenseLossChecks):
    """Checks of a loss that also reads the true class of each row, `label`."""

    def extras(self, shape: tuple[int, ...]) -> dict[str, Any]:
        g = torch.Generator().manual_seed(len(shape))
        return {"label": torch.randint(shape[1] if len(shape) > 1 else 1, (shape[0], *shape[2:]), generator=g)}

    def test_label_may_be_one_hot_or_have_a_channel(self, shape):
        (input, target), label = self.pair(shape), self.extras(shape)["label"]
        expected = self.build()(input, target, label=label)
        one_hot = torch.nn.functional.one_hot(label, shape[1]).movedim(-1, 1)
        for other in (label.unsqueeze(1), one_hot, one_hot.bool(), one_hot.float(), label.float()):
            assert torch.equal(self.build()(input, target, label=other), expected)

    def test_rows_without_a_label_do_not_count(self, shape):
        (input, target), label = self.pair(shape), self.extras(shape)["label"]
        label[0] = -1
        mask = torch.ones((shape[0], *shape[2:]), dtype=torch.bool)
        mask[0] = False
        expected = self.build()(input, target, label=label.clamp(min=0), mask=mask)
        torch.testing.assert_close(self.build()(input, target, label=label), expected, rtol=1e-12, atol=0)

    def test_wrong_label_is_refused(self):
        input = torch.zeros(2, 3, 4, 4)
        with pytest.raises(ShapeMismatchError, match=r"label is \(2, 4\).*class indices \(2, 4, 4\)"):
            self.build()(input, input, label=torch.zeros(2, 4))
        with pytest.raises(ClassMismatchError, match="label is one-hot of 5 classes, student has 3"):
            self.build()(input, input, label=torch.zeros(2, 5, 4, 4))
        with pytest.raises(ClassMismatchError, match=f"{type(self.build()).__name__}: a label is 7, of 3 classes"):
            self.build()(input, input, label=torch.full((2, 4, 4), 7))
        with pytest.raises(ClassMismatchError, match="sum to 3: they overlap"):
            self.build()(input, input, label=torch.ones(2, 3, 4, 4))

    def test_a_row_that_is_all_zero_in_a_one_hot_label_does_not_count(self, shape):
        (input, target), label = self.pair(shape), self.extras(shape)["label"]
        one_hot = torch.nn.functional.one_hot(label, shape[1]).movedim(-1, 1)
        one_hot[0] = 0
        label[0] = -1
        assert torch.equal(self.build()(input, target, label=one_hot), self.build()(input, target, label=label))

    def test_one_hot_label_compiles_whole(self):
        shape = self.shapes[-1]
        (input, target), label = self.pair(shape), self.extras(shape)["label"]
        one_hot = torch.nn.functional.one_hot(label, shape[1]).movedim(-1, 1)
        torch._dynamo.reset()
        compiled = torch.compile(self.build(), fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(input, target, label=one_hot), self.build()(input, target, label=label))
