from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import AttentionConfig, MultiHeadAttention
from scratchformer.ops import attention_weights, blockwise_attention, scaled_dot_product_attention
from scratchformer.ops.masks import may_attend
from tests.ops.naive_attention import AttentionCase, attention_cases
from tests.parity import translating
from tests.parity.comparing import compare_layer, compare_op, torch
from tests.parity.masks import Masks, masks, with_causality, zero_in_attention
from tests.strategies import normal, seeds

F = torch.nn.functional


def their_attention(case: AttentionCase) -> Callable[..., torch.Tensor]:
    num_queries, num_keys = case.query.shape[-2], case.key.shape[-2]

    def theirs(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        is_causal, scale = case.options["is_causal"], case.options["scale"]
        # PyTorch's `is_causal` takes no mask besides, and gives NaN with a negative scale: it scales what was masked.
        if is_causal and not (mask is None and num_queries == num_keys and (scale is None or scale > 0)):
            is_causal, mask = False, with_causality(mask, num_queries, num_keys)
        if mask is not None:
            mask = torch.atleast_2d(mask)
        return F.scaled_dot_product_attention(query, key, value, mask, is_causal=is_causal, scale=scale)

    return theirs


def gradients_that_are_zero(case: AttentionCase) -> set[str]:
    """A single key has weight 1, whatever its score, and softmax does not change when a whole row is shifted."""
    shape = (*case.query.shape[:-1], case.key.shape[-2])
    allowed = may_attend(case.mask, case.options["is_causal"], *shape[-2:])
    mask = {"mask"} if case.has_additive_mask else set()
    if np.broadcast_to(True if allowed is None else allowed, shape).sum(-1).max() <= 1:
        return {"query", "key"} | mask
    return mask if mask and case.mask.shape[-1:] in ((), (1,)) else set()


# Small queries, so that no softmax saturates: gradients through it would be what cancellation leaves, on both sides.
cases = attention_cases(largest=6).map(lambda case: case._replace(query=0.3 * case.query))


@pytest.mark.parametrize("ours", [scaled_dot_product_attention, blockwise_attention])
@settings(max_examples=100)
@given(case=cases)
def test_attention(ours: Callable, case: AttentionCase) -> None:
    """Rows that may attend to nothing included: PyTorch gives them zeros, too."""
    compare_op(
        lambda *arrays: ours(*arrays, **case.options),
        their_attention(case),
        {"query": case.query, "key": case.key, "value": case.value, "mask": case.mask},
        seed=case.seed,
        zero=gradients_that_are_zero(case),
    )


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("ours", [scaled_dot_product_attention, blockwise_attention])
def test_attention_over_long_sequences(ours: Callable, is_causal: bool) -> None:
    arrays = normal(1, (2, 530, 3), (2, 530, 3), (2, 530, 5))
    compare_op(
        lambda *arrays: ours(*arrays, is_causal=is_causal),
        lambda *tensors: F.scaled_dot_product_attention(*tensors, is_causal=is_causal),
        dict(zip(("query", "key", "value", "mask"), [*arrays, None], strict=True)),
        seed=1,
    )


@given(case=cases)
def test_attention_weights(case: AttentionCase) -> None:
    """PyTorch's attention to the unit vectors gives the weights."""
    t_key = case.key.shape[-2]
    one_hot = torch.eye(t_key, dtype=torch.float64).expand(*case.key.shape[:-1], t_key)
    theirs = their_attention(case)
    compare_op(
        lambda *arrays: attention_weights(*arrays, **case.options),
        lambda query, key, mask: theirs(query, key, one_hot, mask),
        {"query": case.query, "key": case.key, "mask": case.mask},
        seed=case.seed,
        zero=gradients_that_are_zero(case),
    )


class HeadsCase(NamedTuple):
    """What several heads are asked to do."""

    masks: Masks
    width: int
    bias: bool
    is_cross: bool
    wants_weights: bool
    seed: int

    @property
    def zero(self) -> set[str]:
        leaves_one_key = self.masks.leave_one_key
        zero = zero_in_attention(bias=self.bias, leaves_one_key=leaves_one_key)
        if leaves_one_key:
            zero |= ({"x"} if self.is_cross else set()) | ({"mask"} if self.masks.added is not None else set())
        return zero


@st.composite
def heads_cases(draw: st.DrawFn) -> HeadsCase:
    batch, num_heads = draw(st.sampled_from([(), (1,), (3,)])), draw(st.integers(1, 3))
    is_cross, t_query = draw(st.booleans()), draw(st.integers(1, 5))
    t_key = draw(st.integers(1, 6)) if is_cross else t_query
    return HeadsCase(
        masks=draw(masks((*batch, num_heads, t_query, t_key), may_be_causal=t_query <= t_key)),
        width=draw(st.integers(1, 3)),
        bias=draw(st.booleans()),
        is_cross=is_cross,
        wants_weights=draw(st.booleans()),
        seed=draw(seeds),
    )


@settings(max_examples=100)
@given(case=heads_cases())
def test_multi_head_attention(case: HeadsCase) -> None:
    *batch, num_heads, t_query, t_key = case.masks.shape
    d_model = num_heads * case.width
    x, memory = normal(case.seed, (*batch, t_query, d_model), (*batch, t_key, d_model))
    module = torch.nn.MultiheadAttention(d_model, num_heads, bias=case.bias, batch_first=True, dtype=torch.float64)

    def theirs(
        parameters: dict[str, torch.Tensor], x: torch.Tensor, memory: torch.Tensor | None, mask: torch.Tensor | None
    ) -> torch.Tensor:
        memory = x if memory is None else memory
        attn_mask, padding = case.masks.theirs(mask)
        options = {"need_weights": case.wants_weights, "attn_mask": attn_mask, "key_padding_mask": padding}
        translated = translating.multi_head_attention(parameters)
        return torch.func.functional_call(module, translated, (x, memory, memory), options, strict=True)[0]

    compare_layer(
        MultiHeadAttention(
            AttentionConfig(d_model, num_heads, bias=case.bias), generator=np.random.default_rng(case.seed)
        ),
        theirs,
        {"x": x, "memory": memory if case.is_cross else None, "mask": case.masks.ours},
        seed=case.seed,
        scale=0.5 / d_model**0.5,  # small scores, as above
        zero=case.zero,
        call=lambda layer, *inputs: layer(*inputs, is_causal=case.masks.is_causal),
    )
