import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.derivations.reader.memory import kept_bytes
from scratchformer.layers import FeedForward, Linear, Trace, feed_forward
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


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@given(bias=st.booleans(), seed=seeds)
@settings(max_examples=5)
def test_what_is_formed_again_in_backward_is_the_same(activation: str, bias: bool, seed: int) -> None:
    layer = FeedForward(3, 4, activation=activation, bias=bias, generator=np.random.default_rng(seed))
    layer = with_random_values(layer, seed)
    x, dy = normal(seed, (2, 3), (2, 3))

    def computed(most_held: int) -> list[np.ndarray]:
        layer.grads[...] = 0
        trace = Trace()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(feed_forward, "MOST_HELD", most_held)
            patch.setattr(feed_forward, "NARROW", 0)
            y, backward = layer(x, trace=trace)
        dx, again = backward(dy), backward(dy)
        np.testing.assert_array_equal(again, dx)
        return [y, dx, layer.grads.copy(), *(trace[name] for name in sorted(trace))]

    for found, expected in zip(computed(0), computed(2**20), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("activation", ["gelu_tanh", "swiglu"])
def test_of_many_features_between_the_maps_those_before_the_activation_alone_are_held(
    activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = FeedForward(3, 4, activation=activation, generator=np.random.default_rng(0)).astype(np.float64)
    x, dy = normal(0, (5, 3), (5, 3))
    num_features = 5 * layer.up.weight.value.shape[1]
    of_parameters = [array for one in layer.parameters().values() for array in (one.value, one.grad)]
    for most, narrow in ((num_features, 3), (num_features - 1, 4)):
        monkeypatch.setattr(feed_forward, "MOST_HELD", most)
        monkeypatch.setattr(feed_forward, "NARROW", narrow)
        assert kept_bytes(layer(x)[1], x, *of_parameters) > 8 * num_features
    monkeypatch.setattr(feed_forward, "NARROW", 3)
    y, backward = layer(x)
    assert kept_bytes(backward, x, y, *of_parameters) == 8 * num_features
    with pytest.raises(ValueError, match=r"^linear: dy has shape \(2, 3\), expected \(5, 3\), the shape of the output"):
        backward(dy[:2])


def test_features_before_a_map_of_another_class_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubled(Linear):
        def __call__(self, x: np.ndarray) -> tuple:
            y, backward = super().__call__(x)
            return 2 * y, lambda dy: backward(2 * dy)

    monkeypatch.setattr(feed_forward, "MOST_HELD", 0)
    monkeypatch.setattr(feed_forward, "NARROW", 0)
    layer = FeedForward(3, 4, generator=np.random.default_rng(0)).astype(np.float64)
    layer.down = Doubled(4, 3, generator=np.random.default_rng(0), dtype=np.float64)
    layer.pack()
    (x,) = normal(0, (5, 3))
    check_layer(layer, x, seed=0)


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
