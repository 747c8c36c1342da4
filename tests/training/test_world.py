"""The same bytes from every shape: ranks times threads of as many shards."""

import threading
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from scratchformer.models import GPT, block_matrices
from scratchformer.ops import Backward
from scratchformer.optim import AdamW, Constant, Muon, WeightAverage
from scratchformer.optim.spans import BLOCK
from scratchformer.training import Checkpoint, Divergence, Trainer, restore, training_checkpoint
from scratchformer.training.world import World, sum_tree, threads_as_ranks
from tests.strategies import normal
from tests.training.setting import loss, ragged_batches, tiny_gpt

SHAPES = [(1, 4), (2, 2), (4, 1), (1, 1), (2, 1)]
"""Ranks and threads that share four shards."""
MAX_NORM = 5.5
"""Some of the steps have a larger norm, and some a smaller one."""


def wide_gpt() -> GPT:
    model = tiny_gpt(dropout=0.2, dtype=np.float32, d_model=64)
    assert model.values.size > 3 * BLOCK
    return model


def wide_trainer(world: World, num_threads: int, num_shards: int = 4, optimizer: type[AdamW] = AdamW) -> Trainer:
    model = wide_gpt()
    average = WeightAverage(model, 0.9)
    updates = Muon(model, block_matrices(model)) if optimizer is Muon else optimizer(model)
    trainer = Trainer(
        model, updates, Constant(0.01), loss, max_norm=MAX_NORM, average=average, num_workers=num_threads, seed=3
    )
    trainer.join(world, num_shards)
    return trainer


def trained(
    ranks: int, threads: int, steps: range, start: Checkpoint | None = None, optimizer: type[AdamW] = AdamW
) -> tuple[list, Checkpoint]:
    """What ranks report of some steps, and the checkpoint that the first makes after them."""

    def work(world: World) -> tuple[list, Checkpoint]:
        trainer = wide_trainer(world, threads, optimizer=optimizer)
        if start is not None:
            restore(trainer, start)
        with trainer:
            reported = [(trainer.step(ragged_batches(i, 2)), trainer.evaluate(ragged_batches(7, 3))) for i in steps]
        return reported, training_checkpoint(trainer)

    (reported, checkpoint), *others = threads_as_ranks(ranks, work)
    assert all(of_other == reported for of_other, _ in others)
    return reported, Checkpoint(
        {name: tensor.copy() for name, tensor in checkpoint.tensors.items()}, checkpoint.description
    )


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    assert one.description == other.description
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(tensor, other.tensors[name], name)


@pytest.mark.parametrize("optimizer", [AdamW, Muon])
def test_every_shape_gives_the_same_bytes_also_where_a_run_goes_on_with_another(optimizer: type[AdamW]) -> None:
    """Some shards are empty, and some count no target: a batch has one to five ragged sequences."""
    expected, whole = trained(1, 4, range(4), None, optimizer)
    assert {step.gradient_norm > MAX_NORM for step, _ in expected} == {True, False}, "not all are clipped"
    for ranks, threads in SHAPES[1:]:
        reported, checkpoint = trained(ranks, threads, range(4), None, optimizer)
        assert reported == expected
        assert_same(checkpoint, whole)
    _, half = trained(2, 2, range(2), None, optimizer)
    for ranks, threads in SHAPES[:3]:
        assert_same(trained(ranks, threads, range(2, 4), half, optimizer)[1], whole)


@pytest.mark.parametrize("size", [0, 1, BLOCK, 3 * BLOCK + 5, 100 * BLOCK])
@pytest.mark.parametrize("num_ranks", [1, 3, 4])
def test_parts_cover_a_vector_in_whole_blocks(num_ranks: int, size: int) -> None:
    world = World()
    world.num_ranks = num_ranks
    parts = world.parts(size)
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == size
    assert all(part.stop % BLOCK == 0 for part in parts[:-1] if part.stop < size)


def test_a_sum_is_that_of_neighbours_first() -> None:
    a, b, c, d, e = normal(0, *[(5,)] * 5)
    parts = [part.copy() for part in (a, b, c, d, e)]
    sum_tree(parts)
    np.testing.assert_array_equal(parts[0], ((a + b) + (c + d)) + e)


def test_ranks_add_up_in_that_order() -> None:
    vectors = normal(1, *[(3 * BLOCK,)] * 4, dtype=np.float32)
    expected = [vector.copy() for vector in vectors]
    sum_tree(expected)

    def work(world: World) -> np.ndarray:
        vector = vectors[world.rank].copy()
        world.add_up(vector)
        return vector[world.own(vector.size)]

    np.testing.assert_array_equal(np.concatenate(threads_as_ranks(4, work)), expected[0])


def test_each_rank_keeps_only_its_part_of_the_average() -> None:
    def work(world: World) -> tuple[slice, np.ndarray]:
        trainer = wide_trainer(world, 1)
        return trainer.own, trainer.average.values

    for own, average in threads_as_ranks(2, work):
        assert average[own].any()
        assert not np.delete(average, own).any()


def test_when_the_ranks_have_left_the_first_has_all_state() -> None:
    def work(world: World) -> list[Checkpoint]:
        trainer = wide_trainer(world, 1)
        with trainer:
            trainer.step(ragged_batches(0, 2))
        together = training_checkpoint(trainer)
        trainer.leave()
        return [together, training_checkpoint(trainer)]

    first, _ = threads_as_ranks(2, work)
    assert_same(*first)


@pytest.mark.parametrize("at_fault", [(1,), (0, 1)])
def test_all_ranks_name_the_shard_that_diverged_first(at_fault: tuple[int, ...]) -> None:
    def work(world: World) -> str:
        def loss_of(*arguments: Any) -> tuple[np.float32, Backward]:
            arguments[-1].record(**{f"of_rank_{world.rank}": np.array(np.nan)})
            return np.float32("nan"), loss(*arguments)[1]

        trainer = wide_trainer(world, 1)
        trainer.loss = loss_of if world.rank in at_fault else loss
        with trainer, pytest.raises(Divergence, match="the loss is nan") as caught:
            trainer.step(ragged_batches(0, 2))
        return str(caught.value)

    messages = threads_as_ranks(2, work)
    assert messages[0] == messages[1]
    assert f"was of_rank_{at_fault[0]} (" in messages[0]


def test_an_error_on_one_rank_ends_the_others() -> None:
    def work(world: World) -> None:
        if world.rank == 1:
            raise RuntimeError("one fails")
        world.collect(0)

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="one fails"):
        threads_as_ranks(3, work)
    assert threading.active_count() == before


def test_ranks_that_limit_blas_side_by_side_leave_it_as_it_was() -> None:
    def work(world: World) -> None:
        for rank in range(2):  # the second begins before the first ends
            if world.rank == rank:
                limits = threadpool_limits(1, user_api="blas")
            world.collect(None)
        for rank in range(2):
            if world.rank == rank:
                limits.restore_original_limits()
            world.collect(None)

    with threadpool_limits(2, user_api="blas"):
        threads_as_ranks(2, work)
        assert {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"} == {2}
