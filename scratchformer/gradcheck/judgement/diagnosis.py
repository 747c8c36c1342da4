"""Where a gradient is wrong, and what the mistake looks like."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from scratchformer.gradcheck.judgement.causes import CAUSES
from scratchformer.gradcheck.judgement.comparison import Comparison
from scratchformer.gradcheck.judgement.errors import Errors
from scratchformer.gradcheck.numeric.by_complex_step import ComplexSlope
from scratchformer.gradcheck.numeric.points import Point, measured, whole_of
from scratchformer.gradcheck.numeric.probes import Probe, Probes, TensorProbes
from scratchformer.gradcheck.numeric.scan import scan
from scratchformer.gradcheck.subjects.part import Part


def explained(probes: TensorProbes, errors: Sequence[Errors], name: str, point: Point) -> str:
    """The worst probe, and what the mistake looks like; a line each.

    Args:
        probes: of the wrong gradient.
        errors: of the elements, then of the directions.
        name: of the tensor.
        point: where it was measured.
    """
    if isinstance(part := point.subject, Part):
        point, probes = measured(whole_of(point)), probes.moved_to(partial(part.place, name))
    elements, directions = probes.elements, probes.directions
    of_elements, of_directions = errors
    is_analytic = elements.are_all_by(ComplexSlope.oracle) and directions.are_all_by(ComplexSlope.oracle)
    if any(of_elements.excess):
        worst = _worst(elements, of_elements)
        return f"{_said(worst)}\n{diagnose(point, name, worst, is_analytic)}"
    worst = _worst(directions, of_directions)
    where = ", at other values nearby, off the kinks" if probes.moved else ""
    seen = f"{_said(worst, where)}\nall {len(elements.probes)} elements that were probed are right"
    return f"{seen}; the mistake is elsewhere:\n{diagnose(point, name, worst, is_analytic)}"


def diagnose(point: Point, name: str, worst: Probe, is_analytic: bool) -> str:
    """What the mistake looks like: the first cause that explains it, or the range of the ratios."""
    compared = Comparison(scan(point, name, worst.place, is_analytic))
    if not compared.known.any() or not np.isfinite(compared.analytic).all():
        return "what it should be elsewhere could not be measured"
    return next(filter(None, (_tried(cause, compared) for cause in CAUSES)), "") or _distribution(compared)


def _tried(cause: Callable[[Comparison], str], compared: Comparison) -> str:
    try:
        return cause(compared)
    except Exception:  # backward may refuse the cotangents of some tests, and numbers may overflow
        return ""


def _worst(probes: Probes, errors: Errors) -> Probe:
    return probes.probes[int(np.argmax(errors.excess))]


def _said(probe: Probe, where: str = "") -> str:
    place = f"at index {probe.place}" if probe.is_element else "along a random direction"
    noise = f" (noise {probe.slope.noise:.0e})" if probe.sharpest is probe.slope else ""
    return f"worst {place}{where}: analytic {probe.analytic:.9g}, should be {probe.reference:.9g}{noise}"


def _distribution(compared: Comparison) -> str:
    """How many elements are wrong, and the range of the ratios, if no simpler hint explains them."""
    looked = f"{compared.off.sum()} of the {compared.known.sum()} elements that were looked at are wrong"
    found = compared.ratios
    if not found.size:
        return f"{looked}; none of the usual mistakes"
    low, middle, high = np.quantile(found, [0, 0.5, 1])
    ratios = f"the ratio to the right one runs from {low:.4g} over {middle:.4g} (median) to {high:.4g}"
    return f"{looked}, by none of the usual mistakes; {ratios}"
