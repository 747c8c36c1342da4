# %% [markdown]
"""How do three words become attention weights and outputs, step by step, with every number and its shape in view?

Source: "Attention Is All You Need" (Vaswani et al., 2017), sections 3.2 (attention, the scale, several heads) and 3.5
(positions). The sentence "the cat sat" has 3 tokens of 4 features, in 1 head and then in 2. The weights are random,
nothing is trained, and all is float64.

Expected: what is computed by hand agrees with the library, and with PyTorch's nn.MultiheadAttention where PyTorch is
installed, to 1e-12; every row of weights sums to 1, to 1e-12; a masked weight is exactly 0. It takes about two
seconds; all presets are the same.

It runs as a program, and editors run its cells (they begin with `# %%`) one by one. For a notebook, type
`jupytext --to notebook attention_walkthrough.py`. To import it is to run it.
"""

# %%
import scratchformer.program  # noqa: F401, I001  Ctrl-C ends the imports below without a traceback
from importlib.util import find_spec

import numpy as np
from numpy import ndarray

from scratchformer.layers import AttentionConfig, MultiHeadAttention, Trace
from scratchformer.ops import (
    attention_weights,
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
    sinusoidal_positions,
)
from scratchformer.plots import attention_maps, matrix_panels
from scratchformer.recipes.lesson import Lesson
from scratchformer.runs import About

lesson = Lesson("attention_walkthrough.py", __doc__)
tell, check, show = lesson.tell, lesson.check, lesson.show

# %% [markdown]
# ## 1. Words become vectors
#
# Each token of the vocabulary has a row of 4 features. A model learns them; here they are drawn. The first axis is that
# of the batch: there is one sentence.

# %%
generator = np.random.default_rng(lesson.options.seed)
tokens = ["the", "cat", "sat"]
embeddings = generator.standard_normal((len(tokens), 4))
ids = np.array([[0, 1, 2]])
embedded = embeddings[ids]

print("1. Words become vectors")
tell("ids", ids)
tell("embedded = embeddings[ids]", embedded)

# %% [markdown]
# ## 2. Positions are added
#
# Attention does not see order, so it has to be told. Feature 2i is a sine and feature 2i + 1 the cosine of the same
# angle, position / 10000^(2i / 4): the first pair turns by one radian a token, the second by a hundredth.

# %%
position = np.arange(3)[:, None]
angle = position / 10_000 ** (np.arange(0, 4, 2) / 4)
positions = np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(3, 4)
x = embedded + positions

print("\n2. Positions are added")
tell("angle of position and pair", angle)
tell("positions", positions)
tell("x = embedded + positions", x)
check("difference_from_library", positions - sinusoidal_positions(np.arange(3), 4, dtype=np.float64), 1e-12)

# %%
show(
    "positions",
    matrix_panels,
    panels={"": positions},
    row_label="position",
    column_label="feature",
    value_label="value",
    row_names=["0", "1", "2"],
    column_names=["sin, fast", "cos, fast", "sin, slow", "cos, slow"],
    decimals=2,
)

# %% [markdown]
# ## 3. Queries, keys and values
#
# Three linear maps of the same x: what a token looks for, what it can be found by, and what it hands over.

# %%
query_weight, key_weight, value_weight, output_weight = generator.standard_normal((4, 4, 4)) / np.sqrt(2)
query, key, value = x @ query_weight, x @ key_weight, x @ value_weight

print("\n3. Queries, keys and values")
tell("query = x @ query_weight", query)
tell("key = x @ key_weight", key)
tell("value = x @ value_weight", value)

# %% [markdown]
# ## 4. Scores, and their scale
#
# Row i, column j: how well query i fits key j. An inner product of d_k random features has variance d_k, so scores are
# divided by its root; `scaling.py` beside this file measures what happens without.

# %%
d_k = query.shape[-1]
scores = query @ key.swapaxes(-1, -2)
scaled = scores / np.sqrt(d_k)

print("\n4. Scores, and their scale")
tell("scores = query @ key^T", scores)
tell("scaled = scores / sqrt(4)", scaled)

# %% [markdown]
# ## 5. Softmax, so that nothing overflows
#
# Weights are exponentials, divided by their sum. Adding a number to all scores of a row changes nothing in mathematics,
# but exp(1000) is too large for a float; so the largest score of a row is subtracted first, and no exponent is above 0.


# %%
def naive_softmax(scores: ndarray) -> ndarray:
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def stable_softmax(scores: ndarray) -> ndarray:
    return naive_softmax(scores - scores.max(axis=-1, keepdims=True))


weights = stable_softmax(scaled)
with np.errstate(over="ignore", invalid="ignore"):
    overflowed = naive_softmax(scaled + 1000)

print("\n5. Softmax, so that nothing overflows")
tell("naive_softmax(scaled + 1000)", overflowed)
tell("stable_softmax(scaled + 1000)", stable_softmax(scaled + 1000))
tell("weights = stable_softmax(scaled)", weights)
tell("sums of their rows", weights.sum(axis=-1))
check("rows_sum_to_1", weights.sum(axis=-1) - 1, 1e-12)
check("shifted_scores_change_nothing", stable_softmax(scaled + 1000) - weights, 1e-12)

# %% [markdown]
# ## 6. The output
#
# Each token's output is a mix of all values, by its row of weights. The library does steps 4 to 6 in one function.

# %%
y = weights @ value

print("\n6. The output")
tell("y = weights @ value", y)
assert weights.shape == (1, 3, 3)
assert y.shape == x.shape == (1, 3, 4)
check("difference_from_library", y - scaled_dot_product_attention(query, key, value)[0], 1e-12)

# %% [markdown]
# Without positions order is indeed not seen: the same words in another order get the same outputs, in that order.

# %%
shuffled = [2, 0, 1]
without_positions = [embedded @ weight for weight in (query_weight, key_weight, value_weight)]
in_order, _ = scaled_dot_product_attention(*without_positions)
out_of_order, _ = scaled_dot_product_attention(*(part[:, shuffled] for part in without_positions))
check("order_without_positions", out_of_order - in_order[:, shuffled], 1e-12)

# %% [markdown]
# ## 7. A causal mask
#
# A token that is to predict the next one must not see it. Where a key comes after the query, the score becomes minus
# infinity, and its exponential exactly 0. True in a mask means: may attend.

# %%
is_past = causal_mask(3)
causal_scores = np.where(is_past, scaled, -np.inf)
causal_weights = stable_softmax(causal_scores)
causal_y = causal_weights @ value

print("\n7. A causal mask")
tell("is_past", is_past)
tell("causal_scores", causal_scores)
tell("causal_weights", causal_weights)
check("rows_sum_to_1", causal_weights.sum(axis=-1) - 1, 1e-12)
check("masked_weights", causal_weights[:, ~is_past], 0)
check("difference_from_library", causal_y - scaled_dot_product_attention(query, key, value, is_causal=True)[0], 1e-12)

# %% [markdown]
# So another last word changes nothing before it, to the last bit.

# %%
other_x = x.copy()
other_x[:, 2] = generator.standard_normal(4)
other_parts = (other_x @ weight for weight in (query_weight, key_weight, value_weight))
other_y, _ = scaled_dot_product_attention(*other_parts, is_causal=True)
library_y, _ = scaled_dot_product_attention(query, key, value, is_causal=True)
check("what_the_future_changes", (other_y - library_y)[:, :2], 0)
assert (other_y[:, 2] != library_y[:, 2]).all()

# %% [markdown]
# ## 8. A padding mask
#
# Sentences of a batch differ in length and are filled up. Let this one be of length 2, so that "sat" is only what
# happens to stand in the last place: no query may attend to it. (What it attends to itself, nobody reads.)

# %%
is_token = padding_mask(np.array([2]), 3)[:, 0]  # without the axis of heads
padded_weights = stable_softmax(np.where(is_token, scaled, -np.inf))
padded_y = padded_weights @ value

print("\n8. A padding mask")
tell("is_token", is_token)
tell("padded_weights", padded_weights)
check("rows_sum_to_1", padded_weights.sum(axis=-1) - 1, 1e-12)
check("masked_weights", padded_weights[..., 2], 0)
check("difference_from_library", padded_y - scaled_dot_product_attention(query, key, value, is_token)[0], 1e-12)

# %% [markdown]
# 0 times NaN is NaN, so a weight of 0 alone does not silence garbage in the padding; the library does. And where masks
# leave a query nothing at all, as here the first token behind padding on the left, softmax would divide 0 by 0: the
# library's weights are 0, and so is the output.

# %%
dirty_key, dirty_value = key.copy(), value.copy()
dirty_key[:, 2] = dirty_value[:, 2] = np.nan
from_dirty, _ = scaled_dot_product_attention(query, dirty_key, dirty_value, is_token)
check("what_padding_changes", from_dirty - scaled_dot_product_attention(query, key, value, is_token)[0], 0)

nothing_left = is_past & np.array([False, True, True])
lonely_weights, _ = attention_weights(query, key, nothing_left)
tell("weights, causal and with padding on the left", lonely_weights)
check("masked_weights", lonely_weights[:, ~nothing_left], 0)

# %% [markdown]
# The three kinds side by side. Rows are queries, columns are keys, grey is what is masked.

# %%
anything = np.ones((3, 3), bool)
single_allowed = np.stack([anything, is_past, np.broadcast_to(is_token[0], (3, 3))])
show(
    "masks",
    attention_maps,
    weights=np.concatenate([weights, causal_weights, padded_weights])[None],
    query_tokens=tokens,
    allowed=single_allowed[None],
    layer_names=["one head"],
    head_names=["unmasked", "causal", "padded, length 2"],
)

# %% [markdown]
# ## 9. Several heads
#
# The 4 features are cut into 2 heads of 2, which attend on their own; what they find is put side by side again and goes
# through a last linear map. Each head divides by the root of its own d_k, which is 2.

# %%
query_heads, key_heads, value_heads = (part.reshape(1, 3, 2, 2).swapaxes(1, 2) for part in (query, key, value))
head_scores = query_heads @ key_heads.swapaxes(-1, -2) / np.sqrt(2)
head_weights = stable_softmax(head_scores)
heads = head_weights @ value_heads
merged = heads.swapaxes(1, 2).reshape(1, 3, 4)
multi_head_y = merged @ output_weight

print("\n9. Several heads")
tell("query_heads", query_heads)
tell("head_scores = query_heads @ key_heads^T / sqrt(2)", head_scores)
tell("head_weights", head_weights)
tell("heads = head_weights @ value_heads", heads)
tell("merged", merged)
tell("multi_head_y = merged @ output_weight", multi_head_y)
assert head_weights.shape == (1, 2, 3, 3)
assert multi_head_y.shape == x.shape
check("rows_sum_to_1", head_weights.sum(axis=-1) - 1, 1e-12)

# %% [markdown]
# The library's layer with the same weights: it keeps those of keys and values in one matrix.

# %%
layer = MultiHeadAttention(AttentionConfig(4, 2, bias=False), generator=generator, dtype=np.float64)
layer.query.weight.value[...] = query_weight
layer.key_value.weight.value[...] = np.concatenate([key_weight, value_weight], axis=1)
layer.output.weight.value[...] = output_weight
trace = Trace("weights")
layer_y, _ = layer(x, trace=trace)
check("difference_from_library", multi_head_y - layer_y, 1e-12)
check("difference_from_library", head_weights - trace["weights"], 1e-12)

# %% [markdown]
# Masks broadcast over heads: both heads get the same.

# %%
causal_head_weights = stable_softmax(np.where(is_past, head_scores, -np.inf))
padded_head_weights = stable_softmax(np.where(is_token[:, None], head_scores, -np.inf))
tell("causal_head_weights", causal_head_weights)
tell("padded_head_weights", padded_head_weights)
for masked_weights, allowed in ((causal_head_weights, is_past), (padded_head_weights, is_token)):
    check("rows_sum_to_1", masked_weights.sum(axis=-1) - 1, 1e-12)
    check("masked_weights", masked_weights[~np.broadcast_to(allowed, masked_weights.shape)], 0)
    check("difference_from_library", masked_weights - attention_weights(query_heads, key_heads, allowed)[0], 1e-12)

show(
    "heads",
    attention_maps,
    weights=np.concatenate([head_weights, causal_head_weights, padded_head_weights]),
    query_tokens=tokens,
    allowed=single_allowed[:, None],
    layer_names=["unmasked", "causal", "padded, length 2"],
)

# %% [markdown]
# ## 10. Cross-attention
#
# Queries come from one sequence, keys and values from another, here a translation of 4 tokens. There are as many rows
# of weights as queries, and as many columns as keys; the output is as long as the queries.

# %%
memory_tokens = ["le", "chat", "est", "assis"]
memory = generator.standard_normal((1, 4, 4)) + sinusoidal_positions(np.arange(4), 4, dtype=np.float64)
memory_key, memory_value = (
    (memory @ weight).reshape(1, 4, 2, 2).swapaxes(1, 2) for weight in (key_weight, value_weight)
)
cross_weights = stable_softmax(query_heads @ memory_key.swapaxes(-1, -2) / np.sqrt(2))
cross_y = (cross_weights @ memory_value).swapaxes(1, 2).reshape(1, 3, 4) @ output_weight

print("\n10. Cross-attention")
tell("memory", memory)
tell("cross_weights", cross_weights)
tell("cross_y", cross_y)
assert cross_weights.shape == (1, 2, 3, 4)
assert cross_y.shape == x.shape
check("rows_sum_to_1", cross_weights.sum(axis=-1) - 1, 1e-12)
check("difference_from_library", cross_y - layer(x, memory)[0], 1e-12)

# %%
show(
    "cross",
    attention_maps,
    weights=cross_weights,
    query_tokens=tokens,
    key_tokens=memory_tokens,
    layer_names=["cross"],
)

# %% [markdown]
# ## 11. Do the heads look at different things?
#
# The Jensen-Shannon distance (the root of the divergence of Lin, "Divergence Measures Based on the Shannon Entropy",
# 1991, in bits) is 0 where two heads attend alike, and 1 where no key has weight in both.


# %%
def jensen_shannon_distance(p: ndarray, q: ndarray) -> ndarray:
    middle = (p + q) / 2

    def divergence(p: ndarray) -> ndarray:
        ratio = np.divide(p, middle, out=np.ones_like(p), where=p > 0)
        return (p * np.log2(ratio)).sum(axis=-1)

    return np.sqrt(np.maximum(divergence(p) + divergence(q), 0) / 2)


distances = {
    kind: jensen_shannon_distance(found[0, 0], found[0, 1])
    for kind, found in (
        ("unmasked", head_weights),
        ("causal", causal_head_weights),
        ("padded, length 2", padded_head_weights),
        ("cross", cross_weights),
    )
}

print("\n11. Do the heads look at different things?")
for kind, distance in distances.items():
    tell(f"distance of the two heads by query, {kind}", distance)
    assert distance.shape == (3,)
check("distance_where_there_is_one_key", distances["causal"][:1], 0)

# %%
show(
    "head_distances",
    matrix_panels,
    panels={"heads 1 and 2": np.stack(list(distances.values()))},
    row_label="attention",
    column_label="query",
    value_label="Jensen-Shannon distance",
    row_names=list(distances),
    column_names=tokens,
    decimals=2,
    bar_from_zero=True,
)

# %% [markdown]
# ## 12. PyTorch gives the same numbers
#
# Its weights are stored as (out, in), those of queries, keys and values one above the other, and True in its masks
# means the opposite: may not attend.

# %%
print("\n12. PyTorch gives the same numbers")
if find_spec("torch") is None:
    print("PyTorch is not installed in this Python: the comparison was left out")
else:
    import torch

    module = torch.nn.MultiheadAttention(4, 2, bias=False, batch_first=True, dtype=torch.float64)
    in_weight = np.concatenate([query_weight, key_weight, value_weight], axis=1).T
    torch_x, torch_memory = torch.tensor(x), torch.tensor(memory)
    not_past, not_token = torch.tensor(~is_past), torch.tensor(~is_token[:, 0])
    with torch.no_grad():
        module.in_proj_weight.copy_(torch.tensor(in_weight))
        module.out_proj.weight.copy_(torch.tensor(output_weight.T))
        each = {"average_attn_weights": False}
        found_unmasked = module(torch_x, torch_x, torch_x, **each)
        found_causal = module(torch_x, torch_x, torch_x, attn_mask=not_past, **each)
        found_padded = module(torch_x, torch_x, torch_x, key_padding_mask=not_token, **each)
        found_cross = module(torch_x, torch_memory, torch_memory, **each)
    for (torch_y, torch_weights), own_y, own_weights in (
        (found_unmasked, multi_head_y, head_weights),
        (found_causal, layer(x, is_causal=True)[0], causal_head_weights),
        (found_padded, layer(x, mask=is_token[:, None])[0], padded_head_weights),
        (found_cross, cross_y, cross_weights),
    ):
        check("difference_from_pytorch", torch_y.numpy() - own_y, 1e-12)
        check("difference_from_pytorch", torch_weights.numpy() - own_weights, 1e-12)

# %% [markdown]
# ## What was found
#
# How gradients flow back through all this: `python -m scratchformer derive attention`, and
# `python -m scratchformer derive multi_head_attention`.

# %%
ABOUT = About(
    script=lesson.program,  # in a notebook there is neither __file__ nor __doc__
    description="How do three words become attention weights and outputs, step by step, with every number and its "
    "shape in view?",
    source="Vaswani et al., Attention Is All You Need, 2017, sections 3.2 and 3.5",
    published="none; the library, and PyTorch where it is installed, compute the same",
    picture="heads.png",
)
lesson.conclude(ABOUT)
