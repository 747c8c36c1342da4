"""Bugs of memory that is shared: something is written that others still read."""

from tests.mutants.mutant import mutant

MASKS = "tests/ops/test_mask_builders.py::"
MUON = "tests/optim/test_muon.py::"
TRAINED = "tests/training/test_trainer.py::"

ALIASING = [
    mutant(
        "aliasing: a causal mask that is handed out is the one that is kept",
        "ops/masks.py",
        "_kept_tri(num_queries, num_keys, last_key).copy()",
        "_kept_tri(num_queries, num_keys, last_key)",
        MASKS + "test_causal_masks_allow_keys_up_to_the_query",
    ),
    mutant(
        "aliasing: a combined mask is written into the first of them",
        "ops/masks.py",
        "allowed = reduce(np.logical_and, booleans) if booleans else None",
        "if len(booleans) > 1 and booleans[0].shape == booleans[1].shape:\n"
        "        booleans[0] &= booleans[1]\n"
        "    allowed = reduce(np.logical_and, booleans) if booleans else None",
        MASKS + "test_masks_that_are_combined_stay_as_they_are",
    ),
    mutant(
        "aliasing: an additive mask is summed up in the first of them",
        "ops/masks.py",
        "added = reduce(np.add, floating) if floating else None",
        "if len(floating) > 1 and floating[0].shape == floating[1].shape:\n"
        "        floating = [np.add(floating[0], floating[1], out=floating[0]), *floating[2:]]\n"
        "    added = reduce(np.add, floating) if floating else None",
        MASKS + "test_masks_that_are_combined_stay_as_they_are",
    ),
    mutant(
        "aliasing: a step of gradient descent scales the gradient",
        "optim/sgd.py",
        "                theta -= learning_rate * g\n",
        "                g *= learning_rate\n                theta -= g\n",
        "tests/optim/test_sgd.py::test_twenty_steps_equal_a_loop_over_scalars",
    ),
    mutant(
        "aliasing: Adam's step squares the gradient in place",
        "optim/adam.py",
        "            np.multiply(g, g, out=buffer)\n",
        "            g *= g\n            buffer[...] = g\n",
        "tests/optim/test_adam.py::test_twenty_steps_equal_a_loop_over_scalars",
    ),
    mutant(
        "aliasing: Muon's step scales the gradient",
        "optim/muon.py",
        "        u = b * m + (1 - b) * g\n",
        "        g *= 1 - b\n        u = b * m + g\n",
        MUON + "test_matrices_follow_muon_and_all_else_adamw",
    ),
    mutant(
        "aliasing: a matrix is scaled before it is made orthogonal",
        "optim/muon.py",
        "    x = u / largest  #",
        "    u /= largest\n    x = u.copy()  #",
        MUON + "test_orthogonal_keeps_singular_vectors_and_forgets_scale",
    ),
    mutant(
        "aliasing: the weights that a cache hands out can be written",
        "layers/cache.py",
        "    x.setflags(write=False)\n    return x\n",
        "    return x\n",
        "tests/layers/test_cache.py::test_what_comes_in_parts_is_given_back_whole",
    ),
    mutant(
        "aliasing: evaluation with averaged weights loses the last ones",
        "optim/averaging.py",
        "        kept = self.parameters.values.copy()\n",
        "        kept = self.parameters.values\n",
        TRAINED + "test_evaluation_uses_the_averaged_weights_and_leaves_the_weights_as_they_were",
    ),
    mutant(
        "aliasing: a packed layer shares its values with the copy of another dtype",
        "layers/layer.py",
        "        twin = self._twin()\n        twin.pack(dtype)\n",
        "        twin = self._twin()\n"
        "        if 'values' in vars(self) and self.values.dtype == dtype:\n"
        "            twin.use(self.values, np.zeros(self.grads.shape, dtype))\n            return twin\n"
        "        twin.pack(dtype)\n",
        "tests/layers/test_layer.py::test_astype_copies_to_a_fresh_vector_and_keeps_ties",
    ),
    mutant(
        "aliasing: rows that are rounded to 8 bits lose their signs",
        "pretrained/quantized.py",
        "scale = np.abs(values).max(axis=-1, keepdims=True) / 127",
        "scale = np.abs(values, out=values).max(axis=-1, keepdims=True) / 127",
        "tests/pretrained/test_stored_weights.py::test_blocks_of_8_bits_are_off_by_half_a_code_at_most",
    ),
    mutant(
        "aliasing: frequencies that are remembered can be written to",
        "ops/frequencies.py",
        "    frequencies.flags.writeable = False  # later calls return them again\n",
        "",
        "tests/ops/test_positions.py::test_what_is_remembered_cannot_be_written",
    ),
    mutant(
        "aliasing: norms by layer square the gradients in place",
        "analysis/norms.py",
        "squares[_layer_of(name)] += global_norm(parameter.grad.ravel()) ** 2",
        "squares[_layer_of(name)] += float(np.sum(np.square(parameter.grad, out=parameter.grad)))",
        "tests/analysis/test_norms.py::test_norms_are_those_of_each_layer_before_clipping",
    ),
]
