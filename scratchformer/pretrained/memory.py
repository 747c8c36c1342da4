"""Says how much memory the weights of a model take in each form."""

import math

from scratchformer.models import BERTConfig
from scratchformer.pretrained.families.table import Piece
from scratchformer.pretrained.loading import Weights
from scratchformer.pretrained.opened import Opened
from scratchformer.pretrained.quantized import BLOCKS

POSITIONS = "position_embedding.table"
"""A small table, which stays wide in every form."""


def weight_bytes(opened: Opened) -> dict[Weights, float]:
    """Bytes of the weights by the forms that `load` takes, for those forms that the model can have."""
    matrices = [piece for piece in opened.pieces if len(piece.shape) == 2 and piece.parameter != POSITIONS]
    num_weights = sum(math.prod(piece.shape) for piece in matrices)
    num_others = sum(math.prod(piece.shape) for piece in opened.pieces) - num_weights
    found: dict[Weights, float] = {"wide": 4 * num_weights}
    if not isinstance(opened.config, BERTConfig):
        found["bfloat16"] = 2 * num_weights
        block = BLOCKS["Q8_0"]
        if all(_num_inputs(piece) % block.num_values == 0 for piece in matrices):
            found["int8"] = num_weights * block.num_bytes / block.num_values
        if all(_is_table(piece) or piece.is_transposed for piece in matrices):
            found["file"] = sum(_bytes_in_file(opened, piece) for piece in matrices)
    return {form: num_bytes + 4 * num_others for form, num_bytes in found.items()}


def _is_table(piece: Piece) -> bool:
    """Whether the rows are features by number, and not inputs of a linear map."""
    return piece.parameter.endswith(".table")


def _num_inputs(piece: Piece) -> int:
    return piece.shape[1 if _is_table(piece) else 0]


def _bytes_in_file(opened: Opened, piece: Piece) -> float:
    tensor = opened.tensors[piece.name]
    return tensor.nbytes * math.prod(piece.shape) / math.prod(tensor.shape)
