import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import FeedForward
from scratchformer.layers.feed_forward import ACTIVATIONS
from tests.closeness import assert_close
from tests.gradients import check_layer, with_random_values
from tests.strategies import batch_shapes, dimensions, normal, seeds

FORMULAS: dict[str, Callable[[float], float]] = {
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "relu": lambda x: max(x, 0.0),
    "silu": lambda x: x / (1 + math.exp(-x)),
}


GATES = {"geglu": "gelu", "geglu_tanh": "gelu_tanh", "swiglu": "silu"}


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@given(batch=batch_shapes, d_model=dimensions, d_hidden=dimensions, bias=st.booleans(), seed=seeds)
@settings(max_examples=8)
def test_gradients(activation: str, batch: tuple[int, ...], d_model: int, d_hidden: int, bias: bool, seed: int) -> None:
    generator = np.random.default_rng(seed)
    layer = FeedForward(d_model, d_hidden, activation=activation, bias=bias, generator=generator)
    assert len(layer.parameters()) == (4 if bias else 2)
    (x,) = normal(seed, (*batch, d_model))
    check_layer(layer, x, seed=seed, is_analytic=activation != "relu")


@given(activation=st.sampled_from(sorted(ACTIVATIONS)), seed=seeds)
def test_output_is_a_map_up_the_activation_and_a_map_down(activation: str, seed: int) -> None:
    layer = FeedForward(3, 5, activation=activation, generator=np.random.default_rng(seed))
    layer = with_random_values(layer, seed)
    (x,) = normal(seed, (2, 3))
    h = x @ layer.up.weight.value + layer.up.bias.value
    if activation in GATES:
        a = np.vectorize(FORMULAS[GATES[activation]])(h[:, :5]) * h[:, 5:]
    else:
        a = np.vectorize(FORMULAS[activation])(h)
    assert_close(layer(x)[0], a @ layer.down.weight.value + layer.down.bias.value, 1e-12)


def test_every_activation_has_a_formula_here_and_exact_gelu_is_the_default() -> None:
    assert FORMULAS.keys() | GATES.keys() == ACTIVATIONS.keys()
    assert FeedForward(2, 3, generator=np.random.default_rng(0)).activation == "gelu"


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(
        ValueError, match=r"FeedForward: activation must be one of \['gelu', 'gelu_tanh', .*\], got 'tanh'"
    ):
        FeedForward(2, 3, activation="tanh", generator=generator)
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        FeedForward(2, 0, generator=generator)


def test_a_name_from_an_array_is_a_name() -> None:
    layer = FeedForward(3, 5, activation=np.array(["relu"])[0], generator=None)
    assert layer.down.weight.value.shape == (5, 3)
