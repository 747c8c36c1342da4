"""Layers as other people write them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_layer
from tests.gradcheck.examples import W, X

pytestmark = pytest.mark.usefixtures("unchecked")


class Tensor:
    """Its gradient is None until the first backward."""

    def __init__(self, data: ndarray) -> None:
        self.data, self.grad = data, None

    def add(self, grad: ndarray) -> None:
        self.grad = grad if self.grad is None else self.grad + grad


class Table:
    """A layer without inputs."""

    def __init__(self, clears_in_forward: bool = False, clears_in_backward: bool = False) -> None:
        self.w, self.clears_in_forward, self.clears_in_backward = (
            Tensor(W.copy()),
            clears_in_forward,
            clears_in_backward,
        )

    def parameters(self) -> list[Tensor]:
        return [self.w]

    def __call__(self) -> tuple[ndarray, Callable]:
        y = self.w.data**2
        if self.clears_in_forward:
            self.w.grad = None

        def backward(dy: ndarray) -> None:
            if self.clears_in_backward:
                self.w.grad = None
            self.w.add(2 * self.w.data * dy)

        return y, backward


class Tanh:
    """A layer without parameters."""

    def parameters(self) -> dict[str, Any]:
        return {}

    def __call__(self, x: ndarray) -> tuple[ndarray, Callable]:
        y = np.tanh(x)
        return y, lambda dy: dy * (1 - y * y)


def test_a_layer_may_be_without_inputs_or_without_parameters() -> None:
    assert [finding.verdict for finding in check_layer(Table()).findings] == ["right"]
    assert [finding.tensor for finding in check_layer(Tanh(), X).findings] == ["x"]


def test_a_gradient_may_be_none_before_backward_and_must_be_added_to_after_that() -> None:
    assert check_layer(Table()).broken_promises == check_layer(Table(clears_in_forward=True)).broken_promises
    (said,) = set(check_layer(Table(clears_in_backward=True)).broken_promises) - set(
        check_layer(Table()).broken_promises
    )
    assert "promised: gradients of parameters are added to what is there" in said
