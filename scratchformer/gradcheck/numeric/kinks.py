from dataclasses import replace

import numpy as np

from scratchformer.gradcheck.numeric.points import Point, generic_points, with_twins
from scratchformer.gradcheck.numeric.probes import Probes, probe_directions, probe_elements

ROUNDED = 1e-6
"""How far rounding may move a gradient beside a kink, relative to the largest; what moves more has passed the kink."""


def probe(point: Point, name: str, generator: np.random.Generator) -> tuple[Probes, Probes]:
    """Elements of a tensor and directions through it; where one of these meets a kink, off the kinks.

    A direction through kinks of several elements has no pair of slopes that the right gradient lies between, so that
    one single kink, or tie, would hide what is wrong with all the others. It is therefore taken through generic values
    nearby, forward and backward anew. Where every attempt meets another kink, it stays undecided.
    """
    elements = probe_elements(point, name, generator)
    directions = probe_directions(point, name, generator)
    if not (directions.is_kink.any() or elements.is_kink.any()):
        return elements, directions
    elements = _on_one_side(elements)
    for there in generic_points(point, generator):
        found = probe_directions(with_twins(there) if point.twins else there, name, generator)
        if not found.is_kink.any() and np.isfinite(found.numeric).all():
            return elements, found
    return elements, _on_one_side(directions)


def _on_one_side(probes: Probes) -> Probes:
    """Without its condition, where that tells of the other side of a kink rather than of rounding."""
    return probes if probes.condition <= ROUNDED * probes.scale else replace(probes, condition=0.0)
