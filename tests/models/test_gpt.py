import math
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import BlockConfig, LayerNorm, Rotary, TransformerBlock
from scratchformer.layers.feed_forward import GATED, Activation
from scratchformer.models import GPT, GPTConfig
from scratchformer.models.positions import Positions
from scratchformer.ops import alibi_bias, dropout, relative_buckets, sinusoidal_positions
from scratchformer.training import load, model_checkpoint, write_checkpoint
from tests.closeness import assert_close
from tests.gradients import with_random_values
from tests.models.every_model import assert_starts_normal, with_values_of
from tests.models.test_gpt_gradients import tiny_gpt
from tests.strategies import seeds

few = settings(max_examples=5)


def gpt(*, seed: int = 0, dtype: type = np.float32, **options: object) -> GPT:
    sizes = {"vocabulary_size": 200, "context_length": 100, "num_layers": 3, "num_heads": 4, "d_model": 64}
    return GPT(GPTConfig(**sizes | options), generator=np.random.default_rng(seed), dtype=dtype)


@pytest.mark.parametrize("positions", get_args(Positions))
@given(
    bias=st.booleans(),
    tied_head=st.booleans(),
    norm_first=st.booleans(),
    activation=st.sampled_from(get_args(Activation)),
    p=st.sampled_from([0.0, 0.3]),
    eps=st.sampled_from([1e-12, 0.2]),
    seed=seeds,
)
@few
def test_logits_are_blocks_between_embeddings_and_head(
    positions: Positions,
    bias: bool,
    tied_head: bool,
    norm_first: bool,
    activation: Activation,
    p: float,
    eps: float,
    seed: int,
) -> None:
    shared = {"norm_first": norm_first, "activation": activation, "dropout": p, "bias": bias, "eps": eps}
    made = tiny_gpt(tied_head=tied_head, num_layers=2, d_hidden=6, positions=positions, context_length=20, **shared)
    model = with_random_values(made, seed)
    value = {name: parameter.value for name, parameter in model.parameters().items()}
    generator, fresh = np.random.default_rng(seed), np.random.default_rng(0)
    ids = fresh.integers(0, 5, (2, 18))  # so long that distances share buckets
    x, mask, turned = value["token_embedding.table"][ids], None, None
    if positions == "learned":
        x = x + value["position_embedding.table"][:18]
    elif positions == "sinusoidal":
        x = math.sqrt(4) * x + sinusoidal_positions(np.arange(18), 4, dtype=np.float64)
    elif positions == "rotary":
        turned = Rotary()
    elif positions == "alibi":
        mask = alibi_bias(2, 18, 18, dtype=np.float64)
    elif positions == "relative":
        mask = value["position_embedding.table"].T[:, relative_buckets(18, 18, bidirectional=False)]
    x, _ = dropout(x, p, generator)
    for i in range(2):
        block = TransformerBlock(BlockConfig(4, 2, 6, rotary=turned, **shared), generator=fresh)
        x, _ = with_values_of(model, f"blocks.{i}", block)(x, mask, is_causal=True, generator=generator)
    if norm_first:
        x, _ = with_values_of(model, "norm", LayerNorm(4, bias=bias, eps=eps))(x)
    head = value["token_embedding.table"].T if tied_head else value["head.weight"]
    assert_close(model(ids, generator=np.random.default_rng(seed))[0], x @ head, 1e-12)


@pytest.mark.parametrize(
    ("positions", "own"),
    [
        ("learned", {"position_embedding.table": (4, 4)}),
        ("sinusoidal", {}),
        ("rotary", {}),
        ("alibi", {}),
        ("relative", {"position_embedding.table": (32, 2)}),
        ("none", {}),
    ],
)
def test_parameters_are_those_of_the_blocks_and_of_the_positions(
    positions: Positions, own: dict[str, tuple[int, int]]
) -> None:
    model = tiny_gpt(positions=positions, bias=False)
    shapes = {name: parameter.value.shape for name, parameter in model.parameters().items()}
    assert shapes == {
        "token_embedding.table": (5, 4),
        **own,
        "blocks.0.attention_norm.weight": (4,),
        "blocks.0.attention.query.weight": (4, 4),
        "blocks.0.attention.key_value.weight": (4, 8),
        "blocks.0.attention.output.weight": (4, 4),
        "blocks.0.feed_forward_norm.weight": (4,),
        "blocks.0.feed_forward.up.weight": (4, 16),
        "blocks.0.feed_forward.down.weight": (16, 4),
        "norm.weight": (4,),
    }
    assert model.values.size == sum(math.prod(shape) for shape in shapes.values())


@pytest.mark.parametrize("activation", get_args(Activation))
def test_post_norm_has_no_last_norm_and_a_gate_leaves_the_size_nearly_as_it_is(activation: Activation) -> None:
    model = gpt(norm_first=False, activation=activation)
    assert not any(name.startswith("norm.") for name in model.parameters())
    hidden = 176 if activation in GATED else 256
    assert model.parameters()["blocks.2.feed_forward.down.weight"].value.shape == (hidden, 64)
    assert model.values.size == pytest.approx(gpt().values.size, rel=0.02)


def test_a_checkpoint_from_before_there_were_options_still_loads(tmp_path: Path) -> None:
    model, ids = gpt(), np.array([[3, 1, 2]])
    checkpoint = model_checkpoint(model)
    for name in ("positions", "norm_first", "activation", "eps", "d_hidden"):
        del checkpoint.description["model"]["config"][name]
    checkpoint.description["scratchformer"] = "0.0"
    write_checkpoint(tmp_path / "old.safetensors", checkpoint)
    loaded = load(tmp_path / "old.safetensors")
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded(ids)[0], model(ids)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(length=st.integers(2, 20), tied_head=st.booleans(), seed=seeds)
@few
def test_later_tokens_change_no_logit_bit_for_bit(dtype: type, length: int, tied_head: bool, seed: int) -> None:
    model = gpt(seed=seed, dtype=dtype, tied_head=tied_head)
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, 200, (2, length))
    known = int(generator.integers(1, length))
    other = ids.copy()
    other[:, known:] = (ids[:, known:] + generator.integers(1, 200, (2, length - known))) % 200
    logits, other_logits = model(ids)[0], model(other)[0]
    np.testing.assert_array_equal(logits[:, :known], other_logits[:, :known])
    assert (logits[:, known] != other_logits[:, known]).any()


@pytest.mark.parametrize("positions", ["learned", "relative"])
def test_initialisation_is_that_of_gpt_2(positions: Positions) -> None:
    model = gpt(tied_head=False, positions=positions)

    def std(name: str, shape: tuple[int, ...]) -> float:
        is_last_of_branch = name.endswith(("attention.output.weight", "feed_forward.down.weight"))
        return 0.02 / math.sqrt(2 * 3) if is_last_of_branch else 0.02

    assert_starts_normal(model, std)
    first, second = (model.parameters()[f"blocks.{i}.attention.query.weight"].value for i in (0, 1))
    assert (first != second).any()


def test_loss_of_a_new_model_is_that_of_a_uniform_guess() -> None:
    generator = np.random.default_rng(0)
    loss, _ = gpt().loss(generator.integers(0, 200, (8, 50)), generator.integers(0, 200, (8, 50)))
    assert abs(loss - math.log(200)) < 0.1


def test_the_seed_decides_the_parameters() -> None:
    np.testing.assert_array_equal(gpt(seed=1).values, gpt(seed=1).values)
    assert (gpt(seed=1).values != gpt(seed=2).values).any()


def test_number_of_parameters_is_that_of_nanogpt() -> None:
    config = GPTConfig(vocabulary_size=65, context_length=64, num_layers=4, num_heads=4, d_model=128, bias=False)
    model = GPT(config, generator=np.random.default_rng(0))
    assert model.values.size == sum(parameter.value.size for parameter in model.parameters().values()) == 804_096
    assert model.values.size - model.num_decayed == 9 * 128
    assert model.values.dtype == np.float32
    assert model.head.table is model.token_embedding.table


@given(seed=seeds)
@few
def test_float32_is_close_to_float64(seed: int) -> None:
    model = gpt(seed=seed)
    precise = model.astype(np.float64)
    generator = np.random.default_rng(seed)
    ids, targets = generator.integers(0, 200, (2, 4, 30))
    (loss, backward), (precise_loss, precise_backward) = model.loss(ids, targets), precise.loss(ids, targets)
    assert loss.dtype == np.float32
    assert precise_loss.dtype == np.float64
    assert abs(loss - precise_loss) < 1e-5 * precise_loss
    backward()
    precise_backward()
    for name, parameter in model.parameters().items():
        assert parameter.grad.dtype == np.float32
        expected = precise.parameters()[name].grad
        if name.endswith("key_value.bias"):  # the key half is zero but for rounding
            assert np.abs(parameter.grad[:64]).max() < 1e-5 * np.abs(expected).max()
            assert_close(parameter.grad[64:], expected[64:], 1e-4, name)
        else:
            assert_close(parameter.grad, expected, 1e-4, name)


@pytest.mark.parametrize("positions", get_args(Positions))
@pytest.mark.parametrize("shape", [(2, 0), (0, 3), (0,)])
def test_no_tokens_give_no_logits_and_no_gradient(positions: Positions, shape: tuple[int, ...]) -> None:
    model, ids = tiny_gpt(positions=positions), np.zeros(shape, np.int64)
    assert model(ids)[0].shape == (*shape, 5)
    loss, backward = model.loss(ids, ids)
    backward()
    assert loss == 0
    assert not model.grads.any()


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    for size in ("vocabulary_size", "context_length", "num_layers", "num_heads", "d_model"):
        with pytest.raises(ValueError, match=f"GPTConfig: {size} must be at least 1, got 0"):
            GPTConfig(**{"vocabulary_size": 5} | {size: 0})
    with pytest.raises(ValueError, match="num_heads 3 does not divide d_model 4"):
        tiny_gpt(num_heads=3)
    with pytest.raises(ValueError, match=r"GPTConfig: dropout must lie in \[0, 1\), got 1.0"):
        tiny_gpt(dropout=1.0)
    with pytest.raises(ValueError, match=r"^GPTConfig: d_hidden must be at least 1, got 0$"):
        tiny_gpt(d_hidden=0)
    with pytest.raises(ValueError, match=r"^GPTConfig: eps must .* got -1.0$"):
        tiny_gpt(eps=-1.0)
    known = r"\['learned', 'sinusoidal', 'rotary', 'alibi', 'relative', 'none'\]"
    with pytest.raises(ValueError, match=rf"^GPTConfig: positions must be one of {known}, got 'absolute'$"):
        tiny_gpt(positions="absolute")
    known = re.escape(str(list(get_args(Activation))))
    with pytest.raises(ValueError, match=rf"^GPTConfig: activation must be one of {known}, got 'mish'$"):
        tiny_gpt(activation="mish")
    with pytest.raises(ValueError, match=r"^GPTConfig: d_model must be even for sinusoidal positions, got 3$"):
        tiny_gpt(positions="sinusoidal", d_model=3, num_heads=1)
    with pytest.raises(ValueError, match=r"^GPTConfig: num_heads 2 does not divide d_model 6 into even widths$"):
        tiny_gpt(positions="rotary", d_model=6)
