import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scratchformer.ops import llama3_frequencies, yarn_frequencies, yarn_magnitude
from scratchformer.ops.frequencies import plain_frequencies

halves = st.integers(1, 40)
bases = st.sampled_from([1.5, 100.0, 5e5, 1e6])
factors = st.floats(1.0, 64.0)
contexts = st.sampled_from([64, 2048, 8192, 32768])


@given(half=halves, base=bases, factor=factors, low=st.floats(0.5, 2), width=st.floats(0.5, 8), context=contexts)
def test_llama3_slows_down_the_pairs_that_make_few_turns(
    half: int, base: float, factor: float, low: float, width: float, context: int
) -> None:
    high, d = low + width, 2 * half
    found = llama3_frequencies(
        d,
        base=base,
        factor=factor,
        low_frequency_factor=low,
        high_frequency_factor=high,
        original_context=context,
    )
    for i, frequency in enumerate(found):
        plain = base ** (-2 * i / d)
        turns = context * plain / (2 * math.pi)
        if turns >= high:
            expected = plain
        elif turns <= low:
            expected = plain / factor
        else:
            expected = plain * (turns - low) / (high - low) + plain / factor * (high - turns) / (high - low)
        assert abs(frequency / expected - 1) < 1e-12
    assert len(found) == half


@given(half=halves, base=bases, factor=factors, context=contexts, truncate=st.booleans())
@example(half=4, base=1.5, factor=4.0, context=64, truncate=True)  # the ramp would end behind the last pair
@example(half=4, base=100.0, factor=4.0, context=6, truncate=True)  # the ramp has no width
def test_yarn_has_a_ramp_from_fast_pairs_to_slow_ones(
    half: int, base: float, factor: float, context: int, truncate: bool
) -> None:
    d = 2 * half
    found = yarn_frequencies(d, base=base, factor=factor, original_context=context, truncate=truncate)

    def pair(turns: float) -> float:
        return math.log(context / (2 * math.pi * turns), base) * d / 2

    first, last = pair(32), pair(1)
    if truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(0, first), min(d - 1, last)
    for i, frequency in enumerate(found):
        share = min(1.0, max(0.0, (i - first) / (last - first or 1e-9)))
        expected = base ** (-2 * i / d) * ((1 - share) + share / factor)
        assert abs(frequency / expected - 1) < 1e-9
    assert len(found) == half


# What transformers 5.24 computes, in float32: ROPE_INIT_FUNCTIONS of modeling_rope_utils.py, a head width of 16.
LLAMA3: dict[str, Any] = {"base": 5e5, "factor": 8.0, "original_context": 8192}
LLAMA3 |= {"low_frequency_factor": 1.0, "high_frequency_factor": 4.0}
LLAMA3_VALUES = (1, 0.19392276, 0.037606031, 0.0072926651, 0.00052484602, 3.4281024e-05, 6.6478697e-06, 1.2891732e-06)
YARN: dict[str, Any] = {"base": 1e6, "factor": 4.0, "original_context": 32768}
YARN_VALUES = (1, 0.17782794, 0.031622779, 0.0042175599, 0.00050000002, 4.4456985e-05, 7.9056936e-06, 1.4058534e-06)


def test_known_frequencies() -> None:
    assert np.allclose(llama3_frequencies(16, **LLAMA3), LLAMA3_VALUES, rtol=1e-6, atol=0)
    assert np.allclose(yarn_frequencies(16, **YARN), YARN_VALUES, rtol=1e-6, atol=0)
    assert abs(yarn_magnitude(4.0) - 1.138629436111989) < 1e-15
    assert yarn_magnitude(0.5) == yarn_magnitude(1.0) == 1.0
    assert not plain_frequencies(16, 7.0).flags.writeable, "it may be returned again"


@pytest.mark.long
@pytest.mark.parametrize("width", [16, 64, 128])
@pytest.mark.parametrize("more", [{}, {"beta_fast": 16.0, "beta_slow": 2.0}, {"truncate": False}])
def test_frequencies_are_those_of_transformers(width: int, more: dict[str, Any]) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed; pip install -e '.[parity]'")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed; pip install transformers")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    def theirs(kind: str, **parameters: Any) -> tuple[np.ndarray, float]:
        config = transformers.LlamaConfig(
            hidden_size=2 * width,
            num_attention_heads=2,
            head_dim=width,
            max_position_embeddings=131_072,
            rope_parameters={"rope_type": kind, **parameters},
        )
        frequencies, magnitude = ROPE_INIT_FUNCTIONS[kind](config, "cpu")
        return frequencies.numpy().astype(np.float64), magnitude

    for base in (1e4, 1e6):
        for factor in (4.0, 32.0):
            shared = {"rope_theta": base, "factor": factor, "original_max_position_embeddings": 8192}
            expected, magnitude = theirs("llama3", **shared, low_freq_factor=1.0, high_freq_factor=4.0)
            found = llama3_frequencies(width, **LLAMA3 | {"base": base, "factor": factor})
            assert np.allclose(found, expected, rtol=2e-6, atol=0)
            assert magnitude == 1

            expected, magnitude = theirs("yarn", **shared, **more)
            names = {"beta_fast": "fast_turns", "beta_slow": "slow_turns", "truncate": "truncate"}
            options = {names[name]: value for name, value in more.items()}
            found = yarn_frequencies(width, base=base, factor=factor, original_context=8192, **options)
            assert np.allclose(found, expected, rtol=2e-6, atol=0)
            assert magnitude == yarn_magnitude(factor)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    for function, options in ((llama3_frequencies, LLAMA3), (yarn_frequencies, YARN)):
        name = function.__name__
        for wrong, message in (
            ({"d": 5}, "d must be even, got 5"),
            ({"d": 0}, "d must be at least 2, got 0"),
            ({"base": 1.0}, "base must be more than 1 and finite, got 1.0"),
            ({"base": math.inf}, "base must be more than 1 and finite, got inf"),
            ({"factor": 0.0}, "factor must be positive and finite, got 0.0"),
            ({"original_context": 0}, "original_context must be at least 1, got 0"),
        ):
            with pytest.raises(ValueError, match=f"^{name}: {message}$"):
                function(**{"d": 4} | options | wrong)
    expected = "^llama3_frequencies: high_frequency_factor must be more than low_frequency_factor 1.0, got 1.0$"
    with pytest.raises(ValueError, match=expected):
        llama3_frequencies(4, **LLAMA3 | {"high_frequency_factor": 1.0})
    for option in ("low_frequency_factor", "high_frequency_factor"):
        with pytest.raises(ValueError, match=f"^llama3_frequencies: {option} must be positive and finite, got -1.0$"):
            llama3_frequencies(4, **LLAMA3 | {option: -1.0})
    for option in ("fast_turns", "slow_turns"):
        with pytest.raises(ValueError, match=f"^yarn_frequencies: {option} must be positive and finite, got 0.0$"):
            yarn_frequencies(4, **YARN, **{option: 0.0})
    with pytest.raises(ValueError, match=r"^yarn_magnitude: factor must be positive and finite, got 0\.0$"):
        yarn_magnitude(0.0)
