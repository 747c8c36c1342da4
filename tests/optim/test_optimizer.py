from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest

from scratchformer.layers import FeedForward
from scratchformer.optim import SGD, Adam, AdamW, Optimizer
from scratchformer.optim.spans import NamedParameters
from tests.optim.vectors import SPAN, Vector, random_vector
from tests.strategies import normal


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
        parallel_map = Mock(side_effect=pool.map)
        for step in range(3):
            alone.grads[...] = shared.grads[...] = np.random.default_rng(step).normal(size=300_001)
            optimizer.step(0.1)
            shared_optimizer.step(0.1, parallel_map)
    assert parallel_map.call_count == 3 * 2, "the norm and the updates are shared out"
    np.testing.assert_array_equal(alone.values, shared.values)
    assert {vector.dtype for vector in (alone.values, *optimizer.state.values())} == {np.dtype(np.float32)}


@each_optimizer
def test_parts_that_processes_update_make_the_whole(make: Callable) -> None:
    size, half = 3 * SPAN, slice(SPAN + 3)
    (start,), *gradients = (normal(seed, (size,)) for seed in range(3))
    vectors = [Vector(start.copy(), np.zeros(size), SPAN + 5) for _ in range(3)]
    parts = None, half, slice(half.stop, size)
    for vector, part in zip(vectors, parts, strict=True):
        optimizer = make(vector)
        for (vector.grads,) in gradients:
            optimizer.step(0.1, part=part)
    for vector, part in zip(vectors[1:], parts[1:], strict=True):
        np.testing.assert_array_equal(vector.values[part], vectors[0].values[part])
        np.testing.assert_array_equal(np.delete(vector.values, part), np.delete(start, part))


@pytest.mark.usefixtures("unchecked")
@each_optimizer
def test_a_bad_rate_is_refused_and_a_rate_of_zero_changes_nothing(make: Callable) -> None:
    vector = random_vector(3, 0, 0)
    optimizer, before = make(vector), vector.values.copy()
    vector.grads[...] = 1
    for rate in (-1e-9, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^(SGD|AdamW?): learning_rate must be finite and not negative, got"):
            optimizer.step(rate)
    for wrong, sentence in (
        (["fast"], "learning_rate must be a number, got 'fast'"),
        ([0.1, 3], "parallel_map must be a function, got 3"),
    ):
        with pytest.raises(TypeError, match=f"^{type(optimizer).__name__}: {sentence}$"):
            optimizer.step(*wrong)
    assert optimizer.num_steps == 0
    optimizer.step(0.0)
    assert optimizer.num_steps == 1
    np.testing.assert_array_equal(vector.values, before)


@each_optimizer
@pytest.mark.parametrize("part", [None, slice(2, 4)])
def test_gradients_are_scaled_before_the_update(make: Callable, part: slice | None) -> None:
    vector, other = random_vector(5, 2, 0), random_vector(5, 2, 0)
    scaled = slice(None) if part is None else part
    for vector_of, optimizer, scale in ((vector, make(vector), 2.0), (other, make(other), 1.0)):
        for step in range(2):
            (vector_of.grads,) = normal(step, (5,))
            if scale == 1:
                vector_of.grads[scaled] *= 2.0
            optimizer.step(0.1, part=part, scale=scale)
    np.testing.assert_array_equal(vector.grads, other.grads)
    np.testing.assert_array_equal(vector.values, other.values)


@pytest.mark.usefixtures("unchecked")
def test_a_scale_that_cannot_be_is_refused() -> None:
    layer = FeedForward(3, 4, generator=np.random.default_rng(0))
    layer.pack(np.float64)
    with pytest.raises(ValueError, match=r"^MatrixDescent: scale must be 1, as whole matrices are needed, got 0.5$"):
        MatrixDescent(layer).step(0.1, scale=0.5)
    for scale in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match=f"^SGD: scale must be finite and not negative, got {scale}$"):
            SGD(layer).step(0.0, scale=scale)
    with pytest.raises(TypeError, match=r"^SGD: scale must be a number, got 'half'$"):
        SGD(layer).step(0.1, scale="half")
    layer.grads[...] = 1
    SGD(layer).step(0.1, scale=0.0)
    assert not layer.grads.any()


def test_the_base_class_updates_nothing() -> None:
    with pytest.raises(TypeError, match="abstract class Optimizer"):
        Optimizer(random_vector(3, 0, 0), m=np.zeros(3))


def test_an_optimizer_can_work_on_named_matrices_in_threads() -> None:
    layer = FeedForward(3, 4, generator=np.random.default_rng(0))
    layer.pack(np.float64)
    layer.grads[...] = np.random.default_rng(1).normal(size=layer.grads.shape)
    before = {name: parameter.value.copy() for name, parameter in layer.parameters().items()}
    optimizer = MatrixDescent(layer)
    assert optimizer.needs_whole_matrices
    assert not SGD(layer).needs_whole_matrices
    with ThreadPoolExecutor(2) as pool:
        optimizer.step(0.1, pool.map)
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
    vector.grads[-1] = 5
    with pytest.raises(FloatingPointError, match="grads have the norm inf, expected a finite one"):
        optimizer.step(0.1, norm=np.inf)
    for kept, now in zip(before, [vector.values, *optimizer.state.values()], strict=True):
        np.testing.assert_array_equal(kept, now)
    assert optimizer.num_steps == 1


@pytest.mark.parametrize("make", [Adam, AdamW])
def test_adam_takes_gradients_whose_norm_alone_overflows_when_squared(make: Callable) -> None:
    vector = random_vector(9, 5, 0, np.float32)
    vector.grads[...] = 1e19
    (optimizer := make(vector)).step(0.1)
    optimizer.step(0.1, norm=1e20, part=slice(0))  # the part of a process that has nothing to update
    assert optimizer.num_steps == 2


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
