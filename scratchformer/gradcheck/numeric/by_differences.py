"""The oracle of differences: what it measures, and how far off that may be."""

from dataclasses import replace

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.line import Line
from scratchformer.gradcheck.numeric.oracle import Oracle
from scratchformer.gradcheck.numeric.oracles import COMPLEX_STEP, Slope, central_difference
from scratchformer.gradcheck.numeric.points import Point
from scratchformer.gradcheck.numeric.probes import Probe
from scratchformer.gradcheck.numeric.reading import SAFETY
from scratchformer.gradcheck.numeric.rounding import rounding_beside

FAR = 4
"""How many times the largest number of a tensor is far away."""
COARSE = 32
"""Differences are taken anew if larger moves find so many times the rounding."""


class ByDifferences(Oracle):
    reads = Slope

    def measured(self, point: Point, line: Line, probe: Probe, is_sharp: bool) -> Probe:
        """The probe with differences; they need not be sharp where a sharper oracle agrees with the gradient."""
        expected = None if is_sharp else probe.agreed
        finest = _finest(point, line)
        return probe.with_reading(central_difference(line.at, line.units, point.term_rounding, finest, expected))

    def doubted(self, point: Point, line: Line, probe: Probe) -> Probe:
        """The probe with the rounding beside the step, if differences deny the gradient or another oracle."""
        if probe.agrees_with_differences or probe.slope.unmoved is None:
            return probe
        return probe.with_reading(_with_rounding_there(point, line, probe, _finest(point, line)))


def _finest(point: Point, line: Line) -> float:
    """The finest step for the precision that the function computes in."""
    return line.finest * point.precision / EPSILON


def _with_rounding_there(point: Point, line: Line, probe: Probe, finest: float) -> Slope:
    """Differences that deny, with the rounding beside their step, and with more if that explains what they deny.

    That is what larger moves find for it, and that of terms that no step moves although they depend on what moves.
    """
    slope = probe.slope
    there = float(np.linalg.norm(np.nan_to_num(rounding_beside(line.at, slope.step, finest)))) / slope.step
    slope = replace(slope, noise=max(slope.noise, there))
    if probe.with_reading(slope).agrees_with_differences or slope.unmoved is None:
        return slope
    is_denied = not probe.by_differences_alone().with_reading(slope).agrees_with_differences
    if is_denied and np.any(point.term_level > COARSE * point.term_rounding):
        coarse = central_difference(line.at, line.units, point.term_level, finest)
        contradicts = abs(coarse.value - slope.value) > SAFETY * (coarse.noise + slope.noise)
        if contradicts and probe.with_reading(coarse).agrees_with_differences:
            return coarse
    unresolved = _with_noise(slope, np.ones(slope.unmoved.shape, bool))
    if not probe.with_reading(unresolved).agrees_with_differences:
        return slope
    depends = _depends(line)
    if probe.others and point.complex_copies is not None:
        depends |= np.imag(line.through(point.complex_copies[0], COMPLEX_STEP * line.own * 1j)) != 0
    return _with_noise(slope, depends)


def _with_noise(slope: Slope, depends: ndarray) -> Slope:
    """Adds to the noise the rounding of terms that no step has changed, although they depend on what moves."""
    assert slope.unmoved is not None
    return replace(slope, noise=slope.noise + float(np.linalg.norm(slope.unmoved[depends])))


def _depends(line: Line) -> ndarray:
    """Which terms depend on what moves: those that change if it moves by its size, to 0, or by the largest number."""
    x = line.subject.tensors[line.tensor]
    far = FAR * max(line.units[0], float(np.abs(x[np.isfinite(x)]).max(initial=0)))
    to_zero = -float(x[line.direction]) if isinstance(line.direction, tuple) else 0.0
    at_zero = np.asarray(line.at(0.0))
    depends = np.zeros(at_zero.shape, bool)
    for t in (far, -far, line.units[0], -line.units[0], to_zero):
        depends |= np.asarray(line.at(t)) != at_zero
    return depends
