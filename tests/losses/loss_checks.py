# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

"""What is true of every loss: a test file subclasses `LossChecks`, gives constructor and oracle, and adds specifics."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor, nn

# a backend of torch.compile, beside "eager"
inductor = pytest.param(
    "inductor",
    marks=[pytest.mark.slow, pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")],
)
HALVES = (torch.float16, torch.bfloat16)
Shape = tuple[int, ...]


class LossChecks:
    """Checks of a loss `forward(input, target, **extras)`: student first, teacher second.

    A subclass says how the loss is built and what its value is by the textbook, in plain loops over float64 numbers;
    pytest parametrises `shape` with its `shapes`. A check that is not true of a loss is switched off where all can see
    it, `test_identical_networks_give_zero = None`, with the reason beside it.
    """

    shapes: tuple[Shape, ...] = ((4, 5), (2, 3, 4, 5), (2, 3, 2, 3, 4))
    volume: Shape = (4, 32, 32, 32, 32)
    scale: float = 1.0  # standard deviation of the numbers
    largest: float = 6e4  # numbers at which the gradient still fits into float16
    scaler: float = 2.0**16  # what GradScaler starts with; a sum over entries goes with a weight of about its inverse
    near: float = 1e-5  # relative error of the value where student = teacher + 1e-3; its gradient may have ten times it
    mismatches: tuple[tuple[Shape, Shape, type[Exception], str], ...] = ()  # student, teacher, error, text

    # what a subclass gives

    def build(self) -> nn.Module:
        """The loss, with its defaults or not."""
        raise NotImplementedError

    def oracle(self, input: Tensor, target: Tensor, **extras: Any) -> float:
        """The value by the formula, written in plain loops; the tensors are float64."""
        raise NotImplementedError

    def extras(self, shape: Shape) -> dict[str, Any]:
        """Further arguments of the loss and of its oracle, such as labels."""
        return {}

    # what the checks use

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "shape" in metafunc.fixturenames:
            metafunc.parametrize("shape", self.shapes, ids=lambda shape: "x".join(map(str, shape)))

    def pair(self, shape: Shape, dtype: torch.dtype = torch.float64, apart: float | None = None) -> list[Tensor]:
        """A student that wants gradients and a teacher; with `apart`, the student differs by that much."""
        target = self.scale * torch.randn(shape, dtype=torch.float32)
        input = target + apart * torch.randn(shape) if apart else self.scale * torch.randn(shape)
        return [input.to(dtype).requires_grad_(), target.to(dtype)]

    def run(self, loss: Callable[..., Tensor], input: Tensor, *args: Any, factor: float = 1.0, **extras: Any) -> tuple:
        """Value and gradient of the student, both in float64."""
        input = input.detach().requires_grad_()
        value = loss(input, *args, **extras)
        assert value.shape == ()
        (value * factor).backward()
        return value.detach().double(), input.grad.double() / factor

    def assert_finite(self, input: Tensor, target: Tensor, **extras: Any) -> None:
        value, gradient = self.run(self.build(), input, target, **extras)
        assert value.isfinite() and gradient.isfinite().all()

    # what is true of every loss

    @pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["f64", "f32"])
    def test_matches_plain_loop(self, shape, dtype, rtol):
        (input, target), extras = self.pair(shape, dtype), self.extras(shape)
        expected = self.oracle(input.detach().double(), target.double(), **extras)
        value = self.build()(input, target, **extras)
        assert value.dtype == dtype and value.item() == pytest.approx(expected, rel=rtol, abs=0)

    def test_gradient_is_the_derivative(self, shape):
        (input, target), extras, loss = self.pair(shape), self.extras(shape), self.build()
        _, gradient = self.run(loss, input, target, **extras)
        size = gradient.abs().max()
        assert size > 0
        assert torch.autograd.gradcheck(lambda x: loss(x, target, **extras) / size, input, rtol=1e-5, atol=1e-6)

    def test_gradient_stays_the_same_where_a_second_is_wanted(self, shape):
        (input, target), extras, loss = self.pair(shape), self.extras(shape), self.build()
        _, gradient = self.run(loss, input, target, **extras)
        (again,) = torch.autograd.grad(loss(input, target, **extras), input, create_graph=True)
        assert (again - gradient).abs().max() <= 1e-9 * gradient.abs().max()

    def test_gradient_has_a_derivative(self):
        shape = self.shapes[0]
        (input, target), extras, loss = self.pair(shape), self.extras(shape), self.build()
        size = self.run(loss, input, target, **extras)[1].abs().max()

        def scaled(x: Tensor) -> Tensor:
            return loss(x, target, **extras) / size

        assert torch.autograd.gradgradcheck(scaled, input, rtol=1e-4, atol=1e-5, fast_mode=True)

    def test_identical_networks_give_zero(self, shape):
        (_, target), extras = self.pair(shape), self.extras(shape)
        value, gradient = self.run(self.build(), target.clone(), target, **extras)
        assert abs(value) < 1e-12 and gradient.abs().max() < 1e-12

    def test_different_networks_give_more(self, shape):
        (input, target), extras = self.pair(shape), self.extras(shape)
        loss = self.build()
        assert loss(input, target, **extras) > loss(target, target, **extras) + 1e-6

    def test_gradient_does_not_reach_teacher(self, shape):
        (input, target), extras = self.pair(shape), self.extras(shape)
        target.requires_grad_()
        self.build()(input, target, **extras).backward()
        assert input.grad.abs().max() > 0 and target.grad is None

    def test_near_the_teacher_no_digit_is_lost(self, shape):
        (input, target), extras, loss = self.pair(shape, torch.float32, apart=1e-3), self.extras(shape), self.build()
        value, gradient = self.run(loss, input, target, **extras)
        exact, direction = self.run(loss, input.double(), target.double(), **extras)
        expected = self.oracle(input.detach().double(), target.double(), **extras)
        assert value.item() == pytest.approx(expected, rel=self.near, abs=0)
        assert exact.item() == pytest.approx(expected, rel=self.near, abs=0)
        assert (gradient - direction).norm() <= 10 * self.near * direction.norm()

    @pytest.mark.parametrize("dtype", HALVES, ids=str)
    def test_half_precision_under_autocast_is_as_good(self, shape, dtype):
        (input, target), extras, loss = self.pair(shape, dtype), self.extras(shape), self.build()
        with torch.autocast("cpu", dtype=dtype):
            value = loss(input, target, **extras)
        expected = loss(input.double(), target.double(), **extras)
        assert value.dtype == torch.float32 and value.item() == pytest.approx(expected.item(), rel=1e-4, abs=0)
        value.backward()
        assert input.grad.dtype == dtype and input.grad.isfinite().all()

    @pytest.mark.parametrize("dtype", HALVES, ids=str)
    def test_largest_half_numbers_are_as_good(self, shape, dtype):
        input, target = (self.largest * torch.randn(shape).sign().to(dtype) for _ in range(2))
        extras, loss = self.extras(shape), self.build()
        value, gradient = self.run(loss, input, target, **extras)
        expected, _ = self.run(loss, input.double(), target.double(), **extras)
        assert value.item() == pytest.approx(expected.item(), rel=1e-4) and gradient.isfinite().all()

    @pytest.mark.parametrize("dtype", HALVES, ids=str)
    def test_volume_in_half_precision_is_as_good(self, dtype):
        (input, target), extras, loss = self.pair(self.volume, dtype), self.extras(self.volume), self.build()
        with torch.autocast("cpu", dtype=dtype):
            value, gradient = self.run(loss, input, target, factor=self.scaler, **extras)
        expected = loss(input.detach().double(), target.double(), **extras)
        assert value > 0 and value.item() == pytest.approx(expected.item(), rel=1e-4, abs=0)
        assert gradient.isfinite().all() and gradient.abs().max() > 0

    def test_teacher_may_be_of_another_precision(self, shape):
        (input, target), extras, loss = self.pair(shape, torch.float32), self.extras(shape), self.build()
        for s, t in ((input, target.double()), (input.detach().double().requires_grad_(), target)):
            value, gradient = self.run(loss, s, t, **extras)
            assert value.item() == pytest.approx(loss(input, target, **extras).item(), rel=1e-4)
            assert gradient.isfinite().all()

    def test_constants_are_finite(self, shape):
        extras = self.extras(shape)
        for s, t in product((0.0, 1.0, -5.0), repeat=2):
            self.assert_finite(torch.full(shape, s), torch.full(shape, t), **extras)

    def test_batch_of_one(self, shape):
        shape = (1, *shape[1:])
        (input, target), extras = self.pair(shape), self.extras(shape)
        self.assert_finite(input, target, **extras)
        assert self.build()(input, target, **extras).item() == pytest.approx(
            self.oracle(input.detach(), target, **extras), rel=1e-10, abs=1e-12
        )

    def test_empty_batch_is_a_connected_zero(self, shape):
        shape = (0, *shape[1:])
        value, gradient = self.run(self.build(), torch.zeros(shape), torch.zeros(shape), **self.extras(shape))
        assert value == 0 and gradient.shape == shape

    def test_nan_of_the_student_is_not_hidden(self, shape):
        (input, target), extras = self.pair(shape), self.extras(shape)
        with torch.no_grad():
            input.view(-1)[0] = torch.nan
        assert self.build()(input, target, **extras).isnan()

    def test_memory_layout_does_not_matter(self, shape):
        (input, target), extras, loss = self.pair(shape), self.extras(shape), self.build()
        strided = [x.transpose(0, -1).contiguous().transpose(0, -1) for x in (input, target)]
        assert loss(*strided, **extras).item() == pytest.approx(loss(input, target, **extras).item(), rel=1e-12)

    def test_metadata_is_stripped(self, shape):
        (input, target), extras, loss = self.pair(shape), self.extras(shape), self.build()
        value = loss(MetaTensor(input), MetaTensor(target), **extras)
        assert type(value) is Tensor and value == loss(input, target, **extras)

    def test_is_deterministic_and_leaves_its_inputs_alone(self, shape):
        (input, target), extras, loss = self.pair(shape, torch.float32), self.extras(shape), self.build()
        before = input.detach().clone(), target.clone()
        first, second = self.run(loss, input, target, **extras), self.run(copy.deepcopy(loss), input, target, **extras)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        assert torch.equal(input, before[0]) and torch.equal(target, before[1])

    def test_compiles_whole(self):
        shape = self.shapes[-1]
        (input, target), extras, loss = self.pair(shape, torch.float32), self.extras(shape), self.build()
        torch._dynamo.reset()
        compiled = self.run(torch.compile(loss, fullgraph=True, backend="eager"), input, target, **extras)
        for a, b in zip(compiled, self.run(loss, input, target, **extras), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6 * float(b.abs().max()))

    @pytest.mark.slow
    @pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
    def test_compiles_with_inductor(self):
        shape = self.shapes[-1]
        (input, target), extras, loss = self.pair(shape, torch.float32), self.extras(shape), self.build()
        torch._dynamo.reset()
        compiled = self.run(torch.compile(loss, fullgraph=True), input, target, **extras)
        for a, b in zip(compiled, self.run(loss, input, target, **extras), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6 * float(b.abs().max()))

    def test_holds_no_state(self):
        assert not list(self.build().parameters()) and not self.build().state_dict()

    def test_never_broadcasts(self):
        assert self.mismatches
        for student, teacher, error, text in self.mismatches:
            with pytest.raises(error, match=text):
                self.build()(torch.zeros(student), torch.zeros(teacher), **self.extras(student))
