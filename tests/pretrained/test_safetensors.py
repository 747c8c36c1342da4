import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from scratchformer.pretrained import open_safetensors
from tests.pretrained.files import described, safetensors
from tests.strategies import seeds

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
ONE = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
HUGE = 2**60


@given(seed=seeds, shape=st.lists(st.integers(0, 4), max_size=3))
def test_a_file_of_the_judge_is_read(seed: int, shape: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    generator = np.random.default_rng(seed)
    tensors = {str(dtype): generator.normal(size=shape).astype(dtype) for dtype in ("f2", "f4", "f8")}
    path = tmp_path_factory.mktemp("judge") / "model.safetensors"
    save_file({**tensors, "ids": np.arange(3)}, path, metadata={"format": "np"})
    file = open_safetensors(path)
    assert (file.path, file.format, file.metadata) == (path, "safetensors", {"format": "np"})
    assert {tensor.kind for tensor in file.tensors.values()} == {"F16", "F32", "F64", "I64"}
    for name, tensor in tensors.items():
        assert file.tensors[name].shape == tensor.shape
        np.testing.assert_array_equal(file.tensors[name].read(np.float64), tensor.astype(np.float64))


def test_words_of_bfloat16_are_the_upper_halves_of_float32(tmp_path: Path) -> None:
    values = np.array([[1.0, -2.5, 3e38], [1e-40, np.inf, np.nan]], np.float32)
    words = (values.view(np.uint32) >> 16).astype(np.uint16)
    (tmp_path / WHOLE).write_bytes(safetensors(*described({"a": ("BF16", words)})))
    expected = (words.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(open_safetensors(tmp_path).tensors["a"].read(), expected)


def test_tensors_that_lie_at_odd_places_are_read(tmp_path: Path) -> None:
    values = np.arange(3.0)
    header, data = described({"one": ("U8", np.zeros(1, np.uint8)), "odd": ("F64", values)})
    (tmp_path / WHOLE).write_bytes(safetensors(header, data))
    np.testing.assert_array_equal(open_safetensors(tmp_path).tensors["odd"].read(np.float64), values)


def replaced(**changes: Any) -> bytes:
    return safetensors({"a": {**ONE["a"], **changes}}, bytes(8))


TWO = {"a": ONE["a"], "b": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}}
DAMAGED = {
    "a header that is too long": (
        safetensors(ONE, bytes(8), HUGE),
        f"its header claims {HUGE:,} bytes after the",
    ),
    "no header": (b"\0\0\0", "its header claims 0 bytes after the first 8, but the file has 3 in all"),
    "an empty header": (bytes(8), "its header begins with b'', expected b'{'"),
    "a list": (safetensors([]), r"its header begins with b'\[', expected b'{'"),
    "half a header": (safetensors(b'{"a"'), "is damaged: expected JSON"),
    "a deep header": (safetensors(b'{"a":' * 100_000), "is damaged: its lists and objects lie too deep in each other"),
    "a tensor twice": (safetensors(b'{"a": {}, "a": {}}'), "expected JSON: the name 'a' comes twice"),
    "metadata of numbers": (safetensors({"__metadata__": {"a": 1}}), "__metadata__ is {'a': 1}, expected strings by"),
    "a tensor without a dtype": (
        safetensors({"a": {"shape": []}}),
        "'a' is described by {'shape': .*}, expected dt",
    ),
    "a tensor that is a number": (safetensors({"a": 3}), "'a' is described by 3, expected dtype, shape and data_off"),
    "a key too many": (replaced(strides=[1]), "expected dtype, shape and data_offsets"),
    "an unknown dtype": (replaced(dtype="F7"), "'a' has the dtype 'F7', expected one of F64, F32"),
    "a dtype that is a list": (replaced(dtype=[]), r"'a' has the dtype \[\], expected one of F64, F32"),
    "a negative size": (replaced(shape=[-2]), r"'a' has the shape \[-2\], expected at most 64 sizes"),
    "a size that is true": (replaced(shape=[True, 2]), r"'a' has the shape \[True, 2\], expected at most 64 sizes"),
    "many axes": (replaced(shape=[1] * 65), "'a' has the shape .*, expected at most 64 sizes"),
    "sizes that overflow": (replaced(shape=[2**32, 2**32]), "'a' has the shape .*, which no file can hold"),
    "no sizes that fit": (
        replaced(shape=[3]),
        r"'a' of shape \[3\] needs 96 bits in F32, but its data_offsets span",
    ),
    "offsets that turn": (replaced(data_offsets=[8, 0]), r"'a' has the data_offsets \[8, 0\], expected a start and"),
    "one offset": (replaced(data_offsets=[8]), r"'a' has the data_offsets \[8\], expected a start and a stop"),
    "an offset outside": (replaced(data_offsets=[HUGE - 8, HUGE]), "'a' has the data_offsets"),
    "a gap": (safetensors({"a": {**ONE["a"], "data_offsets": [8, 16]}}, bytes(16)), "begins at byte 8 .* expected 0, "),
    "an overlap": (
        safetensors(TWO, bytes(8)),
        "the tensor 'b' begins at byte 4 of the data, expected 8, where 'a'",
    ),
    "data cut off": (safetensors(ONE, bytes(7)), "its header describes 8 bytes of data, but the file has 7; perhaps"),
    "data that nobody names": (safetensors(ONE, bytes(9)), "its header describes 8 bytes of data, but the file has 9"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_contradicts_itself_is_refused(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED[name]
    (tmp_path / WHOLE).write_bytes(content)
    with pytest.raises(ValueError, match=rf"model\.safetensors .*{message}"):
        open_safetensors(tmp_path)


def test_a_header_that_is_longer_than_any_real_one_is_not_parsed(tmp_path: Path) -> None:
    with (tmp_path / WHOLE).open("wb") as file:
        file.write((30_000_000).to_bytes(8, "little"))
        file.truncate(40_000_000)
    with pytest.raises(ValueError, match="has a header of 30,000,000 bytes, expected at most 25,000,000"):
        open_safetensors(tmp_path)


def shards(folder: Path, weight_map: Any = None, **held: tuple[str, ...]) -> Path:
    """A folder with an index, and shards by their stems with the tensors that each holds."""
    held = held or {"one": ("a", "c"), "two": ("b",)}
    for stem, names in held.items():
        (folder / f"{stem}.safetensors").write_bytes(save({name: np.full(2, ord(name), "f4") for name in names}))
    if weight_map is None:
        weight_map = {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 24}, "weight_map": weight_map}))
    return folder


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    for path in (shards(tmp_path), tmp_path / INDEX):
        file = open_safetensors(path)
        assert (file.path, list(file.tensors)) == (tmp_path, ["a", "b", "c"])
        assert {name: tensor.read()[0] for name, tensor in file.tensors.items()} == {"a": 97, "b": 98, "c": 99}


LYING = {
    "no map": ([], {}, r"weight_map is \[\], expected files by the names of tensors"),
    "an empty map": ({}, {}, r"weight_map is {}, expected files by the names of tensors"),
    "a shard that is not there": ({"a": "x.safetensors"}, {}, r"x\.safetensors cannot be read: No such file"),
    "a tensor that no shard holds": (
        {"a": "one.safetensors", "z": "one.safetensors"},
        {"one": ("a",)},
        "looks for the tensor 'z' in one.safetensors, which does not hold it",
    ),
    "a tensor that the index leaves out": (
        {"a": "one.safetensors"},
        {"one": ("a", "b")},
        r"does not list the tensor 'b' that .*one\.safetensors holds",
    ),
    "a tensor in two shards": (
        {"a": "one.safetensors", "b": "two.safetensors"},
        {"one": ("a", "b"), "two": ("b",)},
        r"does not list the tensor 'b' that .*one\.safetensors holds",
    ),
}


@pytest.mark.parametrize("name", LYING)
def test_an_index_that_lies_is_refused(name: str, tmp_path: Path) -> None:
    weight_map, held, message = LYING[name]
    with pytest.raises(ValueError, match=message):
        open_safetensors(shards(tmp_path, weight_map, **held))


@pytest.mark.parametrize(
    "shard", ["../one.safetensors", "/one.safetensors", "x\\one.safetensors", "C:one.safetensors", "..", "one.bin", 3]
)
def test_a_shard_outside_of_the_folder_is_never_opened(shard: Any, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    shards(tmp_path)
    with pytest.raises(ValueError, match=r"it looks for the tensor 'a' in .*, expected the name of a safe"):
        open_safetensors(shards(tmp_path / "inner", {"a": shard}))


def test_a_folder_with_both_or_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected model.safetensors or model.safetensors.index.json, .* neither"):
        open_safetensors(tmp_path)
    (shards(tmp_path) / WHOLE).touch()
    with pytest.raises(ValueError, match=r"holds both model\.safetensors and .*index\.json; give the path of one"):
        open_safetensors(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / WHOLE)
    with pytest.raises(ValueError, match="cannot be read: expected a file, it is none"):
        open_safetensors(tmp_path)
