from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Inexact, Real
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers.layer import Layer
from scratchformer.layers.parameter import Parameter, normal
from scratchformer.ops import Backward, relative_buckets, rotary
from scratchformer.ops.checks import check_at_least
from scratchformer.ops.contract import checked_backward
from scratchformer.ops.frequencies import plain_frequencies
from scratchformer.ops.positions import check_bucket_options
from scratchformer.ops.rotary import Layout, check_frequencies, check_rotary_options, turns
from scratchformer.python_numbers import as_python, take_python_numbers


@checked_arguments
@dataclass(frozen=True)
class Rotary:
    """The options of a rotary position embedding. It has no parameters; a call turns queries or keys by `rotary`.

    `llama3_frequencies` and `yarn_frequencies` give frequencies for contexts that were extended.

    Raises ValueError for a base, scaling or magnitude that is not positive and finite, an unknown layout, or
    frequencies that are not finite.

    Derivation: `python -m scratchformer derive positions`.
    """

    base: float = 10_000.0
    """Pair i of d / 2 turns by base^(-2i / d) / scaling radians per position."""
    scaling: float = 1.0
    """Positions are divided by it."""
    layout: Layout = "halves"
    """Which features form a pair: i and i + d / 2, or ("pairs") 2i and 2i + 1."""
    frequencies: tuple[float, ...] | None = None
    """Radians per position for each pair. They replace base and scaling. None for those of base and scaling."""
    magnitude: float = 1.0
    """Factor of cosines and sines, so of turned queries and keys."""

    def __post_init__(self) -> None:
        take_python_numbers(self)
        check_rotary_options("Rotary", self.base, self.scaling, self.layout, self.magnitude)
        if self.frequencies is not None:
            check_frequencies("Rotary", np.array(self.frequencies), len(self.frequencies))

    def __call__(
        self, x: Inexact[ndarray, "*batch t d"], positions: Real[ndarray, "..."]
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        return rotary(
            x,
            positions,
            base=self.base,
            scaling=self.scaling,
            layout=self.layout,
            frequencies=None if self.frequencies is None else np.array(self.frequencies, np.float64),
            magnitude=self.magnitude,
        )


def turns_of(
    rotary: Rotary, positions: Real[ndarray, "..."], d: int, dtype: np.dtype
) -> tuple[Float[ndarray, "... {d}"], Float[ndarray, "... {d}"]]:
    """The cosines and sines by which `turned` turns heads of d features as this rotary embedding does."""
    frequencies = rotary.frequencies
    by_pair = (
        plain_frequencies(d, rotary.base, rotary.scaling) if frequencies is None else np.array(frequencies, np.float64)
    )
    return turns(positions, by_pair, rotary.layout, rotary.magnitude, dtype)


@checked_arguments
class RelativeBias(Layer):
    """A learned bias of attention scores for each head and bucket of distances: bias[h, i, j] = table[bucket(i, j), h].

    The buckets are those of `relative_buckets`. The table starts normal with standard deviation 0.02: heads differ, but
    none prefers a distance much. The backward returns None: sizes have no gradient.

    Raises ValueError for a num_heads below 1, or options that `relative_buckets` refuses.

    Source: Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", 2019,
        section 2.1.

    Derivation: `python -m scratchformer derive positions`.
    """

    def __init__(
        self,
        num_heads: int,
        *,
        num_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
        generator: np.random.Generator | None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        num_heads, num_buckets, max_distance = as_python((num_heads, num_buckets, max_distance))
        check_at_least("RelativeBias", 1, num_heads=num_heads)
        check_bucket_options("RelativeBias", num_buckets, max_distance, bidirectional)
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.table = Parameter(normal(generator, (num_buckets, num_heads), dtype, std=0.02))

    def __call__(self, t_query: int, t_key: int) -> tuple[Inexact[ndarray, "h {t_query} {t_key}"], Backward]:
        """Returns the bias (num_heads, t_query, t_key) of the scores. The last query is aligned with the last key."""
        num_buckets = len(self.table.value)
        buckets = relative_buckets(
            t_query,
            t_key,
            num_buckets=num_buckets,
            max_distance=self.max_distance,
            bidirectional=self.bidirectional,
        )
        bias = self.table.value.T.take(buckets, axis=1)  # (num_heads, t_query, t_key)

        def backward(dbias: ndarray) -> None:
            dtable = np.empty_like(self.table.value)
            for head, dbias_of_head in enumerate(dbias):
                # A weighted count adds up each bucket without the sorting in add_rows.
                dtable[:, head] = np.bincount(buckets.ravel(), weights=dbias_of_head.ravel(), minlength=num_buckets)
            self.table.add(dtable)

        return bias, checked_backward("RelativeBias", bias, backward)
