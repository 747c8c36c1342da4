import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import Layer
from scratchformer.models import GPT, GPTConfig
from tests.closeness import assert_close
from tests.gradients import check_layer, check_op, with_random_values
from tests.models.every_model import as_op_of
from tests.strategies import normal, seeds


def tiny_gpt(*, seed: int = 0, **options: object) -> GPT:
    sizes = {"vocabulary_size": 5, "context_length": 4, "num_layers": 1, "num_heads": 2, "d_model": 4}
    return GPT(GPTConfig(**sizes | options), generator=np.random.default_rng(seed), dtype=np.float64)


@pytest.mark.parametrize(
    ("bias", "tied_head", "num_layers"),
    [(True, True, 1), (False, False, 1), pytest.param(True, True, 2, marks=pytest.mark.long)],
)
@given(shape=st.sampled_from([(4,), (2, 4), (2, 3), (1, 2, 4)]), smoothing=st.sampled_from([0.0, 0.1]), seed=seeds)
@settings(max_examples=1)
def test_gradient_of_the_loss_for_every_parameter(
    bias: bool, tied_head: bool, num_layers: int, shape: tuple[int, ...], smoothing: float, seed: int
) -> None:
    sizes = {"d_model": 3, "num_heads": 1} if bias else {}
    model = tiny_gpt(seed=seed, bias=bias, tied_head=tied_head, num_layers=num_layers, dropout=0.1, **sizes)
    assert ("head.weight" in model.parameters()) is not tied_head
    assert len(model.parameters()) == 2 + num_layers * (14 if bias else 7) + (2 if bias else 1) + (not tied_head)
    generator = np.random.default_rng(seed)
    ids, targets = generator.integers(0, 5, shape), generator.integers(0, 5, shape)
    targets.flat[generator.integers(targets.size)] = -100

    def loss(model: Layer, ids: np.ndarray, targets: np.ndarray) -> tuple:
        return model.loss(ids, targets, label_smoothing=smoothing, generator=np.random.default_rng(seed))

    check_layer(model, ids, targets, seed=seed, call=loss, key_bias="key_value.bias")


@given(seed=seeds, bias=st.booleans(), tied_head=st.booleans())
@settings(max_examples=1)
def test_gradient_of_the_logits_for_every_parameter(seed: int, bias: bool, tied_head: bool) -> None:
    model = tiny_gpt(seed=seed, bias=bias, tied_head=tied_head, dropout=0.1)
    ids = np.random.default_rng(seed).integers(0, 5, (2, 3))

    def logits(model: Layer, ids: np.ndarray) -> tuple:
        return model(ids, generator=np.random.default_rng(seed))

    check_layer(model, ids, seed=seed, call=logits, key_bias="key_value.bias")


@pytest.mark.parametrize(("activation", "positions"), [("swiglu", "none"), ("relu", "learned")])
@given(seed=seeds)
@settings(max_examples=1)
def test_gradient_of_the_table_comes_through_post_norm_blocks_to_the_head(
    activation: str, positions: str, seed: int
) -> None:
    sizes = {"vocabulary_size": 3, "d_model": 3, "num_heads": 1, "num_layers": 2}  # two features have norms of +-1
    model = tiny_gpt(norm_first=False, activation=activation, positions=positions, **sizes)
    model = with_random_values(model, seed)
    ids, targets = np.random.default_rng(seed).integers(0, 3, (2, 2, 3))
    table = model.parameters()["token_embedding.table"].value.copy()
    check_op(as_op_of(model, "token_embedding.table", lambda twin: twin.loss(ids, targets)), table, seed=seed)


@given(seed=seeds, dloss=st.floats(-3, 3))
@settings(max_examples=10)
def test_backward_of_the_loss_multiplies_by_dloss_and_adds(seed: int, dloss: float) -> None:
    model = with_random_values(tiny_gpt(), seed)
    ids = np.random.default_rng(seed).integers(0, 5, (2, 2, 4))
    _, backward = model.loss(ids[0], ids[1])
    assert backward() is None
    once = model.grads.copy()
    assert once.any()
    (filled,) = normal(seed, once.shape)
    model.grads[...] = filled
    backward(dloss)
    assert_close(model.grads, filled + dloss * once, 1e-12)


@given(seed=seeds)
@settings(max_examples=10)
def test_rows_of_tokens_and_positions_that_do_not_occur_get_no_gradient(seed: int) -> None:
    model = with_random_values(tiny_gpt(tied_head=False), seed)
    ids = np.random.default_rng(seed).integers(0, 3, (2, 2))
    _, backward = model.loss(ids, ids)
    backward()
    occurring = np.isin(np.arange(5), ids)
    for name, used in (("token_embedding.table", occurring), ("position_embedding.table", np.arange(4) < 2)):
        grad = model.parameters()[name].grad
        assert not grad[~used].any()
        assert grad[used].any(axis=1).all()


def test_no_counted_target_gives_loss_zero_and_no_gradient() -> None:
    model = tiny_gpt()
    ids = np.zeros((2, 3), np.int64)
    loss, backward = model.loss(ids, np.full_like(ids, -100))
    backward()
    assert loss == 0
    assert not model.grads.any()
