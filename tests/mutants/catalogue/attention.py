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
        "attention: long sums of few queries added in one go, which loses digits",
        "ops/rows.py",
        "if n <= BLOCK or is_cut_by_blas:",
        "if m <= FEW_ROWS or n <= BLOCK or is_cut_by_blas:",
        "tests/ops/test_rows.py::test_long_sums_of_a_small_product_are_added_block_by_block",
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
    mutant(
        "rotary: more turns than are remembered lack their magnitude",
        ROTARY,
        "        return _turns(positions, frequencies, *options)\n",
        "        return _turns(positions, frequencies, layout, 1.0, dtype)\n",
        POSITIONS + "test_more_turns_than_are_remembered_are_as_right",
    ),
    mutant(
        "rotary: remembered turns can be written to",
        ROTARY,
        "    cos.flags.writeable = sin.flags.writeable = False\n    return cos, sin",
        "    return cos, sin",
        POSITIONS + "test_what_is_remembered_cannot_be_written",
    ),
    mutant(
        "rotary: a new position is turned without the magnitude",
        "layers/positions.py",
        "return turns(positions, by_pair, rotary.layout, rotary.magnitude, dtype)",
        "return turns(positions, by_pair, rotary.layout, 1.0, dtype)",
        "tests/layers/test_next_position.py::test_it_equals_the_blocks_and_leaves_an_equal_cache",
    ),
    mutant(
        "blockwise dropout: repeats along anti-diagonals",
        BLOCKWISE,
        "[seed, *head, rows.start, columns.start]",
        "[seed, *head, rows.start + columns.start]",
        TILES + "test_no_two_tiles_drop_the_same",
    ),
    mutant(
        "NaN: hidden at a new position, where scores may all be impossible",
        "layers/next_position.py",
        "    weights = np.exp(scores, out=scores)\n",
        "    weights = np.nan_to_num(np.exp(scores, out=scores), copy=False)\n",
        "tests/layers/test_next_position.py::test_nan_in_a_parameter_or_in_a_sequence_is_seen_where_the_blocks_show_it",
    ),
    mutant(
        "NaN: hidden where all gradients are",
        "optim/clipping.py",
        "float(np.abs(grads).max(initial=0))",
        "float(np.nanmax(np.abs(grads), initial=0))",
        "tests/optim/test_clipping.py::test_gradients_that_are_not_finite_are_an_error_and_left_as_they_are",
    ),
    mutant(
        "NaN: hidden in weights of attention, for rows that may attend to nothing",
        "ops/attention.py",
        "    weights = np.exp(scores, out=scores)\n",
        "    weights = np.nan_to_num(np.exp(scores, out=scores), copy=False)\n",
        "tests/ops/test_nan.py::test_what_depends_on_it_is_nan",
    ),
    mutant(
        "NaN: a parameter with it is not found",
        "training/divergence.py",
        "if not np.isfinite(parameter.value).all():",
        "if np.isinf(parameter.value).any():",
        "tests/training/test_divergence.py::test_a_parameter_that_is_not_finite_is_named",
    ),
    mutant(
        "NaN: loaded with the state of training",
        "training/saving.py",
        "    check_finite(stored)\n\n",
        "    check_finite({name: stored[name] for name in targets if part in ('', 'model')})\n\n",
        "tests/training/test_saving.py::test_a_state_of_training_that_is_not_finite_anywhere_is_not_loaded",
    ),
    mutant(
        "cross-attention: rows of the memory stay when hypotheses are chosen",
        "layers/cache.py",
        "            self._across[name] = key[rows], value[rows]\n",
        "            self._across[name] = key[: len(rows)], value[: len(rows)]\n",
        "tests/layers/test_cache.py::test_a_selection_holds_for_everything_in_the_cache",
    ),
    mutant(
        "cross-attention: sources are embedded without dropout",
        "models/transformer.py",
        'self._embed("source", source, 0, generator)',
        'self._embed("source", source, 0, None)',
        "tests/models/test_transformer.py::test_it_equals_the_formula",
    ),
    mutant(
        "NaN: hidden where dropout drops it",
        "ops/dropout.py",
        "y = x * scaled_keep",
        "y = np.where(keep, x * scaled_keep, 0)",
        "tests/ops/test_dropout.py::test_nan_is_seen_where_it_is_dropped_too",
    ),
    mutant(
        "causal parts: weights that are formed again have the scale by default",
        "ops/attention.py",
        "masked_weights(query, key, None, allowed, scale)",
        "masked_weights(query, key, None, allowed, None)",
        "tests/ops/test_causal_parts.py::test_parts_give_what_the_whole_gives",
    ),
    mutant(
        "causal parts: weights that are formed again look at all keys",
        "ops/attention.py",
        "allowed = may_attend(None, True, query.shape[-2], key.shape[-2])\n        weights",
        "allowed = None\n        weights",
        "tests/ops/test_causal_parts.py::test_weights_that_are_formed_again_change_no_bit",
    ),
    mutant(
        "causal parts: what is formed again reads a query that may have changed",
        "ops/attention.py",
        "forming_again(np.copy(q), k, v, scale)",
        "forming_again(q, k, v, scale)",
        "tests/ops/test_causal_parts.py::test_of_many_weights_the_last_parts_are_not_kept",
    ),
    mutant(
        "causal parts: as many weights are held as there are",
        "ops/attention.py",
        "if num_weights > MOST_HELD:",
        "if num_weights < 0:",
        "tests/ops/test_causal_parts.py::test_of_many_weights_the_last_parts_are_not_kept",
    ),
]
