"""Puts tensors of files into parameters, and parameters into tensors."""

import math

import numpy as np
from numpy import ndarray

from scratchformer.pretrained.families.table import Piece
from scratchformer.pretrained.tensors import StoredTensor, shown

VALUES_AT_ONCE = 2**20
"""That are read at once, where a tensor cannot be read into its place."""


def place(piece: Piece, tensor: StoredTensor, parameter: ndarray, *, has_pairs: bool = False) -> None:
    """Reads a tensor, or the part of it that the piece is, into the part of the parameter that the piece is.

    Args:
        has_pairs: whether the tensor has the two features of a rotary pair side by side. The parameter has them half a
            head apart.
    """
    part = parameter[..., piece.columns]
    target = part.T if piece.is_transposed else part
    if has_pairs and piece.heads:
        _place_pairs(tensor, target, piece.heads)
    elif tensor.shape == target.shape:
        tensor.read_into(target)
    elif target.ndim == 1:
        target[...] = tensor.read(target.dtype)[piece.stored_columns]
    elif piece.is_transposed:
        tensor.read_into(target, piece.stored_columns)
    else:
        _place_columns(tensor, target, piece.stored_columns)


def check_finite(tensor: StoredTensor, values: ndarray) -> None:
    """Raises ValueError for NaN and infinity in what was read of a tensor."""
    if not (math.isfinite(values.min()) and math.isfinite(values.max())):  # both are NaN if one value is
        count = np.count_nonzero(~np.isfinite(values))
        raise ValueError(
            f"load: {tensor.path}: {count:,} of {values.size:,} values of the tensor {shown(tensor.name)} are NaN or "
            "infinite"
        )


def features_apart(rows: ndarray, num_heads: int) -> ndarray:
    """The rows of each head, of which (2i, 2i + 1) are a rotary pair, in the order in which (i, i + d / 2) are one."""
    of_head = rows.reshape(num_heads, -1, 2, rows.shape[1])
    return of_head.swapaxes(1, 2).reshape(rows.shape)


def _place_pairs(tensor: StoredTensor, target: ndarray, num_heads: int) -> None:
    """Rows (2i, 2i + 1) of each head become rows (i, i + d / 2)."""
    d = len(target) // num_heads
    of_head = np.empty((d, *target.shape[1:]), target.dtype)
    for start in range(0, len(target), d):
        rows = slice(start, start + d)
        tensor.read_into(of_head, rows)
        target[rows][: d // 2], target[rows][d // 2 :] = of_head[::2], of_head[1::2]


def _place_columns(tensor: StoredTensor, target: ndarray, columns: slice) -> None:
    """Reads some columns of a tensor, a few whole rows at a time."""
    height = max(1, VALUES_AT_ONCE // tensor.shape[1])
    for start in range(0, len(target), height):
        rows = target[start : start + height]
        whole = np.empty((len(rows), tensor.shape[1]), target.dtype)
        tensor.read_into(whole, slice(start, start + len(rows)))
        rows[...] = whole[:, columns]


def taken(piece: Piece, parameter: ndarray) -> ndarray:
    """The part of a parameter that the piece is, as files have it: a view."""
    part = parameter[..., piece.columns]
    return part.T if piece.is_transposed else part
