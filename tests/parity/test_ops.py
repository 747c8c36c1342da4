from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.ops import (
    cross_entropy,
    embedding,
    gelu,
    layer_norm,
    linear,
    log_softmax,
    mean_squared_error,
    relu,
    rms_norm,
    silu,
    softmax,
)
from tests.parity.comparing import compare_op, torch
from tests.strategies import normal, seeds

F = torch.nn.functional

batch_shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)
widths = st.integers(1, 9)
scales = st.sampled_from([0.1, 1.0])

ACTIVATIONS = {
    "relu": (relu, F.relu),
    "gelu": (gelu, F.gelu),
    "gelu (tanh)": (lambda x: gelu(x, "tanh"), lambda x: F.gelu(x, approximate="tanh")),
    "silu": (silu, F.silu),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(batch=batch_shapes, width=widths, scale=scales, seed=seeds)
def test_activations(name: str, batch: tuple[int, ...], width: int, scale: float, seed: int) -> None:
    ours, theirs = ACTIVATIONS[name]
    compare_op(ours, theirs, {"x": normal(seed, (*batch, width), scale=scale)[0]}, seed=seed)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_far_from_zero_and_at_it(name: str) -> None:
    ours, theirs = ACTIVATIONS[name]
    compare_op(ours, theirs, {"x": np.linspace(-40, 40, 801)}, seed=1)
    compare_op(ours, theirs, {"x": np.zeros(3)}, seed=1)


@pytest.mark.parametrize(("ours", "theirs"), [(softmax, torch.softmax), (log_softmax, torch.log_softmax)])
@given(batch=batch_shapes, width=widths, offset=st.sampled_from([-1000.0, 0.0, 1000.0]), scale=scales, seed=seeds)
def test_softmax(
    ours: Callable, theirs: Callable, batch: tuple[int, ...], width: int, offset: float, scale: float, seed: int
) -> None:
    (x,) = normal(seed, (*batch, width), scale=scale)
    zero = {"x"} if width == 1 else ()  # one element has probability 1, whatever it is
    compare_op(ours, lambda x: theirs(x, dim=-1), {"x": x + offset}, seed=seed, zero=zero)


@given(
    batch=batch_shapes,
    width=widths,
    has_weight=st.booleans(),
    has_bias=st.booleans(),
    eps=st.sampled_from([1e-5, 1e-3, 0.5]),
    scale=scales,
    seed=seeds,
)
def test_layer_norm(
    batch: tuple[int, ...], width: int, has_weight: bool, has_bias: bool, eps: float, scale: float, seed: int
) -> None:
    # Two features are normalised to about -1 and 1 whatever they are: with a small eps, dx is what cancellation leaves.
    assume(width != 2 or eps == 0.5)
    x, weight, bias = normal(seed, (*batch, width), (width,), (width,))
    inputs = {"x": scale * x, "weight": weight if has_weight else None, "bias": bias if has_bias else None}
    zero = set()
    if width == 1:  # one feature equals its mean
        zero = {"x"} | ({"weight"} if has_weight else set()) | (set() if has_bias else {"output"})
    compare_op(
        lambda *arrays: layer_norm(*arrays, eps=eps),
        lambda *tensors: F.layer_norm(tensors[0], (width,), *tensors[1:], eps=eps),
        inputs,
        seed=seed,
        zero=zero,
    )


@given(batch=batch_shapes, width=widths, has_weight=st.booleans(), eps=st.sampled_from([1e-3, 0.5]), seed=seeds)
def test_rms_norm(batch: tuple[int, ...], width: int, has_weight: bool, eps: float, seed: int) -> None:
    assume(width != 1 or eps == 0.5)  # as above: one feature is normalised to about -1 or 1
    x, weight = normal(seed, (*batch, width), (width,))
    compare_op(
        lambda *arrays: rms_norm(*arrays, eps=eps),
        lambda x, weight: F.rms_norm(x, (width,), weight, eps),
        {"x": x, "weight": weight if has_weight else None},
        seed=seed,
    )


def drawn_targets(seed: int, classes: int, batch: tuple[int, ...], ignore_index: int) -> ndarray:
    """At least one of which counts: PyTorch's mean over none is NaN, ours 0."""
    generator = np.random.default_rng([seed, 2])
    is_ignored = generator.random(batch) < 0.4
    targets = np.asarray(np.where(is_ignored, ignore_index, generator.integers(0, classes, batch)))
    if (targets == ignore_index).all():
        targets.flat[0] = classes - 1
    return targets


@given(
    batch=batch_shapes,
    classes=widths,
    ignore_index=st.sampled_from([-100, -1, 0]),
    smoothing=st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    scale=scales,
    seed=seeds,
)
def test_cross_entropy(
    batch: tuple[int, ...], classes: int, ignore_index: int, smoothing: float, scale: float, seed: int
) -> None:
    assume(classes > 1 or ignore_index != 0)
    targets = drawn_targets(seed, classes, batch, ignore_index)
    options = {"ignore_index": ignore_index, "label_smoothing": smoothing}
    compare_op(
        lambda logits: cross_entropy(logits, targets, **options),
        # PyTorch's classes lie in the second axis, and the targets of a batch in one.
        lambda logits: F.cross_entropy(logits.reshape(-1, classes), torch.tensor(targets.ravel()), **options),
        {"logits": normal(seed, (*batch, classes), scale=scale)[0]},
        seed=seed,
        zero={"output", "logits"} if classes == 1 else (),  # the only class has probability 1
    )


@given(batch=batch_shapes, rows=widths, width=widths, seed=seeds)
def test_embedding(batch: tuple[int, ...], rows: int, width: int, seed: int) -> None:
    ids = np.asarray(np.random.default_rng([seed, 2]).integers(0, rows, batch))
    compare_op(
        lambda table: embedding(ids, table),
        lambda table: F.embedding(torch.tensor(ids), table),
        {"table": normal(seed, (rows, width))[0]},
        seed=seed,
    )


@given(batch=batch_shapes, d_in=widths, d_out=widths, has_bias=st.booleans(), seed=seeds)
def test_linear(batch: tuple[int, ...], d_in: int, d_out: int, has_bias: bool, seed: int) -> None:
    x, weight, bias = normal(seed, (*batch, d_in), (d_in, d_out), (d_out,))
    inputs = {"x": x, "weight": weight, "bias": bias if has_bias else None}
    compare_op(linear, lambda x, weight, bias: F.linear(x, weight.T, bias), inputs, seed=seed)


@given(batch=batch_shapes, width=widths, scale=scales, seed=seeds)
def test_mean_squared_error(batch: tuple[int, ...], width: int, scale: float, seed: int) -> None:
    prediction, target = normal(seed, (*batch, width), (*batch, width), scale=scale)
    compare_op(mean_squared_error, F.mse_loss, {"prediction": prediction, "target": target}, seed=seed)
