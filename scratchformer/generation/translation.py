from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.generation.beam_search import beam_search
from scratchformer.layers.cache import KeyValueCache
from scratchformer.text.sequences import check_sequences, padded


@runtime_checkable
class EncoderDecoder(Protocol):
    """What translating asks of a model: a cache that holds a source, and logits of the target's next tokens."""

    def new_cache(
        self, source: Integer[ndarray, "b s"], source_lengths: Integer[ndarray, " b"] | None = None, *, capacity: int
    ) -> KeyValueCache: ...

    def decode(self, ids: Integer[ndarray, "*batch t"], *, cache: KeyValueCache | None = None) -> tuple[ndarray, Any]:
        """Logits (..., T, vocabulary) of target ids (..., T); see `Model`."""
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
    """The best target that a beam search finds for each source.

    Args:
        model: such as `Transformer`.
        sources: token ids, of any lengths; each is translated as if it were alone.
        begin_id, end_id: the tokens that targets begin and end with; they are not in what is returned.
        num_tokens: of a target at most, the end counted.
        width: hypotheses that the beam search keeps; 1 is greedy decoding.
        batch_size: so many sources are translated at a time.

    Raises:
        TypeError, ValueError: as `pair_batch` does of sources, and `beam_search` of the rest; a num_tokens or
            batch_size below 1.
    """
    check_sequences("translate", "sources", sources)
    for name, value in (("num_tokens", num_tokens), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"translate: {name} must be at least 1, got {value}")
    found = []
    for start in range(0, len(sources), batch_size):
        part = sources[start : start + batch_size]
        lengths = np.array([len(source) for source in part])
        cache = model.new_cache(padded(part, 0), lengths, capacity=num_tokens)
        begun = np.full((len(part), 1), begin_id)
        options: dict[str, Any] = {"context_length": num_tokens, "width": width, "stop": {end_id}, "cache": cache}
        for beams in beam_search(model.decode, begun, num_tokens, **options):
            ids = beams[0].ids
            found.append(ids[ids != end_id])
    return found
