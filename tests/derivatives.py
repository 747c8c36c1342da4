"""Two oracles for gradients: central differences with Richardson extrapolation, and the complex step."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy import ndarray

STEPS = [2.0**-k for k in (4, 6, 8, 10, 12, 14)]
CONVERGED = 1e-11
COMPLEX_STEP = 1e-30


def central_differences(scalar: Callable[[], float], x: ndarray) -> ndarray:
    """The gradient of `scalar` with respect to `x`, which it reads and which is perturbed in place.

    Ridders' method: differences at falling steps, extrapolated to a step of 0; of the whole table the entry that
    disagrees least with its neighbours. Once they agree to `CONVERGED`, no smaller step is taken.
    """
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        kept = x[index]
        best, smallest = np.nan, np.inf
        previous: list[float] = []
        for h in STEPS:
            x[index] = kept + h
            above = scalar()
            x[index] = kept - h
            below = scalar()
            row = [(above - below) / (2 * h)]
            for order, coarse in enumerate(previous, start=1):
                row.append(row[-1] + (row[-1] - coarse) / (16.0**order - 1))
                error = max(abs(row[-1] - row[-2]), abs(row[-1] - coarse))
                if error < smallest:
                    best, smallest = row[-1], error
            if smallest <= CONVERGED * abs(best):
                break
            previous = row
        x[index] = kept
        gradient[index] = best
    return gradient


def complex_step(scalar: Callable[[], complex], x: ndarray) -> ndarray:
    """The gradient of an analytic `scalar` with respect to the complex `x`, which is perturbed in place."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + COMPLEX_STEP * 1j
        gradient[index] = scalar().imag / COMPLEX_STEP
        x[index] = kept
    return gradient


def assert_close(analytic: ndarray, expected: ndarray, tolerance: float, name: str = "gradient") -> None:
    """The largest difference is at most `tolerance` times the largest expected magnitude (so 0 where that is 0)."""
    assert analytic.shape == expected.shape, f"{name}: shape {analytic.shape}, expected {expected.shape}"
    if expected.size:
        error, scale = np.abs(analytic - expected).max(), np.abs(expected).max()
        assert error <= tolerance * scale, f"{name}: off by {error:.2e}, its largest element is {scale:.2e}"


def check_op(
    op: Callable[..., tuple[ndarray, Callable]],
    arrays: Sequence[ndarray],
    seed: int,
    *,
    tolerance: float = 1e-8,
    complex_tolerance: float | None = 1e-12,
) -> None:
    """Compares every gradient that `op(*arrays)` returns with central differences, and with the complex step.

    The arrays are float64 and are all differentiated (close over the rest). The cotangent is drawn from the seed.
    `complex_tolerance=None` leaves the complex step out, for functions that are not analytic.
    """
    arrays = [array.copy() for array in arrays]
    y, backward = op(*arrays)
    # From a stream of its own: with the bare seed the cotangent would repeat the input that was drawn from it.
    dy = np.random.default_rng([seed, 1]).normal(size=np.shape(y))
    gradients = backward(dy) if np.ndim(y) else backward(float(dy))
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    gradients = [gradient for gradient in gradients if gradient is not None]
    assert len(gradients) == len(arrays)

    for i, (x, dx) in enumerate(zip(arrays, gradients, strict=True)):
        assert dx.dtype == x.dtype
        numeric = central_differences(lambda: np.sum(dy * op(*arrays)[0]), x)
        assert_close(dx, numeric, tolerance, f"gradient {i} against central differences")

    if complex_tolerance is not None:
        raised = [array.astype(np.complex128) for array in arrays]
        for i, (x, dx) in enumerate(zip(raised, gradients, strict=True)):
            exact = complex_step(lambda: np.sum(dy * op(*raised)[0]), x)
            assert_close(dx, exact, complex_tolerance, f"gradient {i} against the complex step")
