import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.ops import cross_entropy, linear, linear_cross_entropy
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.ops.test_cross_entropy import draw_targets, ignore_indices, smoothings
from tests.strategies import batch_shapes, dimensions, normal, seeds

parts = st.integers(1, 6)
answers = st.sampled_from([True, False, None])


@given(
    batch=batch_shapes, d=dimensions, classes=st.integers(1, 5), smoothing=smoothings, part=parts, bias=st.booleans(),
    is_held=answers, seed=seeds,
)  # fmt: skip
def test_gradients(
    batch: tuple[int, ...],
    d: int,
    classes: int,
    smoothing: float,
    part: int,
    bias: bool,
    is_held: bool | None,
    seed: int,
) -> None:
    targets = draw_targets(seed, classes, batch, -1)
    inputs = normal(seed, (*batch, d), (d, classes), (classes,))

    def op(x: ndarray, weight: ndarray, bias: ndarray | None = None) -> tuple:
        options = {"ignore_index": -1, "label_smoothing": smoothing, "classes_at_once": part}
        options["hold_exponentials"] = is_held
        return linear_cross_entropy(x, weight, targets, bias, **options)

    check_op(op, *inputs[: 3 if bias else 2], seed=seed)


@given(
    batch=batch_shapes, d=dimensions, classes=st.integers(1, 9), ignore=ignore_indices, smoothing=smoothings,
    part=parts, is_held=answers, seed=seeds,
)  # fmt: skip
def test_it_is_the_cross_entropy_of_the_linear_map(
    batch: tuple[int, ...],
    d: int,
    classes: int,
    ignore: int,
    smoothing: float,
    part: int,
    is_held: bool | None,
    seed: int,
) -> None:
    targets = draw_targets(seed, classes, batch, ignore)
    x, weight, bias = normal(seed, (*batch, d), (d, classes), (classes,), scale=3)
    loss, backward = linear_cross_entropy(
        x, weight, targets, bias, ignore_index=ignore, label_smoothing=smoothing, classes_at_once=part,
        hold_exponentials=is_held,
    )  # fmt: skip
    z, linear_backward = linear(x, weight, bias)
    expected, loss_backward = cross_entropy(z, targets, ignore_index=ignore, label_smoothing=smoothing)
    assert_close(loss, expected, 1e-13)
    for factor in (1.5, -2.5):  # the first must leave what is held as it is
        for found, dense in zip(backward(factor), linear_backward(loss_backward(factor)), strict=True):
            assert_close(found, dense, 1e-13)


@pytest.mark.parametrize("is_held", [True, False])
@pytest.mark.parametrize("margin", [10.0, 30.0, 80.0])
def test_a_likely_target_keeps_the_digits_of_its_loss_and_gradient(margin: float, is_held: bool) -> None:
    x, weight = np.ones((1, 1), np.float32), np.array([[margin, 0, 0]], np.float32)
    loss, backward = linear_cross_entropy(x, weight, np.array([0]), classes_at_once=2, hold_exponentials=is_held)
    assert loss == pytest.approx(np.log1p(2 * np.exp(-margin)), rel=1e-6)
    share = np.exp(-margin) / (1 + 2 * np.exp(-margin))
    np.testing.assert_allclose(backward()[1], [[-2 * share, share, share]], rtol=1e-6)


def test_an_impossible_target_has_an_infinite_loss() -> None:
    weight, bias = np.ones((1, 2)), np.array([0, -np.inf])
    assert linear_cross_entropy(np.ones((1, 1)), weight, np.array([1]), bias)[0] == np.inf


def test_the_first_classes_may_be_impossible() -> None:
    x, weight, bias = np.zeros((1, 2)), np.zeros((2, 3)), np.array([-np.inf, 0.0, 1.0])
    loss, backward = linear_cross_entropy(x, weight, np.array([1]), bias, classes_at_once=1)
    p = np.exp(1) / (1 + np.exp(1))
    assert loss == pytest.approx(np.log(1 + np.exp(1)))
    np.testing.assert_allclose(backward()[2], [0, -p, p])


@pytest.mark.parametrize(
    ("d", "hold_exponentials", "is_held"), [(127, None, False), (128, None, True), (128, False, False)]
)
def test_exponentials_are_held_if_they_take_half_the_memory_of_the_weight(
    d: int, hold_exponentials: bool | None, is_held: bool
) -> None:
    x, weight = (array.astype(np.float32) for array in normal(0, (64, d), (d, 50_000)))
    targets = np.arange(64)
    tracemalloc.start()
    _, backward = linear_cross_entropy(
        x, weight, targets, add_product=lambda a, b, part: None, hold_exponentials=hold_exponentials
    )
    held, _ = tracemalloc.get_traced_memory()
    backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    all_of_them = 64 * weight.shape[1] * 4
    assert held > all_of_them if is_held else peak < 0.5 * all_of_them


def test_a_transposed_table_gets_a_gradient_in_its_own_layout() -> None:
    x, table = normal(0, (3, 4), (5, 4))
    _, backward = linear_cross_entropy(x, table.T, np.array([0, 4, 2]))
    assert backward()[1].T.flags.c_contiguous


def test_errors() -> None:
    x, weight, targets = np.ones((2, 3)), np.ones((3, 4)), np.array([0, 4])
    with pytest.raises(ValueError, match=r"^linear_cross_entropy: targets "):
        linear_cross_entropy(x, weight, targets)
    with pytest.raises(ValueError, match=r"^linear_cross_entropy: classes_at_once must be at least 1, got 0$"):
        linear_cross_entropy(x, weight, targets % 4, classes_at_once=0)
    with pytest.raises(ValueError, match=r"^linear_cross_entropy: label_smoothing must lie in \[0, 1\], got 1.5$"):
        linear_cross_entropy(x, weight, targets % 4, label_smoothing=1.5)


@given(classes=st.integers(1, 9), part=parts, seed=seeds)
def test_the_factors_of_the_weights_gradient_are_handed_on(classes: int, part: int, seed: int) -> None:
    targets = draw_targets(seed, classes, (4,), -1)
    x, weight, total = normal(seed, (4, 3), (3, classes), (3, classes))
    before = total.copy()

    def add_product(a: ndarray, b: ndarray, classes: slice) -> None:
        total[:, classes] += a.T @ b

    options = {"ignore_index": -1, "classes_at_once": part}
    _, backward = linear_cross_entropy(x, weight, targets, **options)
    _, adding_backward = linear_cross_entropy(x, weight, targets, **options, add_product=add_product)
    dx, dweight, _ = backward(0.5)
    for times in (1, 2):
        found, none, _ = adding_backward(0.5)
        assert none is None
        np.testing.assert_array_equal(found, dx)
        assert_close(total, before + times * dweight, 1e-14)
