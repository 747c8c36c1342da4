import sys
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.analysis.norms import norms_by_layer
from scratchformer.layers import NO_TRACE, Layer, Linear, Parameter, Trace
from scratchformer.layers.shared_gradient import Product, SumOfProducts, add_or_share
from scratchformer.models import GPT, block_matrices, held_logits
from scratchformer.optim import SGD, AdamW, Constant, Muon, WeightAverage
from scratchformer.text.batches import TokenBatch
from scratchformer.training import Divergence, Trainer, gradient_sharing, restore, training_checkpoint
from scratchformer.training.gradient_sharing import GradientSharing
from scratchformer.training.meeting import Meeting
from scratchformer.training.world import World
from tests.closeness import assert_close
from tests.strategies import seeds
from tests.training.setting import loss, ragged_batch, ragged_batches, tiny_gpt, tiny_trainer


@pytest.fixture(autouse=True, scope="module")
def parts_of_tiny_models() -> Iterator[None]:
    """Loose gradients of a hundred bytes on; those of norms are kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient_sharing, "LEAST_LOOSE", 100)
        yield


def sharing_trainer(model: GPT, **options: object) -> Trainer:
    trainer = tiny_trainer(model, **options)
    trainer.share_gradient(in_parts=True)
    return trainer


def loss_after_pauses(*arguments: Any, dloss: float | None = None) -> tuple:
    """The loss, with pauses that let the workers arrive in another order each time."""
    value, backward = loss(*arguments, dloss=dloss)

    def slow_backward(dloss: float) -> None:
        time.sleep(np.random.default_rng().random() * 1e-3)
        backward(dloss)

    return value, slow_backward


@given(
    num_workers=st.integers(1, 4),
    num_batches=st.integers(1, 3),
    is_tied=st.booleans(),
    in_parts=st.booleans(),
    at_once=st.sampled_from([1, 20, 2**24]),
    most_held=st.sampled_from([0, 2**23]),
    dropout=st.sampled_from([0.0, 0.3]),
    seed=seeds,
)
@settings(max_examples=20)
def test_workers_that_share_a_gradient_add_up_what_those_with_their_own_do_and_repeat_bit_for_bit(
    num_workers: int,
    num_batches: int,
    is_tied: bool,
    in_parts: bool,
    at_once: int,
    most_held: int,
    dropout: float,
    seed: int,
) -> None:
    def gradient(shares: bool) -> tuple[float, ndarray]:
        model = tiny_gpt(seed=seed, dropout=dropout, tied_head=is_tied)
        trainer = Trainer(model, SGD(model), Constant(0.1), loss_after_pauses, num_workers=num_workers, seed=seed)
        if shares:
            trainer.share_gradient(in_parts=in_parts)
        with trainer:
            trainer.gradient(ragged_batches(seed + 1, 1))  # what an earlier step left must not count
            return trainer.gradient(ragged_batches(seed, num_batches)), np.array(model.grads)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_logits, "MOST_HELD_LOGITS", most_held)
        patch.setattr(held_logits, "MOST_LOGITS_AT_ONCE", at_once)
        expected_loss, expected = gradient(shares=False)
        (total, found), (again, repeated) = gradient(shares=True), gradient(shares=True)
    assert total == again == expected_loss
    np.testing.assert_array_equal(found, repeated)
    if num_workers == 1:
        np.testing.assert_array_equal(found, expected)
    assert_close(found, expected, 1e-12)


@pytest.mark.parametrize("worker", range(3))
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("norm.weight", "add"),
        ("blocks.0.attention.query.weight", "add_product"),
        ("position_embedding.table", "add"),
    ],
)
def test_a_worker_that_fails_in_the_midst_of_its_backward_keeps_no_one_waiting(
    worker: int, name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    batches = [ragged_batch(12, 5, np.random.default_rng(0))]
    with sharing_trainer(tiny_gpt(), num_workers=3) as trainer:
        trainer.gradient(batches)
        expected = np.array(trainer.model.grads)
        with monkeypatch.context() as patch:
            patch.setattr(trainer.workers.replicas[worker].parameters()[name], method, fail)
            with pytest.raises(ZeroDivisionError):
                trainer.gradient(batches)
        trainer.gradient(batches)
        np.testing.assert_array_equal(trainer.model.grads, expected)


@pytest.mark.parametrize("worker", range(3))
def test_a_worker_that_fails_before_it_adds_anything_keeps_no_one_waiting(worker: int) -> None:
    def failing_loss(
        model: GPT, batch: TokenBatch, generator: np.random.Generator | None, trace: Trace = NO_TRACE
    ) -> tuple:
        if fails and model is trainer.workers.replicas[worker]:
            raise ZeroDivisionError
        return loss(model, batch, generator, trace)

    model, batches, fails = tiny_gpt(), [ragged_batch(12, 5, np.random.default_rng(0))], False
    trainer = Trainer(model, SGD(model), Constant(0.1), failing_loss, num_workers=3)
    trainer.share_gradient()
    with trainer:
        trainer.gradient(batches)
        expected = np.array(model.grads)
        fails = True
        for _ in range(20):
            with pytest.raises(ZeroDivisionError):
                trainer.gradient(batches)
        fails = False
        trainer.gradient(batches)
        np.testing.assert_array_equal(model.grads, expected)


@pytest.mark.parametrize("shares", [True, False])
def test_a_step_of_which_the_end_was_interrupted_ends_before_the_next_begins(
    shares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, model = [ragged_batch(12, 5, np.random.default_rng(0))], tiny_gpt()
    trainer = Trainer(model, SGD(model), Constant(0.1), loss_after_pauses, num_workers=3)
    if shares:
        trainer.share_gradient()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with trainer:
        trainer.gradient(batches)
        expected, pool_map = np.array(model.grads), trainer.workers.map
        for _ in range(5):
            with monkeypatch.context() as patch:

                def interrupted_map(*arguments: Any, patch: pytest.MonkeyPatch = patch) -> None:
                    pool_map(*arguments)
                    patch.setattr(Meeting, "break_off", interrupted)
                    raise KeyboardInterrupt

                patch.setattr(trainer.workers, "map", interrupted_map)
                with pytest.raises(KeyboardInterrupt):
                    trainer.gradient(batches)
            trainer.gradient(batches)
            np.testing.assert_array_equal(model.grads, expected)


class Scale(Layer):
    """A user's layer, y = x weight, that adds to the gradient in one way or the other."""

    def __init__(self, knows_add: bool) -> None:
        self.weight, self.knows_add = Parameter(np.arange(1.0, 4.0)), knows_add

    def __call__(self, x: ndarray) -> tuple:
        def backward(dy: ndarray) -> ndarray:
            if self.knows_add:
                self.weight.add((dy * x).sum(axis=0))
            else:
                self.weight.grad += (dy * x).sum(axis=0)
            return dy * self.weight.value

        return x * self.weight.value, backward


class OfAUser(Layer):
    def __init__(self, knows_add: bool) -> None:
        self.scale, self.linear = Scale(knows_add), Linear(3, 1, generator=np.random.default_rng(0), dtype=np.float64)
        self.pack()


def loss_of_user(model: OfAUser, batch: TokenBatch, generator: object, trace: Trace = NO_TRACE) -> tuple:
    x = np.eye(3)[batch.ids.ravel() % 3]
    h, scale_backward = model.scale(x)
    y, linear_backward = model.linear(h)

    def backward(dloss: float) -> None:
        scale_backward(linear_backward(np.full_like(y, dloss / len(y))))

    return y.mean(), backward


def test_a_layer_that_adds_past_the_others_is_told_so_where_it_could_be_lost() -> None:
    batches, found = [ragged_batch(12, 5, np.random.default_rng(0))], []
    for shares, knows_add in ((False, False), (False, True), (True, True), (True, False)):
        model = OfAUser(knows_add)
        trainer = Trainer(model, SGD(model), Constant(0.1), loss_of_user, num_workers=2)
        if shares:
            trainer.share_gradient()
        with trainer:
            if shares and not knows_add:
                with pytest.raises(AttributeError, match=r"^Parameter: workers share this gradient; add to it by"):
                    trainer.gradient(batches)
            else:
                trainer.gradient(batches)
                found.append(np.array(model.grads))
    for grads in found[1:]:
        assert_close(grads, found[0], 1e-14)


def test_the_factors_of_a_product_are_read_before_the_worker_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    model, add_share_of = OfAUser(knows_add=True), SumOfProducts.add_share_of

    def add_late(products: SumOfProducts, product: Product) -> None:
        time.sleep(0.05 * products.products.index(product))
        add_share_of(products, product)

    def work(worker: int) -> None:
        with meeting.attended(worker):
            replica = sharing.replicas[worker]
            a, b = np.full((1, 3), worker + 1.0), np.ones((1, 1))
            replica.linear.weight.add_product(a, b)
            a[...] = 100

    monkeypatch.setattr(SumOfProducts, "add_share_of", add_late)
    sharing = GradientSharing(model, 2)
    with ThreadPoolExecutor(2) as pool, sharing.step() as meeting:
        list(pool.map(work, range(2)))
    np.testing.assert_array_equal(model.linear.weight.grad, [[3], [3], [3]])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_workers_add_to_the_vectors_that_the_model_has_now(dtype: type) -> None:
    batches, model = ragged_batches(0, 2), tiny_gpt()
    trainer = sharing_trainer(model, num_workers=2)
    trainer.share_gradient()  # what is done stays as it is
    model.pack(dtype)  # as another trainer's fork_workers moves them
    with trainer, sharing_trainer(tiny_gpt(dtype=dtype), num_workers=2) as other:
        assert trainer.gradient(batches) == other.gradient(batches)
        np.testing.assert_array_equal(model.grads, other.model.grads)
        model.use(-model.values, np.zeros_like(model.values))
        other.model.values[...] *= -1
        assert trainer.gradient(batches) == other.gradient(batches)
        np.testing.assert_array_equal(model.grads, other.model.grads)


@pytest.mark.parametrize("new_optimizer", [partial(SGD, momentum=0.9), AdamW])
@pytest.mark.parametrize("max_norm", [None, 0.1])
def test_steps_with_gradients_in_parts_are_those_with_one_vector(new_optimizer: Any, max_norm: float | None) -> None:
    models = []
    for shares in (False, True):
        model = tiny_gpt(num_layers=2)
        average = WeightAverage(model, 0.5)
        trainer = Trainer(
            model, new_optimizer(model), Constant(0.1), loss, max_norm=max_norm, num_workers=2, average=average
        )
        if shares:
            trainer.share_gradient(in_parts=True)
        with trainer:
            steps = [trainer.step(ragged_batches(seed, 2)) for seed in range(3)]
            norms = norms_by_layer(trainer, steps[-1], ragged_batches(3, 1)[0])
        models.append((model, average, [(step.loss, step.gradient_norm) for step in steps], norms))
    (expected, its_average, its_steps, its_norms), (found, average, steps, norms) = models
    pairs = (found.values, expected.values), (found.grads, expected.grads), (average.values, its_average.values)
    for one, other in pairs:
        assert_close(one, other, 1e-10)  # Adam divides by small gradients, which enlarges what was rounded otherwise
    np.testing.assert_allclose(steps, its_steps, rtol=1e-10)
    assert [row[:2] for row in norms] == [row[:2] for row in its_norms]
    np.testing.assert_allclose([row[2] for row in norms], [row[2] for row in its_norms], rtol=1e-10)


def test_gradients_take_memory_from_backward_to_the_next_step_only() -> None:
    name, batches, memory = "blocks.0.attention.query.weight", ragged_batches(0, 1), []

    def watching_loss(*arguments: Any, dloss: float | None = None) -> tuple:
        seen.append(memory[-1]() is None and "grad" not in vars(model.parameters()[name]))
        return loss(*arguments, dloss=dloss)

    model, seen = tiny_gpt(), []
    trainer = Trainer(model, SGD(model), Constant(0.1), watching_loss, num_workers=2)
    trainer.share_gradient(in_parts=True)
    before = model.grads
    memory.append(weakref.ref(before))
    del before
    with trainer:
        for _ in range(2):
            trainer.step(batches)
            gradients = model.views_by_name(np.asarray(model.grads))
            for of_name, parameter in model.parameters().items():
                np.testing.assert_array_equal(parameter.grad, gradients[of_name])
            assert gradients[name].any()
            memory.append(weakref.ref(model.parameters()[name].grad))
            last = np.array(model.grads)
    assert seen == [True] * 4
    assert isinstance(model.grads, ndarray)
    np.testing.assert_array_equal(model.grads, last)
    assert all(np.shares_memory(parameter.grad, model.grads) for parameter in model.parameters().values())
    assert memory[-1]() is None


def test_gradients_in_parts_can_be_set_to_zero_and_added_to_between_steps() -> None:
    batch, model = ragged_batch(12, 5, np.random.default_rng(0)), tiny_gpt()
    with sharing_trainer(model, num_workers=2) as trainer:
        trainer.gradient([batch])
        expected = np.array(model.grads)
        model.grads[...] = 0
        loss(model, batch)[1](1.0)
        assert_close(np.asarray(model.grads), expected, 1e-12)


def test_an_optimizer_of_whole_matrices_is_given_no_parts() -> None:
    model, batches = tiny_gpt(), ragged_batches(0, 1)
    muon = Muon(model, block_matrices(model))
    trainer = Trainer(model, muon, Constant(0.1), loss, num_workers=2)
    refusal = (
        r"^Trainer: share_gradient\(in_parts=True\) needs an optimizer that updates any span .* got Muon, which needs"
    )
    with pytest.raises(ValueError, match=refusal):
        trainer.share_gradient(in_parts=True)
    trainer.share_gradient()
    with trainer:
        trainer.step(batches)
        assert isinstance(model.grads, ndarray)
    with sharing_trainer(model, num_workers=2) as trainer:
        trainer.optimizer = muon
        with pytest.raises(ValueError, match=refusal):
            trainer.step(batches)
        assert muon.num_steps == 1


def test_gradients_of_which_none_is_large_stay_one_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient_sharing, "LEAST_LOOSE", 2**16)
    with sharing_trainer(tiny_gpt(), num_workers=2) as trainer:
        trainer.step(ragged_batches(0, 1))
        assert isinstance(trainer.model.grads, ndarray)


@pytest.mark.parametrize("name", ["follow_model", "make_whole"])
def test_a_model_whose_gradients_were_interrupted_between_vector_and_parts_trains_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batches = tiny_gpt(), [ragged_batch(12, 5, np.random.default_rng(0))]
    trainer = sharing_trainer(model, num_workers=2)
    with trainer:
        trainer.gradient(batches)
        expected = np.array(model.grads)
    views = Layer.views_by_name
    with monkeypatch.context() as patch:

        def interrupted(*arguments: Any) -> None:
            if sys._getframe(1).f_code.co_name == name:
                raise KeyboardInterrupt
            return views(*arguments)

        patch.setattr(Layer, "views_by_name", interrupted)
        with pytest.raises(KeyboardInterrupt), trainer:
            trainer.gradient(batches)
    assert trainer.evaluate(batches) > 0
    for again in (trainer, tiny_trainer(model, num_workers=1)):
        with again:
            again.gradient(batches)
        assert isinstance(model.grads, ndarray)
        assert_close(model.grads, expected, 1e-12)


def test_what_diverges_is_found_with_gradients_in_parts() -> None:
    model, batches = tiny_gpt(), ragged_batches(0, 1)
    with sharing_trainer(model, num_workers=2) as trainer:
        trainer.step(batches)
        model.parameters()["norm.weight"].value[0] = np.inf
        with pytest.raises(Divergence, match=r"first to go non-finite was the parameter norm\.weight \(1 of 4"):
            trainer.step(batches)


def test_what_cannot_be_combined_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchformer.training.trainer.CAN_FORK", True)
    trainer = sharing_trainer(tiny_gpt(), num_workers=2)
    with pytest.raises(ValueError, match=r"^Trainer: fork_workers makes processes, which cannot share a gradient"):
        trainer.fork_workers()
    with pytest.raises(ValueError, match=r"^Trainer: share_gradient needs one rank, .* got 1 rank\(s\) and 4 shards$"):
        trainer.join(World(), 4)
    trainer.join(World(), 2)
    with pytest.raises(
        RuntimeError, match=r"^Trainer: workers share a gradient within the trainer's with block alone$"
    ):
        trainer.gradient(ragged_batches(0, 1))
    trainer = tiny_trainer(tiny_gpt(), num_workers=2)
    trainer.join(World(), 4)
    with pytest.raises(ValueError, match=r"^Trainer: share_gradient needs one rank, "):
        trainer.share_gradient()
    trainer = tiny_trainer(tiny_gpt(), num_workers=2)
    trainer.fork_workers()
    with pytest.raises(ValueError, match=r"^Trainer: share_gradient needs workers that are threads, got processes"):
        trainer.share_gradient()


def test_a_run_is_resumed_with_a_shared_gradient_if_it_had_one() -> None:
    checkpoint = training_checkpoint(sharing_trainer(tiny_gpt(), num_workers=2))
    restored = sharing_trainer(tiny_gpt(seed=1), num_workers=2)
    restore(restored, checkpoint)
    np.testing.assert_array_equal(restored.model.values, tiny_gpt().values)
    with pytest.raises(ValueError, match=r"^restore: training\.shares_gradient is None now and was True then"):
        restore(tiny_trainer(tiny_gpt(), num_workers=2), checkpoint)
    alone = training_checkpoint(sharing_trainer(tiny_gpt()))
    restore(tiny_trainer(tiny_gpt()), alone)  # one worker shares nothing


def sizes_of_shared_products(patch: pytest.MonkeyPatch) -> list[int]:
    """How many workers share each product from now on; 0 for a meeting without one."""
    sizes = []

    def recorded(brought: Sequence[Any]) -> SumOfProducts | None:
        outcome = add_or_share(brought)
        sizes.append(len(outcome.products) if outcome else 0)
        return outcome

    patch.setattr(gradient_sharing, "add_or_share", recorded)
    return sizes


def test_workers_that_add_to_a_gradient_more_often_than_others_meet_them_at_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Linear(2, 3, generator=None)
    model.pack()
    sharing, sizes = GradientSharing(model, 3), sizes_of_shared_products(monkeypatch)
    a, b = np.ones((1, 2), np.float32), np.ones((1, 3), np.float32)

    def work(worker: int) -> None:
        with meeting.attended(worker):
            parameters = sharing.replicas[worker].parameters()
            for _ in range((3, 1, 2)[worker]):
                parameters["bias"].add(b[0])
            parameters["weight"].add_product(a, b)

    with sharing.step() as meeting, ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    assert sizes == [0, 0, 0, 3, 0]  # the last is the end of the product
    assert (model.bias.grad == 6).all()
    assert (model.weight.grad == 3).all()


def test_shards_with_unlike_numbers_of_counted_targets_form_products_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_logits, "MOST_HELD_LOGITS", 0)
    monkeypatch.setattr(held_logits, "MOST_LOGITS_AT_ONCE", 14)  # two rows
    sizes = sizes_of_shared_products(monkeypatch)
    ids = np.random.default_rng(0).integers(0, 7, (2, 6))
    targets = ids.copy()
    targets[0, 3:] = -100
    with sharing_trainer(tiny_gpt(), num_workers=2) as trainer:
        trainer.gradient([TokenBatch(ids, targets)])
    # Of the head, two parts of the rows of one worker and three of the other's; then the five weights of the block.
    assert [size for size in sizes if size] == [2, 2, 1, *[2] * 5]
