import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.pretrained import open_gguf
from tests.pretrained.files import array, blocks, entry, gguf, info, text

SCALARS = {
    "UINT8": 200,
    "INT8": -100,
    "UINT16": 60_000,
    "INT16": -30_000,
    "UINT32": 2**32 - 1,
    "INT32": -(2**31),
    "FLOAT32": 0.1,
    "BOOL": True,
    "STRING": "größe",
    "UINT64": 2**64 - 1,
    "INT64": -(2**63),
    "FLOAT64": 0.1,
}
NUMBER = entry("a", 4, struct.pack("<I", 1))


def written(path: Path, alignment: int) -> Path:
    """A file by the judge, with a value of every type and a tensor of every kind that is read."""
    writer = GGUFWriter(path, "llama")
    writer.add_custom_alignment(alignment)
    for name, value in SCALARS.items():
        writer.add_key_value(f"one.{name}", value, GGUFValueType[name])
        writer.add_key_value(f"many.{name}", [value] * 3, GGUFValueType.ARRAY, GGUFValueType[name])
    for name in ("Q4_0", "Q4_1", "Q8_0"):
        rows = np.frombuffer(blocks(name, 0, 6), np.uint8).reshape(3, -1)
        writer.add_tensor(name, rows, raw_dtype=GGMLQuantizationType[name])
    words = np.arange(10, dtype=np.uint16).reshape(5, 2)
    writer.add_tensor("BF16", words.view(np.uint8), raw_dtype=GGMLQuantizationType.BF16)
    for dtype in (np.float16, np.float32, np.float64):
        writer.add_tensor(dtype.__name__, np.arange(24, dtype=dtype).reshape(2, 3, 4))
    writer.add_tensor("int32", np.arange(3, dtype=np.int32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("alignment", [32, 64, 4096])
def test_a_file_of_the_judge_is_read(alignment: int, tmp_path: Path) -> None:
    file = open_gguf(written(tmp_path / "a.gguf", alignment))
    for name, value in SCALARS.items():
        expected = float(np.float32(value)) if name == "FLOAT32" else value
        assert file.metadata[f"one.{name}"] == expected
        assert type(file.metadata[f"one.{name}"]) is type(expected)
        many = file.metadata[f"many.{name}"]
        assert list(many) == [expected] * 3
        assert name == "STRING" or not many.flags.writeable
    assert file.metadata["general.architecture"] == "llama"
    shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
    blocks_of = dict.fromkeys(("Q4_0", "Q4_1", "Q8_0"), (3, 64))
    numbers = dict.fromkeys(("float16", "float32", "float64"), (2, 3, 4))
    assert shapes == {**blocks_of, "BF16": (5, 2), **numbers, "int32": (3,)}
    for name in numbers:
        np.testing.assert_array_equal(file.tensors[name].read(), np.arange(24).reshape(2, 3, 4))
    for name in blocks_of:
        assert file.tensors[name].raw.tobytes() == blocks(name, 0, 6)
    assert (file.tensors["int32"].kind, file.tensors["int32"].is_readable) == ("I32", False)
    file.release()
    np.testing.assert_array_equal(file.tensors["float64"].read(), np.arange(24).reshape(2, 3, 4))


def test_version_2_arrays_in_arrays_and_a_file_without_tensors_are_read(tmp_path: Path) -> None:
    inner = array(8, 2, text("x") + text("")) + array(4, 2, struct.pack("<2I", 5, 6))
    path = tmp_path / "a.gguf"
    path.write_bytes(gguf([entry("a", 9, array(9, 2, inner))], version=2, alignment=1))
    names, numbers = open_gguf(path).metadata["a"]
    assert (names, numbers.tolist()) == (["x", ""], [5, 6])


def tensors(*infos: bytes, num_bytes: int = 64) -> bytes:
    return gguf([], infos, bytes(num_bytes))


HUGE = 2**60
DAMAGED = {
    "another format": (b"PK\x03\x04" + bytes(60), r"it begins with b'PK\\x03\\x04', expected b'GGUF'"),
    "nothing behind the name": (b"GGUF", "the version needs 4 bytes from byte 4 on, but the file has 4 in all"),
    "version 1": (gguf(version=1), "has version 1 of GGUF, expected 2 or 3"),
    "big-endian": (gguf(version=0x03000000), "is a big-endian GGUF file, expected a little-endian one"),
    "many entries": (gguf([NUMBER], num_entries=HUGE), f"it claims to hold {HUGE:,} entries, but has only 64 bytes"),
    "many tensors": (gguf(num_infos=2**64 - 1), "it claims to hold 18,446,744,073,709,551,615 tensors, but has only"),
    "a long key": (gguf([struct.pack("<Q", HUGE) + bytes(9)]), f"the key of entry 0 needs {HUGE:,} bytes from byte 32"),
    "a long string": (gguf([entry("a", 8, struct.pack("<Q", HUGE))]), f"the value of 'a' needs {HUGE:,} bytes"),
    "many strings": (gguf([entry("a", 9, array(8, HUGE))]), f"{HUGE:,} items in the value of 'a', but has only"),
    "many numbers": (gguf([entry("a", 9, array(12, HUGE))]), f"{HUGE:,} items in the value of 'a', but has only"),
    "many arrays": (gguf([entry("a", 9, array(9, HUGE))]), f"{HUGE:,} items in the value of 'a', but has only"),
    "deep arrays": (gguf([entry("a", 9, array(9, 1) * 9 + array(4, 0))]), "is an array in more than 8 arrays"),
    "a key that is not UTF-8": (gguf([entry(b"a\xff", 4, bytes(4))]), "the key of entry 0 is not UTF-8: byte 0xff at "),
    "a key twice": (gguf([NUMBER, NUMBER]), "it has the key 'a' twice"),
    "an unknown type": (gguf([entry("a", 13, bytes(8))]), "the value of 'a' has type 13, expected a type from 0 to 12"),
    "an array of it": (gguf([entry("a", 9, array(13, 0))]), "'a' is an array of type 13, expected a type from 0 to 12"),
    "neither true nor false": (
        gguf([entry("a", 7, b"\2")]),
        "the value of 'a' has the byte 2, expected 0 for False",
    ),
    "an alignment of 48": (
        gguf([entry("general.alignment", 4, struct.pack("<I", 48))]),
        "general.alignment is 48, expected a power of two",
    ),
    "an alignment in words": (gguf([entry("general.alignment", 8, text("32"))]), "general.alignment is '32', expected"),
    "one part": (gguf([entry("split.count", 2, b"\3\0")]), "is one part of 3, expected a whole file; join the parts"),
    "a tensor twice": (tensors(info("t", (4,), 0, 0), info("t", (4,), 0, 32)), "it has the tensor 't' twice"),
    "five axes": (tensors(info("t", (1,) * 5, 0, 0)), "the tensor 't' has 5 axes, expected at most 4"),
    "many axes": (tensors(text("t") + struct.pack("<I", 2**32 - 1)), "'t' has 4,294,967,295 axes, expected at most 4"),
    "sizes that overflow": (tensors(info("t", (2**33, 2**33), 0, 0)), "has the shape .* which no file can hold"),
    "sizes that wrap to nothing": (tensors(info("t", (2**63, 2, 0), 0, 0)), "has the shape .* which no file can hold"),
    "an unknown kind": (tensors(info("t", (4,), 4, 0)), "the tensor 't' is stored as kind 4, which ggml does not have"),
    "a part of a block": (tensors(info("t", (33,), 8, 0)), "'t' has rows of 33 values, expected blocks of 32 for Q8_0"),
    "an odd offset": (tensors(info("t", (4,), 0, 8)), "'t' has the offset 8, expected a multiple of 32"),
    "an offset outside": (
        tensors(info("t", (4,), 0, HUGE)),
        "the tensor 't' ends at byte .* but the file has 128; ",
    ),
    "a tensor that is too long": (tensors(info("t", (17,), 0, 0)), "the tensor 't' ends at byte 132, but the file has"),
    "tensors that overlap": (
        tensors(info("t", (16,), 0, 0), info("u", (4,), 0, 32)),
        "the tensors 't' and 'u' overlap",
    ),
    "tensors that end at one place": (
        tensors(info("t", (16,), 0, 0), info("u", (8,), 0, 32)),
        "the tensors 't' and 'u' overlap",
    ),
    "tensors inside another": (
        gguf([], [info("t", (32,), 0, 0), info("u", (1,), 0, 32), info("v", (1,), 0, 64)], bytes(128)),
        "the tensors 't' and 'u' overlap",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_contradicts_itself_is_refused(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED[name]
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.gguf .*{message}"):
        open_gguf(path)


@given(data=st.data())
def test_a_file_that_was_cut_off_is_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = gguf([NUMBER, entry("b", 9, array(8, 1, text("c")))], [info("t", (2, 8), 0, 0)], bytes(64))
    path = tmp_path_factory.mktemp("cut") / "a.gguf"
    path.write_bytes(whole[: data.draw(st.integers(1, len(whole) - 1))])
    with pytest.raises(ValueError, match=r"a\.gguf is damaged or no GGUF file"):
        open_gguf(path)


def test_what_is_no_file_to_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty is empty, expected a file with tensors"):
        open_gguf(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"missing cannot be read: No such file or directory"):
        open_gguf(tmp_path / "missing")
    with pytest.raises(ValueError, match="cannot be read: expected a file, it is none"):
        open_gguf(tmp_path)
