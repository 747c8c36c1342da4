"""Every random choice draws from a stream of its own, so that adding one changes no other.

`np.random.default_rng([seed, COTANGENT])` is such a stream.
"""

(
    COTANGENT,
    PROBES,
    LINEARITY,
    INPUT_ROUNDING,
    STEP_STUDY,
    GRADIENT_STARTS,
    NUDGES,
    PRECISION,
    FLOAT32,
    ROUNDING,
    NEARBY,
    PARTS,
) = range(1, 13)
SCAN = 20
