from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import BlockConfig, TransformerBlock
from tests.parity import translating
from tests.parity.comparing import compare_layer, torch
from tests.parity.masks import Masks, masks, zero_in_attention
from tests.strategies import normal, seeds

F = torch.nn.functional

ACTIVATIONS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


class BlockCase(NamedTuple):
    """What a block is asked to do; without masks of a memory there is no memory."""

    d_model: int
    d_hidden: int
    norm_first: bool
    activation: str
    bias: bool
    eps: float
    masks: Masks
    memory_masks: Masks | None
    seed: int

    @property
    def zero(self) -> set[str]:
        one_key = self.masks.leave_one_key
        zero = zero_in_attention("attention.", bias=self.bias, leaves_one_key=one_key)
        zero |= {"mask"} if one_key and self.masks.added is not None else set()
        if self.memory_masks is None:
            return zero
        one_key = self.memory_masks.leave_one_key
        zero |= zero_in_attention("cross_attention.", bias=self.bias, leaves_one_key=one_key)
        zero |= {"memory_mask"} if one_key and self.memory_masks.added is not None else set()
        if one_key and self.norm_first:  # this norm feeds nothing but queries
            zero |= {f"cross_attention_norm.{kind}" for kind in (("weight", "bias") if self.bias else ("weight",))}
        return zero


@st.composite
def block_cases(draw: st.DrawFn, *, has_memory: bool) -> BlockCase:
    """At least three features: two are normalised to about -1 and 1, and gradients are what cancellation leaves."""
    batch, t = draw(st.sampled_from([(), (1,), (3,)])), draw(st.integers(1, 5))
    num_heads, width = draw(st.sampled_from([(1, 3), (1, 4), (2, 2), (2, 3), (3, 1), (4, 2)]))
    t_memory = draw(st.integers(1, 6))
    return BlockCase(
        d_model=num_heads * width,
        d_hidden=draw(st.integers(1, 9)),
        norm_first=draw(st.booleans()),
        activation=draw(st.sampled_from(sorted(ACTIVATIONS))),
        bias=draw(st.booleans()),
        eps=draw(st.sampled_from([1e-5, 1e-2, 0.5])),
        masks=draw(masks((*batch, num_heads, t, t))),
        memory_masks=draw(masks((*batch, num_heads, t, t_memory), may_be_causal=False)) if has_memory else None,
        seed=draw(seeds),
    )


def compare_block(case: BlockCase) -> None:
    *batch, num_heads, t, _ = case.masks.shape
    (x,) = normal(case.seed, (*batch, t, case.d_model))
    memory = memory_mask = None
    if case.memory_masks is not None:
        (memory,) = normal(case.seed + 1, (*batch, case.memory_masks.shape[-1], case.d_model))
        memory_mask = case.memory_masks.ours
    options = {"norm_first": case.norm_first, "bias": case.bias}
    kind = torch.nn.TransformerEncoderLayer if memory is None else torch.nn.TransformerDecoderLayer
    module = kind(
        case.d_model,
        num_heads,
        case.d_hidden,
        dropout=0.0,
        activation=ACTIVATIONS[case.activation],
        layer_norm_eps=case.eps,
        batch_first=True,
        dtype=torch.float64,
        **options,
    )

    def theirs(
        parameters: dict[str, torch.Tensor],
        x: torch.Tensor,
        mask: torch.Tensor | None,
        memory: torch.Tensor | None,
        memory_mask: torch.Tensor | None,
    ) -> torch.Tensor:
        arguments = (x, *case.masks.theirs(mask))
        if memory is not None:
            tgt_mask, tgt_padding = arguments[1:]
            mask_across, memory_padding = case.memory_masks.theirs(memory_mask)
            arguments = (x, memory, tgt_mask, mask_across, tgt_padding, memory_padding)
        translated = translating.transformer_block(parameters)
        return torch.func.functional_call(module, translated, arguments, strict=True)

    compare_layer(
        TransformerBlock(
            BlockConfig(
                case.d_model,
                num_heads,
                case.d_hidden,
                activation=case.activation,
                cross_attention=memory is not None,
                eps=case.eps,
                **options,
            ),
            generator=np.random.default_rng(case.seed),
        ),
        theirs,
        {"x": x, "mask": case.masks.ours, "memory": memory, "memory_mask": memory_mask},
        seed=case.seed,
        scale=1 / case.d_model**0.5,
        zero=case.zero,
        call=lambda layer, *inputs: layer(*inputs, is_causal=case.masks.is_causal),
    )


@settings(max_examples=80)
@given(case=block_cases(has_memory=False))
def test_a_block_is_their_encoder_layer(case: BlockCase) -> None:
    compare_block(case)


@settings(max_examples=80)
@given(case=block_cases(has_memory=True))
def test_a_block_with_cross_attention_is_their_decoder_layer(case: BlockCase) -> None:
    compare_block(case)
