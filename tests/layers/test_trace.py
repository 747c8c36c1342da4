from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.layers import (
    NO_TRACE,
    AttentionConfig,
    FeedForward,
    MultiHeadAttention,
    Trace,
    multi_head_attention,
)
from scratchformer.models import GPT
from scratchformer.ops import attention_weights, gelu, silu
from tests.closeness import assert_close
from tests.gradients import with_random_values
from tests.strategies import normal, seeds
from tests.training.setting import tiny_gpt

IDS = np.array([[0, 1, 2, 3], [4, 5, 6, 0], [1, 1, 2, 6]])
TARGETS = np.roll(IDS, -1, axis=1)
BLOCK = [
    "attention_norm",
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.weights",
    "attention.heads",
    "attention.output",
    "residual_after_attention",
    "feed_forward_norm",
    "feed_forward.hidden",
    "feed_forward.activations",
    "feed_forward.output",
    "residual",
]


def traced(model: GPT, *patterns: str) -> Trace:
    trace = Trace(*patterns)
    _, backward = model.loss(IDS, TARGETS, trace=trace)
    backward()
    return trace


def test_every_intermediate_is_recorded_in_the_order_of_the_computation() -> None:
    trace = Trace()
    _, backward = tiny_gpt(num_layers=2).loss(IDS, TARGETS, trace=trace)
    blocks = [f"blocks.{i}.{name}" for i in range(2) for name in BLOCK]
    forward = ["embedded", *blocks, "normed", "logits", "loss"]
    assert list(trace.arrays) == forward
    backward()
    gradients = list(trace.arrays)[len(forward) :]
    without = ("loss", "blocks.0.attention.weights", "blocks.1.attention.weights")
    assert {name for name in forward if name not in without} == {_undone(name) for name in gradients}
    for name in gradients:
        assert trace[name].shape == trace[_undone(name)].shape


def _undone(gradient: str) -> str:
    *path, last = gradient.split(".")
    return ".".join([*path, last.removeprefix("d")])


def test_a_trace_changes_no_bit() -> None:
    plain, watched = tiny_gpt(dropout=0.3, num_layers=2), tiny_gpt(dropout=0.3, num_layers=2)
    results = []
    for model, trace in ((plain, NO_TRACE), (watched, Trace())):
        loss, backward = model.loss(IDS, TARGETS, generator=np.random.default_rng(0), trace=trace)
        backward()
        results.append(loss)
    assert results[0] == results[1]
    np.testing.assert_array_equal(plain.grads, watched.grads)


def test_the_forward_values_are_what_their_names_say() -> None:
    model = tiny_gpt(num_layers=2)
    trace = traced(model)
    stream = model.token_embedding.table.value[IDS] + model.position_embedding.table.value[:4]
    assert_close(trace["embedded"], stream, 1e-12)
    for i, block in enumerate(model.blocks):
        part = {name: trace[f"blocks.{i}.{name}"] for name in BLOCK}
        query, key, value = (part[f"attention.{name}"] for name in ("query", "key", "value"))
        assert query.shape == (3, 2, 4, 2)
        expected, _ = attention_weights(query, key, is_causal=True)
        np.testing.assert_array_equal(part["attention.weights"], expected)
        assert_close(part["attention.heads"], expected @ value, 1e-12)
        assert_close(part["residual_after_attention"], stream + part["attention.output"], 1e-12)
        np.testing.assert_array_equal(
            part["feed_forward_norm"], block.feed_forward_norm(stream + part["attention.output"])[0]
        )
        np.testing.assert_array_equal(
            part["feed_forward.activations"], gelu(part["feed_forward.hidden"], approximate="tanh")[0]
        )
        stream = part["residual_after_attention"] + part["feed_forward.output"]
        assert_close(part["residual"], stream, 1e-12)
    np.testing.assert_array_equal(trace["logits"], model(IDS)[0])
    np.testing.assert_array_equal(trace["loss"], model.loss(IDS, TARGETS)[0])


def test_the_gradients_are_those_that_the_biases_behind_them_get() -> None:
    model = tiny_gpt(num_layers=2)
    trace = traced(model)
    for i, block in enumerate(model.blocks):
        path = f"blocks.{i}."
        for name, bias in {
            "dattention_norm": block.attention_norm.bias,
            "dfeed_forward_norm": block.feed_forward_norm.bias,
            "feed_forward.dhidden": block.feed_forward.up.bias,
            "feed_forward.doutput": block.feed_forward.down.bias,
            "dresidual": block.feed_forward.down.bias,
            "attention.doutput": block.attention.output.bias,
            "dresidual_after_attention": block.attention.output.bias,
        }.items():
            assert_close(trace[path + name].sum(axis=(0, 1)), bias.grad, 1e-12, name)
        for name, gradient in {
            "dquery": block.attention.query.bias.grad,
            "dvalue": block.attention.key_value.bias.grad[4:],
        }.items():
            assert_close(trace[f"{path}attention.{name}"].sum(axis=(0, 2)).ravel(), gradient, 1e-11, name)
        dactivations = trace[path + "feed_forward.doutput"] @ block.feed_forward.down.weight.value.T
        assert_close(trace[path + "feed_forward.dactivations"], dactivations, 1e-12)
        _, weights_backward = attention_weights(
            trace[path + "attention.query"], trace[path + "attention.key"], is_causal=True
        )
        dweights = trace[path + "attention.dheads"] @ trace[path + "attention.value"].swapaxes(-1, -2)
        assert_close(trace[path + "attention.dkey"], weights_backward(dweights)[1], 1e-12)
    assert_close(trace["dnormed"].sum(axis=(0, 1)), model.norm.bias.grad, 1e-12)
    assert_close(trace["dlogits"] @ model.token_embedding.table.value, trace["dnormed"], 1e-12)
    assert_close(trace["dembedded"].sum(axis=0), model.position_embedding.table.grad[:4], 1e-12)


def test_patterns_choose_what_is_recorded() -> None:
    model = tiny_gpt(num_layers=2)
    assert list(traced(model, "*.attention.weights").arrays) == [f"blocks.{i}.attention.weights" for i in range(2)]
    assert list(traced(model, "embedded", "blocks.1.*residual").arrays) == [
        "embedded",
        "blocks.1.residual",
        "blocks.1.dresidual",
    ]


def test_attention_weights_are_computed_again_only_if_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("nobody asked for the weights")

    monkeypatch.setattr(multi_head_attention, "attention_weights", refuse)
    model = tiny_gpt()
    model(IDS)
    model(IDS, trace=Trace("*residual"))
    with pytest.raises(AssertionError, match="nobody asked"):
        model(IDS, trace=Trace())


def test_a_name_that_was_not_recorded_is_an_error_that_offers_another() -> None:
    trace = Trace("embedded")
    with pytest.raises(KeyError, match="nothing was recorded as 'embedded' among 0 names"):
        trace["embedded"]
    tiny_gpt()(IDS, trace=trace)
    with pytest.raises(KeyError, match=r"nothing was recorded as 'embeded'; did you mean 'embedded'\?"):
        trace["embeded"]
    assert list(trace) == ["embedded"]
    assert len(trace) == 1
    assert "logits" not in trace


def test_the_backward_pass_is_recorded_in_the_order_of_the_computation() -> None:
    gradients = [name for name in traced(tiny_gpt()).arrays if name.rpartition(".")[2].startswith("d")]
    names = ["dresidual", "feed_forward.doutput", "feed_forward.dactivations", "feed_forward.dhidden"]
    names += ["dfeed_forward_norm", "dresidual_after_attention"]
    names += [f"attention.{name}" for name in ("doutput", "dheads", "dquery", "dkey", "dvalue")]
    assert gradients == [
        "dlogits",
        "dnormed",
        *(f"blocks.0.{name}" for name in [*names, "dattention_norm"]),
        "dembedded",
    ]


@given(
    num_kv_heads=st.sampled_from([1, 2, 4]),
    is_cross=st.booleans(),
    is_causal=st.booleans(),
    window=st.sampled_from([None, 2]),
    scale=st.sampled_from([None, 0.3]),
    method=st.sampled_from(["dense", "blockwise"]),
    seed=seeds,
)
def test_recorded_weights_are_those_with_which_each_head_looked_at_its_values(
    num_kv_heads: int, is_cross: bool, is_causal: bool, window: int | None, scale: float | None, method: str, seed: int
) -> None:
    options = {"num_kv_heads": num_kv_heads, "d_value": 6, "scale": scale, "method": method}
    config = AttentionConfig(4, 4, window=None if is_cross else window, **options)
    layer = with_random_values(MultiHeadAttention(config, generator=np.random.default_rng(0)), seed)
    x, memory, scores = normal(seed, (2, 3, 4), (2, 5, 4), (2, 1, 3, 5 if is_cross else 3))
    trace = Trace()
    layer(x, memory if is_cross else None, scores < 0.8, is_causal=is_causal, trace=trace)
    value = np.repeat(trace["value"], 4 // num_kv_heads, axis=-3)
    assert_close(trace["heads"], trace["weights"] @ value, 1e-11)


@pytest.mark.parametrize(("activation", "op"), [("swiglu", silu), ("geglu", gelu)])
def test_a_gated_map_records_both_factors_and_their_gradients(activation: str, op: Callable) -> None:
    layer = FeedForward(3, 4, activation=activation, generator=np.random.default_rng(0)).astype(np.float64)
    x, dy = normal(0, (2, 3), (2, 3))
    trace = Trace()
    layer(x, trace=trace)[1](dy)
    gate, u = np.split(x @ layer.up.weight.value, 2, axis=-1)
    a, activation_backward = op(gate)
    dgated = dy @ layer.down.weight.value.T
    for name, expected in {
        "hidden": np.hstack([gate, u]),
        "activations": a * u,
        "dactivations": dgated,
        "dhidden": np.hstack([activation_backward(dgated * u), dgated * a]),
    }.items():
        assert_close(trace[name], expected, 1e-13, name)


def test_of_two_arrays_of_one_name_the_last_is_kept() -> None:
    trace, last = Trace(), np.ones(1)
    trace.record(x=np.zeros(1))
    trace.record(x=last)
    assert trace["x"] is last
