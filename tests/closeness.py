import numpy as np
from numpy import ndarray


def assert_close(found: ndarray, expected: ndarray, tolerance: float, name: str = "array") -> None:
    """The largest difference is at most `tolerance` times the largest expected magnitude (so 0 where that is 0)."""
    assert found.shape == expected.shape, f"{name}: shape {found.shape}, expected {expected.shape}"
    if expected.size:
        error, scale = np.abs(found - expected).max(), np.abs(expected).max()
        assert error <= tolerance * scale, f"{name}: off by {error:.2e}, its largest element is {scale:.2e}"
