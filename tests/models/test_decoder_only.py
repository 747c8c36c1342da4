from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import KeyValueCache, Trace
from scratchformer.models import GPT, GPTConfig, Llama, LlamaConfig
from scratchformer.models.decoder_only import DecoderOnly
from scratchformer.models.positions import LearnedPositions, Positions
from scratchformer.ops import cross_entropy, packed_mask
from scratchformer.text import packed_batch
from tests.closeness import assert_close
from tests.gradients import check_op, with_random_values
from tests.models.every_model import (
    as_op_of,
    assert_comes_back,
    assert_nothing_counts,
    assert_shares_add,
    assert_stays_tied,
    assert_weights,
)
from tests.strategies import normal, seeds

KINDS = [*get_args(Positions), "llama"]
ADDED = ("learned", "sinusoidal")
CONTEXT, VOCABULARY = 12, 7

every_kind = pytest.mark.parametrize("kind", KINDS)
few = settings(max_examples=4)


def tiny(kind: str, seed: int = 0, **options: Any) -> DecoderOnly:
    sizes = {"context_length": CONTEXT, "num_layers": 2, "num_heads": 2, "d_model": 4} | options
    generator = np.random.default_rng(seed)
    made: DecoderOnly
    if kind == "llama":
        made = Llama(LlamaConfig(VOCABULARY, **{"num_kv_heads": 1, "d_hidden": 3} | sizes), generator=generator)
    else:
        made = GPT(GPTConfig(VOCABULARY, positions=kind, **sizes), generator=generator)
    return with_random_values(made, seed, 0.7)


@every_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(length=st.integers(2, CONTEXT), seed=seeds)
@few
def test_later_tokens_change_no_logit_bit_for_bit(kind: str, dtype: type, length: int, seed: int) -> None:
    model, generator = tiny(kind, seed).astype(dtype), np.random.default_rng(seed)
    ids = generator.integers(0, VOCABULARY, (2, length))
    known = int(generator.integers(1, length))
    other = ids.copy()
    other[:, known:] = (ids[:, known:] + generator.integers(1, VOCABULARY, (2, length - known))) % VOCABULARY
    logits, other_logits = model(ids)[0], model(other)[0]
    assert logits.dtype == dtype
    np.testing.assert_array_equal(logits[:, :known], other_logits[:, :known])
    assert (logits[:, known] != other_logits[:, known]).any()


@every_kind
@given(length=st.integers(2, CONTEXT), seed=seeds)
@few
def test_what_a_mask_hides_changes_nothing_bit_for_bit(kind: str, length: int, seed: int) -> None:
    model, generator = tiny(kind, seed), np.random.default_rng(seed)
    ids, targets, noise = generator.integers(0, VOCABULARY, (3, 2, length))
    real = generator.random((2, length)) < 0.6
    real[:, -1], real[0, 0] = True, False
    other, targets = np.where(real, ids, noise), np.where(real, targets, -100)
    other[0, 0] = (ids[0, 0] + 1) % VOCABULARY
    mask = real[:, None, None, :]
    logits, other_logits = model(ids, mask=mask)[0], model(other, mask=mask)[0]
    np.testing.assert_array_equal(logits[real], other_logits[real])
    assert (logits[0, 0] != other_logits[0, 0]).any()
    assert (logits[0, -1] != model(ids)[0][0, -1]).any()
    (loss, backward), (other_loss, other_backward) = (model.loss(x, targets, mask=mask) for x in (ids, other))
    assert loss == other_loss
    backward()
    grads = model.grads.copy()
    model.grads[...] = 0
    other_backward()
    assert_close(model.grads, grads, 1e-12)


@every_kind
@given(lengths=st.lists(st.integers(2, 7), min_size=2, max_size=5), seed=seeds)
@few
def test_packed_documents_are_as_each_alone(kind: str, lengths: list[int], seed: int) -> None:
    model, generator = tiny(kind, seed), np.random.default_rng(seed)
    documents = [generator.integers(0, VOCABULARY, length) for length in lengths]
    batch = packed_batch(documents, CONTEXT)
    options = {"mask": packed_mask(batch.documents), "positions": batch.positions}
    logits, _ = model(batch.ids, **options)
    loss, backward = model.loss(batch.ids, batch.targets, **options)
    backward()
    grads = model.grads.copy()
    model.grads[...] = 0
    total = 0.0
    for place, document in enumerate(documents):
        alone, _ = model(document)
        assert_close(logits[batch.documents == place], alone, 1e-12)
        loss_alone, backward_alone = model.loss(document[None, :-1], document[None, 1:])
        share = (len(document) - 1) / batch.num_targets
        backward_alone(share)
        total += share * loss_alone
    assert_close(np.array(loss), np.array(total), 1e-12)
    assert_close(model.grads, grads, 1e-11)


@every_kind
@given(length=st.integers(1, 5), shift=st.integers(1, CONTEXT - 5), seed=seeds)
@few
def test_positions_count_from_zero_and_only_added_ones_are_absolute(
    kind: str, length: int, shift: int, seed: int
) -> None:
    model = tiny(kind, seed)
    ids = np.random.default_rng(seed).integers(0, VOCABULARY, (2, length))
    logits, backward = model(ids)
    backward(logits)
    grads = model.grads.copy()
    own = np.arange(length)
    same, backward = model(ids, positions=own)
    np.testing.assert_array_equal(same, logits)
    backward(-logits)
    assert np.abs(model.grads).max() <= 1e-12 * np.abs(grads).max()
    assert_close(model(ids, positions=np.array([own, own]))[0], logits, 1e-12)
    shifted, _ = model(ids, positions=own + shift)
    if kind in ADDED:
        assert np.abs(shifted - logits).max() > 1e-6
    else:
        assert_close(shifted, logits, 1e-12)
    rows, _ = model(ids, positions=np.array([own, own + shift]))
    assert_close(rows, np.stack([logits[0], shifted[1]]), 1e-12)


@pytest.mark.parametrize("kind", ["learned", "sinusoidal", "rotary", "llama"])
@given(length=st.integers(3, 6), seed=seeds)
@few
def test_a_hidden_token_may_be_left_out_where_positions_skip_it(kind: str, length: int, seed: int) -> None:
    model, generator = tiny(kind, seed), np.random.default_rng(seed)
    ids = generator.integers(0, VOCABULARY, (2, length))
    others = np.arange(length) != generator.integers(1, length - 1)
    logits, _ = model(ids, mask=others)
    assert_close(model(ids[:, others], positions=np.flatnonzero(others))[0], logits[:, others], 1e-12)
    assert np.abs(model(ids[:, others])[0] - logits[:, others]).max() > 1e-9


@every_kind
@given(seed=seeds)
@few
def test_order_matters_to_one_block_with_positions_and_to_two_without(kind: str, seed: int) -> None:
    ids = np.array([[1, 2, 3], [2, 1, 3]])
    first, second = tiny(kind, seed, num_layers=1)(ids)[0]
    if kind == "none":  # to the last token, one block shows a set
        assert_close(first[2], second[2], 1e-12)
        first, second = tiny(kind, seed, num_layers=2)(ids)[0]
    assert np.abs(first[2] - second[2]).max() > 1e-9


@every_kind
def test_dropout_falls_on_embeddings_and_blocks_if_a_generator_is_given(kind: str) -> None:
    model, without = tiny(kind, dropout=0.5), tiny(kind)
    ids = np.zeros((1, 4), np.int64)
    np.testing.assert_array_equal(model(ids)[0], without(ids)[0])
    np.testing.assert_array_equal(without(ids, generator=np.random.default_rng(0))[0], without(ids)[0])
    trace, undropped = Trace(), Trace()
    model(ids, generator=np.random.default_rng(0), trace=trace)
    model(ids, trace=undropped)
    assert 0 < (trace["embedded"] == 0).mean() < 1
    np.testing.assert_array_equal(
        trace["embedded"][trace["embedded"] != 0] / 2, undropped["embedded"][trace["embedded"] != 0]
    )
    for block in ("blocks.0", "blocks.1"):
        added = trace[f"{block}.residual"] - trace[f"{block}.residual_after_attention"]
        assert 0 < (added == 0).mean() < 1


@given(seed=seeds)
@settings(max_examples=1)
def test_gradient_of_a_bias_that_two_blocks_share_and_a_mask_cuts(seed: int) -> None:
    model, generator = tiny("relative", seed), np.random.default_rng(seed)
    ids, targets = generator.integers(0, VOCABULARY, (2, 2, 3))
    mask = (generator.random((2, 1, 3, 3)) < 0.6) | np.eye(3, dtype=bool)
    table = model.parameters()["position_embedding.table"].value.copy()

    def loss(model: DecoderOnly) -> tuple:
        return model.loss(ids, targets, mask=mask)

    check_op(as_op_of(model, "position_embedding.table", loss), table, seed=seed)


@every_kind
@given(smoothing=st.sampled_from([0.0, 0.2]), ignore_index=st.sampled_from([-100, 3]), seed=seeds)
@few
def test_loss_is_the_cross_entropy_of_the_logits(kind: str, smoothing: float, ignore_index: int, seed: int) -> None:
    model, generator = tiny(kind, seed, dropout=0.3), np.random.default_rng(seed)
    ids, targets = generator.integers(0, VOCABULARY, (2, 2, 4))
    targets[0, 0], targets[1, 1] = ignore_index, 1
    options: dict[str, Any] = {
        "mask": np.arange(4) != 1,
        "positions": generator.integers(0, CONTEXT, (2, 4)),
    }
    of_loss = {"ignore_index": ignore_index, "label_smoothing": smoothing}
    loss, _ = model.loss(ids, targets, generator=np.random.default_rng(seed), **options, **of_loss)
    logits, _ = model(ids, generator=np.random.default_rng(seed), **options)
    assert loss == cross_entropy(logits, targets, **of_loss)[0]


@every_kind
def test_shares_of_a_batch_add_to_the_whole(kind: str) -> None:
    model, generator = tiny(kind), np.random.default_rng(0)
    ids, targets = generator.integers(0, VOCABULARY, (2, 3, 4))
    targets[0, 1], targets[1, :3], targets[2, 1:3] = -100, -100, -100
    assert_shares_add(model, lambda targets, ids: model.loss(ids, targets), targets, ids)


@every_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_counted_target_gives_loss_zero_and_no_gradient(kind: str, dtype: type) -> None:
    model = tiny(kind).astype(dtype)
    ids = np.zeros((2, 3), np.int64)
    assert_nothing_counts(model, lambda: model.loss(ids, np.full_like(ids, -100)))
    assert_nothing_counts(model, lambda: model.loss(ids[:0], ids[:0]))


@every_kind
@pytest.mark.parametrize("tied_head", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_saved_model_comes_back(tmp_path: Path, kind: str, tied_head: bool, dtype: type) -> None:
    ids = np.array([[0, 1, 2]])
    assert_comes_back(tmp_path, tiny(kind, tied_head=tied_head).astype(dtype), lambda model: model(ids)[0])


@pytest.mark.parametrize("kind", ["learned", "llama"])
def test_a_tied_head_stays_tied_and_is_no_parameter(kind: str) -> None:
    model = tiny(kind, tied_head=True)
    assert_stays_tied(model, lambda model: (model.head.table, model.token_embedding.table))
    untied = tiny(kind, tied_head=False)
    assert untied.parameters().keys() - model.parameters().keys() == {"head.weight"}
    assert untied.parameters()["head.weight"].value.shape == (4, VOCABULARY)


@every_kind
def test_a_trace_holds_intermediates_and_their_gradients(kind: str) -> None:
    model, trace, ids = tiny(kind), Trace(), np.array([[0, 1, 2], [3, 4, 5]])
    loss, backward = model.loss(ids, ids, trace=trace)
    names = list(trace)
    assert names[0] == "embedded"
    assert names[-3:] == ["normed", "logits", "loss"]
    assert {name.split(".")[1] for name in names if name.startswith("blocks.")} == {"0", "1"}
    for i in range(2):
        weights = trace[f"blocks.{i}.attention.weights"]
        assert_weights(weights, (2, 2, 3, 3))
        assert not np.triu(weights, 1).any()
    np.testing.assert_array_equal(trace["logits"], model(ids)[0])
    assert trace["loss"] == loss
    backward()
    np.testing.assert_array_equal(trace["dlogits"], cross_entropy(trace["logits"], ids)[1]())
    assert trace["dnormed"].shape == trace["dembedded"].shape == trace["embedded"].shape
    assert "blocks.0.attention.dquery" in trace


@every_kind
def test_a_pass_through_a_cache_counts_on_and_has_no_backward(kind: str) -> None:
    model, cache = tiny(kind), KeyValueCache(CONTEXT)
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (2, 9))
    whole, _ = model(ids)
    for cut in (slice(0, 4), slice(4, 5), slice(5, 9)):
        part, backward = model(ids[:, cut], cache=cache)
        assert_close(part, whole[:, cut], 1e-12)
        with pytest.raises(
            TypeError, match=r"^KeyValueCache: a forward pass through a key-value cache has no backward; "
        ):
            backward(part)
    with pytest.raises(ValueError, match=r"^(GPT|Llama): ids has 13 positions, the context holds 12$"):
        model(ids[:, :4], cache=cache)


@every_kind
@given(length=st.integers(1, CONTEXT), seed=seeds)
@few
def test_the_last_position_alone_has_the_logits_and_gradients_that_it_has_among_all(
    kind: str, length: int, seed: int
) -> None:
    model, generator = tiny(kind, seed), np.random.default_rng(seed)
    ids = generator.integers(0, VOCABULARY, (2, length))
    whole, whole_backward = model(ids)
    last, last_backward = model(ids, last_only=True)
    assert_close(last, whole[:, -1:], 1e-12)
    dlogits = np.zeros_like(whole)
    dlogits[:, -1:] = generator.standard_normal(last.shape)
    whole_backward(dlogits)
    grads = model.grads.copy()
    model.grads[...] = 0
    last_backward(dlogits[:, -1:])
    assert_close(model.grads, grads, 1e-12)
    assert_close(model(ids, cache=KeyValueCache(CONTEXT), last_only=True)[0], last, 1e-12)


@pytest.mark.usefixtures("unchecked")
@every_kind
def test_errors_name_the_argument(kind: str) -> None:
    model, ids = tiny(kind), np.array([[0, 1, 2], [3, 4, 5]])
    name = type(model).__name__
    with pytest.raises(ValueError, match=rf"^{name}: ids must have a last position for last_only, got shape \(2, 0\)$"):
        model(ids[:, :0], last_only=True)
    with pytest.raises(ValueError, match=f"^{name}: ids has 13 positions, the context holds 12$"):
        model(np.zeros((2, 13), np.int64))
    with pytest.raises(ValueError, match=f"^{name}: ids holds 7, expected 0 to 6$"):
        model(ids + 2)
    with pytest.raises(ValueError, match=f"^{name}: ids holds -1, expected 0 to 6$"):
        model(ids - 1)
    with pytest.raises(TypeError, match=f"^{name}: ids must be an integer array, got float64$"):
        model(ids * 1.0)
    with pytest.raises(TypeError, match=f"^{name}: ids must be an integer array, got list$"):
        model([0, 1])
    with pytest.raises(ValueError, match=rf"^{name}: ids must have at least 1 dimension\(s\), got shape \(\)$"):
        model(np.array(1))
    with pytest.raises(TypeError, match=f"^{name}: mask must be boolean, got float64$"):
        model(ids, mask=np.zeros((3, 3)))
    with pytest.raises(TypeError, match=f"^{name}: mask must be boolean, got list$"):
        model(ids, mask=[True, True, False])
    with pytest.raises(ValueError, match=f"^{name}: positions holds 12, expected 0 to 11$"):
        model(ids, positions=np.arange(10, 13))
    with pytest.raises(ValueError, match=f"^{name}: positions holds -1, expected 0 to 11$"):
        model(ids, positions=np.arange(-1, 2))
    with pytest.raises(TypeError, match=f"^{name}: positions must be an integer array, got float64$"):
        model(ids, positions=np.arange(3.0))
    for shape in ((), (1,), (2,), (4,), (1, 3), (3, 3), (1, 2, 3)):
        expected = rf"^{name}: positions has shape {shape}, expected (3,) or that of ids (2, 3)$"
        with pytest.raises(ValueError, match=expected.replace("(", r"\(").replace(")", r"\)")):
            model(ids, positions=np.zeros(shape, np.int64))
    with pytest.raises(
        ValueError,
        match=r"^cross_entropy: \*batch is \(2, 3\) in logits of .*, but \(2, 2\) in targets of shape \(2, 2\)$",
    ):
        model.loss(ids, ids[:, :2])


@given(start=st.integers(0, 3), seed=seeds)
def test_learned_positions_from_a_later_start_on_have_vectors_and_gradients_of_their_own(start: int, seed: int) -> None:
    positions = LearnedPositions(5, 3, generator=np.random.default_rng(seed), dtype=np.float64)
    x, dy = normal(seed, (2, 2, 3), (2, 2, 3))
    y, backward = positions.embed(x, None, start)
    np.testing.assert_array_equal(y, x + positions.table.value[start : start + 2])
    np.testing.assert_array_equal(backward(dy), dy)
    expected = np.zeros((5, 3))
    expected[start : start + 2] = dy.sum(axis=0)
    assert_close(positions.table.grad, expected, 1e-14)
