import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from numpy import ndarray

from scratchformer.layers import BlockConfig, KeyValueCache, Rotary, Trace, TransformerBlock
from scratchformer.layers.stack import stack
from tests.closeness import assert_close
from tests.gradients import with_random_values
from tests.strategies import normal, seeds


def blocks(seed: int) -> list[TransformerBlock]:
    config = BlockConfig(4, 2, 3, cross_attention=True, d_memory=3, dropout=0.3, rotary=Rotary(base=10.0))
    made = (TransformerBlock(config, generator=np.random.default_rng(seed)) for _ in range(3))
    return [with_random_values(block, seed + i) for i, block in enumerate(made)]


@settings(max_examples=5)
@given(seed=seeds)
def test_it_runs_the_blocks_in_turn_and_adds_the_gradients_of_what_they_share(seed: int) -> None:
    layers = blocks(seed)
    x, mask, memory, memory_mask, dy = normal(seed, (2, 5, 4), (5, 5), (2, 6, 3), (5, 6), (2, 5, 4))
    positions = np.arange(3, 8)

    def drop() -> np.random.Generator:
        return np.random.default_rng(seed)

    trace, generator = Trace(), drop()
    y, backward = stack(
        layers, x, mask, memory, memory_mask, is_causal=True, positions=positions, generator=drop(), trace=trace
    )
    expected, by_hand = x, []
    for i, block in enumerate(layers):
        options = {"is_causal": True, "positions": positions, "generator": generator}
        expected, block_backward = block(expected, mask, memory, memory_mask, **options)
        by_hand.append(block_backward)
        assert np.array_equal(trace[f"{i}.residual"], expected)
    assert np.array_equal(y, expected)
    dx, shared = dy, [np.zeros_like(given) for given in (mask, memory, memory_mask)]
    for block_backward in reversed(by_hand):
        dx, *parts = block_backward(dx)
        shared = [total + part for total, part in zip(shared, parts, strict=True)]
    for found, right in zip(backward(dy), (dx, *shared), strict=True):
        assert_close(found, right, 1e-13)


def test_a_backward_that_is_called_once_frees_each_block_behind_it() -> None:
    held: list[weakref.ref] = []
    (dy,) = normal(0, (2, 3))

    class Doubling(TransformerBlock):
        def __init__(self) -> None:
            pass

        def __call__(self, x: ndarray, *_: object, **__: object) -> tuple:
            factor, index = np.full(3, 2.0), len(held)
            held.append(weakref.ref(factor))

            def backward(dy: ndarray) -> tuple:
                assert [one() is not None for one in held] == [True] * (index + 1) + [False] * (2 - index)
                return dy * factor, None, None, None

            return x * factor, backward

    y, backward = stack([Doubling()] * 3, np.ones((2, 3)), once=True)
    np.testing.assert_array_equal(y, np.full((2, 3), 8.0))
    np.testing.assert_array_equal(backward(dy)[0], 8 * dy)
    with pytest.raises(RuntimeError, match=r"^stack: backward was called before; with `once` it is called once$"):
        backward(dy)


def test_what_was_not_given_has_no_gradient() -> None:
    config = BlockConfig(4, 2, 3)
    layers = [with_random_values(TransformerBlock(config, generator=np.random.default_rng(i)), i) for i in range(2)]
    x, dy = normal(0, (2, 3, 4), (2, 3, 4))
    y, backward = stack(layers, x)
    assert np.array_equal(y, layers[1](layers[0](x)[0])[0])
    _, *others = backward(dy)
    assert others == [None, None, None]


def test_it_goes_on_from_a_cache_that_names_its_blocks() -> None:
    layers = blocks(1)
    x, memory = normal(1, (2, 5, 4), (2, 6, 3))
    whole, _ = stack(layers, x, None, memory, is_causal=True)
    cache = KeyValueCache(5)

    def through_cache(part: ndarray) -> ndarray:
        return stack(layers, part, None, memory, is_causal=True, cache=cache)[0]

    parts = [through_cache(x[:, :2]), through_cache(x[:, 2:])]
    assert_close(np.concatenate(parts, axis=1), whole, 1e-12)
    assert [cache.within(f"{i}").length for i in range(3)] == [5, 5, 5]
    with pytest.raises(ValueError, match="there is no room"):
        through_cache(x[:, :1])
