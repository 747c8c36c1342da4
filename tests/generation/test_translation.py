from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.generation import beam_search
from scratchformer.generation.translation import translate
from scratchformer.models import Transformer
from tests.models.tiny import random_transformer
from tests.strategies import seeds

VOCABULARY = 7
SOURCES = [np.array([2, 3]), np.array([4])]
ids = st.integers(0, VOCABULARY - 1)


@cache
def model() -> Transformer:
    """One whose target depends on what it reads: what the decoder takes from the source is large."""
    made = random_transformer(2, norm_first=True, d_model=8, bias=False)
    for block in made.decoder:
        block.cross_attention.output.weight.value[...] *= 3
    return made


def alone(source: np.ndarray, begin_id: int, end_id: int, num_tokens: int, width: int) -> list[int]:
    """One source without padding, and without a cache: all tokens go through the decoder at every step."""
    memory, _ = model().encode(source[None])

    def decode(ids: np.ndarray) -> tuple[np.ndarray, Any]:
        return model().decode(ids, np.broadcast_to(memory, (len(ids), *memory.shape[1:])))

    options: dict[str, Any] = {"context_length": 99, "width": width, "stop": {end_id}, "use_cache": False}
    (beams,) = beam_search(decode, np.array([[begin_id]]), num_tokens, **options)
    found = beams[0].ids.tolist()
    return found[:-1] if found[-1] == end_id else found


@settings(max_examples=15)
@given(
    seed=seeds,
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    begin_id=ids,
    end_id=ids,
    num_tokens=st.integers(1, 4),
    width=st.integers(1, 2),
    batch_size=st.integers(1, 4),
)
def test_each_source_is_translated_as_if_it_were_alone(
    seed: int, lengths: list[int], begin_id: int, end_id: int, num_tokens: int, width: int, batch_size: int
) -> None:
    generator = np.random.default_rng(seed)
    sources = [generator.integers(0, VOCABULARY, length) for length in lengths]
    options: dict[str, Any] = {"begin_id": begin_id, "end_id": end_id, "num_tokens": num_tokens, "width": width}
    found = translate(model(), sources, batch_size=batch_size, **options)
    assert [target.tolist() for target in found] == [alone(source, **options) for source in sources]


def test_targets_are_of_their_sources_and_of_any_length() -> None:
    generator = np.random.default_rng(0)
    sources = [generator.integers(0, VOCABULARY, length) for length in generator.integers(1, 6, 60)]
    options: dict[str, Any] = {"begin_id": 0, "end_id": 1, "num_tokens": 4, "width": 1}
    found = translate(model(), sources, **options)
    assert [target.tolist() for target in found] == [alone(source, **options) for source in sources]
    assert len({tuple(target) for target in found}) > 10
    assert {len(target) for target in found} == {0, 1, 2, 3, 4}
    assert not any(1 in target for target in found)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"sources": []}, ValueError, "translate: sources must hold at least one sequence, got none"),
        ({"sources": [np.array([1.0])]}, TypeError, r"translate: sources\[0\] must be an integer array, got float64"),
        ({"num_tokens": 0}, ValueError, "translate: num_tokens must be at least 1, got 0"),
        ({"batch_size": 0}, ValueError, "translate: batch_size must be at least 1, got 0"),
        ({"width": 0}, ValueError, "beam_search: width must be at least 1, got 0"),
    ],
)
def test_bad_input_is_one_sentence(options: dict[str, Any], kind: type[Exception], sentence: str) -> None:
    every = {"sources": SOURCES, "begin_id": 0, "end_id": 1, "num_tokens": 3, "width": 2} | options
    with pytest.raises(kind, match=f"^{sentence}$"):
        translate(model(), **every)
