"""Masks as we and PyTorch's modules take them, and which gradients are 0 under them."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.ops.masks import may_attend
from tests.parity.comparing import tensor, torch
from tests.strategies import seeds


@dataclass
class Masks:
    """Which keys queries may attend to. In `allowed` and `is_real`, True may be seen; None stands for no mask."""

    shape: tuple[int, ...]  # of the scores: perhaps a batch, then heads, queries, keys
    is_causal: bool
    allowed: ndarray | None  # (queries, keys) or the whole shape
    added: ndarray | None  # instead of `allowed`
    is_real: ndarray | None  # (batch, keys)

    @property
    def ours(self) -> ndarray | None:
        """One mask for all but causality."""
        is_real = None if self.is_real is None else self.is_real[..., None, None, :]
        if self.added is not None:
            return self.added if is_real is None else np.where(is_real, self.added, -np.inf)
        if self.allowed is not None:
            return self.allowed if is_real is None else self.allowed & is_real
        return is_real

    @property
    def seen(self) -> ndarray:
        """Which keys each query may attend to, all masks together."""
        seen = may_attend(self.ours, self.is_causal, *self.shape[-2:])
        return np.broadcast_to(True if seen is None else seen, self.shape)

    @property
    def leave_one_key(self) -> bool:
        """Whether no query chooses between keys: a single one has weight 1, whatever the scores."""
        return self.seen.sum(-1).max() <= 1

    def theirs(self, mask: torch.Tensor | None) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """nn.MultiheadAttention's `attn_mask` and `key_padding_mask`, in which True may not be seen when boolean.

        `mask` is ours, to be differentiated.
        """
        padding = tensor(None if self.is_real is None else ~self.is_real)
        attn_mask = tensor(self.allowed)
        if self.added is not None:
            attn_mask = mask
            if padding is not None:  # it shall come from its own mask, which has to be of the other's dtype
                attn_mask = torch.where(padding[..., None, None, :], 0.0, mask)
                padding = torch.zeros(padding.shape, dtype=mask.dtype).masked_fill(padding, -torch.inf)
        if self.is_causal:
            attn_mask = with_causality(attn_mask, *self.shape[-2:])
        if attn_mask is not None and attn_mask.ndim > 2:
            attn_mask = attn_mask.expand(self.shape).reshape(-1, *self.shape[-2:])
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = ~attn_mask
        return attn_mask, padding


def with_causality(mask: torch.Tensor | None, num_queries: int, num_keys: int) -> torch.Tensor:
    """A mask that also forbids later keys, counted from the last query and key (by PyTorch from the first)."""
    earlier = torch.ones(num_queries, num_keys, dtype=torch.bool).tril(num_keys - num_queries)
    if mask is None:
        return earlier
    return mask & earlier if mask.dtype == torch.bool else torch.where(earlier, mask, -torch.inf)


@st.composite
def masks(draw: st.DrawFn, shape: tuple[int, ...], *, may_be_causal: bool = True) -> Masks:
    """No query is left with nothing to attend to, which gives NaN in PyTorch's modules."""
    is_causal, is_padded = may_be_causal and draw(st.booleans()), draw(st.booleans())
    kind = draw(st.sampled_from(["none", "boolean", "additive"]))
    mask_shape = draw(st.sampled_from([shape, shape[-2:]]))
    generator = np.random.default_rng(draw(seeds))

    allowed = generator.random(mask_shape) < 0.7
    added = np.where(allowed, generator.normal(size=mask_shape), -np.inf)
    is_real = generator.random((*shape[:-3], shape[-1])) < 0.7
    drawn = Masks(
        shape=shape,
        is_causal=is_causal,
        allowed=allowed if kind == "boolean" else None,
        added=added if kind == "additive" else None,
        is_real=is_real if is_padded else None,
    )
    if not drawn.seen.any(-1).all():
        allowed[..., 0], added[..., 0], is_real[..., 0] = True, 0.5, True
    return drawn


def zero_in_attention(prefix: str = "", *, bias: bool, leaves_one_key: bool, turns: bool = False) -> set[str]:
    """Parameters of attention whose gradients are 0: all that makes scores, where a single key is left.

    Else the key bias, which shifts whole rows of scores, unless rotary turns it by each key's own angles.
    """
    if leaves_one_key:
        kinds = ("weight", "bias") if bias else ("weight",)
        return {f"{prefix}{name}" for kind in kinds for name in (f"query.{kind}", f"key_value.{kind} (key)")}
    return {f"{prefix}key_value.bias (key)"} if bias and not turns else set()
