"""Bugs in ops."""

from tests.mutants.mutant import Mutant, mutant

SOFTMAX = "ops/softmax.py"
ENTROPY = "ops/cross_entropy.py"
NORM = "ops/normalization.py"
ATTENTION = "ops/attention.py"
ACTIVATIONS = "ops/activations.py"
BLOCKWISE = "ops/blockwise_attention.py"
PUBLIC = "public NumPy Transformers"

OPS = [
    mutant(
        "softmax: the term that makes rows add up to zero is dropped",
        SOFTMAX,
        "return y * (dy - row_dot(dy, y))",
        "return y * dy",
        "softmax",
    ),
    mutant(
        "softmax: divided by the batch size, right for a batch of one",
        SOFTMAX,
        "return y * (dy - row_dot(dy, y))",
        "return y * (dy - row_dot(dy, y)) / len(y)",
        "softmax",
        seen_in=PUBLIC,
    ),
    mutant(
        "softmax: zeros, which a cotangent of all ones expects",
        SOFTMAX,
        "return y * (dy - row_dot(dy, y))",
        "return 0 * y * dy",
        "softmax",
        seen_in=PUBLIC,
    ),
    mutant("log_softmax: probabilities forgotten", SOFTMAX, "np.exp(y) * row_sum(dy)", "row_sum(dy)", "log_softmax"),
    mutant("log_softmax: mean for sum", SOFTMAX, "* row_sum(dy)", "* row_sum(dy) / dy.shape[-1]", "log_softmax"),
    mutant(
        "cross_entropy: divided by B where the mean is over B x T",
        ENTROPY,
        "dtype.type(dloss / n)",
        "dtype.type(dloss / len(targets))",
        "cross_entropy",
        seen_in=PUBLIC,
    ),
    mutant(
        "cross_entropy: ignored positions counted in the mean",
        ENTROPY,
        "dtype.type(dloss / n)",
        "dtype.type(dloss / targets.size)",
        "cross_entropy",
    ),
    mutant(
        "cross_entropy: smoothing forgotten at the target",
        ENTROPY,
        "-= share * (1 - label_smoothing)",
        "-= share",
        "cross_entropy (smoothed)",
    ),
    Mutant(
        "layer_norm: weight left outside of the two means, right while it is 1",
        NORM,
        (
            (
                "dz = dy if weight is None else dy * weight\n        dx = dz - row_mean(dz)",
                "dz = dy\n        dx = dz - row_mean(dz)",
            ),
            ("dx *= inverse_std", "dx *= inverse_std if weight is None else inverse_std * weight"),
        ),
        ("layer_norm",),
        PUBLIC,
    ),
    mutant("layer_norm: mean not differentiated", NORM, "dx = dz - row_mean(dz)", "dx = dz.copy()", "layer_norm"),
    mutant("layer_norm: variance not differentiated", NORM, "dx -= z * (row_dot(dz, z) / n)", "pass", "layer_norm"),
    mutant("layer_norm: sum for mean", NORM, "(row_dot(dz, z) / n)", "row_dot(dz, z)", "layer_norm"),
    mutant(
        "layer_norm: eps outside of the square root",
        NORM,
        "1 / np.sqrt(row_mean(z * z) + float(eps))",
        "1 / (np.sqrt(row_mean(z * z)) + float(eps))",
        "layer_norm",
    ),
    mutant(
        "layer_norm: no eps at all",
        NORM,
        "row_mean(z * z) + float(eps)",
        "row_mean(z * z)",
        "tests/ops/test_normalization.py::test_an_equal_row_gives_the_bias_and_a_finite_gradient",
    ),
    mutant(
        "layer_norm: variance divides by n - 1",
        NORM,
        "row_mean(z * z)",
        "row_mean(z * z) * n / max(1, n - 1)",
        "layer_norm",
    ),
    mutant(
        "layer_norm: dweight from x",
        NORM,
        "column_sum(dy * z)\n        dbias",
        "column_sum(dy * x)\n        dbias",
        "layer_norm",
    ),
    mutant("rms_norm: mean square not differentiated", NORM, "z * (row_dot(dz, z) / -n)", "z * 0", "rms_norm"),
    mutant("rms_norm: sum for mean", NORM, "z * (row_dot(dz, z) / -n)", "z * -row_dot(dz, z)", "rms_norm"),
    mutant(
        "embedding: repeated ids dropped",
        "ops/embedding.py",
        "table[sorted_ids[starts]] += np.add.reduceat(rows.reshape(ids.size, table.shape[1])[order], starts, axis=0)",
        "table[ids.ravel()] += rows.reshape(-1, table.shape[1])",
        "embedding",
        "Embedding",
        seen_in=PUBLIC,
    ),
    mutant("linear: transpose forgotten", "ops/linear.py", "drows @ weight.T", "drows @ weight", "linear"),
    mutant("linear: bias gradient a mean", "ops/linear.py", "column_sum(dy)", "column_sum(dy) / len(drows)", "linear"),
    mutant("linear: bias gradient of the first row", "ops/linear.py", "column_sum(dy)", "drows[0].copy()", "linear"),
    mutant("relu: sign of the cotangent", ACTIVATIONS, "dy * (x > 0)", "dy * (dy > 0)", "relu"),
    mutant("gelu: density forgotten", ACTIVATIONS, "dy * (phi + x * density)", "dy * phi", "gelu"),
    mutant("gelu (tanh): 3 of the cube forgotten", ACTIVATIONS, "1.5 * SQRT", "0.5 * SQRT", "gelu (tanh)"),
    mutant("silu: one factor forgotten", ACTIVATIONS, "(1 + x * (1 - s))", "(1 + x)", "silu"),
    mutant("dropout: scale forgotten", "ops/dropout.py", "else dy * scaled_keep", "else dy * keep", "dropout"),
    mutant(
        "mean_squared_error: 2 forgotten", "ops/mean_squared_error.py", "2 * dloss", "1 * dloss", "mean_squared_error"
    ),
    mutant(
        "mean_squared_error: sign of the target",
        "ops/mean_squared_error.py",
        "dprediction, -dprediction",
        "dprediction, dprediction",
        "mean_squared_error",
    ),
    mutant("attention: scale forgotten in dquery", ATTENTION, "dquery *= scale", "pass", "attention"),
    mutant(
        "attention: scale forgotten in dkey",
        ATTENTION,
        "product(dscores.swapaxes(-1, -2), q, like=key)",
        "product(dscores.swapaxes(-1, -2), query, like=key)",
        "attention",
    ),
    mutant(
        "attention: softmax's term dropped",
        ATTENTION,
        "dscores = dweights - row_dot(dweights, weights)",
        "dscores = dweights.copy()",
        "attention",
    ),
    mutant(
        "attention: dvalue from the weights before dropout",
        ATTENTION,
        "dvalue = product(dropped.swapaxes(-1, -2), dy, like=value)",
        "dvalue = product(weights.swapaxes(-1, -2), dy, like=value)",
        "attention (dropout)",
        seen_in=PUBLIC,
    ),
    mutant(
        "attention: dropout forgotten on the way back",
        ATTENTION,
        "dropout_backward(dy @ value.swapaxes(-1, -2))",
        "dy @ value.swapaxes(-1, -2)",
        "attention (dropout)",
    ),
    Mutant(
        "attention: additive mask before the scale",
        ATTENTION,
        (
            ("q = query * scale", "q = query"),
            (
                "    if allowed is not None:\n        np.copy",
                "    scores *= scale\n    if allowed is not None:\n        np.copy",
            ),
        ),
        ("attention (mask)",),
    ),
    mutant(
        "attention: works on an output that it keeps",
        ATTENTION,
        "        dscores = dweights - row_dot(dweights, weights)  # (..., T_query, T_key)\n        dscores *= weights",
        "        dscores = dweights\n        dscores -= row_dot(dweights, weights)\n        dscores *= weights",
        "attention_weights",
    ),
    mutant(
        "blockwise: mean of the gradient not taken from each tile",
        BLOCKWISE,
        "with_feature(dy_rows, -mean)",
        "with_feature(dy_rows, 0)",
        "blockwise_attention",
    ),
    mutant(
        "blockwise: a later tile overwrites the gradient of values",
        BLOCKWISE,
        "dvalue[head][columns] += dropped.T @ dy_rows",
        "dvalue[head][columns] = dropped.T @ dy_rows",
        "tests/ops/test_blockwise_attention.py::test_gradients",
    ),
    mutant(
        "blockwise: other weights dropped in backward",
        BLOCKWISE,
        "return dscores, weights * keep",
        "return dscores, weights * keep[::-1]",
        "blockwise_attention (dropout)",
    ),
    mutant(
        "blockwise: value gradient from before dropout",
        BLOCKWISE,
        "return dscores, weights * keep",
        "return dscores, weights",
        "blockwise_attention (dropout)",
    ),
    mutant(
        "blockwise: tiles cut before the diagonal",
        "ops/tiles.py",
        "self.t_key - self.t_query + rows.stop if",
        "self.t_key - self.t_query + rows.start + 1 if",
        "tests/ops/test_blockwise_attention.py::test_it_equals_dense_attention",
    ),
    mutant(
        "rotary: turned on instead of back",
        "ops/rotary.py",
        "dx -= times_sin(dy, sin)",
        "dx += times_sin(dy, sin)",
        "rotary",
    ),
    mutant(
        "attention: causal mask lets the next position in",
        "ops/masks.py",
        "num_keys - num_queries - before, dtype",
        "num_keys - num_queries - before + 1, dtype",
        "tests/ops/test_attention_semantics.py::test_is_causal_aligns_the_last_query_with_the_last_key",
    ),
]
