# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

"""What is true of every loss that brings embeddings together and lets gradient flow into all of them."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import HALVES, inductor


class ViewChecks:
    """Checks of a loss `forward(*views)` of embeddings [N, D], gradient into each."""

    count = 2  # views
    shape = (5, 4)
    largest = 6e4  # numbers at which the gradient still fits into float16
    near, least = 1e-5, 0.0  # relative and absolute error of the value where the views are within 1e-3
    refusal = "are"  # in the error of shapes that do not fit

    def build(self) -> nn.Module:
        raise NotImplementedError

    def oracle(self, *views: list[list[float]]) -> float:
        """The value by the formula, in plain loops."""
        raise NotImplementedError

    def views(self, dtype: torch.dtype = torch.float64, shape: tuple[int, ...] | None = None) -> list[Tensor]:
        return [torch.randn(shape or self.shape).to(dtype).requires_grad_() for _ in range(self.count)]

    @pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["f64", "f32"])
    def test_matches_plain_loop(self, dtype, rtol):
        views = self.views(dtype)
        expected = self.oracle(*(v.double().tolist() for v in views))
        value = self.build()(*views)
        assert value.dtype == dtype and value.item() == pytest.approx(expected, rel=rtol, abs=0)

    def test_gradient_is_the_derivative_for_every_view(self):
        views, loss = self.views(), self.build()
        loss(*views).backward()
        assert all(v.grad.abs().max() > 0 for v in views)
        size = max(float(v.grad.abs().max()) for v in views)
        assert torch.autograd.gradcheck(lambda *v: loss(*v) / size, views, rtol=1e-5, atol=1e-6)

    def test_gradient_has_a_derivative(self):
        views, loss = self.views(), self.build()
        plain = torch.autograd.grad(loss(*views), views)
        again = torch.autograd.grad(loss(*views), views, create_graph=True)
        size = max(float(g.abs().max()) for g in plain)
        assert all((a - b).abs().max() <= 1e-9 * size for a, b in zip(plain, again, strict=True))
        assert torch.autograd.gradgradcheck(lambda *v: loss(*v) / size, views, rtol=1e-4, atol=1e-5, fast_mode=True)

    def near_views(self) -> list[Tensor]:
        """Where training leads: the views agree but for 1e-3, in float32."""
        first, *others = self.views(torch.float32)
        return [first, *((first + 1e-3 * x).detach().requires_grad_() for x in others)]

    def test_near_each_other_no_digit_is_lost(self):
        views, loss = self.near_views(), self.build()
        exact = [v.detach().double().requires_grad_() for v in views]
        value, expected = loss(*views), self.oracle(*(v.tolist() for v in exact))
        assert value.item() == pytest.approx(expected, rel=self.near, abs=self.least)
        value.backward()
        loss(*exact).backward()
        apart, size = (
            torch.cat([x.flatten() for x in grads]).norm()
            for grads in (
                [v.grad.double() - e.grad for v, e in zip(views, exact, strict=True)],
                [e.grad for e in exact],
            )
        )
        assert apart <= 10 * self.near * size + self.least

    @pytest.mark.parametrize("dtype", HALVES, ids=str)
    def test_half_precision_under_autocast_is_as_good(self, dtype):
        views, loss = self.views(dtype), self.build()
        with torch.autocast("cpu", dtype=dtype):
            value = loss(*views)
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(loss(*(v.double() for v in views)).item(), rel=1e-4)
        value.backward()
        assert all(v.grad.dtype == dtype and v.grad.isfinite().all() for v in views)

    @pytest.mark.parametrize("dtype", HALVES, ids=str)
    def test_constants_one_sample_and_large_numbers_are_finite(self, dtype):
        for make in (torch.zeros, torch.ones, lambda s: self.largest * torch.randn(s).sign()):
            for shape in (self.shape, (1, *self.shape[1:])):
                views = [make(shape).to(dtype).requires_grad_() for _ in range(self.count)]
                value = self.build()(*views)
                value.backward()
                assert value.isfinite() and all(v.grad.isfinite().all() for v in views)

    def test_nan_is_not_hidden(self):
        for i in range(self.count):
            views = self.views()
            with torch.no_grad():
                views[i].view(-1)[0] = torch.nan
            assert self.build()(*views).isnan()

    def test_memory_layout_and_metadata_do_not_matter(self):
        views, loss = self.views(), self.build()
        value = loss(*views)
        strided = [v.mT.contiguous().mT for v in views]
        assert loss(*strided).item() == pytest.approx(value.item(), rel=1e-12)
        stripped = loss(*map(MetaTensor, views))
        assert type(stripped) is Tensor and torch.equal(stripped, value)

    def test_empty_batch_is_a_connected_zero(self):
        views = self.views(shape=(0, *self.shape[1:]))
        value = self.build()(*views)
        value.backward()
        assert value == 0 and all(v.grad is not None for v in views)

    @pytest.mark.parametrize("backend", ["eager", inductor])
    def test_compiles_whole(self, backend):
        views, loss = self.views(torch.float32), self.build()
        torch._dynamo.reset()
        compiled, plain = torch.compile(loss, fullgraph=True, backend=backend)(*views), loss(*views)
        torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=0)
        for a, b in zip(*(torch.autograd.grad(value, views) for value in (compiled, plain)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6 * float(b.abs().max()))

    def test_is_deterministic_and_holds_no_state(self):
        views, loss = self.views(), self.build()
        assert torch.equal(loss(*views), copy.deepcopy(loss)(*views))
        assert not list(loss.parameters()) and not loss.state_dict()

    def test_never_broadcasts(self):
        views = self.views()
        views[-1] = views[-1][:, :1]
        with pytest.raises(ShapeMismatchError, match=self.refusal):
            self.build()(*views)
