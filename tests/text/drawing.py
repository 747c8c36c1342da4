"""Texts and sequences that Hypothesis draws."""

import numpy as np
from hypothesis import strategies as st

from tests.strategies import seeds


@st.composite
def texts(draw: st.DrawFn, longest: int) -> tuple[np.ndarray, int]:
    """Distinct ids, so that each says where it stood; and a context that the text is longer than."""
    context_length = draw(st.integers(1, 6))
    return 10 * np.arange(draw(st.integers(context_length + 1, longest))), context_length


@st.composite
def sequence_lists(draw: st.DrawFn, count: int | None = None) -> list[np.ndarray]:
    """As many sequences, or one to eight, of one id and more, of signed and unsigned types."""
    least, most = (1, 8) if count is None else (count, count)
    lengths = draw(st.lists(st.integers(1, 7), min_size=least, max_size=most))
    dtypes = st.sampled_from([np.int64, np.uint8, np.uint64])
    generator = np.random.default_rng(draw(seeds))
    return [generator.integers(0, 200, length).astype(draw(dtypes)) for length in lengths]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """One to eight sources, and as many targets."""
    sources = draw(sequence_lists())
    return sources, draw(sequence_lists(len(sources)))
