"""Linear algebra on arrays of mpmath's numbers."""

from typing import Any

import numpy as np
from mpmath import mp
from numpy import ndarray


def matrix(a: ndarray) -> Any:
    return mp.matrix(a.tolist())


def array(a: Any) -> ndarray:
    return np.array(a.tolist(), object)


def solve(a: ndarray, b: ndarray) -> ndarray:
    return array(mp.lu_solve(matrix(a), matrix(b[:, None])))[:, 0]


def inverse(a: ndarray) -> ndarray:
    return array(matrix(a) ** -1)


def determinant(a: ndarray) -> Any:
    return mp.det(matrix(a))


def cholesky(a: ndarray) -> ndarray:
    return array(mp.cholesky(matrix(a)))


def exponential(a: ndarray) -> ndarray:
    return array(mp.expm(matrix(a)))


def square_root(a: ndarray) -> ndarray:
    """Of a symmetric, positive definite matrix."""
    values, vectors = mp.eigsy(matrix(a))
    return array(vectors * mp.diag([mp.sqrt(value) for value in values]) * vectors.T)


def eigenvalues(a: ndarray) -> ndarray:
    """Of a symmetric matrix, in ascending order."""
    return np.array(sorted(mp.eigsy(matrix(a), eigvals_only=True)), object)


def singular_values(a: ndarray) -> ndarray:
    """In descending order."""
    return np.array(sorted(mp.svd_r(matrix(a), compute_uv=False), reverse=True), object)
