from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import AttentionConfig, BlockConfig, Layer, MultiHeadAttention, Rotary, TransformerBlock
from scratchformer.ops import Backward, rotary
from tests.annotations import unchecked
from tests.parity.comparing import compare_layer, compare_op, torch
from tests.parity.masks import Masks, masks, with_causality, zero_in_attention
from tests.strategies import normal, seeds

F = torch.nn.functional

Parameters = dict[str, torch.Tensor]


def turned(x: torch.Tensor, positions: torch.Tensor, options: Rotary) -> torch.Tensor:
    """Each pair of features as a complex number, times exp(i angle). Positions of a batch hold for all its heads."""
    half = x.shape[-1] // 2
    frequencies = options.base ** (-2 * torch.arange(half, dtype=x.dtype) / x.shape[-1])
    angles = positions.double()[..., None] / options.scaling * frequencies
    if positions.ndim > 1:
        angles = angles[..., None, :, :]
    if options.layout == "pairs":
        pairs = torch.view_as_complex(x.unflatten(-1, (half, 2)).contiguous())
        return torch.view_as_real(pairs * torch.exp(1j * angles)).flatten(-2)
    y = torch.complex(x[..., :half], x[..., half:]) * torch.exp(1j * angles)
    return torch.cat([y.real, y.imag], dim=-1)


@st.composite
def rotaries(draw: st.DrawFn) -> Rotary:
    base, scaling = draw(st.sampled_from([10_000.0, 7.0])), draw(st.sampled_from([1.0, 2.5]))
    layout = draw(st.sampled_from(["halves", "pairs"]))
    with unchecked():  # the check of a tuple looks at an item at random, which Hypothesis refuses while it draws
        return Rotary(base=base, scaling=scaling, layout=layout)


def drawn_positions(kind: str, seed: int, *shape: int) -> ndarray | None:
    """No two of a row are equal: keys turned alike would have score gradients that cancel in the key bias."""
    if kind == "default":
        return None
    row = np.broadcast_to(np.arange(4 * shape[-1]), (*(shape[:-1] if kind == "by row" else ()), 4 * shape[-1]))
    return np.random.default_rng([seed, 3]).permuted(row, axis=-1)[..., : shape[-1]]


class GroupedCase(NamedTuple):
    """Attention whose heads of queries share heads of keys and values."""

    masks: Masks
    num_kv_heads: int
    d_key: int
    d_value: int
    bias: bool
    rotary: Rotary | None
    positions: ndarray | None
    method: str
    seed: int

    def zero(self, prefix: str = "") -> set[str]:
        one_key = self.masks.leave_one_key
        turns = self.rotary is not None
        zero = zero_in_attention(prefix, bias=self.bias, leaves_one_key=one_key, turns=turns)
        return zero | ({"mask"} if one_key and self.masks.added is not None else set())

    def their_attention(
        self,
        parameters: Parameters,
        x: torch.Tensor,
        memory: torch.Tensor,
        mask: torch.Tensor | None,
        prefix: str = "",
    ) -> torch.Tensor:
        """In PyTorch's function, heads of queries next to each other share a head of keys and values, too."""

        def linear(x: torch.Tensor, name: str) -> torch.Tensor:
            weight, bias = parameters[f"{prefix}{name}.weight"], parameters.get(f"{prefix}{name}.bias")
            return F.linear(x, weight.T, bias)

        def heads(features: torch.Tensor, num_heads: int) -> torch.Tensor:
            return features.unflatten(-1, (num_heads, -1)).transpose(-2, -3)

        query = heads(linear(x, "query"), self.masks.shape[-3])
        k, v = linear(memory, "key_value").split([self.num_kv_heads * d for d in (self.d_key, self.d_value)], dim=-1)
        key, value = heads(k, self.num_kv_heads), heads(v, self.num_kv_heads)
        if self.rotary is not None:
            positions = np.arange(x.shape[-2]) if self.positions is None else self.positions
            query, key = (turned(one, torch.tensor(positions), self.rotary) for one in (query, key))
        if self.masks.is_causal:
            mask = with_causality(mask, *self.masks.shape[-2:])
        attended = F.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)
        return linear(attended.transpose(-2, -3).flatten(-2), "output")


@st.composite
def grouped_cases(draw: st.DrawFn, *, is_cross: bool = False, width: int | None = None) -> GroupedCase:
    """Heads of this width, or of keys and values each of their own."""
    batch, t = draw(st.sampled_from([(), (1,), (3,)])), draw(st.integers(1, 5))
    num_heads, num_kv_heads = draw(st.sampled_from([(2, 1), (3, 1), (4, 2), (6, 2), (6, 3)]))
    turns, seed = not is_cross and draw(st.booleans()), draw(seeds)
    d_key = draw(st.sampled_from([2, 4, 6])) if turns else draw(st.integers(1, 5))
    kind = draw(st.sampled_from(["default", "shared", "by row"])) if turns else "default"
    t_key = draw(st.integers(1, 6)) if is_cross else t
    return GroupedCase(
        masks=draw(masks((*batch, num_heads, t, t_key), may_be_causal=t <= t_key)),
        num_kv_heads=num_kv_heads,
        d_key=d_key if width is None else width,
        d_value=draw(st.integers(1, 5)) if width is None else width,
        bias=draw(st.booleans()),
        rotary=draw(rotaries()) if turns else None,
        positions=drawn_positions(kind, seed, *batch, t),
        method=draw(st.sampled_from(["dense", "blockwise"])),
        seed=seed,
    )


@pytest.mark.parametrize("layout", ["halves", "pairs"])
@given(options=rotaries(), batch=st.sampled_from([(), (3,)]), kind=st.sampled_from(["shared", "by row"]), seed=seeds)
def test_rotary(layout: str, options: Rotary, batch: tuple[int, ...], kind: str, seed: int) -> None:
    options = Rotary(options.base, options.scaling, layout)
    positions = drawn_positions(kind, seed, *batch, 5)
    compare_op(
        lambda x: rotary(x, positions, base=options.base, scaling=options.scaling, layout=layout),
        lambda x: turned(x, torch.tensor(positions), options),
        {"x": normal(seed, (*batch, 2, 5, 6))[0]},
        seed=seed,
    )


@settings(max_examples=60)
@given(case=grouped_cases(), d_model=st.integers(3, 7))
def test_self_attention(case: GroupedCase, d_model: int) -> None:
    *batch, _, t, _ = case.masks.shape
    compare_layer(
        attention(case, d_model),
        lambda parameters, x, mask: case.their_attention(parameters, x, x, mask),
        {"x": normal(case.seed, (*batch, t, d_model))[0], "mask": case.masks.ours},
        seed=case.seed,
        scale=0.5 / d_model**0.5,
        zero=case.zero(),
        key_share=case.d_key / (case.d_key + case.d_value),
        call=without_memory(case),
    )


def attention(case: GroupedCase, d_model: int, **options: Any) -> MultiHeadAttention:
    return MultiHeadAttention(
        AttentionConfig(
            d_model,
            case.masks.shape[-3],
            num_kv_heads=case.num_kv_heads,
            d_key=case.d_key,
            d_value=case.d_value,
            bias=case.bias,
            rotary=case.rotary,
            method=case.method,
            **options,
        ),
        generator=np.random.default_rng(case.seed),
    )


def without_memory(case: GroupedCase) -> Callable[..., tuple[ndarray, Backward]]:
    """A call of attention with x and a mask, whose backward leaves out that there was no memory."""

    def call(layer: MultiHeadAttention, x: ndarray, mask: ndarray | None) -> tuple[ndarray, Backward]:
        y, backward = layer(x, None, mask, is_causal=case.masks.is_causal, positions=case.positions)

        def backward_without_memory(dy: ndarray) -> tuple[ndarray, ndarray | None]:
            dx, dmemory, dmask = backward(dy)
            assert dmemory is None
            return dx, dmask

        return y, backward_without_memory

    return call


@settings(max_examples=60)
@given(case=grouped_cases(is_cross=True), d_model=st.integers(3, 7), d_memory=st.integers(1, 7))
def test_cross_attention(case: GroupedCase, d_model: int, d_memory: int) -> None:
    *batch, _, t_query, t_key = case.masks.shape
    x, memory = normal(case.seed, (*batch, t_query, d_model), (*batch, t_key, d_memory))
    compare_layer(
        attention(case, d_model, d_memory=d_memory),
        case.their_attention,
        {"x": x, "memory": memory, "mask": case.masks.ours},
        seed=case.seed,
        scale=0.5 / d_model**0.5,
        zero=case.zero() | ({"x"} if case.masks.leave_one_key else set()),
        key_share=case.d_key / (case.d_key + case.d_value),
        call=lambda layer, *inputs: layer(*inputs, is_causal=case.masks.is_causal),
    )


@settings(max_examples=60)
@given(
    case=st.sampled_from([2, 4]).flatmap(lambda width: grouped_cases(width=width)),
    norm_first=st.booleans(),
    activation=st.sampled_from(["swiglu", "geglu", "geglu_tanh"]),
    d_hidden=st.integers(1, 5),
)
def test_a_block_with_rms_norm_and_gates(case: GroupedCase, norm_first: bool, activation: str, d_hidden: int) -> None:
    *batch, num_heads, t, _ = case.masks.shape
    d_model = num_heads * case.d_key
    gate = {"swiglu": F.silu, "geglu": F.gelu, "geglu_tanh": partial(F.gelu, approximate="tanh")}[activation]

    def theirs(parameters: Parameters, x: torch.Tensor, mask: torch.Tensor | None, *_: None) -> torch.Tensor:
        def norm(x: torch.Tensor, name: str) -> torch.Tensor:
            return F.rms_norm(x, (d_model,), parameters[f"{name}_norm.weight"], eps=1e-6)

        def feed_forward(z: torch.Tensor) -> torch.Tensor:
            up, down = (
                (parameters[f"feed_forward.{name}.weight"], parameters.get(f"feed_forward.{name}.bias", 0))
                for name in ("up", "down")
            )
            g, u = (z @ up[0] + up[1]).chunk(2, dim=-1)
            return (gate(g) * u) @ down[0] + down[1]

        def attend(z: torch.Tensor) -> torch.Tensor:
            return case.their_attention(parameters, z, z, mask, "attention.")

        for name, branch in (("attention", attend), ("feed_forward", feed_forward)):
            x = x + branch(norm(x, name)) if norm_first else norm(x + branch(x), name)
        return x

    def ours(layer: Layer, *inputs: ndarray) -> tuple[ndarray, Backward]:
        return layer(*inputs, is_causal=case.masks.is_causal, positions=case.positions)

    compare_layer(
        TransformerBlock(
            BlockConfig(
                d_model,
                num_heads,
                d_hidden,
                norm_first=norm_first,
                norm="rms",
                activation=activation,
                num_kv_heads=case.num_kv_heads,
                rotary=case.rotary,
                method=case.method,
                bias=case.bias,
            ),
            generator=np.random.default_rng(case.seed),
        ),
        theirs,
        {"x": normal(case.seed, (*batch, t, d_model))[0], "mask": case.masks.ours, "memory": None, "memory_mask": None},
        seed=case.seed,
        scale=1 / d_model**0.5,
        zero=case.zero("attention."),
        call=ours,
    )
