"""Where a gradient is wrong, and what the mistake looks like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.judgement.errors import Errors
from scratchformer.gradcheck.numeric.probes import Probe, Probes, TensorProbes

EXPLAINED = 1e-3
"""A hint may leave this share of the error unexplained."""
TOO_SMALL = 1e-3
"""No ratio is taken to an element that is smaller than this, relative to the largest."""

Shapes = Mapping[str, tuple[int, ...]]


def explained(probes: TensorProbes, errors: Sequence[Errors], gradient: ndarray, shapes: Shapes) -> str:
    """The worst probe, and a hint at the mistake if there is one; a line each.

    Args:
        probes: of the wrong gradient.
        errors: of the elements, then of the directions.
        gradient: as backward returned it.
        shapes: of everything that takes part, by name.
    """
    elements, directions = probes.elements, probes.directions
    of_elements, of_directions = errors
    if not any(of_elements.excess):
        where = ", at other values nearby, off the kinks" if probes.moved else ""
        return (
            f"{_worst(directions, of_directions, where)}\n"
            f"all {len(elements.probes)} elements that were probed are right; the mistake is elsewhere"
        )
    expected, off = np.full(gradient.shape, np.nan), np.zeros(gradient.shape, bool)
    for probe, excess in zip(elements.probes, of_elements.excess, strict=True):
        expected[probe.place] = np.nan if probe.slope.is_kink else probe.reference
        off[probe.place] = excess > 0
    hint = diagnose(gradient, expected, off, shapes)
    return "\n".join([_worst(elements, of_elements), *([hint] if hint else [])])


def _worst(probes: Probes, errors: Errors, where: str = "") -> str:
    probe = probes.probes[int(np.argmax(errors.excess))]
    place = f"at index {probe.place}" if probe.is_element else "along a random direction"
    return f"worst {place}{where}: analytic {probe.analytic:.9g}, should {_expectation(probe)}"


def _expectation(probe: Probe) -> str:
    slope = probe.slope
    if slope.is_kink:
        return f"lie between the slopes of a kink, {slope.left:.9g} and {slope.right:.9g}"
    noise = f" (noise {slope.noise:.0e})" if probe.complex_slope is None else ""
    return f"be {probe.reference:.9g}{noise}"


@dataclass(frozen=True)
class Comparison:
    """A gradient beside the right one.

    Attributes:
        analytic: the gradient.
        expected: the right one, NaN where it is not known.
        off: whether an element is wrong.
        shapes: of everything that takes part, by name: a factor may be the length of one of its axes.
    """

    analytic: ndarray
    expected: ndarray
    off: ndarray
    shapes: Shapes

    @property
    def known(self) -> ndarray:
        return np.isfinite(self.expected)

    @property
    def ratios(self) -> ndarray:
        """Analytic to expected, of the elements that are not too small."""
        large = np.abs(np.nan_to_num(self.expected)) > TOO_SMALL * np.abs(self.expected[self.known]).max(initial=0)
        return self.analytic[large & self.known] / self.expected[large & self.known]

    def is_explained_by(self, guess: ndarray) -> bool:
        """Whether the gradient is much closer to the guess than to the right gradient."""
        error = np.abs(self.analytic - self.expected)[self.known].max(initial=0)
        return bool((np.abs(self.analytic - guess)[self.known] <= EXPLAINED * error).all())


def diagnose(analytic: ndarray, expected: ndarray, off: ndarray, shapes: Shapes) -> str:
    """A hint at the mistake, from a `Comparison` of these; empty if there is none."""
    compared = Comparison(analytic, expected, off, shapes)
    if not analytic.any():
        return "it is zero everywhere: was it never computed, or overwritten?"
    if not np.isfinite(analytic).all() or not compared.known.any():
        return ""
    for hint in (_ratio_hint, _transposed_hint, _slice_hint, _offset_hint):
        if said := hint(compared):
            return said
    return _distribution(compared)


def _ratio_hint(compared: Comparison) -> str:
    """The same ratio everywhere, and the axes or numbers that it may come from."""
    found = compared.ratios
    ratio = float(np.median(found)) if found.size else 1.0
    if ratio == 1 or not compared.is_explained_by(ratio * compared.expected):
        return ""
    shown = f"{ratio:.4g}" if abs(ratio - 1) > 1e-3 else f"1 {'+' if ratio > 1 else '-'} {abs(ratio - 1):.1e}"
    tolerance = EXPLAINED * abs(ratio - 1)
    if abs(ratio + 1) < tolerance:
        return "the ratio is -1 everywhere: the sign"
    for described, factor in _factors(compared.shapes):
        if abs(abs(ratio) * factor - 1) < tolerance * factor:
            return f"the ratio is {shown} everywhere, 1 / {described}: divided by it, a mean for a sum?"
        if abs(abs(ratio) / factor - 1) < tolerance / factor:
            return f"the ratio is {shown} everywhere, {described}: a sum for a mean, or counted so many times?"
    return f"the ratio is {shown} everywhere: a constant factor is missing or too many"


def _factors(shapes: Shapes) -> list[tuple[str, float]]:
    """Factors that a gradient is likely to be wrong by: lengths of axes, their products and roots, then 2 and 3."""
    factors: dict[str, float] = {}
    roots: dict[str, float] = {}
    for name, shape in shapes.items():
        for axis, length in enumerate(shape):
            factors.setdefault(f"{length} (axis {axis} of {name})", length)
            root = f"the root of {length} (axis {axis} of {name})"
            whole = round(length**0.5)
            roots.setdefault(f"{whole}, or {root}" if whole * whole == length else root, length**0.5)
        factors.setdefault(f"{int(np.prod(shape))} (the size of {name})", float(np.prod(shape)))
        for stop in range(2, len(shape)):
            product = int(np.prod(shape[:stop]))
            factors.setdefault(f"{product} (the first {stop} axes of {name})", product)
    found = {described: factor for described, factor in (factors | roots).items() if factor > 1}
    return [*found.items(), ("2", 2.0), ("3", 3.0)]


def _transposed_hint(compared: Comparison) -> str:
    expected = compared.expected
    if expected.ndim < 2 or expected.shape[-1] != expected.shape[-2] or not compared.known.all():
        return ""
    return "it is the transpose of the right one" if compared.is_explained_by(expected.swapaxes(-1, -2)) else ""


def _slice_hint(compared: Comparison) -> str:
    """The indices along an axis at which it is wrong or right, if every element was probed."""
    if not compared.known.all():
        return ""
    for axis in range(compared.off.ndim):
        others = tuple(i for i in range(compared.off.ndim) if i != axis)
        wrong_here = compared.off.any(axis=others)
        places, right = np.flatnonzero(wrong_here), np.flatnonzero(~wrong_here)
        if not len(places) or not len(right):
            continue
        missing = "0" if not np.take(compared.analytic, places, axis).any() else "wrong"
        if len(places) <= len(right):
            return f"only at {_listed(places)} of axis {axis} it is {missing}, elsewhere right"
        return f"only at {_listed(right)} of axis {axis} it is right, elsewhere {missing}"
    return ""


def _offset_hint(compared: Comparison) -> str:
    """An error that is constant along an axis, as where the term is missing that makes each row add up to zero."""
    if not compared.known.all():
        return ""
    offset = compared.analytic - compared.expected
    for axis in reversed(range(offset.ndim)):
        constant = offset.mean(axis=axis, keepdims=True)
        if offset.shape[axis] > 1 and compared.is_explained_by(compared.expected + constant):
            return f"it is off by a constant along axis {axis}: a term that is summed or averaged over it is missing"
    return ""


def _distribution(compared: Comparison) -> str:
    """How many elements are wrong, and the range of the ratios, if no simpler hint explains them."""
    found, known, off = compared.ratios, compared.known.sum(), compared.off.sum()
    share = "" if off == known else f"{off} of the {known} elements that were probed are wrong; "
    if not found.size:
        return share.rstrip("; ")
    low, middle, high = np.quantile(found, [0, 0.5, 1])
    return f"{share}the ratio to the right one runs from {low:.4g} over {middle:.4g} (median) to {high:.4g}"


def _listed(places: ndarray) -> str:
    shown = ", ".join(map(str, places[:5]))
    return f"index {shown}" if len(places) <= 5 else f"index {shown}, ..."
