"""Bugs where logits are not held, and in Muon's matrices."""

from tests.mutants.mutant import mutant

HELD = "tests/models/test_held_logits.py::"
MATRICES = "tests/models/test_block_matrices.py::"
MUON = "tests/optim/test_muon.py::"
GPT = "models/decoder_only.py"
IN_PARTS = "ids, mask=mask, positions=positions, generator=generator, trace=trace, once=dloss is not None"

LOSSES = [
    mutant(
        "logits in parts: without dropout",
        GPT,
        IN_PARTS,
        IN_PARTS.replace("=generator", "=None"),
        HELD + "test_logits_that_are_not_held_give_the_same_loss_and_gradient",
    ),
    mutant(
        "logits in parts: without the mask",
        GPT,
        IN_PARTS,
        IN_PARTS.replace("=mask", "=None"),
        HELD + "test_logits_that_are_not_held_give_the_same_loss_and_gradient",
    ),
    mutant(
        "logits in parts: without the positions",
        GPT,
        IN_PARTS,
        IN_PARTS.replace("=positions", "=None"),
        HELD + "test_logits_that_are_not_held_give_the_same_loss_and_gradient",
    ),
    mutant(
        "logits in parts: an encoder without dropout",
        "models/transformer.py",
        "self._encode(source, mask, generator=generator, trace=trace, once=once)",
        "self._encode(source, mask, generator=None, trace=trace, once=once)",
        HELD + "test_logits_that_are_not_held_give_the_same_loss_and_gradient",
    ),
    mutant(
        "logits in parts: a decoder without dropout",
        "models/transformer.py",
        "self._features(ids, memory, mask, generator=generator, trace=trace, once=once)",
        "self._features(ids, memory, mask, generator=None, trace=trace, once=once)",
        HELD + "test_logits_that_are_not_held_give_the_same_loss_and_gradient",
    ),
    mutant(
        "logits in parts: a source read with its padding",
        "models/transformer.py",
        "mask = self._mask(source, source_lengths)\n            once",
        "mask = self._mask(source, None)\n            once",
        HELD + "test_logits_that_are_not_held_give_the_same_loss_and_gradient",
    ),
    mutant(
        "logits in parts: every part of the head's gradient is the first",
        "ops/linear_cross_entropy.py",
        "add_product(rows, dlogits, part)",
        "add_product(rows, dlogits, slice(part.stop - part.start))",
        "tests/ops/test_linear_cross_entropy.py::test_the_factors_of_the_weights_gradient_are_handed_on",
    ),
    mutant(
        "logits in parts: held exponentials keep the shift that they had",
        "ops/linear_cross_entropy.py",
        "(factor * np.exp(shift_then - shift))[:, None]",
        "factor[:, None]",
        "tests/ops/test_linear_cross_entropy.py::test_it_is_the_cross_entropy_of_the_linear_map",
    ),
    mutant(
        "logits in parts: backward writes to what is held",
        "ops/linear_cross_entropy.py",
        "yield part, exponentials * (factor * np.exp(shift_then - shift))[:, None], at_target",
        "exponentials *= (factor * np.exp(shift_then - shift))[:, None]\n"
        "            yield part, exponentials, at_target",
        "tests/ops/test_linear_cross_entropy.py::test_it_is_the_cross_entropy_of_the_linear_map",
    ),
    mutant(
        "logits in parts: a model that is told to hold none holds exponentials",
        GPT,
        "hold_exponentials=hold_logits",
        "hold_exponentials=None",
        HELD + "test_a_model_that_is_told_to_hold_nothing_holds_no_exponentials",
    ),
    mutant(
        "logits in parts: the gradient of the head's bias overwritten",
        "layers/linear.py",
        "self.bias.add(dbias)\n            return dx\n\n        return loss",
        "self.bias.grad[...] = dbias\n            return dx\n\n        return loss",
        "tests/layers/test_linear.py::test_cross_entropy_is_that_of_the_logits_and_adds_to_the_gradient",
    ),
    mutant(
        "logits in parts: not in parts although they are many",
        "models/held_logits.py",
        "num_logits <= MOST_HELD_LOGITS and",
        "num_logits <= 2 * MOST_HELD_LOGITS and",
        HELD + "test_few_or_traced_logits_are_held_if_nothing_is_said",
    ),
    mutant(
        "Muon: matrices that stand side by side made orthogonal as one",
        "optim/muon.py",
        "zip(*(np.split(view[name], count, axis=1) for view in views), strict=True)",
        "zip(*([view[name]] for view in views), strict=True)",
        MUON + "test_matrices_follow_muon_and_all_else_adamw",
    ),
    mutant(
        "Muon: length of the step by the shorter side",
        "optim/muon.py",
        "math.sqrt(max(p.shape))",
        "math.sqrt(min(p.shape))",
        MUON + "test_matrices_follow_muon_and_all_else_adamw",
    ),
    mutant(
        "Muon: momentum without the newest gradient",
        "optim/muon.py",
        "u = b * m + (1 - b) * g",
        "u = m",
        MUON + "test_matrices_follow_muon_and_all_else_adamw",
    ),
    mutant(
        "Muon: no weight decay of matrices",
        "optim/muon.py",
        "p *= 1 - learning_rate * self.weight_decay",
        "pass",
        MUON + "test_matrices_follow_muon_and_all_else_adamw",
    ),
    mutant(
        "Muon: what lies between two matrices is updated twice",
        "optim/muon.py",
        "for begin, end in self.between for span",
        "for begin, end in [*self.between, *self.between[1:2]] for span",
        MUON + "test_matrices_follow_muon_and_all_else_adamw",
    ),
    mutant(
        "Muon: norms and biases made orthogonal as well",
        "models/block_matrices.py",
        "if parameter.value.ndim == 2:",
        "if parameter.value.ndim:",
        MATRICES + "test_matrices_of_all_blocks_and_nothing_else",
    ),
    mutant(
        "Muon: the gate and the values of a gated map made orthogonal as one",
        "models/block_matrices.py",
        'pairs.add("feed_forward.up.weight")',
        "pass",
        MATRICES + "test_matrices_of_all_blocks_and_nothing_else",
    ),
    mutant(
        "called once: a second call goes through no block",
        "layers/stack.py",
        "is_called = once",
        "is_called = False",
        "tests/layers/test_stack.py::test_a_backward_that_is_called_once_frees_each_block_behind_it",
    ),
    mutant(
        "called once: blocks are held to the end",
        "layers/stack.py",
        "yield backwards.pop()",
        "yield from reversed(backwards)\n        backwards.clear()",
        "tests/layers/test_stack.py::test_a_backward_that_is_called_once_frees_each_block_behind_it",
    ),
    mutant(
        "called once: without a known dloss, too",
        GPT,
        "once=dloss is not None",
        "once=True",
        HELD + "test_where_dloss_is_known_and_logits_are_not_held_blocks_go_backward_once",
    ),
]
