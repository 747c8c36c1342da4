"""Mistakes that are recognised by what backward returns where its cotangent, or the other tensors, are changed."""

import numpy as np

from scratchformer.gradcheck.judgement.comparison import EXACT, Comparison
from scratchformer.gradcheck.judgement.factors import listed
from scratchformer.gradcheck.numeric.random_streams import SCAN

MOST = 256
"""Larger cotangents are not looked at element by element."""
SHARE = 2.0**-12
"""Of a step, to see what a whole one does to a gradient, as far as that is in proportion."""


def ignored_output(compared: Comparison) -> str:
    """It depends on some elements of the cotangent not at all, and is the right one for a cotangent without these."""
    dy, gradient = np.asarray(compared.dy), compared.scan.gradient
    if dy.ndim != 1 or not 1 < dy.size <= MOST:
        return ""
    limit = EXACT * np.abs(gradient).max(initial=0)
    ones = np.eye(dy.size, dtype=bool)
    ignored = [bool((np.abs(compared.gradient_for(np.where(i, 0, dy)) - gradient) <= limit).all()) for i in ones]
    if not any(ignored) or all(ignored):
        return ""
    direction = np.random.default_rng(SCAN).standard_normal(gradient.shape) * compared.scan.finite
    without = compared.scan.slope_for(np.where(ignored, 0, dy), direction)
    missing = abs(compared.scan.slope_for(dy, direction) - without)
    if not abs(float(np.sum(direction * gradient)) - without) <= compared.explained * missing:
        return ""
    seen = f"it ignores the cotangent at {listed(np.flatnonzero(ignored))}, and is right for what is left"
    return f"{seen}: is the gradient of one of several outputs (their cotangents are joined here) forgotten?"


def step_before_use(compared: Comparison) -> str:
    """It is right for other tensors that have not yet moved along their gradients."""
    point, name = compared.scan.point, compared.scan.name
    others = [other for other in point.gradients if other != name]
    moved = point.subject.astype(np.float64)
    for other in point.gradients:
        moved.tensors[other][...] = point.subject.tensors[other]
    for other in others:
        moved.tensors[other][...] += SHARE * point.gradients[other]
    change = (moved.forward()[1](np.array(compared.dy)[()])[name] - compared.scan.gradient) / SHARE
    change = compared.scan.on_grid(change) * compared.known
    size = float(np.sum(change**2))
    rate = -float(np.sum(change * compared.error)) / size if size > 0 else 0.0
    if not rate > 0 or not compared.is_explained_by(np.nan_to_num(compared.expected) - rate * change):
        return ""
    seen = f"it is right for other tensors ({', '.join(others)}) before a step of {rate:.4g} times their gradients"
    return f"{seen}: does backward update them before it uses them? Take the step last"


def repeated_rows(compared: Comparison) -> str:
    """It is wrong at just those rows whose number occurs more than once in an array of whole numbers."""
    subject = compared.scan.point.subject
    if not compared.off.ndim:
        return ""
    rows = compared.scan.axes[0]
    for name, ids in {**subject.arguments, **subject.call.options}.items():
        if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or not ids.size:
            continue
        n = compared.scan.gradient.shape[0]
        if ids.min() < -n or ids.max() >= n:
            continue
        counts = np.bincount(np.ravel(ids) % n, minlength=n)[rows]
        is_wrong = compared.off.reshape(len(rows), -1).any(axis=1)
        if is_wrong.any() and np.array_equal(is_wrong, counts > 1) and (counts == 1).any():
            seen = f"it is wrong at just those rows whose number occurs more than once in {name}"
            return f"{seen}: `dx[ids] += dy` adds to each row once, np.add.at(dx, ids, dy) each time"
    return ""
