"""The judge itself notices what it is there to notice."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.layers import Linear
from tests.parity import translating
from tests.parity.comparing import compare, compare_layer, compare_op, torch
from tests.strategies import normal

X, WEIGHT = normal(3, (2, 3), (3,))


def product(dx_factor: float = 1.0, dweight_factor: float = 1.0, y_factor: float = 1.0) -> Callable:
    def ours(x: ndarray, weight: ndarray) -> tuple[ndarray, Callable]:
        return y_factor * x * weight, lambda dy: (dx_factor * dy * weight, dweight_factor * (dy * x).sum(0))

    return ours


def test_what_is_right_passes() -> None:
    compare_op(product(1 + 1e-11), torch.mul, {"x": X, "weight": WEIGHT}, seed=3)


@pytest.mark.parametrize(("wrong", "said"), [((1 + 1e-9,), "x: off"), ((1, 1 - 1e-9), "weight"), ((1, 1, 2), "output")])
def test_each_array_that_is_wrong_fails(wrong: tuple[float, ...], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        compare_op(product(*wrong), torch.mul, {"x": X, "weight": WEIGHT}, seed=3)


def test_a_gradient_that_is_left_out_or_too_many_fails() -> None:
    def without_dx(x: ndarray) -> tuple[ndarray, Callable]:
        return x, lambda dy: None

    with pytest.raises(AssertionError, match="x: its gradient is None"):
        compare_op(without_dx, lambda x: 1 * x, {"x": X}, seed=3)
    with pytest.raises(AssertionError, match="mask: its gradient is"):
        compare_op(product(), torch.where, {"x": X, "mask": np.ones(3, bool)}, seed=3)


def test_a_backward_that_returns_none_has_no_gradients_of_its_inputs() -> None:
    ids = np.array([2, 0])

    def without_gradients(*arrays: ndarray) -> tuple[ndarray, Callable]:
        return X, lambda dy: None

    compare_layer(
        Linear(3, 2, generator=np.random.default_rng(0)),
        lambda parameters, ids, lengths: torch.tensor(X) + 0 * sum(p.sum() for p in parameters.values()),
        {"ids": ids, "lengths": None},
        seed=3,
        call=lambda layer, *inputs: without_gradients(*inputs),
    )
    with pytest.raises(AssertionError, match="weight: its gradient is None"):
        compare_op(without_gradients, torch.mul, {"x": ids, "weight": WEIGHT}, seed=3)


def test_zero_holds_on_both_sides_and_is_never_assumed() -> None:
    zero, one = np.zeros(2), np.ones(2)
    compare({"x": zero + 1e-11}, {"x": zero - 1e-11}, zero={"x"})
    compare({"x": zero + 1e-9}, {"x": zero}, zero={"x"}, scale=100)
    for ours, theirs in ((one, zero), (zero, one)):
        with pytest.raises(AssertionError, match="zero by mathematics"):
            compare({"x": ours}, {"x": theirs}, zero={"x"})
    with pytest.raises(AssertionError, match="x: off by"):
        compare({"x": zero + 1e-16}, {"x": zero})
    with pytest.raises(AssertionError, match="was not compared"):
        compare({"x": one}, {"x": one}, zero={"y"})


def test_parameters_of_a_layer_are_compared() -> None:
    def theirs(parameters: dict, x: torch.Tensor, exponent: int) -> torch.Tensor:
        translated = translating.linear({f"layer.{name}": value for name, value in parameters.items()}, "layer")
        return torch.nn.functional.linear(x, translated["weight"], translated["bias"] ** exponent)

    layer = Linear(3, 2, generator=np.random.default_rng(0))
    compare_layer(layer, lambda parameters, x: theirs(parameters, x, 1), {"x": X}, seed=3)
    with pytest.raises(AssertionError):
        compare_layer(layer, lambda parameters, x: theirs(parameters, x, 2), {"x": X}, seed=3)
    with pytest.raises(AssertionError, match="bias: off"):
        compare_layer(layer, lambda p, x: theirs(p, x, 1) + (p["bias"] - p["bias"].detach()), {"x": X}, seed=3)
