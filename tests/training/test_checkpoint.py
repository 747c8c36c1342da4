import errno
import hashlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from scratchformer.training import Checkpoint, load, model_checkpoint, read_checkpoint, write_checkpoint
from tests.training.setting import tiny_gpt

TENSORS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4), "none": np.ones((0, 2), np.float16)}
DESCRIPTION = {
    "sha256": "x",
    "format": 7,
    "text": 'ä "sha256": "' + "1" * 64,
    "large": 2**200,
    "nested": {"list": [1.5, None, True]},
}


def assert_same(found: Checkpoint, expected: Checkpoint) -> None:
    assert found.description == expected.description
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found.tensors[name], tensor)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for checkpoint in (Checkpoint(TENSORS, DESCRIPTION), Checkpoint({}, {}), Checkpoint(TENSORS, {})):
        write_checkpoint(path, checkpoint)
        assert_same(read_checkpoint(path), checkpoint)
        assert os.listdir(tmp_path) == [path.name]


def test_views_and_other_memory_orders_are_written_as_they_look(tmp_path: Path) -> None:
    matrix = np.arange(12.0).reshape(3, 4)
    write_checkpoint(tmp_path / "a", Checkpoint({"turned": matrix.T, "part": matrix[:, ::2]}, {}))
    assert_same(read_checkpoint(tmp_path / "a"), Checkpoint({"turned": matrix.T, "part": matrix[:, ::2]}, {}))


def test_the_same_checkpoint_gives_the_same_bytes_and_any_safetensors_reader_reads_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_checkpoint(tmp_path / name, Checkpoint(TENSORS, DESCRIPTION))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with safe_open(tmp_path / "a", "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("a"), TENSORS["a"])
        assert json.loads(file.metadata()["scratchformer"])["description"] == DESCRIPTION


def test_the_checksum_is_that_of_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_checkpoint(path, Checkpoint({"x": np.arange(3.0), "scalar": np.ones(())}, {}))
    data = path.read_bytes()
    digest = read_digest(data)
    assert hashlib.sha256(data.replace(digest, b"0" * 64)).hexdigest().encode() == digest
    for place in (0, 7, 8, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ValueError, match=r"is damaged|is not a checkpoint"):
            read_checkpoint(path)


def read_digest(data: bytes) -> bytes:
    (found,) = re.findall(rb"[0-9a-f]{64}", data)
    return found


def test_a_number_is_no_array_of_one(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", Checkpoint({"scalar": np.full((), 2.5)}, {}))
    assert read_checkpoint(tmp_path / "a").tensors["scalar"].shape == ()


def test_no_mutation_of_a_file_goes_unnoticed(tmp_path: Path) -> None:
    path, mutated = tmp_path / "model.safetensors", tmp_path / "mutated.safetensors"
    write_checkpoint(path, model_checkpoint(tiny_gpt(), run={"options": {"steps": 3}}))
    original = path.read_bytes()
    generator = np.random.default_rng(0)
    header_end = 8 + int.from_bytes(original[:8], "little")
    for number in range(1000):
        data = bytearray(original)
        end = header_end if generator.random() < 0.5 else len(data)  # half of them where the names and sizes stand
        place = int(generator.integers(end))
        length = int(generator.integers(1, 64))
        match number % 8:
            case 0:
                data[place] ^= 1 << int(generator.integers(8))
            case 1:
                data[place : place + length] = generator.bytes(length)
            case 2:
                del data[place:]
            case 3:
                del data[place : place + length]
            case 4:
                data[place:place] = generator.bytes(length)
            case 5:
                data[place : place + length] = data[place : place + length][::-1]
            case 6:
                data[place : place + length] = bytes(length)
            case 7:
                data[:8] = generator.bytes(8)
        if data == original:
            continue
        mutated.write_bytes(data)
        with pytest.raises(ValueError, match=r"mutated\.safetensors (is damaged|is not a checkpoint of scratchformer)"):
            load(mutated)


@given(content=st.binary(max_size=300))
@settings(max_examples=50)
def test_foreign_files_are_refused_in_a_sentence(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("foreign") / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a checkpoint of scratchformer"):
        read_checkpoint(path)


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"weight": np.ones(3)}, metadata={"format": "pt"}))
    with pytest.raises(ValueError, match=r"a\.safetensors is not a checkpoint of scratchformer"):
        read_checkpoint(path)
    with pytest.raises(ValueError, match=r"missing\.safetensors cannot be read: No such file or directory"):
        read_checkpoint(tmp_path / "missing.safetensors")
    with pytest.raises(ValueError, match="cannot be read: it is not a file"):
        read_checkpoint(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe cannot be read: it is not a file"):
        read_checkpoint(tmp_path / "pipe")


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"write_checkpoint: .*complex128"):
        write_checkpoint(tmp_path / "a", Checkpoint({"a": np.ones(2, np.complex128)}, {}))
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_checkpoint(tmp_path / "a", Checkpoint({}, {"path": tmp_path}))
    assert os.listdir(tmp_path) == []


def test_another_format_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchformer.training.checkpoint.FORMAT", 2)
    write_checkpoint(tmp_path / "a", Checkpoint(TENSORS, {}))
    monkeypatch.undo()
    with pytest.raises(ValueError, match="it is in format 2, this version of scratchformer reads 1"):
        read_checkpoint(tmp_path / "a")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "a.safetensors"

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os if failing == "fsync" else Path, failing, fail)
    with pytest.raises(
        OSError, match=r"a\.safetensors cannot be written: No space left on device; there is no earlier one"
    ):
        write_checkpoint(path, Checkpoint(TENSORS, {"step": 1}))
    assert os.listdir(tmp_path) == []
    monkeypatch.undo()

    write_checkpoint(path, Checkpoint(TENSORS, {"step": 1}))
    monkeypatch.setattr(os if failing == "fsync" else Path, failing, fail)
    with pytest.raises(OSError, match="No space left on device; the earlier checkpoint is untouched"):
        write_checkpoint(path, Checkpoint(TENSORS, {"step": 2}))
    assert os.listdir(tmp_path) == [path.name]
    assert read_checkpoint(path).description == {"step": 1}


def test_the_content_reaches_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, sizes = [], []
    fsync, replace = os.fsync, Path.replace

    def recording_fsync(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def recording_replace(self: Path, target: Path) -> Path:
        events.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(Path, "replace", recording_replace)
    write_checkpoint(tmp_path / "a", Checkpoint(TENSORS, {}))
    assert events == ["file", "replace", "folder"]
    assert sizes[0] == (tmp_path / "a").stat().st_size


def test_whoever_reads_while_two_write_finds_one_of_both(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoints = [Checkpoint({"x": np.full(size, value)}, {}) for size, value in ((40_000, 1.0), (80_000, 2.0))]
    write_checkpoint(path, checkpoints[0])
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(lambda one=one: [write_checkpoint(path, one) for _ in range(30)]) for one in checkpoints]
        while not all(writer.done() for writer in writers):
            read_checkpoint(path)
        for writer in writers:
            writer.result()
    assert os.listdir(tmp_path) == [path.name]
