"""Ways to damage a file: its bytes, what its JSON says, and checkpoints whose checksum is made right again."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from safetensors.numpy import load, save

from scratchformer.training.checkpoint import DIGEST, ZEROS

Damage = Callable[[bytes, Generator], bytes]


def flip_bits(data: bytes, generator: Generator) -> bytes:
    changed = bytearray(data)
    for place in generator.integers(len(data), size=generator.integers(1, 4)):
        changed[place] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def truncate(data: bytes, generator: Generator) -> bytes:
    return data[: generator.integers(len(data))]


def extend(data: bytes, generator: Generator) -> bytes:
    length = int(generator.integers(1, 200))
    more = (generator.bytes(length), bytes(length), data[-length:], b"\n" * length, b"0")
    return data + more[generator.integers(len(more))]


def swap(data: bytes, generator: Generator) -> bytes:
    changed = bytearray(data)
    a, b = generator.integers(len(data), size=2)
    changed[a], changed[b] = changed[b], changed[a]
    return bytes(changed)


def zero_block(data: bytes, generator: Generator) -> bytes:
    start, length = int(generator.integers(len(data))), int(generator.integers(1, 512))
    return data[:start] + bytes(len(data[start : start + length])) + data[start + length :]


def cut_out(data: bytes, generator: Generator) -> bytes:
    start = int(generator.integers(len(data)))
    return data[:start] + data[start + int(generator.integers(1, 64)) :]


def insert(data: bytes, generator: Generator) -> bytes:
    start = int(generator.integers(len(data)))
    return data[:start] + generator.bytes(int(generator.integers(1, 64))) + data[start:]


def empty(data: bytes, generator: Generator) -> bytes:
    return (b"", b"\n", b"\0", b"\xef\xbb\xbf", b"null", b"[]", b"{}", b'""')[generator.integers(8)]


def reencode(data: bytes, generator: Generator) -> bytes:
    """The text in another encoding; of what is no text, the bytes as if they were Latin-1."""
    encodings = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "latin-1", "cp1252", "utf-7", "utf-8-sig")
    text = data.decode(errors="replace") + "ä"
    return text.encode(encodings[generator.integers(len(encodings))], errors="replace")


BYTES: dict[str, Damage] = {
    "flipped bits": flip_bits,
    "truncated": truncate,
    "extended": extend,
    "swapped": swap,
    "zeroed": zero_block,
    "cut out": cut_out,
    "inserted": insert,
    "empty": empty,
    "encoding": reencode,
}
"""Ways to damage the bytes of any file."""

WRONG: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2.5, -0.5, 10**30, 10**400, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", "x", "a\nb", "\ud800", "x" * 10_000, [], {}, [None], {"x": None}, [[1, 2]], ["x"], {"type": "GPT"}),
)
"""What may stand in the place of any value of JSON."""


def damaged_value(value: Any, generator: Generator) -> Any:
    """The value with one of its parts, or itself, in another type, out of range, missing, or in addition."""
    if isinstance(value, dict | list) and value and generator.random() < 0.85:
        copy = dict(value) if isinstance(value, dict) else list(value)
        keys = list(copy) if isinstance(copy, dict) else range(len(copy))
        key: Any = keys[generator.integers(len(keys))]
        choice = generator.random()
        if choice < 0.1:
            del copy[key]
        elif choice < 0.15 and isinstance(copy, dict):
            copy[("x", "a\nb", f"{key}_")[generator.integers(3)]] = copy.pop(key)
        elif choice < 0.2 and isinstance(copy, dict):
            copy["x\ny"] = 1
        else:
            copy[key] = damaged_value(copy[key], generator)
        return copy
    return WRONG[generator.integers(len(WRONG))]


def damaged_json(text: str, generator: Generator) -> str:
    """The JSON text with a wrong value, a key twice, or a value that is nested deeply or has very many digits."""
    value = json.loads(text)
    choice = generator.random()
    if choice < 0.75:
        return json.dumps(damaged_value(value, generator), ensure_ascii=bool(generator.integers(2)))
    inner = damaged_value(value, generator)
    if choice < 0.85 and isinstance(value, dict) and value:
        key = list(value)[generator.integers(len(value))]
        return json.dumps(value)[:-1] + f", {json.dumps(key)}: {json.dumps(value[key])}" + "}"
    depth = int(10 ** generator.uniform(1, 5))
    long = ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "9" * depth, "1e" + "9" * depth)
    mark = '"the place of something long"'
    marked = json.dumps(_marked(value, generator)) if isinstance(value, dict) and value else json.dumps(inner)
    return marked.replace(mark, long[generator.integers(4)])


def _marked(value: dict, generator: Generator) -> dict:
    key = list(value)[generator.integers(len(value))]
    part = value[key]
    is_deeper = isinstance(part, dict) and part and generator.random() < 0.6
    return value | {key: _marked(part, generator) if is_deeper else "the place of something long"}


def json_damage(data: bytes, generator: Generator) -> bytes:
    return damaged_json(data.decode(), generator).encode(errors="surrogatepass")


def sealed(header: str, body: bytes) -> bytes:
    """A checkpoint of this header and these bytes, with the checksum made right."""
    encoded = header.encode(errors="surrogatepass")
    return with_checksum(len(encoded).to_bytes(8, "little") + encoded + body)


def with_checksum(data: bytes) -> bytes:
    match = DIGEST.search(data)
    if match is None:
        return data
    start, stop = match.span(1)
    blank = data[:start] + ZEROS.encode() + data[stop:]
    return data[:start] + hashlib.sha256(blank).hexdigest().encode() + data[stop:]


def parts_of(data: bytes) -> tuple[dict, dict, bytes]:
    """The header of a checkpoint, the JSON in it, and the bytes of the tensors."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    return header, json.loads(header["__metadata__"]["scratchformer"]), data[end:]


def description_damage(data: bytes, generator: Generator) -> bytes:
    header, content, body = parts_of(data)
    described = damaged_json(json.dumps(content["description"]), generator)
    start = json.dumps({**content, "description": "its place"})
    header["__metadata__"]["scratchformer"] = start.replace('"its place"', described)
    return sealed(json.dumps(header), body)


def format_damage(data: bytes, generator: Generator) -> bytes:
    header, content, body = parts_of(data)
    content["format"] = WRONG[generator.integers(len(WRONG))]
    if generator.random() < 0.3:
        del content["format"]
    header["__metadata__"]["scratchformer"] = json.dumps(content)
    return sealed(json.dumps(header), body)


def header_damage(data: bytes, generator: Generator) -> bytes:
    """A tensor's dtype, shape or place is another, or the header's length is."""
    header, _, body = parts_of(data)
    names = [name for name in header if name != "__metadata__"]
    name = names[generator.integers(len(names))]
    entry = header[name]
    match int(generator.integers(7)):
        case 0:
            types = ("BF16", "F8_E5M2", "F16", "I32", "BOOL", "X", None, 5, "C64", "F64", "F32", "U64")
            entry["dtype"] = types[generator.integers(len(types))]
        case 1:
            shapes = (entry["shape"][::-1], [*entry["shape"], 1], [-1], [2**40, 2**40], [0], [2.5], None, "x", [10**30])
            entry["shape"] = shapes[generator.integers(len(shapes))]
        case 2:
            start, stop = entry["data_offsets"]
            places = ([start, stop - 1], [stop, start], [start, 2**63], [-1, 3], [start], None, [0, stop], [2**64, 1])
            entry["data_offsets"] = places[generator.integers(len(places))]
        case 3:
            del header[name]
        case 4:
            header[f"{name}_"] = entry
        case 5:
            header = damaged_value(header, generator)
        case 6:
            length = int(generator.choice(np.array([0, 1, 7, 2**20, 2**31, 2**62, 2**64 - 1], np.uint64)))
            return with_checksum(length.to_bytes(8, "little") + data[8:])
    text = json.dumps(header)
    if generator.random() < 0.1 and isinstance(header, dict) and name in header:
        text = text[:-1] + f", {json.dumps(name)}: {json.dumps(header[name])}" + "}"
    return sealed(text, body)


def tensor_damage(data: bytes, generator: Generator) -> bytes:
    """A tensor holds NaN or a negative square, has another dtype or shape, is missing, or has another name."""
    header, _, _ = parts_of(data)
    tensors: dict[str, Any] = {name: array.copy() for name, array in load(data).items()}
    name = list(tensors)[generator.integers(len(tensors))]
    array = tensors[name]
    match int(generator.integers(8)):
        case 0 | 1:
            array.flat[generator.integers(array.size)] = generator.choice([np.nan, np.inf, -np.inf])
        case 2:
            array[...] = np.nan
        case 3:
            kinds = (np.float16, np.float32, np.float64, np.int32, np.bool_, np.complex64, np.uint8)
            tensors[name] = array.astype(kinds[generator.integers(len(kinds))])
        case 4:
            shapes = (array.size, (array.size, 1), (1, *array.shape), array.shape[::-1])
            tensors[name] = array.reshape(shapes[generator.integers(len(shapes))])
        case 5:
            del tensors[name]
        case 6:
            names = ("x", f"{name}.x", f"average.{name}", "model.x", "optimizer.x", "", "a\nb", name.partition(".")[2])
            tensors[names[generator.integers(len(names))]] = array
        case 7:
            squares = [other for other in tensors if other.startswith("optimizer.v.")] or [name]
            tensors[squares[generator.integers(len(squares))]].flat[0] = -1.0 if squares != [name] else np.inf
    return with_checksum(save(tensors, metadata=header["__metadata__"]))


SEALED: dict[str, Damage] = {
    "sealed description": description_damage,
    "sealed format": format_damage,
    "sealed header": header_damage,
    "sealed tensors": tensor_damage,
}
"""Ways to damage a checkpoint whose checksum is right."""
