"""Which shards there are, what share each has, and in which order their gradients add up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.training.shards import Shard, add_up_shards, shards_of
from scratchformer.training.world import World, sum_tree
from tests.strategies import normal, seeds
from tests.training.setting import ragged_batches, tiny_gpt, tiny_trainer


@given(num_batches=st.integers(1, 3), num_shards=st.integers(1, 6), first=st.integers(0, 6), seed=seeds)
@settings(max_examples=25)
def test_shares_are_those_of_the_targets_of_all_batches(
    num_batches: int, num_shards: int, first: int, seed: int
) -> None:
    batches = ragged_batches(seed, num_batches)
    total = sum(batch.num_targets for batch in batches)
    shards = shards_of(batches, num_shards, range(num_shards))
    assert [shard.share * total for shard in shards] == pytest.approx([shard.batch.num_targets for shard in shards])
    assert sum(shard.batch.num_targets for shard in shards) == total
    assert all(shard.batch.num_targets for shard in shards)
    places = [(shard.micro_batch, shard.index) for shard in shards]
    assert places == sorted(set(places))
    own = shards_of(batches, num_shards, range(first, num_shards))
    assert [(shard.micro_batch, shard.index) for shard in own] == [place for place in places if place[1] >= first]


@pytest.mark.parametrize("num_shards", [1, 2, 4, 8])
def test_gradients_of_shards_add_up_as_a_tree_of_sums_that_begin_at_zero(num_shards: int) -> None:
    model = tiny_gpt(dtype=np.float32)
    replicas = [model, *(model.replica() for _ in range(num_shards.bit_length() - 1))]
    for replica in replicas:
        replica.grads[...] = 5  # what an earlier step left must not count
    (gradients,) = normal(num_shards, (num_shards, 2, model.grads.size), dtype=np.float32)
    (batch,) = ragged_batches(0, 1)
    shards = [[Shard(batch, micro_batch, index, 0.1) for micro_batch in range(2)] for index in range(num_shards)]

    def backpropagate(shard: Shard, replica: object) -> float:
        replica.grads += gradients[shard.index, shard.micro_batch]
        return float(10 * shard.index + shard.micro_batch)

    losses = add_up_shards(replicas, shards, backpropagate)
    expected = [first + second for first, second in gradients]
    sum_tree(expected)
    np.testing.assert_array_equal(model.grads, expected[0])
    assert losses == [20.0 * index + 1 for index in range(num_shards)]


@pytest.mark.parametrize(("num_shards", "ranks", "threads"), [(2, 1, 4), (6, 1, 2), (9, 3, 3), (4, 8, 1)])
def test_shards_that_cannot_be_shared_are_refused(num_shards: int, ranks: int, threads: int) -> None:
    world = World()
    world.num_ranks = ranks
    with pytest.raises(ValueError, match=f"^--shards is {num_shards}, which {ranks} ranks of {threads} threads cannot"):
        tiny_trainer(tiny_gpt(), num_workers=threads).join(world, num_shards)
