from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from scratchformer.layers import FeedForward
from scratchformer.optim import SGD, Optimizer
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
