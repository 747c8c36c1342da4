"""Bytes of small GGUF and safetensors files, right ones and others."""

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy import ndarray


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def entry(key: str | bytes, number: int, value: bytes) -> bytes:
    """An entry of GGUF's metadata: a key, the number of a type, and a value."""
    return text(key) + struct.pack("<I", number) + value


def array(number: int, length: int, items: bytes = b"") -> bytes:
    return struct.pack("<IQ", number, length) + items


def info(name: str | bytes, dims: Iterable[int], kind: int, offset: int) -> bytes:
    """What a GGUF file says of a tensor."""
    dims = tuple(dims)
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def gguf(
    entries: Iterable[bytes] = (),
    infos: Iterable[bytes] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    num_infos: int | None = None,
    num_entries: int | None = None,
    alignment: int = 32,
) -> bytes:
    entries, infos = tuple(entries), tuple(infos)
    num_infos = len(infos) if num_infos is None else num_infos
    num_entries = len(entries) if num_entries is None else num_entries
    head = b"GGUF" + struct.pack("<IQQ", version, num_infos, num_entries) + b"".join((*entries, *infos))
    return head + bytes(-len(head) % alignment) + data


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(head) if length is None else length) + head + data


def described(tensors: Mapping[str, tuple[str, ndarray]]) -> tuple[dict[str, Any], bytes]:
    """The header and the data of a safetensors file with tensors, each with the name of its dtype."""
    header, data = {}, b""
    for name, (kind, tensor) in tensors.items():
        header[name] = {
            "dtype": kind,
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + tensor.nbytes],
        }
        data += tensor.tobytes()
    return header, data


def blocks(kind: str, seed: int, num_blocks: int) -> bytes:
    """Random blocks of a quantized kind with scales of every size, without NaN and infinity."""
    generator = np.random.default_rng(seed)
    num_scales, num_codes = {"Q4_0": (1, 16), "Q4_1": (2, 16), "Q8_0": (1, 32)}[kind]
    scales = generator.integers(0, 2**16, (num_blocks, num_scales), np.uint16)
    scales[(scales & 0x7C00) == 0x7C00] &= 0x83FF  # what would be NaN or infinity
    codes = generator.integers(0, 256, (num_blocks, num_codes), np.uint8)
    return np.concatenate([scales.astype("<u2").view(np.uint8), codes], axis=1).tobytes()
