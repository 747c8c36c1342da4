"""NaN is never hidden: whatever depends on it is NaN too, in the output and in the gradients."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings

from scratchformer.ops import blockwise_attention, linear_cross_entropy, mean_pooling
from tests.ops.every_op import ALLOWED, OPS, QUERY_KEY_VALUE, TARGETS, Maker, Op, cotangent_of, entries, of_shapes
from tests.strategies import seeds

LENGTHS = np.array([2, 0])
MORE: list[tuple[str, Op, Maker]] = [
    ("mean_pooling", lambda x: mean_pooling(x, LENGTHS), of_shapes((2, 3, 4))),
    (
        "linear_cross_entropy",
        lambda x, weight, bias: linear_cross_entropy(x, weight, TARGETS, bias, classes_at_once=2),
        of_shapes((2, 3, 4), (4, 5), (5,)),
    ),
    ("blockwise", partial(blockwise_attention, is_causal=True), of_shapes(*QUERY_KEY_VALUE)),
    ("blockwise, additive", blockwise_attention, of_shapes(*QUERY_KEY_VALUE, (3, 4))),
    ("blockwise, boolean", lambda *a: blockwise_attention(*a, ALLOWED), of_shapes(*QUERY_KEY_VALUE)),
]


@pytest.mark.parametrize(("name", "op", "maker"), [*OPS, *MORE], ids=[name for name, _, _ in [*OPS, *MORE]])
@given(seed=seeds)
@settings(max_examples=4)
def test_what_depends_on_it_is_nan(name: str, op: Op, maker: Maker, seed: int) -> None:
    """What changes with an element, by moving it, is NaN where the element is."""
    generator, arrays = np.random.default_rng(seed), maker(seed)
    y, backward = op(*arrays)
    dy = np.array(cotangent_of(y, seed))
    for x in (*arrays, dy):
        place = tuple(generator.integers(x.shape))
        kept, found = x[place], []
        for value in (kept, kept + 0.5, np.nan):
            x[place] = value
            with np.errstate(all="ignore"):
                found.append(entries(backward(dy[()])) if x is dy else [np.array(op(*arrays)[0])])
        x[place] = kept
        for before, moved, of_nan in zip(*found, strict=True):
            assert np.isnan(of_nan[moved != before]).all()
