import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray

from scratchformer.ops.checks import check_indices
from scratchformer.ops.contract import Backward, op
from scratchformer.ops.extremes import largest
from scratchformer.ops.rows import row_mean, row_sum


@op
def cross_entropy(
    logits: Inexact[ndarray, "*batch classes"],
    targets: Integer[ndarray, "*batch"],
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[np.inexact, Backward]:
    """Mean cross-entropy between softmax(logits) and smoothed one-hot targets, in nats.

    loss = mean over counted b of - sum_c q_bc log softmax(logits_b)_c,
    with q_bc = (1 - label_smoothing) [c = targets_b] + label_smoothing / classes.

    Args:
        logits: unnormalised log-probabilities.
        targets: class numbers 0 to classes - 1, or `ignore_index` for a position that does not count.
        ignore_index: the target that marks such positions, which are left out of the mean.
        label_smoothing: share of the probability that is spread evenly over all classes, 0 to 1.

    Returns:
        the loss, a NumPy scalar of the logits' dtype (0 when no target counts), and `backward(dloss=1.0)` giving
        dlogits = dloss (softmax(logits) - q) / number of counted targets, and 0 at ignored positions.

    Raises:
        TypeError: logits that are not floating, targets that are not integers.
        ValueError: a target that is no class, shapes that do not match, `label_smoothing` outside [0, 1].

    Source: Szegedy et al., "Rethinking the Inception Architecture", 2015, section 7 (smoothing).

    Derivation: `python -m scratchformer derive cross_entropy`.
    """
    classes = logits.shape[-1]
    check_indices("cross_entropy", "targets", targets, classes, ignore=ignore_index)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must lie in [0, 1], got {label_smoothing}")
    label_smoothing = float(label_smoothing)
    shape, dtype = logits.shape, logits.dtype

    counted = targets != ignore_index
    num_counted = int(np.count_nonzero(counted))
    is_whole = num_counted == targets.size
    x = logits.reshape(targets.size, classes) if is_whole else logits[counted]  # (counted, classes)
    target = targets.reshape(-1) if is_whole else targets[counted]  # (counted,)
    at = np.arange(num_counted) * classes + target.astype(int, copy=False)  # places of targets, by row
    n = max(num_counted, 1)  # without a counted target the loss is an empty sum, 0

    s = x - np.maximum.reduce(x.real, axis=-1, keepdims=True, initial=-np.inf)
    s_target = s.take(at)
    spread = label_smoothing * (s_target - row_mean(s)[:, 0]) if label_smoothing else None
    exponentials = np.exp(s, out=s)
    e_target = exponentials.take(at)
    exponentials.put(at, 0)
    others = row_sum(exponentials)[:, 0]
    z = others + e_target
    exponentials.put(at, -others)  # over z this is p - 1, without cancelling where p is near 1
    surprise = np.log(z) - s_target
    if largest(s_target.real) == 0:
        (likeliest,) = np.nonzero(s_target.real == 0)  # the rows of which the target is the likeliest class
        # There log(z) is near 0, and would lose its digits.
        surprise[likeliest] = np.log1p(others[likeliest] / e_target[likeliest])
    if spread is not None:
        surprise += spread
    loss = np.add.reduce(surprise) / n

    def backward(dloss: float) -> ndarray:
        share = dtype.type(dloss / n)
        dx = exponentials * (share / z)[:, None]  # (counted, classes)
        if label_smoothing:
            dx[np.arange(num_counted), target] += share * label_smoothing
            dx -= share * label_smoothing / classes
        if is_whole:
            return dx.reshape(shape)
        dlogits = np.zeros(shape, dtype)
        dlogits[counted] = dx
        return dlogits

    return loss, backward
