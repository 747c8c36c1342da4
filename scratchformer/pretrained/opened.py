"""A model in a file, before its weights are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scratchformer.pretrained.families import Family
from scratchformer.pretrained.families.table import Piece
from scratchformer.pretrained.tensors import StoredTensor, TensorFile


@dataclass(frozen=True)
class Opened:
    """A model in a file or folder, none of whose weights has been read.

    Args:
        file: with the tensors.
        family: that the model belongs to.
        config: of the model.
        tensors: by their names in the family's table.
        pieces: what of the tensors becomes which part of which parameter.
        notes: sentences about what was found: whether the head is tied, and which tensors are passed over, and why.
    """

    file: TensorFile
    family: Family
    config: Any
    tensors: Mapping[str, StoredTensor]
    pieces: tuple[Piece, ...]
    notes: tuple[str, ...]

    @property
    def has_pairs(self) -> bool:
        """Whether the file holds the features that rotary turns as pairs (2i, 2i + 1)."""
        return self.family.gguf_pairs and self.file.format == "gguf"
