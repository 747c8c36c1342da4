import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import LayerNorm, Trace, TransformerBlock
from scratchformer.models import Transformer, TransformerConfig
from scratchformer.ops import cross_entropy, dropout, padding_mask
from tests.closeness import assert_close
from tests.gradients import check_op, with_random_values
from tests.models.every_model import (
    as_op_of,
    assert_comes_back,
    assert_nothing_counts,
    assert_shares_add,
    assert_starts_normal,
    assert_stays_tied,
    assert_weights,
    with_values_of,
)
from tests.strategies import normal, seeds

few = settings(max_examples=4)
norm_orders = pytest.mark.parametrize("norm_first", [False, True])
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def transformer(seed: int = 0, **options: Any) -> Transformer:
    sizes = {"vocabulary_size": 7, "num_layers": 2, "num_heads": 2, "d_model": 4, "d_hidden": 5, "dropout": 0.0}
    return Transformer(TransformerConfig(**sizes | options), generator=np.random.default_rng(seed))


def random_transformer(seed: int = 0, **options: Any) -> Transformer:
    return with_random_values(transformer(seed, **options), seed, 0.7)


def sines(length: int, d_model: int) -> ndarray:
    table = np.empty((length, d_model))
    for t in range(length):
        for i in range(d_model // 2):
            angle = t / 10_000 ** (2 * i / d_model)
            table[t, 2 * i], table[t, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return table


@norm_orders
@given(
    p=st.sampled_from([0.0, 0.3]),
    lengths=st.sampled_from([None, np.array([3, 2])]),
    activation=st.sampled_from(["relu", "gelu", "swiglu"]),
    bias=st.booleans(),
    seed=seeds,
)
@few
def test_it_equals_the_formula(
    norm_first: bool, p: float, lengths: ndarray | None, activation: str, bias: bool, seed: int
) -> None:
    options = {"norm_first": norm_first, "dropout": p, "bias": bias, "activation": activation}
    model = random_transformer(seed, **options)
    table = model.parameters()["token_embedding.table"].value
    source = np.random.default_rng(seed).integers(0, 7, (2, 3))
    ids = np.random.default_rng(seed).integers(0, 7, (2, 5))
    mask = None if lengths is None else padding_mask(lengths, 3)
    generator, fresh = np.random.default_rng(seed), np.random.default_rng(0)

    def embedded(ids: ndarray) -> ndarray:
        return dropout(2.0 * table[ids] + sines(ids.shape[1], 4), p, generator)[0]  # 2 is the square root of 4

    def last_normed(x: ndarray, name: str) -> ndarray:
        return with_values_of(model, name, LayerNorm(4, bias=bias))(x)[0] if norm_first else x

    x = embedded(source)
    for i in range(2):
        block = TransformerBlock(4, 2, 5, **options, generator=fresh)
        x, _ = with_values_of(model, f"encoder.{i}", block)(x, mask, generator=generator)
    memory = last_normed(x, "encoder_norm")
    y = embedded(ids)
    for i in range(2):
        block = TransformerBlock(4, 2, 5, cross_attention=True, **options, generator=fresh)
        block = with_values_of(model, f"decoder.{i}", block)
        y, _ = block(y, None, memory, mask, is_causal=True, generator=generator)
    expected = last_normed(y, "decoder_norm") @ table.T

    trace = Trace()
    logits, _ = model(source, ids, source_lengths=lengths, generator=np.random.default_rng(seed), trace=trace)
    assert_close(trace["memory"], memory, 1e-12)
    assert_close(logits, expected, 1e-12)
    if p == 0:
        np.testing.assert_array_equal(model(source, ids, source_lengths=lengths)[0], logits)


@norm_orders
@dtypes
@given(length=st.integers(2, 9), seed=seeds)
@few
def test_later_target_tokens_change_no_logit_bit_for_bit(norm_first: bool, dtype: type, length: int, seed: int) -> None:
    model, generator = random_transformer(seed, norm_first=norm_first).astype(dtype), np.random.default_rng(seed)
    source, ids = generator.integers(0, 7, (2, 3)), generator.integers(0, 7, (2, length))
    known = int(generator.integers(1, length))
    other = ids.copy()
    other[:, known:] = (ids[:, known:] + generator.integers(1, 7, (2, length - known))) % 7
    logits, other_logits = model(source, ids)[0], model(source, other)[0]
    assert logits.dtype == dtype
    np.testing.assert_array_equal(logits[:, :known], other_logits[:, :known])
    assert (logits[:, known] != other_logits[:, known]).any()


@norm_orders
@dtypes
@given(lengths=st.lists(st.integers(0, 8), min_size=1, max_size=3).map(np.array), seed=seeds)
@few
def test_padding_of_the_source_changes_nothing_bit_for_bit(
    norm_first: bool, dtype: type, lengths: ndarray, seed: int
) -> None:
    model, generator = random_transformer(seed, norm_first=norm_first).astype(dtype), np.random.default_rng(seed)
    source, noise = generator.integers(0, 7, (2, len(lengths), 9))
    ids = generator.integers(0, 7, (len(lengths), 4))
    real = np.arange(9) < lengths[:, None]
    noise[:, -1] = (source[:, -1] + 1) % 7
    other = np.where(real, source, noise)
    logits, _ = model(source, ids, source_lengths=lengths)
    np.testing.assert_array_equal(logits, model(other, ids, source_lengths=lengths)[0])
    assert (logits != model(source, ids)[0]).any()
    for row, length in enumerate(lengths):
        if length:
            alone, _ = model(source[row, :length], ids[row])
            assert_close(logits[row], alone, 1e-3 if dtype == np.float32 else 1e-12)


@norm_orders
def test_order_matters_on_both_sides_and_the_encoder_looks_both_ways(norm_first: bool) -> None:
    model = random_transformer(norm_first=norm_first, num_layers=1)

    def last(source: list[int], ids: list[int]) -> ndarray:
        return model(np.array([source]), np.array([ids]))[0][0, -1]

    for other in (last([2, 1, 3], [4, 5, 6]), last([1, 2, 3], [5, 4, 6])):
        assert np.abs(other - last([1, 2, 3], [4, 5, 6])).max() > 1e-9
    (first, _), (other_first, _) = model.encode(np.array([1, 2, 3])), model.encode(np.array([1, 2, 4]))
    assert np.abs(first[0] - other_first[0]).max() > 1e-9


@norm_orders
@given(seed=seeds)
@few
def test_calling_is_encoding_and_decoding(norm_first: bool, seed: int) -> None:
    model, generator = random_transformer(seed, norm_first=norm_first), np.random.default_rng(seed)
    source, ids = generator.integers(0, 7, (2, 3)), generator.integers(0, 7, (2, 4))
    lengths = np.array([2, 3])
    logits, backward = model(source, ids, source_lengths=lengths)
    (dlogits,) = normal(seed, logits.shape)
    assert backward(dlogits) is None
    grads = model.grads.copy()
    model.grads[...] = 0

    mask = padding_mask(lengths, 3)
    memory, encoder_backward = model.encode(source, mask)
    decoded, decoder_backward = model.decode(ids, memory, mask)
    np.testing.assert_array_equal(decoded, logits)
    dmemory = decoder_backward(dlogits)
    assert dmemory.shape == memory.shape
    assert encoder_backward(dmemory) is None
    np.testing.assert_array_equal(model.grads, grads)

    cache = model.new_cache(source, lengths, capacity=4)
    np.testing.assert_array_equal(cache.memory, memory)
    np.testing.assert_array_equal(cache.memory_mask, mask)
    for t in range(4):
        assert_close(model.decode(ids[:, t : t + 1], cache=cache)[0], logits[:, t : t + 1], 1e-12)


@given(seed=seeds)
@few
def test_decoding_takes_padding_on_the_left_by_a_mask_and_positions(seed: int) -> None:
    model, generator = random_transformer(seed), np.random.default_rng(seed)
    memory, _ = model.encode(generator.integers(0, 7, (2, 3)))
    ids = generator.integers(0, 7, (2, 4))
    logits, _ = model.decode(ids, memory)
    np.testing.assert_array_equal(model.decode(ids, memory, positions=np.arange(4))[0], logits)
    assert np.abs(model.decode(ids, memory, positions=np.arange(4) + 1)[0] - logits).max() > 1e-9
    padding = generator.integers(0, 7, (2, 2))
    padded = np.concatenate([padding, ids], axis=1)
    positions = np.tile([0, 0, 0, 1, 2, 3], (2, 1))
    shifted, _ = model.decode(padded, memory, mask=np.arange(6) > 1, positions=positions)
    assert_close(shifted[:, 2:], logits, 1e-12)


@pytest.mark.parametrize(("norm", "norm_first"), [("layer", False), ("rms", True)])
@given(seed=seeds)
@settings(max_examples=1)
def test_the_gradient_of_the_table_comes_through_two_blocks_on_both_sides(
    norm: str, norm_first: bool, seed: int
) -> None:
    model = random_transformer(seed, vocabulary_size=3, norm=norm, norm_first=norm_first, activation="silu")
    source, ids, targets = np.random.default_rng(seed).integers(0, 3, (3, 2, 3))
    targets[0, 1] = -1

    def loss(model: Transformer) -> tuple:
        return model.loss(source, ids, targets, ignore_index=-1, source_lengths=np.array([3, 2]))

    table = model.token_embedding.table.value.copy()
    check_op(as_op_of(model, "token_embedding.table", loss), table, seed=seed)


@given(seed=seeds)
@settings(max_examples=1)
def test_the_gradient_of_the_memory_comes_from_every_block(seed: int) -> None:
    model, ids = random_transformer(seed, activation="silu"), np.array([[1, 2, 3]])
    mask = np.array([True, True, False])
    (memory,) = normal(seed, (1, 3, 4))

    def decode(memory: ndarray) -> tuple:
        return model.astype(memory.dtype).decode(ids, memory, mask)

    check_op(decode, memory, seed=seed)


@given(smoothing=st.sampled_from([0.0, 0.2]), ignore_index=st.sampled_from([-100, 3]), seed=seeds)
@few
def test_loss_is_the_cross_entropy_of_the_logits(smoothing: float, ignore_index: int, seed: int) -> None:
    model, generator = random_transformer(seed, dropout=0.3), np.random.default_rng(seed)
    source, ids, targets = generator.integers(0, 7, (3, 2, 4))
    targets[0, 0], targets[1, 1] = ignore_index, 1
    of_loss = {"ignore_index": ignore_index, "label_smoothing": smoothing}
    lengths = np.array([4, 2])
    for seeded in (lambda: None, lambda: np.random.default_rng(seed)):
        loss, _ = model.loss(source, ids, targets, source_lengths=lengths, generator=seeded(), **of_loss)
        logits, _ = model(source, ids, source_lengths=lengths, generator=seeded())
        assert loss == cross_entropy(logits, targets, **of_loss)[0]


def test_shares_of_a_batch_add_to_the_whole() -> None:
    model, generator = random_transformer(), np.random.default_rng(0)
    source, ids, targets = generator.integers(0, 7, (3, 3, 4))
    targets[0, 1], targets[1, :3], targets[2, 1:3] = -100, -100, -100

    def loss(targets: ndarray, source: ndarray, ids: ndarray, lengths: ndarray) -> tuple:
        return model.loss(source, ids, targets, source_lengths=lengths)

    assert_shares_add(model, loss, targets, source, ids, np.array([4, 4, 3]))


@norm_orders
@dtypes
def test_no_counted_target_gives_loss_zero_and_no_gradient(norm_first: bool, dtype: type) -> None:
    model = random_transformer(norm_first=norm_first).astype(dtype)
    ids = np.zeros((2, 3), np.int64)
    assert_nothing_counts(model, lambda: model.loss(ids, ids, np.full_like(ids, -100)))
    assert_nothing_counts(model, lambda: model.loss(ids[:0], ids[:0], ids[:0]))


def test_sizes_default_to_those_of_the_base_model() -> None:
    config = TransformerConfig(37_000)
    assert (config.num_layers, config.num_heads, config.d_model, config.d_hidden) == (6, 8, 512, 2048)
    assert (config.dropout, config.norm_first, config.norm) == (0.1, False, "layer")
    assert (config.activation, config.bias) == ("relu", True)


def shapes_of_attention(name: str) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}_norm.weight": (4,),
        f"{name}_norm.bias": (4,),
        f"{name}.query.weight": (4, 4),
        f"{name}.query.bias": (4,),
        f"{name}.key_value.weight": (4, 8),
        f"{name}.key_value.bias": (8,),
        f"{name}.output.weight": (4, 4),
        f"{name}.output.bias": (4,),
    }


def shapes_of_feed_forward(name: str) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}_norm.weight": (4,),
        f"{name}_norm.bias": (4,),
        f"{name}.up.weight": (4, 5),
        f"{name}.up.bias": (5,),
        f"{name}.down.weight": (5, 4),
        f"{name}.down.bias": (4,),
    }


@norm_orders
@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("bias", [True, False])
def test_parameters_have_these_names_and_shapes(norm_first: bool, norm: str, bias: bool) -> None:
    shapes = {
        "token_embedding.table": (7, 4),
        **shapes_of_attention("encoder.0.attention"),
        **shapes_of_feed_forward("encoder.0.feed_forward"),
        "encoder_norm.weight": (4,),
        "encoder_norm.bias": (4,),
        **shapes_of_attention("decoder.0.attention"),
        **shapes_of_attention("decoder.0.cross_attention"),
        **shapes_of_feed_forward("decoder.0.feed_forward"),
        "decoder_norm.weight": (4,),
        "decoder_norm.bias": (4,),
    }

    def is_there(name: str) -> bool:
        if name.startswith(("encoder_norm", "decoder_norm")) and not norm_first:
            return False
        return not name.endswith("bias") or (bias and not (norm == "rms" and name.endswith("norm.bias")))

    expected = {name: shape for name, shape in shapes.items() if is_there(name)}
    model = transformer(num_layers=1, norm_first=norm_first, norm=norm, bias=bias)
    assert {name: parameter.value.shape for name, parameter in model.parameters().items()} == expected
    assert model.values.size == sum(math.prod(shape) for shape in expected.values())
    assert model.num_decayed == sum(math.prod(shape) for shape in expected.values() if len(shape) == 2)
    assert model.values.dtype == np.float32


def test_the_table_starts_with_one_over_the_root_of_its_width_and_maps_as_linear_ones() -> None:
    options = {"vocabulary_size": 200, "d_model": 64, "d_hidden": 100, "norm_first": True}
    model = transformer(**options)

    def std(name: str, shape: tuple[int, ...]) -> float:
        return 1 / math.sqrt(64 if name == "token_embedding.table" else shape[0])

    assert_starts_normal(model, std)
    assert (model.values == transformer(**options).values).all()
    assert (model.values != transformer(1, **options).values).any()


def test_the_head_stays_tied_to_the_table() -> None:
    assert_stays_tied(transformer(), lambda model: (model.head.table, model.token_embedding.table))


@norm_orders
@pytest.mark.parametrize("norm", ["layer", "rms"])
@dtypes
def test_a_saved_model_comes_back(tmp_path: Path, norm_first: bool, norm: str, dtype: type) -> None:
    model = random_transformer(norm_first=norm_first, norm=norm, activation="swiglu").astype(dtype)
    ids = np.array([[0, 1, 2]])
    assert_comes_back(tmp_path, model, lambda model: model(ids, ids)[0])


@norm_orders
def test_a_trace_holds_intermediates_and_their_gradients(norm_first: bool) -> None:
    model, trace = random_transformer(norm_first=norm_first), Trace()
    source, ids = np.array([[0, 1, 2], [3, 4, 5]]), np.array([[0, 1, 2, 3], [3, 4, 5, 6]])
    loss, backward = model.loss(source, ids, ids, source_lengths=np.array([3, 2]), trace=trace)
    names = list(trace)
    assert names[-2:] == ["logits", "loss"]
    parts = {".".join(name.split(".")[:2]) for name in names if "." in name}
    assert parts == {"encoder.0", "encoder.1", "decoder.0", "decoder.1"}
    assert names.index("encoder.1.residual") < names.index("memory") < names.index("decoder.0.attention.weights")
    for i in range(2):
        of_encoder = trace[f"encoder.{i}.attention.weights"]
        assert_weights(of_encoder, (2, 2, 3, 3))
        assert of_encoder[0, :, 0].all()
        of_decoder = trace[f"decoder.{i}.attention.weights"]
        assert_weights(of_decoder, (2, 2, 4, 4))
        assert not np.triu(of_decoder, 1).any()
        across = trace[f"decoder.{i}.cross_attention.weights"]
        assert_weights(across, (2, 2, 4, 3))
        assert across[0].all()
        for weights in (of_encoder, across):
            assert not weights[1, :, :, 2].any()
    np.testing.assert_array_equal(trace["logits"], model(source, ids, source_lengths=np.array([3, 2]))[0])
    assert trace["loss"] == loss
    backward()
    np.testing.assert_array_equal(trace["dlogits"], cross_entropy(trace["logits"], ids)[1]())
    assert trace["dmemory"].shape == trace["memory"].shape
    assert not trace["dmemory"][1, 2].any()
    assert {"encoder.0.attention.dquery", "decoder.0.cross_attention.dkey"} < trace.keys()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        *(
            ({size: 0}, f"{size} must be at least 1, got 0")
            for size in ("vocabulary_size", "num_layers", "num_heads", "d_model", "d_hidden")
        ),
        ({"dropout": 1.5}, r"dropout must lie in \[0, 1\), got 1.5"),
        ({"num_heads": 3}, "d_model 4 must be even and a multiple of num_heads 3"),
        ({"num_heads": 1, "d_model": 3}, "d_model 3 must be even and a multiple of num_heads 1"),
        ({"norm": "batch"}, r"norm must be one of \['layer', 'rms'\], got 'batch'"),
        (
            {"activation": "tanh"},
            r"activation must be one of \['gelu', 'gelu_tanh', 'relu', 'silu', 'geglu', 'swiglu'\], got 'tanh'",
        ),
    ],
)
def test_errors_name_the_option(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^TransformerConfig: {sentence}$"):
        transformer(**options)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    model, ids = transformer(), np.array([[0, 1, 2], [3, 4, 5]])
    memory, _ = model.encode(ids)
    calls = {
        "source": [lambda source: model(source, ids), model.encode, lambda source: model.new_cache(source, capacity=1)],
        "ids": [lambda target: model(ids, target), lambda target: model.decode(target, memory)],
    }
    for name, functions in calls.items():
        for call in functions:
            with pytest.raises(ValueError, match=f"^Transformer: {name} holds 7, expected 0 to 6$"):
                call(ids + 2)
            with pytest.raises(ValueError, match=f"^Transformer: {name} holds -1, expected 0 to 6$"):
                call(ids - 1)
            with pytest.raises(TypeError, match=f"^Transformer: {name} must be an integer array, got float64$"):
                call(ids * 1.0)
            with pytest.raises(TypeError, match=f"^Transformer: {name} must be an integer array, got list$"):
                call([0, 1])
            with pytest.raises(ValueError, match=rf"^Transformer: {name} must have at least 1 dimension\(s\), got"):
                call(np.array(1))
    for call in (
        lambda lengths: model(ids, ids, source_lengths=lengths),
        lambda lengths: model.loss(ids, ids, ids, source_lengths=lengths),
        lambda lengths: model.new_cache(ids, lengths, capacity=1),
    ):
        with pytest.raises(ValueError, match=r"^padding_mask: lengths holds 4, expected 0 to 3$"):
            call(np.array([4, 3]))
        with pytest.raises(TypeError, match=r"^padding_mask: lengths must be an integer array, got list$"):
            call([3, 3])
        with pytest.raises(ValueError, match=r"^Transformer: source_lengths must have shape \(2,\), got \(1,\)$"):
            call(np.array([3]))
    with pytest.raises(TypeError, match=r"^Transformer: source must be an integer array, got list$"):
        model([0, 1], ids, source_lengths=np.array([2, 2]))
    with pytest.raises(
        ValueError, match=r"^Transformer: memory is None, expected the encoder's output or a cache that holds it$"
    ):
        model.decode(ids)
    for shape in ((), (1,), (1, 3)):
        expected = rf"Transformer: positions has shape {shape}, expected (3,) or that of ids (2, 3)"
        with pytest.raises(ValueError, match=expected.replace("(", r"\(").replace(")", r"\)")):
            model.decode(ids, memory, positions=np.zeros(shape, np.int64))
    with pytest.raises(
        TypeError, match=r"^sinusoidal_positions: positions must be an integer or floating array, got <U1$"
    ):
        model.decode(ids, memory, positions=np.array(["a", "b", "c"]))
    with pytest.raises(ValueError, match=r"^cross_entropy: targets must have shape \(2, 3\), got \(2, 2\)$"):
        model.loss(ids, ids, ids[:, :2])
    cache = model.new_cache(ids, capacity=3)
    _, backward = model.decode(ids, cache=cache)
    with pytest.raises(TypeError, match=r"^cache: a forward pass through a key-value cache has no backward; "):
        backward(memory)
