"""Bugs in what a trace records: the gradients are right, and what is looked at is not."""

from tests.mutants.mutant import mutant

PARTS = "tests/layers/test_block_options.py::"
TRACE = "tests/layers/test_trace.py::"
FEED_FORWARD = "layers/feed_forward.py"
HEADS = "layers/multi_head_attention.py"

TRACES = [
    mutant(
        "trace: gradient behind a gate overwritten by that of its second factor",
        FEED_FORWARD,
        "np.concatenate([op_backward(dgated * u), dgated * a], axis=-1)",
        "np.concatenate([op_backward(dgated * u), np.multiply(dgated, a, out=dgated)], axis=-1)",
        TRACE + "test_a_gated_map_records_both_factors_and_their_gradients",
    ),
    mutant(
        "trace: hidden features recorded as activations",
        FEED_FORWARD,
        "activations=a, output=y",
        "activations=h, output=y",
        TRACE + "test_a_gated_map_records_both_factors_and_their_gradients",
    ),
    mutant(
        "trace: gradient of the hidden features of a gated map is that of the gate alone",
        FEED_FORWARD,
        "dhidden=dh)",
        "dhidden=dh[..., : dh.shape[-1] // 2])",
        TRACE + "test_a_gated_map_records_both_factors_and_their_gradients",
    ),
    mutant(
        "trace: weights of attention that is not causal recorded as causal",
        HEADS,
        "attention_weights(queries, keys, grouped_mask, is_causal=is_causal, scale=scale)",
        "attention_weights(queries, keys, grouped_mask, is_causal=True, scale=scale)",
        TRACE + "test_recorded_weights_are_those_with_which_each_head_looked_at_its_values",
    ),
    mutant(
        "trace: weights recorded as causal where queries and keys differ in number",
        HEADS,
        "attention_weights(queries, keys, grouped_mask, is_causal=is_causal, scale=scale)",
        "attention_weights(queries, keys, grouped_mask, is_causal=is_causal or t_query != t_key, scale=scale)",
        TRACE + "test_recorded_weights_are_those_with_which_each_head_looked_at_its_values",
    ),
    mutant(
        "trace: weights of grouped heads in the order of the members",
        HEADS,
        "trace.record(weights=join_groups(weights, group))",
        "trace.record(weights=join_groups(weights if group == 1 else weights.swapaxes(-3, -4), group))",
        TRACE + "test_recorded_weights_are_those_with_which_each_head_looked_at_its_values",
    ),
    mutant(
        "trace: weights of a window without their window",
        HEADS,
        "attention_weights(queries, keys, grouped_mask, is_causal",
        "attention_weights(queries, keys, group_mask(mask, group), is_causal",
        TRACE + "test_recorded_weights_are_those_with_which_each_head_looked_at_its_values",
    ),
    mutant(
        "trace: gradient behind attention is that behind cross-attention",
        "layers/block.py",
        "            dh, dmemory, dmemory_mask = cross_attention_backward(dh)\n"
        "            trace.record(dresidual_after_attention=dh)\n",
        "            trace.record(dresidual_after_attention=dh)\n"
        "            dh, dmemory, dmemory_mask = cross_attention_backward(dh)\n",
        PARTS + "test_a_trace_names_what_is_between_the_parts",
    ),
    mutant(
        "trace: gradient of a post-norm is that before it",
        "layers/residual.py",
        '            trace.record(**{f"d{self.name}_norm": dy})\n            dsum = norm_backward(dy)\n',
        '            dsum = norm_backward(dy)\n            trace.record(**{f"d{self.name}_norm": dsum})\n',
        PARTS + "test_a_trace_names_what_is_between_the_parts",
    ),
    mutant(
        "trace: the first array of a name is kept, not the last",
        "layers/trace.py",
        "self.arrays[name] = array",
        "self.arrays.setdefault(name, array)",
        TRACE + "test_of_two_arrays_of_one_name_the_last_is_kept",
    ),
    mutant(
        "trace: gradient of the memory is that of the first block's input",
        "models/transformer.py",
        "trace.record(dmemory=dmemory)",
        "trace.record(dmemory=dx)",
        "tests/models/test_transformer.py::test_calling_is_encoding_and_decoding",
    ),
    mutant(
        "trace: a post-norm's sum of gradients overwritten by the next",
        "layers/residual.py",
        "bare_if_alone(dsum + dx, *others)",
        "bare_if_alone(np.add(dsum, dx, out=dsum), *others)",
        PARTS + "test_a_trace_names_what_is_between_the_parts",
    ),
    mutant(
        "trace: gradient of BERT's embeddings is that behind their norm",
        "models/bert.py",
        "            trace.record(dembedded=dx)\n            dsum = embedding_norm_backward(dropout_backward(dx))",
        "            dsum = embedding_norm_backward(dropout_backward(dx))\n            trace.record(dembedded=dsum)",
        "tests/models/test_traced_gradients.py::test_it_is_the_derivative_by_what_has_the_name",
    ),
    mutant(
        "trace: gradient of the logits of classes is that of the encoder",
        "models/bert.py",
        "            trace.record(dlogits=dlogits)\n            encoder_backward(head_backward(dlogits))",
        "            dencoded = head_backward(dlogits)\n"
        "            trace.record(dlogits=dencoded)\n"
        "            encoder_backward(dencoded)",
        "tests/models/test_traced_gradients.py::test_it_is_the_derivative_by_what_has_the_name",
    ),
]
