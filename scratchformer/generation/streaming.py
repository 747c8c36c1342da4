"""Text that is shown while it is generated."""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.generation.prompts import stop_ids

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What a decoder writes for bytes that are no character (yet)."""

Decode = Callable[[list[int]], str]
"""Takes token ids, and returns their text. More tokens only add to the text, but for replacement characters at its end:
these may be the beginning of a character."""


@checked_arguments
def stream_text(
    tokens: Iterable[Integer[ndarray, "..."] | int],
    decode: Decode,
    *,
    stop: Collection[int] = (),
    stop_strings: Sequence[str] = (),
) -> Iterator[str]:
    """Yields the text of the tokens of one sequence in pieces, each as soon as it is certain.

    A piece ends in no half character; only where all tokens end in one, it comes last, as U+FFFD. What may be the
    beginning of a stop string is kept back until that is decided.

    Put together, the pieces are the text of all tokens up to the first stop token or stop string, which is left out.
    The stop string that is complete first is the first; of several that are complete at one character, the longest.

    Each token is decoded once or twice, whatever came before, as long as its text has whole characters.

    Args:
        tokens: such as `generate` yields for one prompt. It is closed when the text ends, also by an error or Ctrl-C.
        decode: gives the text of token ids.
        stop: tokens that end the text; they are not decoded.
        stop_strings: texts that end the text.

    Raises:
        TypeError: as `generate` does for stop tokens; one string as the stop strings; when it runs, tokens that are no
            integers.
        ValueError: an empty stop string; when it runs, tokens of several sequences.
    """
    if isinstance(stop_strings, str):
        raise TypeError("stream_text: stop_strings must be a sequence of strings, got one string")
    if "" in stop_strings:
        raise ValueError("stream_text: stop_strings must hold no empty string")
    return _stream(tokens, decode, set(stop_ids("stream_text", stop).tolist()), stop_strings)


def _stream(
    tokens: Iterable[ndarray | int], decode: Decode, stop: set[int], stop_strings: Sequence[str]
) -> Iterator[str]:
    characters, held = _Characters(decode), ""
    try:
        for token in tokens:
            if (number := _single(token)) in stop:
                break
            held += characters.add(number)
            if (end := _first_stop(held, stop_strings)) is not None:
                if end > 0:
                    yield held[:end]
                return
            free = len(held) - _beginning_of_stop(held, stop_strings)
            piece, held = held[:free], held[free:]
            if piece:
                yield piece
        held += characters.rest()
        if (end := _first_stop(held, stop_strings)) is not None:
            held = held[:end]
        if held:
            yield held
    finally:
        if isinstance(tokens, Generator):
            tokens.close()


class _Characters:
    """Decodes token by token.

    The text of a token may depend on its neighbours: several tokens may be one character, and some decoders strip the
    space before the first token. So new tokens are decoded together with those of the piece before, and the text of
    these is taken off.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._before: list[int] = []
        self._new: list[int] = []
        self._given = 0  # characters of the text of both that were given away

    def add(self, token: int) -> str:
        """The characters that are certain now."""
        self._new.append(token)
        text = self._decode(self._before + self._new)
        certain = text.rstrip(REPLACEMENT)
        piece = certain[self._given :]
        self._given = max(self._given, len(certain))
        if piece and certain == text:
            self._before, self._new = self._new, []
            self._given = len(self._decode(self._before))
        return piece

    def rest(self) -> str:
        """What is left when no token follows."""
        return self._decode(self._before + self._new)[self._given :]


def _single(token: ndarray | int) -> int:
    array = np.asarray(token)
    if array.size != 1:
        raise ValueError(f"stream_text: tokens must be those of one sequence, got shape {array.shape}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"stream_text: tokens must be integers, got {token!r}")
    return int(array.reshape(()))


def _first_stop(text: str, stop_strings: Sequence[str]) -> int | None:
    """Where the first stop string in the text begins; None if there is none."""
    found = [(start + len(stop), start) for stop in stop_strings if (start := text.find(stop)) >= 0]
    return min(found)[1] if found else None


def _beginning_of_stop(text: str, stop_strings: Sequence[str]) -> int:
    """The length of the longest end of the text that is the beginning of a stop string."""
    return max((n for stop in stop_strings for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
