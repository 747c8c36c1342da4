import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import Linear, Parameter, TiedLinear
from scratchformer.ops import cross_entropy
from tests.closeness import assert_close
from tests.gradients import check_layer
from tests.strategies import batch_shapes, dimensions, normal, seeds


@given(batch=batch_shapes, d_in=dimensions, d_out=dimensions, bias=st.booleans(), seed=seeds)
@settings(max_examples=20)
def test_gradients(batch: tuple[int, ...], d_in: int, d_out: int, bias: bool, seed: int) -> None:
    layer = Linear(d_in, d_out, bias=bias, generator=np.random.default_rng(seed))
    assert set(layer.parameters()) == ({"weight", "bias"} if bias else {"weight"})
    (x,) = normal(seed, (*batch, d_in))
    check_layer(layer, x, seed=seed)


@given(batch=batch_shapes, d=dimensions, n=dimensions, seed=seeds)
@settings(max_examples=20)
def test_gradients_of_a_tied_map(batch: tuple[int, ...], d: int, n: int, seed: int) -> None:
    table, x = normal(seed, (n, d), (*batch, d))
    layer = TiedLinear(Parameter(table))
    check_layer(layer, x, seed=seed)


@given(seed=seeds)
def test_a_tied_map_multiplies_by_the_transposed_table_and_owns_no_copy_of_it(seed: int) -> None:
    values, x = normal(seed, (5, 3), (2, 4, 3))
    table = Parameter(values)
    layer = TiedLinear(table)
    y, _ = layer(x)
    assert_close(y, np.einsum("btd,nd->btn", x, values), 1e-12)
    assert layer.parameters() == {"table": table}
    table.value[...] = 0
    assert not layer(x)[0].any()


@given(bias=st.booleans(), seed=seeds)
def test_output_is_x_times_weight_plus_bias(bias: bool, seed: int) -> None:
    layer = Linear(3, 4, bias=bias, generator=np.random.default_rng(seed), dtype=np.float64)
    x, weight, offset = normal(seed, (2, 5, 3), (3, 4), (4,))
    layer.weight.value[...] = weight
    if bias:
        layer.bias.value[...] = offset
    assert_close(layer(x)[0], np.einsum("bti,ij->btj", x, weight) + bias * offset, 1e-12)


def test_weight_starts_with_standard_deviation_one_over_root_in_and_bias_at_zero() -> None:
    layer = Linear(400, 100, generator=np.random.default_rng(0))
    assert layer.weight.value.dtype == np.float32
    assert abs(layer.weight.value.std() * math.sqrt(400) - 1) < 0.02
    assert abs(layer.weight.value.mean()) < 5 / math.sqrt(400 * 40000)
    assert not layer.bias.value.any()


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="Linear: d_in must be at least 1, got 0"):
        Linear(0, 2, generator=generator)
    with pytest.raises(ValueError, match="Linear: d_out must be at least 1, got -1"):
        Linear(2, -1, generator=generator)
    with pytest.raises(ValueError, match=r"linear: d_in is 3 in x of shape .*, but 2 in weight of shape \(2, 2\)$"):
        Linear(2, 2, generator=generator)(np.zeros((1, 3), np.float32))
    with pytest.raises(TypeError, match="linear: weight is float32, x is float64"):
        Linear(2, 2, generator=generator)(np.zeros((1, 2)))
    _, backward = Linear(2, 3, generator=generator)(np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match="linear: dy has shape"):
        backward(np.zeros((1, 2), np.float32))


@pytest.mark.parametrize(("tied", "has_bias"), [(True, False), (False, True), (False, False)])
@given(smoothing=st.sampled_from([0.0, 0.3]), dloss=st.sampled_from([(), (0.5,)]), seed=seeds)
@settings(max_examples=8)
def test_cross_entropy_is_that_of_the_logits_and_adds_to_the_gradient(
    tied: bool, has_bias: bool, smoothing: float, dloss: tuple[float, ...], seed: int
) -> None:
    x, matrix, bias = normal(seed, (2, 3, 4), (4, 5), (5,))
    targets = np.random.default_rng(seed).integers(0, 5, (2, 3))
    untied = Linear(4, 5, bias=has_bias, generator=None, dtype=float)
    untied.weight.value[...] = matrix
    if untied.bias is not None:
        untied.bias.value[...] = bias
    layer: Linear | TiedLinear = TiedLinear(Parameter(matrix.T)) if tied else untied
    parameters = layer.parameters()
    logits, logits_backward = layer(x)
    expected, loss_backward = cross_entropy(logits, targets, label_smoothing=smoothing)
    dx = logits_backward(loss_backward(*dloss))
    grads = {name: parameter.grad.copy() for name, parameter in parameters.items()}
    loss, backward = layer.cross_entropy(x, targets, label_smoothing=smoothing, classes_at_once=2)
    assert_close(loss, expected, 1e-13)
    assert_close(backward(*dloss), dx, 1e-13)
    for name, parameter in parameters.items():
        assert_close(parameter.grad, 2 * grads[name], 1e-13)
