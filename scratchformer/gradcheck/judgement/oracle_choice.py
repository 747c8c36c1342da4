import numpy as np

from scratchformer.gradcheck.judgement.errors import BY_COMPLEX_STEP, BY_DIFFERENCES, SAFETY
from scratchformer.gradcheck.numeric.probes import Probe, Probes


def believed(probes: Probes, rounding: float) -> Probes:
    """The probes, without the complex step if it is not to be believed.

    It is the sharpest oracle for an analytic function, and wrong for any other, perhaps only by a little. So it must
    agree with differences as far as their noise can tell, and must find no error in a gradient in which sharp
    differences find none.
    """
    if not probes.complex_step_applies:
        return probes
    is_finite = all(np.isfinite(probe.reference) for probe in probes.probes)
    if is_finite and not probes.has_kink and all(_is_believed(probe, probes, rounding) for probe in probes.probes):
        return probes
    return probes.by_differences_alone()


def _is_believed(probe: Probe, probes: Probes, rounding: float) -> bool:
    """Whether the complex step at one probe is to be believed; it is if there are no differences to compare it with."""
    if not probe.is_decided:
        return True
    exact, slope, size = probe.reference, probe.slope, probes.size(probe)
    noise, condition = SAFETY * slope.noise, SAFETY * probes.condition + rounding
    allowed = BY_COMPLEX_STEP * size + condition
    agrees = abs(exact - slope.value) <= allowed + noise
    is_off = abs(probe.analytic - exact) > allowed
    is_right_by_differences = abs(probe.analytic - slope.value) <= noise + condition
    is_sharp = noise <= BY_DIFFERENCES * size
    return agrees and not (is_off and is_right_by_differences and is_sharp)
