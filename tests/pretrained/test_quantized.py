import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.pretrained.gguf import KINDS
from scratchformer.pretrained.tensors import WIDEN, block_of
from tests.pretrained.files import blocks
from tests.strategies import seeds


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
@given(seed=seeds, rows=st.integers(1, 5), columns=st.integers(1, 4))
def test_blocks_are_widened_to_the_bits_that_ggml_gets(kind: str, seed: int, rows: int, columns: int) -> None:
    raw = np.frombuffer(blocks(kind, seed, rows * columns), np.uint8).reshape(rows, -1)
    expected = dequantize(raw, GGMLQuantizationType[kind])
    found = WIDEN[kind](raw)
    assert (found.dtype, found.shape) == (np.float32, (rows, 32 * columns))
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


def test_every_word_of_16_bits_is_widened_to_its_number() -> None:
    raw = np.arange(2**16, dtype="<u2").view(np.uint8).reshape(16, -1)
    with np.errstate(invalid="ignore"):
        for kind in ("F16", "BF16"):
            expected = dequantize(raw, GGMLQuantizationType[kind])
            np.testing.assert_array_equal(WIDEN[kind](raw).astype(np.float32), expected)


def test_the_kinds_of_gguf_and_their_sizes_are_those_of_ggml() -> None:
    sizes = {kind.value: (kind.name, tuple(size)) for kind, size in GGML_QUANT_SIZES.items()}
    assert {number: (kind, tuple(block_of(kind))) for number, kind in KINDS.items()}.items() <= sizes.items()
