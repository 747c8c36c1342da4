"""Bugs in layers and models."""

from tests.mutants.mutant import mutant

HEADS = "layers/multi_head_attention.py"
NEXT = "layers/next_position.py"
EQUALS = "tests/layers/test_next_position.py::test_it_equals_the_blocks_and_leaves_an_equal_cache"
PLAIN = "layers/plain_blocks.py"
SAME_BITS = "tests/layers/test_plain_blocks.py::test_they_equal_the_layers_to_the_last_bit"
PUBLIC = "public NumPy Transformers"

LAYERS = [
    mutant(
        "heads: the projection skipped on the way back",
        HEADS,
        "split_heads(output_backward(dy), self.config.num_heads)",
        "split_heads((output_backward(dy), dy)[1], self.config.num_heads)",
        "MultiHeadAttention",
        seen_in=PUBLIC,
    ),
    mutant(
        "heads: keys' and values' part of dx forgotten", HEADS, "dx + dmemory, None", "dx, None", "MultiHeadAttention"
    ),
    mutant(
        "heads: keys and values swapped, which gradients cannot see",
        HEADS,
        "k, v = key_value[",
        "v, k = key_value[",
        "tests/layers/test_multi_head_attention.py::test_it_equals_one_head_after_another",
        seen_in=PUBLIC,
    ),
    mutant(
        "block: residual forgotten on the way back",
        "layers/residual.py",
        "bare_if_alone(dy + norm_backward(dz), *others)",
        "bare_if_alone(norm_backward(dz), *others)",
        "TransformerBlock",
    ),
    mutant(
        "layer: gradient overwritten",
        "layers/parameter.py",
        "grad += product_over_rows(a, b)",
        "grad[...] = product_over_rows(a, b)",
        "Linear",
    ),
    mutant(
        "tied head: all of its words at once add to the first part of the table alone",
        "layers/linear.py",
        "self.table.add_product(b, a, part)",
        "self.table.add_product(b, a, part or slice(1))",
        "TiedLinear",
    ),
    mutant(
        "heads: gradients of a group's copies not added",
        "layers/heads.py",
        ".sum(axis=-3)",
        "[..., 0, :, :]",
        "MultiHeadAttention (grouped, rotary)",
    ),
    mutant(
        "window: one position too many while decoding",
        "layers/cache.py",
        "seen = slice(max(0, first - reach), end)",
        "seen = slice(max(0, first - reach - 1), end)",
        "tests/layers/test_windows.py::test_a_cache_gives_what_lies_within_the_window_alone",
    ),
    mutant(
        "heads: norm of the queries skipped on the way back",
        HEADS,
        "linear_backward(merge_heads(norm_backward(rotary_backward(dquery))))",
        "linear_backward(merge_heads(rotary_backward(dquery)))",
        "MultiHeadAttention (normed, window)",
    ),
    mutant(
        "gate: gradient of the gate's other factor forgotten",
        "layers/feed_forward.py",
        "op_backward(dgated * u)",
        "op_backward(dgated)",
        "FeedForward (swiglu)",
    ),
    mutant(
        "block: post-norm's residual forgotten on the way back",
        "layers/residual.py",
        "bare_if_alone(dsum + dx, *others)",
        "bare_if_alone(dx, *others)",
        "TransformerBlock (post-norm)",
    ),
    mutant(
        "GPT: position gradient of the first sequence alone",
        "models/positions.py",
        "embedding_backward(unbroadcast(dy, shape))",
        "embedding_backward(dy[0])",
        "GPT",
    ),
    mutant(
        "Transformer: scale of the embeddings forgotten on the way back",
        "models/positions.py",
        "return y, lambda dy: scale * dy",
        "return y, lambda dy: dy",
        "Transformer",
    ),
    mutant(
        "Transformer: memory's gradient from the last block alone",
        "layers/stack.py",
        "part if total is None else total if part is None else total + part",
        "part if total is None else total",
        "tests/models/test_transformer.py::test_the_gradient_of_the_memory_comes_from_every_block",
    ),
    mutant(
        "last_only: gradient of the last position given to all",
        "models/decoder_only.py",
        "dx[..., -1:, :] = dy",
        "dx[...] = dy",
        "tests/models/test_decoder_only.py::"
        "test_the_last_position_alone_has_the_logits_and_gradients_that_it_has_among_all",
    ),
    mutant(
        "BERT: class head's gradient at every position",
        "models/bert_heads.py",
        "dx[..., 0, :] = head_backward(dy)",
        "dx[...] = head_backward(dy)[..., None, :]",
        "BERT (classes)",
    ),
    mutant("next position: window forgotten", NEXT, "window=c.window", "window=None", EQUALS),
    mutant(
        "next position: turned too far", NEXT, "turns_of(c.rotary, position", "turns_of(c.rotary, position + 1", EQUALS
    ),
    mutant(
        "next position: values normed in the place of keys",
        NEXT,
        "key = key if attention.key_norm is None else normed(attention.key_norm, key)",
        "value = value if attention.key_norm is None else normed(attention.key_norm, value)",
        EQUALS,
    ),
    mutant(
        "next position: norm of the branch where it is that of the sum",
        NEXT,
        "return normed(residual.norm, x + branch(x, *arguments))",
        "return x + normed(residual.norm, branch(x, *arguments))",
        EQUALS,
    ),
    mutant("next position: bias of a layer norm forgotten", NEXT, "bias = norm.bias", "bias = None", EQUALS),
    mutant(
        "next position: squares overflow to a norm of 0",
        NEXT,
        "<= mean_square < math.inf",
        "<= mean_square",
        "tests/layers/test_next_position.py::test_a_row_of_any_size_is_normed_as_by_the_layer",
    ),
    mutant(
        "next position: weights of the first call kept",
        NEXT,
        "weight, bias = linear.weight.value, linear.bias",
        'weight, bias = vars(linear).setdefault("kept", linear.weight.value), linear.bias',
        "tests/models/test_next_token.py::test_its_logits_are_those_of_the_layers_whatever_the_weights_become",
    ),
    mutant(
        "next token: a mask left out",
        "models/decoder_only.py",
        "is_plain = mask is None and positions",
        "is_plain = positions",
        "tests/models/test_next_token.py::test_one_new_token_is_written_out_where_nothing_more_is_asked",
    ),
    mutant(
        "plain block: the stream past attention forgotten on the way back",
        PLAIN,
        "return dmiddle + attention_norm_backward(",
        "return attention_norm_backward(",
        SAME_BITS,
    ),
    mutant("plain block: gradient overwritten", PLAIN, "W.add_product(x, dy)", "W.grad[...] = x.T.dot(dy)", SAME_BITS),
    mutant(
        "plain block: squares overflow to a norm of 0",
        PLAIN,
        "largest(variance_and_eps) < math.inf",
        "largest(variance_and_eps) <= math.inf",
        SAME_BITS,
    ),
    mutant(
        "plain block: dropout of attention weights left out",
        PLAIN,
        "block.attention.config.dropout, block.add_attention.dropout.p",
        "block.add_attention.dropout.p",
        "tests/layers/test_plain_blocks.py::test_dropout_that_is_on_is_left_to_the_layers",
    ),
    mutant(
        "plain logits: gradient of a tied head overwritten",
        PLAIN,
        "table.add_product(dy, x)",
        "table.grad[...] = dy.T.dot(x)",
        "tests/models/test_plain_logits.py::test_logits_loss_and_gradients_are_those_of_the_layers_whatever_the_weights_become",
    ),
]
