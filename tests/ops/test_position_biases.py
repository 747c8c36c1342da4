import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.ops import alibi_bias, relative_buckets
from tests.closeness import assert_close


def test_slopes_of_alibi_are_geometric_for_powers_of_two() -> None:
    for num_heads in (1, 2, 4, 8, 16):
        slopes = -alibi_bias(num_heads, 1, 2, dtype=np.float64)[:, 0, 0]
        assert_close(slopes, np.array([2 ** (-8 * h / num_heads) for h in range(1, num_heads + 1)]), 1e-15)
    assert np.array_equal(-alibi_bias(8, 1, 2)[:, 0, 0], [2.0**-h for h in range(1, 9)])


def test_other_head_counts_take_every_second_slope_of_twice_the_power_of_two() -> None:
    for num_heads, power in ((3, 2), (5, 4), (6, 4), (7, 4), (12, 8), (15, 8)):
        slopes = -alibi_bias(num_heads, 1, 2, dtype=np.float64)[:, 0, 0]
        first = [2 ** (-8 * h / power) for h in range(1, power + 1)]
        twice = [2 ** (-8 * h / (2 * power)) for h in range(1, 2 * power + 1)]
        assert_close(slopes, np.array(first + twice[::2][: num_heads - power]), 1e-15)


@given(num_heads=st.integers(1, 9), t_query=st.integers(1, 5), t_key=st.integers(1, 7))
def test_alibi_is_minus_slope_times_distance_with_the_last_query_at_the_last_key(
    num_heads: int, t_query: int, t_key: int
) -> None:
    bias = alibi_bias(num_heads, t_query, t_key, dtype=np.float64)
    slopes = -alibi_bias(num_heads, 1, 2, dtype=np.float64)[:, 0, 0]
    assert bias.shape == (num_heads, t_query, t_key)
    for h, i, j in np.ndindex(*bias.shape):
        assert bias[h, i, j] == -slopes[h] * abs((t_query - 1 - i) - (t_key - 1 - j))
    assert alibi_bias(num_heads, t_query, t_key).dtype == np.float32


@pytest.mark.usefixtures("unchecked")
def test_errors_of_alibi_name_the_argument() -> None:
    for name, least in (("num_heads", 1), ("t_query", 0), ("t_key", 0)):
        sizes = {"num_heads": 2, "t_query": 3, "t_key": 4} | {name: least - 1}
        with pytest.raises(ValueError, match=f"alibi_bias: {name} must be at least {least}, got {least - 1}"):
            alibi_bias(**sizes)
    with pytest.raises(TypeError, match="alibi_bias: dtype must be a floating dtype of at least 32 bits, got bool"):
        alibi_bias(2, 3, 4, dtype=bool)


def naive_bucket(key_minus_query: int, num_buckets: int, max_distance: int, bidirectional: bool) -> int:
    """The largest k of the logarithmic rule, (n / E)^m >= (D / E)^k, in integers, so that nothing is rounded."""
    start = 0
    if bidirectional:
        num_buckets //= 2
        start = num_buckets if key_minus_query > 0 else 0
        n = abs(key_minus_query)
    else:
        n = max(-key_minus_query, 0)
    exact = num_buckets // 2
    if n < exact:
        return start + n
    m = num_buckets - exact
    k = max(k for k in range(m) if n**m * exact**k >= max_distance**k * exact**m)
    return start + exact + k


@settings(max_examples=60)
@given(
    t_query=st.integers(1, 40),
    t_key=st.integers(1, 40),
    half=st.integers(1, 17),
    beyond=st.integers(1, 40),
    bidirectional=st.booleans(),
)
def test_buckets_equal_the_rule_for_one_distance(
    t_query: int, t_key: int, half: int, beyond: int, bidirectional: bool
) -> None:
    num_buckets = 2 * half + 2 if bidirectional else half + 1
    max_distance = num_buckets // (4 if bidirectional else 2) + beyond
    options = {"num_buckets": num_buckets, "max_distance": max_distance, "bidirectional": bidirectional}
    buckets = relative_buckets(t_query, t_key, **options)
    assert buckets.shape == (t_query, t_key)
    for i, j in np.ndindex(t_query, t_key):
        query = t_key - t_query + i
        assert buckets[i, j] == naive_bucket(j - query, num_buckets, max_distance, bidirectional)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_of_the_paper_grow_up_to_a_distance_of_128(bidirectional: bool) -> None:
    buckets = relative_buckets(300, 300, bidirectional=bidirectional)
    for offset in range(-299, 300):
        expected = naive_bucket(offset, 32, 128, bidirectional)
        assert buckets[max(0, -offset), max(0, offset)] == expected
    last = buckets[-1]
    assert last[-1] == 0
    assert last[-9] == 8
    assert (last[:-128] == (15 if bidirectional else 31)).all()
    assert (buckets[0, 128:] == (31 if bidirectional else 0)).all()


def test_a_bucket_starts_at_its_exact_distance_where_powers_are_rounded_up() -> None:
    buckets = relative_buckets(1, 129, num_buckets=9, max_distance=128, bidirectional=False)[0, ::-1]
    for k in range(5):
        assert buckets[4 * 2**k] == 4 + k
        assert buckets[4 * 2**k - 1] == 3 + k


@pytest.mark.usefixtures("unchecked")
def test_errors_of_buckets_name_the_argument() -> None:
    with pytest.raises(ValueError, match="relative_buckets: t_query must be at least 0, got -1"):
        relative_buckets(-1, 3)
    with pytest.raises(ValueError, match="relative_buckets: t_key must be at least 0, got -2"):
        relative_buckets(3, -2)
    with pytest.raises(ValueError, match="relative_buckets: num_buckets must be even, half of them for each"):
        relative_buckets(3, 3, num_buckets=7)
    with pytest.raises(ValueError, match="relative_buckets: num_buckets must be at least 4, got 2"):
        relative_buckets(3, 3, num_buckets=2)
    with pytest.raises(ValueError, match="relative_buckets: num_buckets must be at least 2, got 1"):
        relative_buckets(3, 3, num_buckets=1, bidirectional=False)
    with pytest.raises(ValueError, match="max_distance must be more than the 8 distances with a bucket of"):
        relative_buckets(3, 3, max_distance=8)
    with pytest.raises(ValueError, match="max_distance must be more than the 16 distances with a bucket of"):
        relative_buckets(3, 3, max_distance=16, bidirectional=False)
