"""Fills a model whose matrices stay in fewer bits."""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.layers import Embedding, Layer, Linear, TiedLinear
from scratchformer.models.decoder_only import DecoderOnly
from scratchformer.pretrained.families.table import Piece
from scratchformer.pretrained.opened import Opened
from scratchformer.pretrained.placing import check_finite, features_apart, place
from scratchformer.pretrained.stored_layers import StoredEmbedding, StoredLinear
from scratchformer.pretrained.stored_matrix import StoredMatrix, StoredRows, narrowed
from scratchformer.pretrained.tensors import shown

ROWS_CHECKED = 256


def store(opened: Opened, model: DecoderOnly, weights: str) -> None:
    """Reads all weights into a model, and replaces its linear maps and its table of tokens by stored ones.

    Args:
        opened: the model's file.
        model: a new one, whose own weights have not been touched.
        weights: "bfloat16", "int8", or "file" for the bits that the file has.
    """
    pieces_of: dict[str, list[Piece]] = defaultdict(list)
    for piece in opened.pieces:
        pieces_of[piece.parameter].append(piece)
    for name, parameter in model.parameters().items():
        pieces, owner = pieces_of[name], _part(model, name.split(".")[:-1])
        if parameter.value.ndim == 2 and type(owner) in (Linear, Embedding):
            is_table = isinstance(owner, Embedding)
            matrix = (
                _as_in_file(opened, pieces, is_table)
                if weights == "file"
                else _rounded(opened, pieces, parameter.value.shape, is_table, weights)
            )
            _replace(model, name.split(".")[:-1], owner, matrix)
        else:
            # new arrays, so that nothing holds the packed vector any more
            parameter.value, parameter.grad = np.zeros((2, *parameter.value.shape), np.float32)
            _read(opened, pieces, parameter.value)
    for packed in ("values", "grads", "num_decayed"):
        delattr(model, packed)


def _read(opened: Opened, pieces: list[Piece], parameter: ndarray) -> None:
    for piece in pieces:
        place(piece, opened.tensors[piece.name], parameter, has_pairs=opened.has_pairs)
        check_finite(opened.tensors[piece.name], parameter[..., piece.columns])
    opened.file.release()


def _rounded(opened: Opened, pieces: list[Piece], shape: tuple[int, ...], is_table: bool, weights: str) -> StoredMatrix:
    wide = np.zeros(shape, np.float32)
    _read(opened, pieces, wide)
    try:
        return narrowed(wide if is_table else wide.T, weights)
    except ValueError as error:
        tensor = opened.tensors[pieces[0].name]
        raise ValueError(
            f"load: weights is {weights!r}, expected another form for {tensor.path}: its tensor {shown(tensor.name)} "
            f"does not fit: {error}"
        ) from None


def _as_in_file(opened: Opened, pieces: list[Piece], is_table: bool) -> StoredMatrix:
    """The bytes of the file themselves."""
    parts = []
    for piece in pieces:
        tensor = opened.tensors[piece.name]
        if not (is_table or piece.is_transposed):
            raise ValueError(
                f"load: weights is 'file', expected another form for {tensor.path}: its tensor {shown(tensor.name)} "
                "has a row for each input, not for each output"
            )
        raw = tensor.raw.reshape(tensor.shape[0], -1)
        raw = raw.copy() if is_table else raw[piece.stored_columns].copy()
        if opened.has_pairs and piece.heads:
            raw = features_apart(raw, piece.heads)
        parts.append(StoredRows(tensor.kind, raw))
        for top in range(0, len(raw), ROWS_CHECKED):
            check_finite(tensor, parts[-1].widened(slice(top, top + ROWS_CHECKED)))
        opened.file.release()
    return StoredMatrix(tuple(parts), pieces[0].shape[1 if is_table else 0])


def _replace(model: DecoderOnly, path: list[str], owner: Linear | Embedding, matrix: StoredMatrix) -> None:
    """Puts a stored layer into the place of another, and of the tied head if the other is its table."""
    if isinstance(owner, Linear):
        setattr(_part(model, path[:-1]), path[-1], StoredLinear(matrix, owner.bias))
        return
    if isinstance(model.head, TiedLinear):
        model.head = StoredLinear(matrix)  # type: ignore[assignment]
    model.token_embedding = StoredEmbedding(matrix)  # type: ignore[assignment]


def _part(model: Layer, path: list[str]) -> Any:
    part: Any = model
    for name in path:
        part = part[int(name)] if isinstance(part, list) else getattr(part, name)
    return part
