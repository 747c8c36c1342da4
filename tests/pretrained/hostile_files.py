"""Damaged and hostile files by number."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from tests.pretrained.files import array, blocks, described, entry, gguf, info, safetensors, text

EXTREMES = [0, 1, 31, 33, 2**16, 2**31, 2**32 - 1, 2**40, 2**60, 2**62, 2**63, 2**64 - 32, 2**64 - 1]
WORDS = [b"\0", b"\xff" * 8, b'"', b"{", b"[[[[", b"}", b"-1", b"1e999", b"NaN", b"null", b"BF16", b"F64", b"9" * 30]
VALUES = [
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63,
    2**64,
    10**30,
    1.5,
    "",
    "F32",
    "BF16",
    "F4",
    [],
    {},
    [0, 8],
    [-8, 0],
    "\0",
]

_ENTRIES = [
    entry("general.architecture", 8, text("llama")),
    entry("general.alignment", 4, struct.pack("<I", 32)),
    entry("flag", 7, b"\1"),
    entry("eps", 6, struct.pack("<f", 1e-5)),
    entry("tokens", 9, array(8, 3, text("a") + text("bc") + text(""))),
    entry("kinds", 9, array(5, 3, struct.pack("<3i", 1, 2, 3))),
    entry("nested", 9, array(9, 1, array(10, 1, bytes(8)))),
]
_TENSORS = [
    ("q4", (64, 2), 3, 80),
    ("q8", (32, 3), 8, 102),
    ("f32", (5,), 0, 20),
    ("f16", (2, 3), 1, 12),
    ("i8", (9,), 24, 9),
]


def _whole_gguf() -> bytes:
    data, infos = b"", []
    raw = [blocks("Q4_1", 0, 4), blocks("Q8_0", 1, 3), np.arange(5, dtype="<f4").tobytes(), bytes(12), bytes(9)]
    for (name, dims, kind, _), part in zip(_TENSORS, raw, strict=True):
        infos.append(info(name, dims, kind, len(data)))
        data += part + bytes(-len(part) % 32)
    return gguf(_ENTRIES, infos, data)


_HEADER, _DATA = described(
    {
        "wide": ("F64", np.arange(4.0).reshape(2, 2)),
        "bf": ("BF16", np.arange(6, dtype=np.uint16).reshape(2, 3)),
        "half": ("F16", np.ones((1, 3), np.float16)),
        "ids": ("I64", np.arange(2)),
        "f": ("F32", np.ones((), np.float32)),
    }
)
_WEIGHTS = safetensors({"__metadata__": {"format": "pt"}, **_HEADER}, _DATA)
_CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "bands": [1, 2.5]},
    "tie_word_embeddings": False,
    "name": "ä\n",
}


def _damage(generator: Generator, content: bytes, end: int) -> bytes:
    """Flips, cuts, inserts, repeats, reverses or overwrites a part before `end`, once or three times."""
    data = bytearray(content)
    for _ in range(1 if generator.random() < 0.7 else 3):
        place = int(generator.integers(max(1, min(end, len(data)))))
        length = int(generator.integers(1, 40))
        part = data[place : place + length]
        match int(generator.integers(9)):
            case 0 if part:
                data[place] ^= 1 << int(generator.integers(8))
            case 1:
                data[place : place + length] = generator.bytes(length)
            case 2:
                del data[place:]
            case 3:
                del data[place : place + length]
            case 4:
                data[place:place] = part * int(generator.integers(1, 30))
            case 5:
                data += generator.bytes(length)
            case 6:
                data[place : place + length] = part[::-1]
            case 7:
                data[place : place + len(word)] = (word := WORDS[int(generator.integers(len(WORDS)))])
            case _:
                extreme = EXTREMES[int(generator.integers(len(EXTREMES)))] + int(generator.integers(-1, 2))
                data[place : place + 8] = struct.pack("<Q", extreme % 2**64)
    return bytes(data)


def _lying_gguf(generator: Generator) -> bytes:
    """A file whose parts are well formed, and whose numbers are not."""

    def number(usual: int) -> int:
        return usual if generator.random() < 0.7 else EXTREMES[int(generator.integers(len(EXTREMES)))]

    entries, infos = list(_ENTRIES), []
    match int(generator.integers(5)):
        case 0:
            deep = int(generator.integers(1, 20_000))
            entries.append(entry("deep", 9, array(9, 1) * deep + array(4, 0)))
        case 1:
            entries.append(entry("many", 9, array(number(9) % 2**32, number(3), generator.bytes(100))))
        case 2:
            entries.append(entry(generator.bytes(3), number(4) % 2**32, generator.bytes(9)))
        case 3:
            entries[1] = entry("general.alignment", 4, struct.pack("<I", number(32) % 2**32))
    offset = 0
    for name, dims, kind, num_bytes in _TENSORS:
        kind = kind if generator.random() < 0.7 else int(generator.integers(45))
        infos.append(info(name, [number(size) for size in dims], kind, number(offset)))
        offset += -(-num_bytes // 32) * 32
    infos = [infos[int(i)] for i in generator.permutation(len(infos))]
    return gguf(entries, infos, bytes(offset), num_entries=number(len(entries)), num_infos=number(len(infos)))


def _lying_header(generator: Generator) -> bytes:
    """A safetensors file with JSON that is well formed, and wrong."""
    header: dict[str, Any] = json.loads(json.dumps(_HEADER))
    for _ in range(int(generator.integers(1, 3))):
        name = str(generator.choice(list(header)))
        value = VALUES[int(generator.integers(len(VALUES)))]
        match int(generator.integers(5)):
            case 0:
                header[name][str(generator.choice(["dtype", "shape", "data_offsets"]))] = value
            case 1:
                header[name]["shape"] = [*header[name].get("shape", ()), value] if isinstance(value, int) else [value]
            case 2:
                header[name]["data_offsets"] = [value, EXTREMES[int(generator.integers(len(EXTREMES)))]]
            case 3:
                header["__metadata__"] = value
                return safetensors(header, _DATA)
            case _:
                header[f"{name}2"] = dict(header[name])
    return safetensors(header, _DATA)


def _deep_json(generator: Generator) -> bytes:
    opening = [b"[", b'{"a":', b'[{"b":[', b'{"a":1,"a":'][int(generator.integers(4))]
    return b'{"x":' + opening * int(generator.integers(1, 50_000)) + b"1"


def _sharded(generator: Generator, folder: Path) -> Path:
    """A folder with an index and two shards, of which something lies."""
    weight_map: dict[str, Any] = dict.fromkeys(_HEADER, "one.safetensors") | {"z": "two.safetensors"}
    one, two = _WEIGHTS, safetensors(*described({"z": ("F32", np.ones(3, np.float32))}))
    lies = ["../one.safetensors", "/etc/passwd", "..", "two.safetensors", "missing.safetensors", "a/b.safetensors"]
    name = str(generator.choice(list(weight_map)))
    match int(generator.integers(6)):
        case 0:
            weight_map[name] = ([*lies, *VALUES])[int(generator.integers(len(lies) + len(VALUES)))]
        case 1:
            del weight_map[name]
        case 2:
            weight_map["more"] = "one.safetensors"
        case 3:
            one = _damage(generator, one, len(one))
        case 4:
            two = _lying_header(generator)
    index = json.dumps({"metadata": {"total_size": 2**60}, "weight_map": weight_map}).encode()
    if generator.random() < 0.4:
        index = _damage(generator, index, len(index))
    (folder / "one.safetensors").write_bytes(one)
    (folder / "two.safetensors").write_bytes(two)
    path = folder / "model.safetensors.index.json"
    path.write_bytes(index)
    return path


def make(number: int, folder: Path) -> Path:
    """Writes the file of a number."""
    generator = np.random.default_rng([17, abs(number), number < 0])
    whole_gguf, config = _whole_gguf(), json.dumps(_CONFIG).encode()
    made: dict[str, Callable[[], bytes]] = {
        "head.gguf": lambda: _damage(generator, whole_gguf, len(whole_gguf) - 352),
        "any.gguf": lambda: _damage(generator, whole_gguf, len(whole_gguf)),
        "lying.gguf": lambda: _lying_gguf(generator),
        "noise.gguf": lambda: whole_gguf[:8] + generator.bytes(int(generator.integers(200))),
        "head.safetensors": lambda: _damage(generator, _WEIGHTS, len(_WEIGHTS) - len(_DATA)),
        "any.safetensors": lambda: _damage(generator, _WEIGHTS, len(_WEIGHTS)),
        "lying.safetensors": lambda: _lying_header(generator),
        "config.json": lambda: _damage(generator, config, len(config)),
        "deep.json": lambda: _deep_json(generator),
    }
    names = [*made, "index"]
    name = names[number % len(names)]
    if name == "index":
        return _sharded(generator, folder)
    if name == "head.safetensors" and number // len(names) % 8 == 0:
        made[name] = lambda: safetensors(_deep_json(generator))
    path = folder / name
    path.write_bytes(made[name]())
    return path
