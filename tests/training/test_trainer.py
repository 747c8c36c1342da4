import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from scratchformer.layers import NO_TRACE, Trace
from scratchformer.models import GPT
from scratchformer.optim import (
    SGD,
    AdamW,
    Constant,
    WarmupCosine,
    WeightAverage,
    clip_global_norm,
    global_norm,
    spans,
)
from scratchformer.text.batches import TokenBatch
from scratchformer.training import Trainer, next_token_loss
from scratchformer.training.losses import takes_dloss
from scratchformer.training.workers import map_in_runs
from tests.closeness import assert_close
from tests.strategies import seeds
from tests.training.setting import joined, loss, ragged_batches, tiny_gpt, tiny_trainer


@given(num_workers=st.integers(1, 4), num_batches=st.integers(1, 3), seed=seeds)
@settings(max_examples=15)
def test_workers_times_micro_batches_give_the_gradient_of_the_one_big_batch(
    num_workers: int, num_batches: int, seed: int
) -> None:
    batches = ragged_batches(seed, num_batches)
    model = tiny_gpt(seed=seed)
    reference = model.astype(np.float64)
    whole = joined(batches)
    expected_loss, backward = reference.loss(whole.ids, whole.targets)
    backward()

    trainer = tiny_trainer(model, num_workers=num_workers)
    for replica in trainer.workers.replicas:
        replica.grads[...] = 5  # what an earlier step left must not count
    with trainer, pytest.MonkeyPatch.context() as patch:
        patch.setattr(spans, "SPAN", 100)  # so that the vector has several spans
        total = trainer.gradient(batches)
    assert abs(total - expected_loss) <= 1e-12 * expected_loss
    for name, parameter in model.parameters().items():
        expected = reference.parameters()[name].grad
        if name.endswith("key_value.bias"):  # a key bias shifts all scores alike: its half is rounding
            assert_close(parameter.grad[4:], expected[4:], 1e-12, name)
            assert np.abs(parameter.grad[:4]).max() <= 1e-12 * np.abs(reference.grads).max()
        else:
            # The score gradients of a row add up to 0, so what the queries get is a small difference of large terms.
            assert_close(parameter.grad, expected, 1e-11 if "query" in name else 1e-12, name)


def test_a_step_without_a_counted_target_has_loss_zero_and_no_gradient() -> None:
    model = tiny_gpt()
    ids = np.zeros((4, 3), np.int64)
    nothing = TokenBatch(ids, np.full_like(ids, -100))
    with tiny_trainer(model, num_workers=2) as trainer:
        model.grads[...] = 1
        assert trainer.gradient([nothing]) == 0
        assert not model.grads.any()
        assert trainer.evaluate([nothing]) == 0
        assert trainer.evaluate([]) == 0


@pytest.mark.parametrize("num_workers", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(dropout=st.sampled_from([0.0, 0.2]), seed=seeds)
@settings(max_examples=3)
def test_steps_repeat_bit_for_bit_for_a_number_of_workers(
    num_workers: int, dtype: type, dropout: float, seed: int
) -> None:
    runs = []
    for _ in range(2):
        model = tiny_gpt(seed=seed, dropout=dropout, dtype=dtype)
        with tiny_trainer(model, num_workers=num_workers, max_norm=0.5, seed=seed) as trainer:
            steps = [trainer.step(ragged_batches(seed + i, 2)) for i in range(3)]
        runs.append((steps, model.values))
    assert runs[0][0] == runs[1][0]
    np.testing.assert_array_equal(runs[0][1], runs[1][1])


def test_dropout_is_drawn_from_seed_step_micro_batch_and_worker() -> None:
    """Resumed runs, and runs of later versions, depend on it."""
    draws = []

    def recording_loss(model: GPT, batch: TokenBatch, generator: np.random.Generator, trace: Trace) -> tuple:
        draws.append(generator.random())
        return loss(model, batch, generator, trace)

    model = tiny_gpt()
    batch = TokenBatch(np.ones((2, 4), np.int64), np.ones((2, 4), np.int64))
    with Trainer(model, AdamW(model), Constant(0.0), recording_loss, num_workers=2, seed=7) as trainer:
        for _ in range(2):
            trainer.step([batch, batch])
    keys = [(step, index, worker) for step in range(2) for index in range(2) for worker in range(2)]
    expected = [np.random.default_rng(np.random.SeedSequence(7, spawn_key=key)).random() for key in keys]
    assert sorted(draws) == sorted(expected)


def test_without_a_seed_nothing_is_dropped() -> None:
    steps = []
    for dropout, seed in ((0.5, None), (0.0, 0)):
        with tiny_trainer(tiny_gpt(dropout=dropout), seed=seed) as trainer:
            steps.append([trainer.step(ragged_batches(i, 2)) for i in range(2)])
    assert steps[0] == steps[1]


def test_dropout_is_on_in_training_and_off_in_evaluation() -> None:
    model, batches = tiny_gpt(dropout=0.5), ragged_batches(0, 2)
    whole = joined(batches)
    undropped, _ = model.loss(whole.ids, whole.targets)
    with tiny_trainer(model) as trainer:
        assert abs(trainer.gradient(batches) - undropped) > 1e-3
        assert abs(trainer.evaluate(batches) - undropped) <= 1e-12 * undropped


@given(num_workers=st.integers(1, 3), num_batches=st.integers(1, 4), seed=seeds)
@settings(max_examples=10)
def test_evaluation_is_the_mean_over_all_counted_targets_and_changes_nothing(
    num_workers: int, num_batches: int, seed: int
) -> None:
    model, batches = tiny_gpt(seed=seed, dropout=0.3), ragged_batches(seed, num_batches)
    whole = joined(batches)
    expected, _ = model.loss(whole.ids, whole.targets)
    values = model.values.copy()
    with tiny_trainer(model, num_workers=num_workers) as trainer:
        assert abs(trainer.evaluate(batches) - expected) <= 1e-12 * expected
    assert not model.grads.any()
    np.testing.assert_array_equal(model.values, values)


@pytest.mark.parametrize("num_workers", [1, 3])
@pytest.mark.parametrize("max_norm", [None, 0.1, 100.0])
def test_a_step_is_gradient_then_clipping_then_the_optimizer_at_the_scheduled_rate(
    max_norm: float | None, num_workers: int
) -> None:
    schedule = WarmupCosine(peak=0.1, floor=0.01, warmup_steps=2, num_steps=5)
    model = tiny_gpt()
    by_hand = model.astype(np.float64)
    optimizer = SGD(by_hand, momentum=0.9)
    options = {"max_norm": max_norm, "num_workers": num_workers}
    with Trainer(model, SGD(model, momentum=0.9), schedule, loss, **options) as trainer:
        for done in range(4):
            (batch,) = ragged_batches(done, 1)
            step = trainer.step([batch])
            by_hand.grads[...] = 0
            value, backward = by_hand.loss(batch.ids, batch.targets)
            backward()
            norm = global_norm(by_hand.grads)
            if max_norm is not None:
                clip_global_norm(by_hand.grads, max_norm)
            optimizer.step(schedule(done))
            assert step.loss == pytest.approx(value, rel=1e-12)
            assert step.gradient_norm == pytest.approx(norm, rel=1e-12)
            assert step.learning_rate == schedule(done)
            assert_close(model.values, by_hand.values, 1e-12)
            assert_close(model.grads, by_hand.grads, 1e-12)


def test_blas_threads_and_workers_last_as_long_as_the_with_block() -> None:
    def blas_threads() -> set[int]:
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    model, threads = tiny_gpt(), threading.active_count()
    with threadpool_limits(2, user_api="blas"):
        assert blas_threads() == {2}
        trainer = tiny_trainer(model, num_workers=2)
        for _ in range(2):  # a trainer can be entered again
            with trainer:
                assert blas_threads() == {1}
                trainer.step(ragged_batches(0, 1))
                assert threading.active_count() > threads
            assert blas_threads() == {2}
            assert threading.active_count() == threads

        with pytest.raises(RuntimeError, match="interrupted"), trainer:
            raise RuntimeError("interrupted")
        assert blas_threads() == {2}
    trainer.step(ragged_batches(0, 1))  # without the threads it works in this one


def test_an_error_in_a_worker_reaches_the_caller() -> None:
    too_long = TokenBatch(np.ones((2, 9), np.int64), np.ones((2, 9), np.int64))
    with tiny_trainer(tiny_gpt(), num_workers=2) as trainer, pytest.raises(ValueError, match="the context holds 6"):
        trainer.step([too_long])


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    model = tiny_gpt()
    with pytest.raises(ValueError, match="Trainer: num_workers must be at least 1, got 0"):
        tiny_trainer(model, num_workers=0)
    for max_norm in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="Trainer: max_norm must be positive, got"):
            tiny_trainer(model, max_norm=max_norm)


def test_evaluation_uses_the_averaged_weights_and_leaves_the_weights_as_they_were() -> None:
    model = tiny_gpt()
    average = WeightAverage(model, 0.5)
    (batch,) = ragged_batches(3, 1)
    with tiny_trainer(model, average=average, num_workers=2) as trainer:
        expected = model.values.copy()
        for _ in range(3):
            trainer.step([batch])
            expected = 0.5 * expected + 0.5 * model.values
        kept = model.values.copy()
        evaluated = trainer.evaluate([batch])
        np.testing.assert_array_equal(model.values, kept)
    model.values[...] = expected
    assert evaluated == pytest.approx(float(loss(model, batch, None)[0]), rel=1e-12)


def test_an_optimizer_or_average_of_another_model_is_refused() -> None:
    model, other = tiny_gpt(), tiny_gpt()
    with pytest.raises(ValueError, match="Trainer: optimizer must be of the model's parameters"):
        Trainer(model, AdamW(other), Constant(0.1), loss)
    with pytest.raises(ValueError, match="Trainer: average must be of the model's parameters"):
        tiny_trainer(model, average=WeightAverage(other, 0.9))


@given(num_items=st.integers(0, 30), num_runs=st.integers(1, 8))
def test_a_map_in_runs_gives_all_results_in_their_order_from_about_as_many_runs(num_items: int, num_runs: int) -> None:
    handed_out = []

    def counting_map(function: Callable, runs: list) -> list:
        handed_out.extend(runs)
        return [function(run) for run in runs]

    found = map_in_runs(counting_map, num_runs, lambda a, b: 10 * a + b, range(num_items), range(num_items))
    assert list(found) == [11 * item for item in range(num_items)]
    assert len(handed_out) <= min(num_items, 2 * num_runs)


def test_a_loss_that_has_dloss_is_told_what_its_backward_gets() -> None:
    told, called = [], []

    def loss_that_is_told(
        model: GPT, batch: TokenBatch, generator: object, trace: Trace, dloss: float | None = None
    ) -> tuple:
        told.append(dloss)
        value, backward = model.loss(batch.ids, batch.targets)
        return value, lambda given: (called.append(given), backward(given))

    model, batches = tiny_gpt(), ragged_batches(0, 2)
    trainer = Trainer(model, AdamW(model), Constant(0.1), loss_that_is_told)
    trainer.gradient(batches)
    assert told == called
    assert len(told) == 2
    told.clear()
    trainer.evaluate(batches)
    assert told == [None, None]


def test_a_loss_or_a_model_without_dloss_is_told_nothing() -> None:
    class ByItself:
        """A model as a user may write it."""

        def loss(
            self, ids: np.ndarray, targets: np.ndarray, *, generator: object = None, trace: Trace = NO_TRACE
        ) -> tuple:
            return gpt.loss(ids, targets)

    gpt, (batch,) = tiny_gpt(), ragged_batches(0, 1)
    expected, _ = gpt.loss(batch.ids, batch.targets)
    value, _ = next_token_loss(ByItself(), batch, None, NO_TRACE, 0.5)
    assert value == expected
    trainer = Trainer(gpt, AdamW(gpt), Constant(0.1), next_token_loss)
    trainer.loss = lambda model, batch, generator, trace: gpt.loss(batch.ids, batch.targets)
    assert trainer.gradient([batch]) == expected


def of_four(model: GPT, batch: TokenBatch, generator: object, trace: Trace) -> tuple: ...


@pytest.mark.parametrize(
    ("loss_function", "is_told"),
    [
        (next_token_loss, True),
        (partial(next_token_loss), True),
        (partial(next_token_loss, dloss=0.5), True),
        (lambda model, batch, generator, trace, *, dloss=None: None, True),
        (wraps(next_token_loss)(lambda *arguments, **options: None), True),
        (wraps(next_token_loss)(of_four), False),
        (of_four, False),
        (lambda *arguments, **options: None, False),
        (lambda model, batch, generator, trace, dloss: None, False),
        (lambda model, batch, generator, trace, dloss=None, /: None, False),
        (max, False),  # Python does not know its parameters
    ],
)
def test_a_loss_is_told_dloss_if_it_may_be_called_with_and_without_it(loss_function: Callable, is_told: bool) -> None:
    assert takes_dloss(loss_function) == is_told


def test_the_loss_may_be_any_callable_and_belong_to_the_model_itself() -> None:
    @dataclass
    class WithOptions:  # which has no hash
        smoothing: float

        def __call__(self, model: GPT, batch: TokenBatch, generator: object, trace: Trace, dloss: float = 1.0) -> tuple:
            return model.loss(batch.ids, batch.targets, label_smoothing=self.smoothing, dloss=dloss)

    gpt, (batch,) = tiny_gpt(), ragged_batches(0, 1)
    expected, _ = gpt.loss(batch.ids, batch.targets, label_smoothing=0.1)
    assert Trainer(gpt, AdamW(gpt), Constant(0.1), WithOptions(0.1)).gradient([batch]) == expected
    gpt.loss = lambda ids, targets, *, generator, trace: (np.float64(ids.size), abs)
    assert next_token_loss(gpt, batch, None, NO_TRACE, 0.5) == (batch.ids.size, abs)
