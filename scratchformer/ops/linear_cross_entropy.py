import math
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray

from scratchformer.ops.checks import check_at_least, check_indices
from scratchformer.ops.contract import Backward, op
from scratchformer.ops.extremes import LOWEST
from scratchformer.ops.linear import product_over_rows
from scratchformer.ops.rows import column_sum, row_sum

CLASSES_AT_ONCE = 4096
"""Of more, the logits of some hundred rows leave the cache; of fewer, products are slower."""


@op
def linear_cross_entropy(
    x: Inexact[ndarray, "*batch d"],
    weight: Inexact[ndarray, "d classes"],
    targets: Integer[ndarray, "*batch"],
    bias: Inexact[ndarray, " classes"] | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    classes_at_once: int = CLASSES_AT_ONCE,
    hold_exponentials: bool | None = None,
    add_product: Callable[..., object] | None = None,
) -> tuple[np.inexact, Backward]:
    """Mean cross-entropy of logits x W + b, formed for some classes at a time.

    loss = `cross_entropy(linear(x, weight, bias), targets)`. The largest logit, shift, and the sum of exponentials, z,
    are carried along: shift' = max(shift, max logits), z' = z exp(shift - shift') + sum exp(logits - shift').
    Backward takes the exponentials that were held, times exp(shift - last shift). Or it forms the logits anew: a third
    more products, for memory that does not grow with the classes.

    Args:
        x: (..., d); all leading axes are batch.
        weight: (d, classes).
        targets: class numbers 0 to classes - 1, or `ignore_index` for a position that does not count.
        bias: one number per class, or None.
        ignore_index: the target that marks such positions, which are left out of the mean.
        label_smoothing: share of the probability that is spread evenly over all classes, 0 to 1.
        classes_at_once: of how many classes the logits are formed.
        hold_exponentials: whether all exponentials are held until backward; None holds them if they take at most half
            the memory of the weight.
        add_product: takes the place of forming dW, which is then never held whole: every backward calls it, for some
            classes at a time, with the factors of that part of dW, x as (counted, d) and dlogits as (counted, part),
            and the slice of the classes. It answers None for dW.

    Returns:
        the loss, a NumPy scalar of x's dtype (0 when no target counts), and `backward(dloss=1.0)` giving
        `(dx, dweight, dbias)`; `dbias` is None without a bias:
        dlogits = dloss (softmax(logits) - q) / number of counted targets, and 0 at ignored positions,
        dx = dlogits W^T, dW = sum over the batch of x^T dlogits, db = sum over the batch of dlogits.

    Raises:
        TypeError: an argument that is not floating, or of another dtype than `x`; targets that are not integers.
        ValueError: a target that is no class, shapes that do not match, `label_smoothing` outside [0, 1], no class at
            once.

    Source: Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018, algorithm 3 (the sum).

    Derivation: `python -m scratchformer derive cross_entropy`.
    """
    d, classes = weight.shape
    check_indices("linear_cross_entropy", "targets", targets, classes, ignore=ignore_index)
    check_at_least("linear_cross_entropy", 1, classes_at_once=classes_at_once)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"linear_cross_entropy: label_smoothing must lie in [0, 1], got {label_smoothing}")
    shape, label_smoothing = x.shape, float(label_smoothing)
    counted = (targets != ignore_index).reshape(-1)
    every_row = x.reshape(math.prod(shape[:-1]), d)
    rows = every_row if counted.all() else every_row[counted]  # (counted, d)
    target = targets.reshape(-1)[counted]  # (counted,)
    is_held = 2 * len(rows) <= d if hold_exponentials is None else hold_exponentials
    n = max(len(rows), 1)  # without a counted target the loss is an empty sum, 0

    def logits_by_part() -> Iterator[tuple[slice, ndarray, tuple[ndarray, ndarray]]]:
        """Some classes at a time, their logits, and where among these the targets are."""
        for start in range(0, classes, classes_at_once):
            part = slice(start, min(start + classes_at_once, classes))
            logits = rows @ weight[:, part]
            if bias is not None:
                logits += bias[part]
            here = np.flatnonzero((target >= part.start) & (target < part.stop))
            yield part, logits, (here, target[here] - start)

    held: list[tuple[slice, ndarray, tuple[ndarray, ndarray], ndarray]] = []
    shift = np.full(len(rows), LOWEST[rows.real.dtype.char])  # -inf - -inf would be NaN
    others, s_target, sum_logits = (np.zeros(len(rows), rows.dtype) for _ in range(3))
    for part, logits, at_target in logits_by_part():
        s_target[at_target[0]] = logits[at_target]
        if label_smoothing:
            sum_logits += row_sum(logits)[:, 0]
        largest = np.maximum(shift, logits.real.max(axis=-1))
        logits -= largest[:, None]
        exponentials = np.exp(logits, out=logits)
        exponentials[at_target] = 0
        others = others * np.exp(shift - largest) + row_sum(exponentials)[:, 0]
        shift = largest
        if is_held:
            held.append((part, exponentials, at_target, shift))
    spread = label_smoothing * (s_target - sum_logits / max(classes, 1)) if label_smoothing else 0
    s_target = s_target - shift
    e_target = np.exp(s_target)
    z = others + e_target
    # If the target is the likeliest class, log(z) is near 0 and would lose its digits.
    is_likeliest = s_target.real == 0
    surprise = np.log1p(others / np.where(is_likeliest, e_target, 1))
    np.copyto(surprise, np.log(z) - s_target, where=~is_likeliest)
    loss = np.sum(surprise + spread) / n

    def exponentials_by_part(factor: ndarray) -> Iterator[tuple[slice, ndarray, tuple[ndarray, ndarray]]]:
        """Some classes at a time, factor exp(logits - shift), and where among these the targets are."""
        for part, exponentials, at_target, shift_then in held:
            yield part, exponentials * (factor * np.exp(shift_then - shift))[:, None], at_target
        for part, logits, at_target in [] if is_held else logits_by_part():
            logits -= shift[:, None]
            exponentials = np.exp(logits, out=logits)
            exponentials *= factor[:, None]
            yield part, exponentials, at_target

    def backward(dloss: float) -> tuple[ndarray, ndarray | None, ndarray | None]:
        share = rows.dtype.type(dloss / n)
        drows, dweight = np.zeros_like(rows), np.empty_like(weight) if add_product is None else None
        dbias = None if bias is None else np.empty_like(bias)
        for part, dlogits, at_target in exponentials_by_part(share / z):
            dlogits[at_target] = -share * (others / z)[at_target[0]]  # p - 1, without cancelling where p is near 1
            if label_smoothing:
                dlogits[at_target] += share * label_smoothing
                dlogits -= share * label_smoothing / classes
            drows += dlogits @ weight[:, part].T
            if dweight is not None:
                product_over_rows(rows, dlogits, dweight[:, part])
            elif add_product is not None:
                add_product(rows, dlogits, part)
            if dbias is not None:
                dbias[part] = column_sum(dlogits)
        if len(rows) == len(every_row):
            return drows.reshape(shape), dweight, dbias
        dx = np.zeros_like(every_row)
        dx[counted] = drows
        return dx.reshape(shape), dweight, dbias

    return loss, backward
