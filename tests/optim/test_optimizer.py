from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from scratchformer.layers import FeedForward
from scratchformer.optim import SGD, Adam, AdamW, Optimizer
from scratchformer.optim.spans import NamedParameters
from tests.optim.vectors import random_vector


class MatrixDescent(SGD):
    """Moves each matrix by the learning rate along its gradient, whatever its norm; everything else as SGD does."""

    parameters: NamedParameters

    def _updates(self, learning_rate: float) -> Sequence[Callable[[], object]]:
        vectors = (self.parameters.values, self.parameters.grads)
        values, grads = (self.parameters.views_by_name(vector) for vector in vectors)

        def update(name: str) -> None:
            values[name] -= learning_rate * grads[name] / np.linalg.norm(grads[name])

        rest = slice(self.parameters.num_decayed, len(self.parameters.values))
        matrices = [partial(update, name) for name, value in values.items() if value.ndim == 2]
        return [*matrices, partial(self._update(learning_rate), rest)]


MAKERS = {
    "SGD": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "Nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "Adam": Adam,
    "AdamW": AdamW,
}
each_optimizer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@each_optimizer
def test_threads_change_nothing_bit_for_bit(make: Callable) -> None:
    alone, shared = (random_vector(300_001, 150_000, 0, np.float32) for _ in range(2))
    optimizer, shared_optimizer = make(alone), make(shared)
    with ThreadPoolExecutor(3) as pool:
        for step in range(3):
            alone.grads[...] = shared.grads[...] = np.random.default_rng(step).normal(size=300_001)
            optimizer.step(0.1)
            shared_optimizer.step(0.1, pool.map)
    np.testing.assert_array_equal(alone.values, shared.values)
    assert {vector.dtype for vector in (alone.values, *optimizer.state.values())} == {np.dtype(np.float32)}


@each_optimizer
def test_a_bad_rate_is_refused_and_a_rate_of_zero_changes_nothing(make: Callable) -> None:
    vector = random_vector(3, 0, 0)
    optimizer, before = make(vector), vector.values.copy()
    vector.grads[...] = 1
    for rate in (-1e-9, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^(SGD|AdamW?): learning_rate must be finite and not negative, got"):
            optimizer.step(rate)
    assert optimizer.num_steps == 0
    optimizer.step(0.0)
    assert optimizer.num_steps == 1
    np.testing.assert_array_equal(vector.values, before)


def test_the_base_class_updates_nothing() -> None:
    with pytest.raises(TypeError, match="abstract class Optimizer"):
        Optimizer(random_vector(3, 0, 0), m=np.zeros(3))


def test_an_optimizer_can_work_on_named_matrices_in_threads() -> None:
    layer = FeedForward(3, 4, generator=np.random.default_rng(0))
    layer.pack(np.float64)
    layer.grads[...] = np.random.default_rng(1).normal(size=layer.grads.shape)
    before = {name: parameter.value.copy() for name, parameter in layer.parameters().items()}
    with ThreadPoolExecutor(2) as pool:
        MatrixDescent(layer).step(0.1, pool.map)
    for name, parameter in layer.parameters().items():
        move = (before[name] - parameter.value) / 0.1
        direction = parameter.grad / np.linalg.norm(parameter.grad) if parameter.grad.ndim == 2 else parameter.grad
        np.testing.assert_allclose(move, direction, rtol=1e-12)


@each_optimizer
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_gradients_that_are_not_finite_are_refused_before_anything_changes(make: Callable, bad: float) -> None:
    vector = random_vector(5, 2, 0)
    optimizer = make(vector)
    vector.grads[...] = [1, 2, 3, 4, 5]
    optimizer.step(0.1)
    before = [vector.values.copy(), *(state.copy() for state in optimizer.state.values())]
    vector.grads[-1] = bad
    with pytest.raises(
        FloatingPointError, match=r"^(SGD|AdamW?): grads have the norm (nan|inf), expected a finite one"
    ):
        optimizer.step(0.1)
    for kept, now in zip(before, [vector.values, *optimizer.state.values()], strict=True):
        np.testing.assert_array_equal(kept, now)
    assert optimizer.num_steps == 1


@pytest.mark.parametrize("make", [Adam, AdamW])
def test_adam_refuses_gradients_whose_squares_overflow(make: Callable) -> None:
    vector = random_vector(9, 5, 0, np.float32)
    vector.grads[3] = 1e20
    with pytest.raises(FloatingPointError, match=f"{make.__name__}: grads hold 1e[+]20, whose square overflows"):
        (optimizer := make(vector)).step(0.1)
    assert optimizer.num_steps == 0
    assert not optimizer.state["v"].any()
    SGD(vector).step(0.1)
    assert np.isfinite(vector.values).all()


@pytest.mark.usefixtures("unchecked")
def test_a_map_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^SGD: parallel_map must be a function, got 3$"):
        SGD(random_vector(3, 3, 0)).step(0.1, 3)
