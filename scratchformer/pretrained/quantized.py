"""Numbers that share a scale in blocks, as GGUF files store them.

A block is a run of values of one row. Its bytes are a structure without padding, little-endian; a byte of 4-bit numbers
holds value i in its lower half and value i + 16 in its upper half. Source: ggml, `ggml-common.h` and `ggml-quants.c`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray


class Block(NamedTuple):
    """How many values a block holds, and in how many bytes."""

    num_values: int
    num_bytes: int


BLOCKS = {
    "Q4_0": Block(32, 18),
    "Q4_1": Block(32, 20),
    "Q5_0": Block(32, 22),
    "Q5_1": Block(32, 24),
    "Q8_0": Block(32, 34),
    "Q8_1": Block(32, 40),
    "Q2_K": Block(256, 84),
    "Q3_K": Block(256, 110),
    "Q4_K": Block(256, 144),
    "Q5_K": Block(256, 176),
    "Q6_K": Block(256, 210),
    "Q8_K": Block(256, 292),
    "IQ2_XXS": Block(256, 66),
    "IQ2_XS": Block(256, 74),
    "IQ3_XXS": Block(256, 98),
    "IQ1_S": Block(256, 50),
    "IQ4_NL": Block(32, 18),
    "IQ3_S": Block(256, 110),
    "IQ2_S": Block(256, 82),
    "IQ4_XS": Block(256, 136),
    "IQ1_M": Block(256, 56),
    "TQ1_0": Block(256, 54),
    "TQ2_0": Block(256, 66),
    "MXFP4": Block(32, 17),
    "NVFP4": Block(64, 36),
    "Q1_0": Block(128, 18),
}
"""Every kind of block that ggml has. Those that `WIDEN` lacks can be listed, and not be read."""

_Q4_0 = np.dtype([("scale", "<f2"), ("codes", "u1", (16,))])
_Q4_1 = np.dtype([("scale", "<f2"), ("least", "<f2"), ("codes", "u1", (16,))])
_Q8_0 = np.dtype([("scale", "<f2"), ("codes", "i1", (32,))])


def widen_q4_0(raw: UInt8[ndarray, "rows bytes"]) -> Float32[ndarray, "rows columns"]:
    """The values scale (code - 8) of blocks with 4-bit codes."""
    blocks = raw.view(_Q4_0)
    values = _codes_of_4_bits(blocks["codes"])
    values -= 8
    values *= blocks["scale"].astype(np.float32)[..., None]
    return values.reshape(len(raw), 32 * blocks.shape[1])  # of no rows, NumPy cannot tell the width


def widen_q4_1(raw: UInt8[ndarray, "rows bytes"]) -> Float32[ndarray, "rows columns"]:
    """The values scale code + least of blocks with 4-bit codes."""
    blocks = raw.view(_Q4_1)
    values = _codes_of_4_bits(blocks["codes"])
    values *= blocks["scale"].astype(np.float32)[..., None]
    values += blocks["least"].astype(np.float32)[..., None]
    return values.reshape(len(raw), 32 * blocks.shape[1])


def widen_q8_0(raw: UInt8[ndarray, "rows bytes"]) -> Float32[ndarray, "rows columns"]:
    """The values scale code of blocks with signed 8-bit codes."""
    blocks = raw.view(_Q8_0)
    values = blocks["codes"] * blocks["scale"].astype(np.float32)[..., None]
    return values.reshape(len(raw), 32 * blocks.shape[1])


def narrow_q8_0(rows: Float32[ndarray, "rows columns"]) -> UInt8[ndarray, "rows bytes"]:
    """Rounds rows to blocks of signed 8-bit codes. The largest value of a block gets the code 127 or -127.

    Raises ValueError for columns that are no multiple of 32, and for values above 127 times the largest float16.
    """
    if rows.shape[1] % 32:
        raise ValueError(f"narrow_q8_0: rows has {rows.shape[1]} columns, expected a multiple of 32")
    values = rows.reshape(len(rows), -1, 32)
    scale = np.abs(values).max(axis=-1, keepdims=True) / 127
    if scale.max(initial=0) > np.finfo(np.float16).max:
        raise ValueError(
            f"narrow_q8_0: rows has a value of size {np.abs(values).max():g}, too large for blocks of 8 bits"
        )
    blocks = np.empty(values.shape[:2], _Q8_0)
    blocks["scale"] = scale[..., 0]
    blocks["codes"] = np.rint(values / np.where(scale == 0, 1, scale))
    return blocks.view(np.uint8)


def _codes_of_4_bits(codes: UInt8[ndarray, "rows blocks 16"]) -> Float32[ndarray, "rows blocks 32"]:
    values = np.empty((*codes.shape[:2], 32), np.float32)
    values[..., :16] = codes & 15
    values[..., 16:] = codes >> 4
    return values


WIDEN: dict[str, Callable[[ndarray], ndarray]] = {"Q4_0": widen_q4_0, "Q4_1": widen_q4_1, "Q8_0": widen_q8_0}
"""What reads blocks of a kind: from rows of bytes to rows of float32, the same bits that ggml gets."""
