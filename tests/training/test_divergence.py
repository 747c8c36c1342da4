import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import Trace
from scratchformer.models import GPT
from scratchformer.ops import Backward
from scratchformer.text.batches import TokenBatch
from scratchformer.training import Divergence, Trainer
from scratchformer.training.divergence import first_non_finite
from tests.training.setting import loss, ragged_batches, tiny_gpt, tiny_trainer

BATCH = TokenBatch(np.array([[0, 1, 2], [3, 4, 5]]), np.array([[1, 2, 3], [4, 5, 6]]))


def diverged(trainer: Trainer, batches: list[TokenBatch]) -> Divergence:
    before = trainer.model.values.copy()
    with trainer, pytest.raises(Divergence) as caught:
        trainer.step(batches)
    np.testing.assert_array_equal(trainer.model.values, before)
    assert trainer.optimizer.num_steps == 0
    return caught.value


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_parameter_that_is_not_finite_is_named(num_workers: int, value: float) -> None:
    model = tiny_gpt()
    model.blocks[0].feed_forward.up.weight.value[1, 2] = value
    error = diverged(tiny_trainer(model, num_workers=num_workers), [BATCH])
    assert str(error).startswith("training diverged in step 1: the loss is nan, the gradient's norm nan; ")
    assert "first to go non-finite was the parameter blocks.0.feed_forward.up.weight (1 of 64 values)" in str(error)
    assert isinstance(error.shard, TokenBatch)


@pytest.mark.parametrize(
    ("parameter", "value", "named"),
    [
        ("blocks.0.attention.query.weight", 1e308, "blocks.0.attention.query ("),
        ("blocks.0.attention.key_value.weight", 1e308, "blocks.0.attention."),
        ("blocks.0.feed_forward.up.weight", 1e308, "blocks.0.feed_forward.hidden ("),
        ("blocks.1.feed_forward.down.weight", 1e308, "blocks.1.feed_forward.output ("),
        ("blocks.1.attention.output.weight", 1e308, "blocks.1.attention.output ("),
        ("position_embedding.table", 1.7e308, "blocks.0.attention_norm ("),
    ],
)
def test_the_first_intermediate_that_overflows_is_named(parameter: str, value: float, named: str) -> None:
    model = tiny_gpt(num_layers=2)
    values = model.parameters()[parameter].value
    values[...] = value * np.sign(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the sentence is all that a user should see
        error = diverged(tiny_trainer(model), [BATCH])
    assert f"the first to go non-finite was {named}" in str(error)


def scaled_loss(factor: float):
    """A loss whose gradient is too large while its value is not."""

    def loss_of(model: GPT, batch: TokenBatch, generator: object, trace: Trace) -> tuple[np.inexact, Backward]:
        value, backward = model.loss(batch.ids, batch.targets, trace=trace)
        return value, lambda dloss: backward(factor * dloss)

    return loss_of


def test_a_gradient_that_overflows_on_its_way_back_is_named_in_words() -> None:
    model = tiny_gpt(num_layers=2)
    model.norm.weight.value[...] *= 1e10
    template = tiny_trainer(model)
    error = diverged(Trainer(model, template.optimizer, template.schedule, scaled_loss(1e300)), [BATCH])
    assert "the first to go non-finite was the gradient of blocks.1.residual (" in str(error)


def test_the_gradient_of_a_parameter_is_named_where_every_intermediate_is_finite() -> None:
    model = tiny_gpt()

    def run(trace: Trace) -> None:
        model.norm.weight.grad[2] = np.nan
        model.token_embedding.table.grad[0] = np.inf

    assert first_non_finite(model, run) == "the gradient of norm.weight (1 of 4 values)"
    assert first_non_finite(model, lambda trace: None) is None


def test_a_sum_that_overflows_though_no_share_does_is_said_to() -> None:
    model = tiny_gpt(dtype=np.float32)
    template = tiny_trainer(model)
    with tiny_trainer(model) as plain:
        plain.gradient([BATCH])
        largest = float(np.abs(model.grads).max())
    trainer = Trainer(model, template.optimizer, template.schedule, scaled_loss(3e38 / largest / 0.75), num_workers=1)
    with trainer, pytest.raises(Divergence, match="though every intermediate and gradient is finite: a sum "):
        trainer.step([BATCH] * 64)


@given(culprit=st.integers(0, 5), num_workers=st.integers(1, 3))
@settings(max_examples=12, deadline=None)
def test_the_shard_at_fault_is_handed_out(culprit: int, num_workers: int) -> None:
    batches = [TokenBatch(np.full((3, 4), 0), np.full((3, 4), 1)) for _ in range(2)]
    batches[culprit // 3].ids[culprit % 3, 2] = 6
    model = tiny_gpt()

    def loss_of(model: GPT, batch: TokenBatch, generator: object, trace: Trace) -> tuple:
        value = np.float64(np.nan if (batch.ids == 6).any() else 1.0)
        trace.record(value=np.asarray(value))
        return value, lambda dloss: None

    template = tiny_trainer(model)
    error = diverged(Trainer(model, template.optimizer, template.schedule, loss_of, num_workers=num_workers), batches)
    assert (error.shard.ids == 6).sum() == 1
    assert "the first to go non-finite was value (1 of 1 values)" in str(error)


def test_an_absurd_learning_rate_stops_with_a_name() -> None:
    with tiny_trainer(tiny_gpt(dtype=np.float32), rate=1e37) as trainer:
        trainer.step([BATCH])
        with pytest.raises(Divergence, match=r"in step 2: .*the first to go non-finite was blocks\.0\.") as caught:
            trainer.step([BATCH])
        assert isinstance(caught.value, FloatingPointError)
    assert trainer.optimizer.num_steps == 1


def test_looking_for_the_cause_repeats_the_dropout_of_the_step() -> None:
    draws = []

    def recording_loss(model: GPT, batch: TokenBatch, generator: np.random.Generator, trace: Trace) -> tuple:
        draws.append(generator.random())
        value, backward = loss(model, batch, generator, trace)
        return np.float64(np.nan), backward

    template = tiny_trainer(tiny_gpt())
    trainer = Trainer(template.model, template.optimizer, template.schedule, recording_loss)
    diverged(trainer, [BATCH, BATCH])
    assert draws[:2] == draws[2:]


def test_what_counts_nowhere_cannot_be_at_fault() -> None:
    model = tiny_gpt()
    with tiny_trainer(model, num_workers=3) as trainer:
        assert np.isfinite(trainer.step(ragged_batches(0, 3)).loss)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_an_evaluation_that_is_not_finite_can_be_explained_and_warns_of_nothing(num_workers: int) -> None:
    model = tiny_gpt(num_layers=2)
    with tiny_trainer(model, num_workers=num_workers) as trainer, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trainer.first_non_finite([BATCH]) is None
        model.blocks[1].feed_forward.up.weight.value[...] = 1e308
        assert not np.isfinite(trainer.evaluate([BATCH, BATCH]))
        first = trainer.first_non_finite([BATCH])
    assert first is not None
    assert first.startswith("blocks.1.feed_forward.")


def test_the_worker_at_fault_is_looked_into_with_its_own_dropout() -> None:
    draws: dict[int, list[float]] = {0: [], 1: []}

    def recording_loss(model: GPT, batch: TokenBatch, generator: np.random.Generator, trace: Trace) -> tuple:
        row = int(batch.ids[0, 0] > 0)
        draws[row].append(generator.random())
        value = np.float64(np.nan if row else 1.0)
        trace.record(value=np.asarray(value))
        return value, lambda dloss: None

    template = tiny_trainer(tiny_gpt())
    trainer = Trainer(template.model, template.optimizer, template.schedule, recording_loss, num_workers=2)
    error = diverged(trainer, [BATCH])
    assert error.shard.ids[0, 0] == 3
    for drawn in draws.values():
        assert len(drawn) == 2
        assert drawn[0] == drawn[1]


def test_squares_of_gradients_that_overflow_stop_before_the_update() -> None:
    def steep_loss(model: GPT, batch: TokenBatch, generator: np.random.Generator, trace: Trace) -> tuple:
        def backward(dloss: float) -> None:
            model.grads[0] = 1e200

        return np.float64(1.0), backward

    template = tiny_trainer(tiny_gpt())
    error = diverged(Trainer(template.model, template.optimizer, template.schedule, steep_loss), [BATCH])
    assert str(error) == "training diverged in step 1: AdamW: grads hold 1e+200, whose square overflows"
