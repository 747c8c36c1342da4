"""One new token through a cache: the written-out way against the layers, which take it where positions are given."""

from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import KeyValueCache, Trace
from scratchformer.models import decoder_only
from tests.annotations import unchecked
from tests.closeness import assert_close
from tests.models.test_decoder_only import CONTEXT, KINDS, VOCABULARY, every_kind, few, tiny
from tests.strategies import batch_shapes, seeds

ADDED_TO_SCORES = ("alibi", "relative")
written_out = [kind for kind in KINDS if kind not in ADDED_TO_SCORES]


@pytest.mark.parametrize("kind", written_out)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(batch=batch_shapes, known=st.integers(0, CONTEXT - 3), tied_head=st.booleans(), seed=seeds)
@few
def test_its_logits_are_those_of_the_layers_whatever_the_weights_become(
    kind: str, dtype: Any, batch: tuple[int, ...], known: int, tied_head: bool, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    model = tiny(kind, seed, tied_head=tied_head).astype(dtype)
    ids = generator.integers(0, VOCABULARY, (*batch, CONTEXT))
    caches = KeyValueCache(CONTEXT), KeyValueCache(CONTEXT)
    with unchecked():
        for cache in caches if known else ():
            model(ids[..., :known], cache=cache)
        for t in range(known, known + 3):
            logits, _ = model(ids[..., t : t + 1], cache=caches[0])
            expected, _ = model(ids[..., t : t + 1], cache=caches[1], positions=np.array([t]))
            assert logits.dtype == dtype
            assert_close(logits, expected, 1e-14 if dtype == np.float64 else 5e-6)
            if t == known:
                model.values += 0.1 * generator.standard_normal(model.values.shape).astype(dtype)
            else:
                model.pack()  # binds the parameters to other arrays
                model.values *= dtype(0.9)


class Counted:
    """Counts the calls of the written-out way."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.num_calls = 0
        self.next_position = decoder_only.next_position
        patch.setattr(decoder_only, "next_position", self)

    def __call__(self, *arguments: Any) -> ndarray:
        self.num_calls += 1
        return self.next_position(*arguments)


@every_kind
def test_one_new_token_is_written_out_where_nothing_more_is_asked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, counted, cache = tiny(kind), Counted(monkeypatch), KeyValueCache(CONTEXT)
    one, two = np.array([[1], [2]]), np.array([[1, 3], [2, 4]])
    model(two, cache=cache)
    model(one)
    model(one[:0], cache=KeyValueCache(1))
    more: list[dict[str, Any]] = [
        {"mask": np.ones(3, bool)},
        {"positions": np.array([3])},
        {"generator": np.random.default_rng(0)},
        {"trace": Trace()},
    ]
    for options in more:
        model(one, cache=cache, **options)
        cache.truncate(2)
    assert counted.num_calls == 0
    _, backward = model(one, cache=cache)
    model(one, cache=cache, last_only=True)
    assert counted.num_calls == (0 if kind in ADDED_TO_SCORES else 2)
    assert cache.length == 4
    with pytest.raises(TypeError, match=r"^KeyValueCache: a forward pass through a key-value cache has no backward; "):
        backward(one)


def test_a_complex_model_or_one_with_blocks_of_another_class_takes_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, one = Counted(monkeypatch), np.array([[1]])
    tiny("learned").astype(np.complex128)(one, cache=KeyValueCache(1))
    model = tiny("learned")
    model.blocks[1].__class__ = type("Other", (type(model.blocks[1]),), {})
    model(one, cache=KeyValueCache(1))
    for part in ("model.dropout", "block.add_attention.dropout", "block.add_feed_forward.dropout", "model"):
        model = tiny("learned")
        changed = attrgetter(part)(SimpleNamespace(model=model, block=model.blocks[0]))
        members = {"_features": lambda *a, **o: (np.ones((1, 1, 4)), None)} if part == "model" else {}
        changed.__class__ = type("Other", (type(changed),), members)
        model(one, cache=KeyValueCache(1))
    assert counted.num_calls == 0


def test_one_of_the_norms_of_queries_and_keys_may_be_missing() -> None:
    model, one = tiny("llama", qk_norm=True), np.array([[1]])
    model.blocks[0].attention.query_norm = None
    found, _ = model(one, cache=KeyValueCache(1))
    assert_close(found, model(one, cache=KeyValueCache(1), positions=np.array([0]))[0], 1e-14)


@pytest.mark.usefixtures("unchecked")
def test_positions_beyond_a_table_are_refused() -> None:
    for known, num_new in (CONTEXT, 1), (CONTEXT - 1, 3):
        model, cache = tiny("learned"), KeyValueCache(50)
        model.context_length = 50
        model(np.ones((1, known), int), cache=cache)
        with pytest.raises(ValueError, match=rf"^embedding: ids holds {CONTEXT}, expected 0 to {CONTEXT - 1}"):
            model(np.ones((1, num_new), int), cache=cache)


def doubled(kind: type) -> type:
    """A class of this kind whose output is twice as large."""

    def call(self: Any, x: ndarray) -> tuple[ndarray, None]:
        return 2 * kind.__call__(self, x)[0], None  # type: ignore[operator]

    return type("Doubled", (kind,), {"__call__": call})


def test_embeddings_and_heads_of_other_classes_are_called() -> None:
    model, one = tiny("learned", tied_head=False), np.array([[1]])
    parts: tuple[Any, ...] = model.token_embedding, model.position_embedding, model.head
    for part in parts:
        part.__class__ = doubled(type(part))
    found, _ = model(one, cache=KeyValueCache(1))
    assert_close(found, model(one, cache=KeyValueCache(1), positions=np.array([0]))[0], 1e-14)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", written_out)
def test_its_errors_are_those_of_any_call(kind: str) -> None:
    model, cache = tiny(kind), KeyValueCache(CONTEXT + 1)
    name = type(model).__name__
    model(np.ones((1, CONTEXT), int), cache=cache)
    with pytest.raises(ValueError, match=rf"^{name}: ids has 13 positions, the context holds 12$"):
        model(np.array([[1]]), cache=cache)
    with pytest.raises(ValueError, match=rf"^{name}: ids holds -1, expected 0 to 6$"):
        model(np.array([[-1]]), cache=KeyValueCache(1))
    with pytest.raises(TypeError, match=rf"^{name}: ids must be an integer array, got float64$"):
        model(np.array([[1.0]]), cache=KeyValueCache(1))
    full = KeyValueCache(1)
    model(np.array([[1]]), cache=full)
    with pytest.raises(ValueError, match=r"^KeyValueCache: key has 1 positions, with 1 of 1 there is no room "):
        model(np.array([[1]]), cache=full)
    cache.truncate(3)
    with pytest.raises(ValueError, match=r"^KeyValueCache: key has shape \(2, "):
        model(np.array([[1], [2]]), cache=cache)
