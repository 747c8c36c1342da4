"""Models whose blocks are plain and their sequences short, written out, against the same models as layers."""

from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import KeyValueCache, Trace
from scratchformer.models.decoder_only import DecoderOnly, plain
from scratchformer.ops import Backward
from tests.annotations import unchecked
from tests.models.test_decoder_only import CONTEXT, VOCABULARY, every_kind, few, tiny
from tests.strategies import batch_shapes, cotangent, seeds

PLAIN = ("learned", "sinusoidal", "none")


def as_layers(model: DecoderOnly, ids: ndarray) -> tuple[ndarray, Backward]:
    """The logits of a call that is traced, for which nothing is written out."""
    return model(ids, trace=Trace("nothing"))


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(batch=batch_shapes, t=st.integers(1, CONTEXT), tied_head=st.booleans(), bias=st.booleans(), seed=seeds)
@few
def test_logits_loss_and_gradients_are_those_of_the_layers_whatever_the_weights_become(
    kind: str, dtype: Any, batch: tuple[int, ...], t: int, tied_head: bool, bias: bool, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    model = tiny(kind, seed, tied_head=tied_head, bias=bias).astype(dtype)
    ids, targets = generator.integers(0, VOCABULARY, (2, *batch, t))
    dlogits = cotangent(seed, (*batch, t, VOCABULARY)).astype(dtype)
    for _ in range(2):
        with unchecked():
            written, layers = model.astype(dtype), model.astype(dtype)
            (logits, backward), (expected, expected_backward) = written(ids), as_layers(layers, ids)
            np.testing.assert_array_equal(logits, expected, strict=True)
            assert backward(dlogits) is expected_backward(dlogits) is None
            np.testing.assert_array_equal(written.grads, layers.grads)
            (loss, backward), (expected, expected_backward) = (
                written.loss(ids, targets),
                layers.loss(ids, targets, trace=Trace("nothing")),
            )
            assert loss == expected
            backward(0.3)
            expected_backward(0.3)
            np.testing.assert_array_equal(written.grads, layers.grads)
        model.pack()  # binds the parameters to other arrays
        model.values *= dtype(0.9)


class Counted:
    """Counts the calls of what is written out."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.num_calls = 0
        self.plain_blocks = plain.plain_blocks
        patch.setattr(plain, "plain_blocks", self)

    def __call__(self, *arguments: Any) -> tuple[ndarray, Backward]:
        self.num_calls += 1
        return self.plain_blocks(*arguments)


@every_kind
def test_it_is_written_out_where_nothing_more_is_asked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, counted, ids = tiny(kind), Counted(monkeypatch), np.array([[1, 2, 3], [4, 5, 6]])
    more: list[dict[str, Any]] = [
        {"mask": np.ones(3, bool)},
        {"positions": np.arange(3)},
        {"trace": Trace()},
        {"cache": KeyValueCache(CONTEXT)},
        {"last_only": True},
    ]
    for options in more:
        model(ids, **options)
    model.loss(ids, ids, hold_logits=False)
    assert counted.num_calls == 0
    model(ids)
    model(ids, generator=np.random.default_rng(0))  # there is nothing to drop
    model.loss(ids, ids)
    assert counted.num_calls == (3 if kind in PLAIN else 0)
    model.dropout.p = 0.5
    model(ids, generator=np.random.default_rng(0))
    assert counted.num_calls == (3 if kind in PLAIN else 0)


def test_a_complex_model_or_one_of_another_class_takes_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, ids = Counted(monkeypatch), np.array([[1, 2]])
    tiny("learned").astype(np.complex128)(ids)
    for part in ("model.dropout", "block.add_attention.dropout", "block.attention", "model"):
        model = tiny("learned")
        other = attrgetter(part)(SimpleNamespace(model=model, block=model.blocks[0]))
        members = {"_features": lambda *a, **o: (np.ones((1, 2, 4)), None)} if part == "model" else {}
        other.__class__ = type("Other", (type(other),), members)
        model(ids)
    assert counted.num_calls == 0


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("tied_head", [True, False])
def test_its_errors_are_those_of_the_layers(tied_head: bool) -> None:
    model, ids = tiny("learned", tied_head=tied_head), np.array([[1, 2]])
    good = np.ones((1, 2, VOCABULARY))
    wrong: list[Any] = [good[0], good.astype(np.float32), good.tolist(), good.astype(complex), None]
    for dlogits in wrong:
        raised = []
        for logits, backward in (model(ids), as_layers(model, ids)):
            assert logits.shape == good.shape
            with pytest.raises((TypeError, ValueError)) as error:
                backward(dlogits)
            raised.append((error.type, str(error.value)))
        assert raised[0] == raised[1]
    assert not model.grads.any()
