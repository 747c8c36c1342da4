import math
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import NO_TRACE, Layer, Linear, Parameter, TiedLinear, Trace
from scratchformer.layers.stack import stack
from scratchformer.models import GPT, GPTConfig, Llama, LlamaConfig, held_logits
from scratchformer.models.held_logits import holds_logits
from scratchformer.ops import linear_cross_entropy
from tests.closeness import assert_close
from tests.gradients import with_random_values
from tests.models.tiny import random_bert, random_transformer
from tests.strategies import seeds

VOCABULARY = 7
IDS, TARGETS = np.random.default_rng(3).integers(0, VOCABULARY, (2, 2, 5))
TARGETS[0, 1] = -1
MASK, POSITIONS, LENGTHS = np.arange(5) != 1, np.array([0, 2, 1, 4, 3]), np.array([2, 3])


def gpt() -> GPT:  # whose head is the table
    return GPT(GPTConfig(VOCABULARY, 5, 1, 2, 4, dropout=0.2), generator=np.random.default_rng(0))


def llama() -> Llama:  # whose head is a matrix of its own
    return Llama(LlamaConfig(VOCABULARY, 5, 1, 2, d_model=4, dropout=0.2), generator=np.random.default_rng(0))


Loss = Callable[..., tuple[np.inexact, Callable[..., None]]]


def loss_of_decoder(model: GPT | Llama) -> Loss:
    return partial(model.loss, IDS, TARGETS, label_smoothing=0.1, mask=MASK, positions=POSITIONS)


MODELS: dict[str, tuple[Callable[[], Any], Callable[[Any], Loss]]] = {
    "GPT": (gpt, loss_of_decoder),
    "Llama": (llama, loss_of_decoder),
    "BERT": (partial(random_bert, dropout=0.2), lambda model: partial(model.loss, IDS, TARGETS)),
    "Transformer": (
        partial(random_transformer, dropout=0.2),
        lambda model: partial(model.loss, IDS[:, :4], IDS, TARGETS, source_lengths=LENGTHS, label_smoothing=0.1),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_logits_that_are_not_held_give_the_same_loss_and_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_logits, "MOST_HELD_LOGITS", 0)
    new_model, loss_of = MODELS[name]
    model: Layer = with_random_values(new_model().astype(np.float64), 0, 0.7)
    found = []
    for hold in (True, False, None):
        model.grads[...] = 0
        trace = NO_TRACE if hold is None else Trace()
        loss, backward = loss_of(model)(
            ignore_index=-1, hold_logits=hold, generator=np.random.default_rng(1), trace=trace
        )
        backward(1.5)
        assert hold is None or ("logits" in trace) == hold
        found.append((np.asarray(loss), model.grads.copy()))
    (expected, grads), (other_loss, other_grads), by_default = found
    assert_close(other_loss, expected, 1e-13)
    assert_close(other_grads, grads, 1e-13)
    np.testing.assert_array_equal(by_default[1], other_grads)


@pytest.mark.parametrize("hold_logits", [False, None])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_told_to_hold_nothing_holds_no_exponentials(
    name: str, hold_logits: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_logits, "MOST_HELD_LOGITS", 0)
    asked = []

    def asking(*args: Any, hold_exponentials: bool | None, **options: Any) -> tuple:
        asked.append(hold_exponentials)
        return linear_cross_entropy(*args, hold_exponentials=hold_exponentials, **options)

    for module in ("layers.linear", "models.bert_heads"):
        monkeypatch.setattr(f"scratchformer.{module}.linear_cross_entropy", asking)
    new_model, loss_of = MODELS[name]
    loss_of(new_model())(ignore_index=-1, hold_logits=hold_logits)
    assert asked == [hold_logits]


@pytest.mark.parametrize("hold_logits", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_where_dloss_is_known_and_logits_are_not_held_blocks_go_backward_once(
    name: str, hold_logits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []

    def saying(*args: Any, once: bool = False, **options: Any) -> tuple:
        said.append(once)
        return stack(*args, once=once, **options)

    for module in ("decoder_only", "bert", "transformer"):
        monkeypatch.setattr(f"scratchformer.models.{module}.stack", saying)
    new_model, loss_of = MODELS[name]
    num_stacks = 2 if name == "Transformer" else 1
    for known in ({}, {"dloss": 0.5}):
        loss_of(new_model())(ignore_index=-1, hold_logits=hold_logits, trace=Trace(), **known)
    assert said == [False] * num_stacks + [not hold_logits] * num_stacks


@pytest.mark.parametrize("name", MODELS)
@given(most=st.integers(1, 9 * VOCABULARY), dloss=st.floats(-2, 2), seed=seeds)
@settings(max_examples=10)
def test_where_dloss_is_known_the_head_goes_forward_and_backward_by_rows(
    name: str, most: int, dloss: float, seed: int
) -> None:
    new_model, loss_of = MODELS[name]
    model: Layer = with_random_values(new_model().astype(np.float64), seed, 0.7)
    rows_at_once = []

    def counting(x: np.ndarray, *args: Any, **options: Any) -> tuple:
        rows_at_once.append(len(x.reshape(-1, x.shape[-1])))
        return linear_cross_entropy(x, *args, **options)

    def loss_and_gradient(**known: float) -> tuple[np.inexact, np.ndarray]:
        model.grads[...] = 0
        loss, backward = loss_of(model)(ignore_index=-1, generator=np.random.default_rng(1), **known)
        backward(dloss)
        return loss, model.grads.copy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_logits, "MOST_HELD_LOGITS", 0)
        patch.setattr(held_logits, "MOST_LOGITS_AT_ONCE", most)
        expected = loss_and_gradient()
        for module in ("layers.linear", "models.bert_heads"):
            patch.setattr(f"scratchformer.{module}.linear_cross_entropy", counting)
        found = loss_and_gradient(dloss=dloss)
    assert_close(found[0], expected[0], 1e-13)
    assert_close(found[1], expected[1], 1e-13)
    assert max(rows_at_once) <= max(1, most // VOCABULARY)
    assert sum(rows_at_once) == np.count_nonzero(TARGETS != -1)
    assert len(rows_at_once) == math.ceil(sum(rows_at_once) / max(1, most // VOCABULARY))


def test_backward_of_a_known_dloss_is_called_once_with_just_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_logits, "MOST_HELD_LOGITS", 0)
    model = gpt()
    _, backward = loss_of_decoder(model)(ignore_index=-1, dloss=0.5)
    with pytest.raises(ValueError, match=r"^loss: backward must be called with the dloss that was given, 0.5, got 1$"):
        backward()
    backward(0.5)
    with pytest.raises(RuntimeError, match=r"^loss: backward was called before"):
        backward(0.5)


def test_the_loss_of_parts_has_the_dtype_of_the_model_and_one_part_alone_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held, kept = [], []

    def watched(*args: Any, **options: Any) -> tuple:
        kept.append(sum(backward() is not None for backward in held))
        loss, backward = linear_cross_entropy(*args, **options)
        held.append(weakref.ref(backward))
        return loss, backward

    monkeypatch.setattr(held_logits, "MOST_HELD_LOGITS", 0)
    monkeypatch.setattr(held_logits, "MOST_LOGITS_AT_ONCE", VOCABULARY)
    monkeypatch.setattr("scratchformer.layers.linear.linear_cross_entropy", watched)
    loss, _ = gpt().loss(IDS, TARGETS, ignore_index=-1, dloss=0.5)
    assert loss.dtype == np.float32
    assert kept == [0] * np.count_nonzero(TARGETS != -1)


@pytest.mark.parametrize("name", ["GPT", "Llama", "Transformer"])
@pytest.mark.parametrize(
    "misfit",
    [
        lambda targets: targets.T.copy(),
        lambda targets: targets.reshape(-1),
        lambda targets: targets[:, :4],
        lambda targets: targets.tolist(),
        lambda targets: targets.astype(np.float64),
        lambda targets: np.where(np.arange(targets.size).reshape(targets.shape) < targets.size - 1, 1, VOCABULARY),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_targets_that_do_not_fit_are_refused_before_a_gradient_is_added(
    name: str, misfit: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_logits, "MOST_HELD_LOGITS", 0)
    monkeypatch.setattr(held_logits, "MOST_LOGITS_AT_ONCE", VOCABULARY)
    model = MODELS[name][0]()
    read = (IDS, IDS) if name == "Transformer" else (IDS,)
    with pytest.raises((TypeError, ValueError), match="targets"):
        model.loss(*read, misfit(IDS), dloss=0.5)
    assert not model.grads.any()


def test_a_known_dloss_changes_nothing_where_no_target_counts_or_logits_are_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = gpt()
    loss, backward = model.loss(IDS, TARGETS, ignore_index=-1, dloss=0.5)
    backward(1.5)  # the logits are held
    gradient = model.grads.copy()
    model.grads[...] = 0
    model.loss(IDS, TARGETS, ignore_index=-1)[1](1.5)
    np.testing.assert_array_equal(model.grads, gradient)

    monkeypatch.setattr(held_logits, "MOST_HELD_LOGITS", 0)
    model.grads[...] = 0
    with pytest.raises(ValueError, match="label_smoothing"):
        model.loss(IDS[:0], IDS[:0], label_smoothing=2, dloss=0.5)
    for ids in (IDS, IDS[:0]):
        loss, backward = model.loss(ids, np.full_like(ids, -1), ignore_index=-1, dloss=0.5)
        backward(0.5)
        assert loss == 0
        assert not model.grads.any()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_answer_is_refused(name: str) -> None:
    new_model, loss_of = MODELS[name]
    with pytest.raises(TypeError, match=f"^{name}: hold_logits must be True, False or None, got 1"):
        loss_of(new_model())(ignore_index=-1, hold_logits=1)


def test_few_or_traced_logits_are_held_if_nothing_is_said() -> None:
    head, most = gpt().head, held_logits.MOST_HELD_LOGITS
    assert holds_logits("GPT", None, most, head, NO_TRACE)
    assert not holds_logits("GPT", None, most + 1, head, NO_TRACE)
    assert holds_logits("GPT", None, most + 1, head, Trace())
    assert holds_logits("GPT", None, most + 1, Layer(), NO_TRACE)  # a matrix in fewer bits
    for d, is_held in ((1, True), (2, False)):
        table = Parameter(np.zeros((most, d), np.float32))
        assert holds_logits("GPT", None, 1, TiedLinear(table), NO_TRACE) == is_held
    assert not holds_logits("Llama", None, 1, Linear(2, most, generator=None), NO_TRACE)
