"""Translating with an encoder-decoder."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.generation.beam_search import beam_search
from scratchformer.layers.cache import KeyValueCache
from scratchformer.text.checks import check_sequences, check_sizes
from scratchformer.text.sequences import padded


@runtime_checkable
class EncoderDecoder(Protocol):
    """What translating asks of a model: a cache with a memory of sources, and logits of the next target tokens."""

    def new_cache(
        self, source: Integer[ndarray, "b s"], source_lengths: Integer[ndarray, " b"] | None = None, *, capacity: int
    ) -> KeyValueCache: ...

    def decode(
        self, ids: Integer[ndarray, "*batch t"], *, cache: KeyValueCache | None = None
    ) -> tuple[ndarray, object]:
        """Logits (..., T, vocabulary) for target ids (..., T); see `Model`."""
        ...


def translate(
    model: EncoderDecoder,
    sources: Sequence[Integer[ndarray, " _"]],
    *,
    begin_id: int,
    end_id: int,
    num_tokens: int,
    width: int,
    batch_size: int = 100,
) -> list[Integer[ndarray, " _"]]:
    """The best target that a beam search finds for each source, without its begin and end.

    Args:
        model: such as `Transformer`.
        sources: token ids of any lengths. Each source is translated as if it were alone.
        begin_id, end_id: the tokens that targets begin and end with.
        num_tokens: the largest number of tokens of a target, its end included.
        width: number of hypotheses that the beam search keeps; 1 is greedy decoding.
        batch_size: number of sources that are translated at a time.

    Raises:
        TypeError, ValueError: as `pair_batch` does for sources, and `beam_search` for the rest; also for a num_tokens
            or batch_size below 1.
    """
    check_sequences("translate", "sources", sources)
    check_sizes("translate", num_tokens=num_tokens, batch_size=batch_size)
    found = []
    for start in range(0, len(sources), batch_size):
        part = sources[start : start + batch_size]
        lengths = np.array([len(source) for source in part])
        cache = model.new_cache(padded(part, 0), lengths, capacity=num_tokens)
        begun = np.full((len(part), 1), begin_id)
        found_beams = beam_search(
            model.decode, begun, num_tokens, context_length=num_tokens, width=width, stop={end_id}, cache=cache
        )
        for best, *_ in found_beams:
            ids = best.ids
            found.append(ids[ids != end_id])
    return found
