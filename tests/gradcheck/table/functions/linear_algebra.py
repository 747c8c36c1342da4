"""Linear algebra: decompositions, norms and functions of matrices."""

import numpy as np
import scipy.linalg
from mpmath import mp
from numpy import linalg

from tests.gradcheck.table import matrices
from tests.gradcheck.table.functions.function import Function, linear, of_rows, scalar


def reals(n):
    return np.cos(2.0 * np.arange(n))


def weights(x):
    return np.sin(1.0 + np.arange(x.size)).reshape(x.shape)


def symmetric(a):
    return (a + a.T) / 2


def _cofactors(x):
    """The gradient of the determinant, of a singular matrix, too."""
    keep = [[i for i in range(len(x)) if i != k] for k in range(len(x))]
    minors = [[linalg.det(x[np.ix_(rows, columns)]) for columns in keep] for rows in keep]
    return np.array(minors) * (-1.0) ** np.add.outer(range(len(x)), range(len(x)))


def _d_solve(x, dy):
    db = linalg.solve(x.T, dy)
    return -np.outer(db, linalg.solve(x, reals(len(x))))


def _d_inverse(x, dy):
    y = linalg.inv(x)
    return -y.T @ dy @ y.T


def _d_triangular_solve(x, dy):
    y = scipy.linalg.solve_triangular(x, reals(len(x)), lower=True)
    return np.tril(-np.outer(scipy.linalg.solve_triangular(x, dy, trans=1, lower=True), y))


def _d_cholesky(x, dy):
    y = linalg.cholesky(symmetric(x))
    inner = np.tril(y.T @ dy)
    inner -= np.diag(np.diag(inner)) / 2
    return symmetric(linalg.solve(y.T, linalg.solve(y.T, inner.T).T))


def _d_square_root(x, dy):
    y = scipy.linalg.sqrtm(symmetric(x))
    return symmetric(scipy.linalg.solve_sylvester(y.T, y.T, dy))


def _d_eigenvalues(x, dy):
    vectors = linalg.eigh(symmetric(x)).eigenvectors
    return vectors * dy @ vectors.T


def _d_singular_values(x, dy):
    u, _, v = linalg.svd(x, full_matrices=False)
    return u * dy @ v


def _d_pinv(x, dy):
    """Of a wide matrix of full rank, y = xᵀ (x xᵀ)⁻¹."""
    gram = linalg.inv(x @ x.T)
    y = x.T @ gram
    return gram @ dy.T @ (np.eye(x.shape[1]) - y @ x) - y.T @ dy @ y.T


def _d_r(x, dy):
    q, r = _qr(x.T)
    inner = np.tril(r @ dy.T)
    inner = inner + np.tril(inner, -1).T
    return linalg.solve(r, (q @ inner).T)


def _qr(a):
    """With a positive diagonal."""
    q, r = linalg.qr(a)
    sign = np.sign(np.diag(r).real)
    return q * sign, sign[:, None] * r


def _d_distances(x, dy):
    """Of the squared distances between rows."""
    dy = dy + dy.T
    return 2 * (dy.sum(1)[:, None] * x - dy @ x)


def _distances(x):
    return ((x[:, None] - x[None]) ** 2).sum(-1)


def _d_kron(x, dy):
    dy = dy.reshape(2 * x.shape[:1] + 2 * x.shape[1:])
    return np.einsum("abcd,bd->ac", dy, x) + np.einsum("abcd,ac->bd", dy, x)


DECOMPOSITIONS = [
    Function("cholesky", lambda m, x: m.pick(linalg.cholesky, matrices.cholesky)(symmetric(x)), _d_cholesky, "spd"),
    Function(
        "eigvalsh",
        lambda m, x: m.pick(linalg.eigvalsh, matrices.eigenvalues)(symmetric(x)),
        _d_eigenvalues,
        "matrix",
    ),
    Function(
        "largest eigenvalue",
        lambda m, x: m.pick(linalg.eigvalsh, matrices.eigenvalues)(symmetric(x))[-1],
        lambda x, dy: _d_eigenvalues(x, dy * (np.arange(len(x)) == len(x) - 1)),
        "matrix",
    ),
    Function(
        "svdvals",
        lambda m, x: m.pick(lambda a: linalg.svd(a, compute_uv=False), matrices.singular_values)(x),
        _d_singular_values,
    ),
    Function(
        "R of QR",
        lambda m, x: m.pick(lambda a: _qr(a)[1], lambda a: matrices.cholesky(a.T @ a).T)(x.T),
        _d_r,
    ),
]

SOLUTIONS = [
    Function("solve", lambda m, x: m.pick(linalg.solve, matrices.solve)(x, reals(len(x))), _d_solve, "matrix"),
    Function("inverse", lambda m, x: m.pick(linalg.inv, matrices.inverse)(x), _d_inverse, "matrix"),
    Function(
        "triangular solve",
        lambda m, x: m.pick(
            lambda a, b: scipy.linalg.solve_triangular(a, b, lower=True), lambda a, b: matrices.solve(np.tril(a), b)
        )(x, reals(len(x))),
        _d_triangular_solve,
        "matrix",
    ),
    Function(
        "pinv",
        lambda m, x: m.pick(linalg.pinv, lambda a: a.T @ matrices.inverse(a @ a.T))(x),
        _d_pinv,
    ),
    Function(
        "quadratic form of the inverse",
        lambda m, x: reals(len(x)) @ m.pick(linalg.solve, matrices.solve)(symmetric(x), reals(len(x))),
        lambda x, dy: -dy * np.outer(*[linalg.solve(symmetric(x), reals(len(x)))] * 2),
        "spd",
    ),
    scalar("det", lambda m, x: m.pick(linalg.det, matrices.determinant)(x), _cofactors, "matrix"),
    scalar(
        "slogdet",
        lambda m, x: m.pick(lambda a: linalg.slogdet(a).logabsdet, lambda a: m.log(abs(matrices.determinant(a))))(x),
        lambda x: linalg.inv(x).T,
        "matrix",
    ),
    scalar(
        "logdet by cholesky",
        lambda m, x: 2 * m.log(np.diag(m.pick(linalg.cholesky, matrices.cholesky)(symmetric(x)))).sum(),
        lambda x: linalg.inv(symmetric(x)),
        "spd",
    ),
]

POWERS = [
    Function(
        "expm",
        lambda m, x: m.pick(scipy.linalg.expm, matrices.exponential)(x),
        lambda x, dy: scipy.linalg.expm_frechet(x.T, dy, compute_expm=False),
        "matrix",
    ),
    Function(
        "sqrtm", lambda m, x: m.pick(scipy.linalg.sqrtm, matrices.square_root)(symmetric(x)), _d_square_root, "spd"
    ),
    Function("x @ x", lambda m, x: x @ x, lambda x, dy: dy @ x.T + x.T @ dy, "matrix"),
    Function(
        "x @ x @ x",
        lambda m, x: x @ x @ x,
        lambda x, dy: dy @ (x @ x).T + x.T @ dy @ x.T + (x @ x).T @ dy,
        "matrix",
    ),
    Function("gram", lambda m, x: x @ x.T, lambda x, dy: (dy + dy.T) @ x),
    Function(
        "kron",
        lambda m, x: (x[:, None, :, None] * x[None, :, None, :]).reshape(len(x) ** 2, -1),
        _d_kron,
    ),
    Function("squared distances", lambda m, x: _distances(x), _d_distances),
    Function(
        "Gaussian kernel",
        lambda m, x: m.exp(-_distances(x)),
        lambda x, dy: _d_distances(x, -dy * np.exp(-_distances(x))),
    ),
    Function("commutator", lambda m, x: x @ x.T - x.T @ x, lambda x, dy: (dy + dy.T) @ x - x @ (dy + dy.T), "matrix"),
    linear("trace", lambda x: np.trace(x), lambda x, dy: dy * np.eye(*x.shape)),
    linear("matmul", lambda x: x @ weights(x).T, lambda x, dy: dy @ weights(x)),
    linear("lower triangle", lambda x: np.tril(x), lambda x, dy: np.tril(dy)),
]

NORMS = [
    scalar(
        "Frobenius norm",
        lambda m, x: m.pick(linalg.norm, lambda a: m.sqrt((a * a).sum()))(x),
        lambda x: x / linalg.norm(x),
    ),
    of_rows("norm", lambda m, x: m.sqrt((x * x).sum(-1)), lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True))),
    of_rows("1-norm", lambda m, x: np.abs(x).sum(-1), np.sign, at_kinks=True),
    of_rows(
        "3-norm",
        lambda m, x: m.of(np.cbrt, mp.cbrt)((np.abs(x) ** 3).sum(-1)),
        lambda x: x * np.abs(x) / np.cbrt((np.abs(x) ** 3).sum(-1, keepdims=True)) ** 2,
    ),
    of_rows(
        "largest magnitude",
        lambda m, x: np.abs(x).max(-1),
        lambda x: np.sign(x) * (np.arange(x.shape[-1]) == np.abs(x).argmax(-1)[:, None]),
        at_kinks=True,
    ),
    Function(
        "spectral norm",
        lambda m, x: m.pick(lambda a: linalg.norm(a, 2), lambda a: matrices.singular_values(a)[0])(x),
        lambda x, dy: _d_singular_values(x, dy * (np.arange(min(x.shape)) == 0)),
    ),
    Function(
        "nuclear norm",
        lambda m, x: m.pick(lambda a: linalg.norm(a, "nuc"), lambda a: matrices.singular_values(a).sum())(x),
        lambda x, dy: _d_singular_values(x, dy * np.ones(min(x.shape))),
    ),
]


LINEAR_ALGEBRA = [*DECOMPOSITIONS, *SOLUTIONS, *POWERS, *NORMS]
