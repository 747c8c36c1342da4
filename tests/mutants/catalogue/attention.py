"""Bugs in attention beside its gradient: what dropout draws, what NaN reaches, and rotary positions."""

from tests.mutants.mutant import mutant

DENSE = "tests/ops/test_attention_semantics.py::"
OF_HEADS = "tests/layers/test_multi_head_attention.py::"
PARTS = "tests/layers/test_block_options.py::"
POSITIONS = "tests/ops/test_positions.py::"
TILES = "tests/ops/test_blockwise_attention.py::"
BLOCKWISE = "ops/blockwise_attention.py"
SEED = "[seed, *head, rows.start, columns.start]"
ROTARY = "ops/rotary.py"
BLOCK = "layers/block.py"


def remembering(key: str) -> str:
    """A decorator in the place of a cache, which knows turns by this key."""
    return (
        "def remembering(function):\n    kept = {}\n\n    def call(positions, shape, kind, *others):\n"
        f"        if (key := ({key},)) not in kept:\n"
        "            kept[key] = function(positions, shape, kind, *others)\n        return kept[key]\n\n"
        "    call.cache_clear = kept.clear\n    return call\n\n\n@remembering\n"
    )


ATTENTION = [
    mutant(
        "blockwise dropout: repeats between tiles of queries",
        BLOCKWISE,
        SEED,
        "[seed, *head, columns.start]",
        TILES + "test_no_two_tiles_drop_the_same",
    ),
    mutant(
        "blockwise dropout: repeats between tiles of keys",
        BLOCKWISE,
        SEED,
        "[seed, *head, rows.start]",
        TILES + "test_no_two_tiles_drop_the_same",
    ),
    mutant(
        "blockwise dropout: repeats between heads of a sequence",
        BLOCKWISE,
        SEED,
        "[seed, *head[:1], rows.start, columns.start]",
        TILES + "test_no_two_tiles_drop_the_same",
    ),
    mutant(
        "blockwise dropout: repeats between sequences",
        BLOCKWISE,
        SEED,
        "[seed, *head[-1:], rows.start, columns.start]",
        TILES + "test_no_two_tiles_drop_the_same",
    ),
    mutant(
        "blockwise dropout: repeats across the diagonal",
        BLOCKWISE,
        SEED,
        "[seed, *head, *sorted((rows.start, columns.start))]",
        TILES + "test_no_two_tiles_drop_the_same",
    ),
    mutant(
        "blockwise dropout: repeats along diagonals",
        BLOCKWISE,
        SEED,
        "[seed, *head, rows.start + columns.start]",
        TILES + "test_no_two_tiles_drop_the_same",
    ),
    mutant(
        "cross-attention: its weights are not dropped",
        BLOCK,
        "            mask=memory_mask,\n            generator=generator,\n",
        "            mask=memory_mask,\n            generator=None,\n",
        PARTS + "test_it_is_its_parts_in_their_order",
    ),
    mutant(
        "cross-attention: its output is not dropped",
        BLOCK,
        "self.add_cross_attention(x, attend, generator=generator, trace=trace)",
        "self.add_cross_attention(x, attend, generator=None, trace=trace)",
        PARTS + "test_it_is_its_parts_in_their_order",
    ),
    mutant(
        "cross-attention: made without the dropout of the block",
        BLOCK,
        "new_attention(shared(d_memory=c.d_memory))",
        "new_attention(shared(d_memory=c.d_memory, dropout=0.0))",
        PARTS + "test_options_reach_the_parts",
    ),
    mutant(
        "cross-attention: its branch is made without the dropout of the block",
        BLOCK,
        'around("cross_attention", self.cross_attention_norm, c.dropout)',
        'around("cross_attention", self.cross_attention_norm, 0.0)',
        PARTS + "test_it_is_its_parts_in_their_order",
    ),
    mutant(
        "cross-attention: weights are dropped where queries and keys are as many",
        "layers/multi_head_attention.py",
        "dropout=self.config.dropout,\n",
        "dropout=self.config.dropout if t_query == t_key else 0.0,\n",
        OF_HEADS + "test_dropout_is_on_if_and_only_if_a_generator_is_given",
    ),
    mutant(
        "rotary: remembered turns know the bytes of positions, not their shape",
        ROTARY,
        "@lru_cache(REMEMBERED)\n",
        remembering("positions, kind, *others"),
        POSITIONS + "test_turns_that_rotary_remembers_are_of_these_positions_and_options",
    ),
    mutant(
        "rotary: remembered turns know the first position alone",
        ROTARY,
        "@lru_cache(REMEMBERED)\n",
        remembering("positions[:8], shape, kind, *others"),
        POSITIONS + "test_turns_that_rotary_remembers_are_of_these_positions_and_options",
    ),
    mutant(
        "rotary: remembered turns know the first frequency alone",
        ROTARY,
        "@lru_cache(REMEMBERED)\n",
        remembering("positions, shape, kind, others[0][:8], *others[1:]"),
        POSITIONS + "test_turns_that_rotary_remembers_are_of_these_positions_and_options",
    ),
    mutant(
        "rotary: far positions turned back by angles in the dtype of x",
        ROTARY,
        "        dx = dy * cos\n        dx -= times_sin(dy, sin, layout)\n",
        "        at = positions.astype(x.real.dtype), frequencies.astype(x.real.dtype)\n"
        "        cos, sin = turns(*at, layout, float(magnitude), x.real.dtype)\n"
        "        if positions.ndim > 1:\n"
        "            cos, sin = cos[..., None, :, :], sin[..., None, :, :]\n"
        "        dx = dy * cos\n        dx -= times_sin(dy, sin, layout)\n",
        POSITIONS + "test_float32_is_as_exact_far_away_as_near",
    ),
    mutant(
        "rotary: far positions not turned back",
        ROTARY,
        "        dx = dy * cos\n",
        "        dx = dy * (cos if np.abs(positions).max(initial=0) < 2**16 else np.ones_like(cos))\n",
        POSITIONS + "test_float32_is_as_exact_far_away_as_near",
    ),
    mutant(
        "rotary: positions of a batch rounded before their distinct ones are found",
        "ops/positions.py",
        "distinct, place = np.unique(positions, return_inverse=True)",
        "distinct, place = np.unique(positions.astype(np.float32), return_inverse=True)",
        POSITIONS + "test_rotary_equals_the_formula_in_indices",
    ),
    mutant(
        "NaN: hidden in values that blockwise attention masks",
        BLOCKWISE,
        "np.where(used_keys, value, zero)",
        "np.nan_to_num(np.where(used_keys, value, zero))",
        DENSE + "test_nan_that_somebody_attends_to_is_seen",
    ),
    mutant(
        "NaN: hidden in queries that blockwise attention masks",
        BLOCKWISE,
        "query = np.where(used_queries, query, zero)",
        "query = np.nan_to_num(np.where(used_queries, query, zero))",
        DENSE + "test_nan_that_somebody_attends_to_is_seen",
    ),
    mutant(
        "NaN: hidden in values of dense attention that some may not see",
        "ops/attention.py",
        "value = zero_unless_used(allowed, value, over_axis=-2)",
        "value = np.nan_to_num(zero_unless_used(allowed, value, over_axis=-2))",
        DENSE + "test_nan_that_somebody_attends_to_is_seen",
    ),
    mutant(
        "NaN: hidden by relu",
        "ops/activations.py",
        "y = np.maximum(x, 0)",
        "y = np.fmax(x, 0)",
        "tests/ops/test_activations.py::test_relu_propagates_nan",
    ),
    mutant(
        "NaN: hidden in the norm of a vector of many blocks",
        "optim/clipping.py",
        "np.vecdot(blocks, blocks).tolist()",
        "np.nansum(blocks * blocks, axis=1).tolist()",
        "tests/optim/test_clipping.py::test_gradients_that_are_not_finite_are_an_error_and_left_as_they_are",
    ),
    mutant(
        "NaN: a model with it is saved",
        "training/saving.py",
        "np.count_nonzero(~np.isfinite(tensor))",
        "np.count_nonzero(np.isinf(tensor))",
        "tests/training/test_saving.py::test_a_model_that_is_not_finite_is_neither_saved_nor_loaded",
    ),
    mutant(
        "NaN: hidden in tokens that count in a mean",
        "ops/pooling.py",
        "np.where(counted, x, 0) / n",
        "np.where(counted & ~np.isnan(x), x, 0) / n",
        "tests/ops/test_pooling.py::test_padding_is_not_read",
    ),
]
