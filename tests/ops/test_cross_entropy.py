import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.ops import cross_entropy
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.strategies import batch_shapes, normal, seeds

ignore_indices = st.sampled_from([-100, -1, 0])
smoothings = st.sampled_from([0.0, 0.1, 0.7, 1.0])
several_classes = st.integers(2, 5)


def draw_targets(seed: int, classes: int, batch: tuple[int, ...], ignore_index: int) -> ndarray:
    generator = np.random.default_rng(seed)
    return np.where(generator.random(batch) < 0.4, ignore_index, generator.integers(0, classes, batch))


def naive(logits: ndarray, targets: ndarray, ignore_index: int, smoothing: float) -> tuple[float, ndarray]:
    classes = logits.shape[-1]
    losses, dlogits = [], np.zeros(logits.shape)
    for b in np.ndindex(*targets.shape):
        if targets[b] == ignore_index:
            continue
        total = sum(math.exp(v) for v in logits[b])
        loss = 0.0
        for c in range(classes):
            q = (1 - smoothing) * (c == targets[b]) + smoothing / classes
            loss -= q * (logits[(*b, c)] - math.log(total))
            dlogits[(*b, c)] = math.exp(logits[(*b, c)]) / total - q
        losses.append(loss)
    if not losses:
        return 0.0, dlogits
    return sum(losses) / len(losses), dlogits / len(losses)


@given(batch=batch_shapes, classes=several_classes, ignore_index=ignore_indices, smoothing=smoothings, seed=seeds)
def test_gradients(batch: tuple[int, ...], classes: int, ignore_index: int, smoothing: float, seed: int) -> None:
    targets = draw_targets(seed, classes, batch, ignore_index)
    check_op(
        lambda logits: cross_entropy(logits, targets, ignore_index=ignore_index, label_smoothing=smoothing),
        *normal(seed, (*batch, classes)),
        seed=seed,
    )


@given(batch=batch_shapes, classes=several_classes, ignore_index=ignore_indices, smoothing=smoothings, seed=seeds)
def test_loss_and_gradient_equal_the_definition(
    batch: tuple[int, ...], classes: int, ignore_index: int, smoothing: float, seed: int
) -> None:
    targets = draw_targets(seed, classes, batch, ignore_index)
    (logits,) = normal(seed, (*batch, classes), scale=3)
    loss, backward = cross_entropy(logits, targets, ignore_index=ignore_index, label_smoothing=smoothing)
    expected, dlogits = naive(logits, targets, ignore_index, smoothing)
    assert abs(loss - expected) <= 1e-14 * max(expected, 1)
    assert np.abs(backward() - dlogits).max() <= 1e-15
    assert np.abs(backward(-2.5) + 2.5 * dlogits).max() <= 1e-14


def test_a_likely_target_keeps_the_digits_of_its_loss_and_gradient() -> None:
    for margin in (10.0, 30.0, 80.0):
        loss, backward = cross_entropy(np.array([[margin, 0.0, 0.0]], np.float32), np.array([0]))
        assert abs(loss / math.log1p(2 * math.exp(-margin)) - 1) <= 1e-6
        share = math.exp(-margin) / (1 + 2 * math.exp(-margin))
        np.testing.assert_allclose(backward(), [[-2 * share, share, share]], rtol=1e-6)


def test_an_impossible_target_has_an_infinite_loss() -> None:
    with np.errstate(invalid="raise"):
        assert cross_entropy(np.array([[0.0, -np.inf]]), np.array([1]))[0] == np.inf


def test_without_classes_nothing_can_count() -> None:
    loss, backward = cross_entropy(np.ones((2, 0)), np.full(2, -100))
    assert loss == 0
    assert backward().shape == (2, 0)


def test_nothing_is_ignored_and_smoothed_by_default_but_minus_one_hundred() -> None:
    (logits,) = normal(1, (3, 4))
    targets = np.array([2, -100, 0])
    loss, _ = cross_entropy(logits, targets)
    assert abs(loss - naive(logits, targets, -100, 0.0)[0]) < 1e-15


@given(batch=batch_shapes, smoothing=smoothings, seed=seeds)
def test_one_class_has_loss_and_gradient_zero_because_its_probability_is_always_one(
    batch: tuple[int, ...], smoothing: float, seed: int
) -> None:
    (logits,) = normal(seed, (*batch, 1))
    loss, backward = cross_entropy(logits, np.zeros(batch, np.int64), label_smoothing=smoothing)
    assert loss == 0
    assert np.abs(backward()).max() <= 1e-16


@given(batch=batch_shapes, smoothing=smoothings, seed=seeds)
def test_no_counted_target_gives_loss_and_gradient_zero(batch: tuple[int, ...], smoothing: float, seed: int) -> None:
    (logits,) = normal(seed, (*batch, 3), dtype=np.float32)
    loss, backward = cross_entropy(logits, np.full(batch, -100), label_smoothing=smoothing)
    assert loss == 0
    assert loss.dtype == np.float32
    assert np.array_equal(backward(), np.zeros_like(logits))
    assert backward().dtype == np.float32


@given(smoothing=smoothings, content=st.sampled_from([np.nan, np.inf, -np.inf, 1e300]), seed=seeds)
def test_logits_at_ignored_positions_change_nothing(smoothing: float, content: float, seed: int) -> None:
    (logits,) = normal(seed, (3, 4, 5))
    targets = draw_targets(seed, 5, (3, 4), -100)
    loss, backward = cross_entropy(logits, targets, label_smoothing=smoothing)
    filled = np.where((targets == -100)[..., None], content, logits)
    filled_loss, filled_backward = cross_entropy(filled, targets, label_smoothing=smoothing)
    assert np.array_equal(filled_loss, loss)
    assert np.array_equal(filled_backward(), backward())
    assert not filled_backward()[targets == -100].any()


@given(ignored=st.integers(0, 5), seed=seeds)
def test_gradient_is_divided_by_the_number_of_counted_targets(ignored: int, seed: int) -> None:
    logits = np.repeat(normal(seed, (1, 1, 4))[0], 6, axis=1)
    targets = np.array([[2] * (6 - ignored) + [-100] * ignored])
    alone = cross_entropy(logits[:, :1], targets[:, :1])[1]()
    dlogits = cross_entropy(logits, targets)[1]()
    assert_close(dlogits[0, 0] * (6 - ignored), alone[0, 0], 1e-14)


@given(smoothing=smoothings, seed=seeds)
def test_gradients_of_shards_join_to_that_of_the_whole_batch(smoothing: float, seed: int) -> None:
    (logits,) = normal(seed, (5, 3, 4))
    targets = draw_targets(seed, 4, (5, 3), -100)
    counts = [(targets[:2] != -100).sum(), (targets[2:] != -100).sum()]
    whole = cross_entropy(logits, targets, label_smoothing=smoothing)[1]()
    shards = [
        cross_entropy(logits[part], targets[part], label_smoothing=smoothing)[1](count / max(sum(counts), 1))
        for part, count in zip((slice(2), slice(2, None)), counts, strict=True)
    ]
    assert_close(np.concatenate(shards), whole, 1e-14)


@pytest.mark.parametrize("huge", [1e4, 1e300])
def test_huge_logits_stay_finite_and_right(huge: float) -> None:
    logits = np.array([[huge, 0.0, -huge], [0.0, huge, huge]])
    loss, backward = cross_entropy(logits, np.array([0, 2]))
    assert abs(loss - math.log(2) / 2) < 1e-15
    assert_close(backward(), np.array([[0, 0, 0], [0, 0.25, -0.25]]), 1e-15)
    assert_close(cross_entropy(logits, np.array([1, 2]))[0], np.float64((huge + math.log(2)) / 2), 1e-15)


def test_a_class_at_minus_infinity_has_no_share() -> None:
    (logits,) = normal(2, (2, 4))
    logits[:, 3] = -np.inf
    targets = np.array([0, 2])
    loss, backward = cross_entropy(logits, targets)
    expected, expected_backward = cross_entropy(logits[:, :3], targets)
    assert abs(loss - expected) < 1e-15
    assert not backward()[:, 3].any()
    assert_close(backward()[:, :3], expected_backward(), 1e-15)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint8, np.uint64])
def test_targets_may_have_any_integer_type(dtype: type) -> None:
    (logits,) = normal(3, (3, 4))
    targets = np.array([3, 0, 3])
    loss, backward = cross_entropy(logits, targets.astype(dtype), label_smoothing=0.1)
    expected, expected_backward = cross_entropy(logits, targets, label_smoothing=0.1)
    assert loss == expected
    assert np.array_equal(backward(), expected_backward())


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    logits, targets = np.ones((2, 3)), np.array([0, 2])
    with pytest.raises(ValueError, match="cross_entropy: targets holds 3, expected 0 to 2"):
        cross_entropy(logits, np.array([0, 3]))
    with pytest.raises(ValueError, match="cross_entropy: targets holds -1, expected 0 to 2"):
        cross_entropy(logits, np.array([-100, -1]))
    with pytest.raises(ValueError, match="cross_entropy: targets holds -100, expected 0 to 2"):
        cross_entropy(logits, np.array([-100, 1]), ignore_index=-1)
    with pytest.raises(TypeError, match="cross_entropy: targets must be an integer array, got float64"):
        cross_entropy(logits, targets.astype(np.float64))
    with pytest.raises(TypeError, match="cross_entropy: targets must be an integer array, got list"):
        cross_entropy(logits, [0, 2])
    with pytest.raises(
        ValueError, match=r"\*batch is \(2,\) in logits of shape \(2, 3\), but \(2, 1\) in targets of shape \(2, 1\)$"
    ):
        cross_entropy(logits, targets[:, None])
    with pytest.raises(TypeError, match="cross_entropy: logits must be a floating array, got int64"):
        cross_entropy(logits.astype(np.int64), targets)
    with pytest.raises(ValueError, match="cross_entropy: logits must have at least 1 dimension"):
        cross_entropy(np.array(1.0), np.array(0))
    for smoothing in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=rf"cross_entropy: label_smoothing must lie in \[0, 1\], got {smoothing}"):
            cross_entropy(logits, targets, label_smoothing=smoothing)
    for several in (targets, np.array([-100, -100])):
        _, backward = cross_entropy(logits, several)
        with pytest.raises(ValueError, match=r"cross_entropy: dloss must be a number, got shape \(2, 1\)"):
            backward(np.ones((2, 1)))
