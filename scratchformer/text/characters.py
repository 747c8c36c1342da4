"""A tokenizer whose tokens are characters."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments


@checked_arguments
@dataclass(frozen=True)
class CharacterTokenizer:
    """One token per character. A character's id is its index in `characters`.

    Raises ValueError when `characters` is empty or holds a character twice.
    """

    characters: str

    def __post_init__(self) -> None:
        if not self.characters:
            raise ValueError("CharacterTokenizer: characters must hold at least one character, got none")
        if len(set(self.characters)) != len(self.characters):
            raise ValueError("CharacterTokenizer: characters must be distinct")

    @classmethod
    @checked_arguments
    def from_text(cls, text: str) -> "CharacterTokenizer":
        """A tokenizer for the characters that occur in the text, in sorted order."""
        return cls("".join(sorted(set(text))))

    @property
    def vocabulary_size(self) -> int:
        """Number of distinct tokens."""
        return len(self.characters)

    @property
    def first_prompt(self) -> str:
        """What a text begins after: a line break, or the first character where the vocabulary has no line break."""
        return "\n" if "\n" in self.characters else self.characters[0]

    @checked_arguments
    def encode(self, text: str) -> Integer[ndarray, " n"]:
        """The ids of the text's characters. Raises ValueError for an unknown character, with its position."""
        ids = {character: i for i, character in enumerate(self.characters)}
        try:
            return np.fromiter((ids[character] for character in text), np.intp, len(text))
        except KeyError as error:
            unknown = error.args[0]
            raise ValueError(
                f"CharacterTokenizer: text holds {unknown!r} at position {text.index(unknown)}, which is not in the "
                f"vocabulary of {len(self.characters)} characters"
            ) from None

    @checked_arguments
    def decode(self, ids: Integer[ndarray, " n"]) -> str:
        """The text of these ids. Raises ValueError for an id that is out of range."""
        outside = (ids < 0) | (ids >= len(self.characters))
        if outside.any():
            raise ValueError(
                f"CharacterTokenizer: ids holds {ids[outside][0]}, expected 0 to {len(self.characters) - 1}"
            )
        return "".join(self.characters[i] for i in ids)
