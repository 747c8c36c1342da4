import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from scratchformer.runs import RunFolder, begin_run, read_config, read_json


def test_the_next_free_number_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [str(RunFolder(None, "sort").path) for _ in range(3)] == ["runs/sort-001", "runs/sort-002", "runs/sort-003"]


def test_a_link_that_leads_nowhere_is_named_and_its_name_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").symlink_to("nowhere")
    for path in (None, Path("runs"), Path("runs/x")):
        with pytest.raises(
            ValueError, match=r"^run folder runs cannot be made: it is a link to nowhere, which does not"
        ):
            RunFolder(path, "sort")
    Path("nowhere").mkdir()
    Path("runs/sort-001").symlink_to("gone")
    assert str(RunFolder(None, "sort").path) == "runs/sort-002"


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_names_that_no_folder_can_have_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path(name), None):
        with pytest.raises(ValueError, match=r"^(run folder .* cannot be made|RunFolder: path and name must be)"):
            RunFolder(path, name)


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    RunFolder(path, "sort").close()
    folder = RunFolder(path, "sort")  # empty still
    folder.write_text("sample.txt", "größer")
    folder.close()
    with pytest.raises(ValueError, match="is not empty; choose another, nothing was overwritten"):
        RunFolder(path, "sort")
    assert (path / "sample.txt").read_text(encoding="utf-8") == "größer"
    with pytest.raises(ValueError, match=r"sample\.txt cannot be made: File exists"):
        RunFolder(path / "sample.txt", "sort")


def test_one_run_at_a_time_uses_a_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", "sort")
    folder.write_json("config", {})
    open_it = "from scratchformer.runs import RunFolder; from pathlib import Path; RunFolder.open(Path('run'))"
    other = subprocess.run([sys.executable, "-c", open_it], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "ValueError: run folder run is in use by another run" in other.stderr
    with pytest.raises(ValueError, match="is in use by another run"):
        RunFolder(tmp_path / "run", "sort")
    folder.close()
    assert RunFolder.open(tmp_path / "run").path == tmp_path / "run"


def test_a_folder_without_a_run_cannot_be_opened(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=r"is no run folder: it holds no config\.json"):
            RunFolder.open(path)


def test_json_is_readable_and_takes_paths(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", "sort")
    folder.write_json("config", {"characters": "äß", "text": Path("a.txt"), "out": None})
    text = (folder.path / "config.json").read_text(encoding="utf-8")
    assert json.loads(text) == folder.read_json("config") == {"characters": "äß", "text": "a.txt", "out": None}
    assert "äß" in text
    latin = Path(os.fsdecode(b"caf\xe9.txt"))
    folder.write_json("config", {"text": latin})
    (folder.path / "config.json").write_bytes(b"\xef\xbb\xbf" + (folder.path / "config.json").read_bytes())
    assert folder.read_json("config") == {"text": str(latin)}


def test_json_has_no_word_for_what_is_not_finite(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        RunFolder(tmp_path / "run", "sort").write_json("summary", {"loss": float("nan")})


def test_what_a_killed_write_left_does_not_make_a_folder_full(tmp_path: Path) -> None:
    (tmp_path / ".1a2b.partial").touch()
    folder = RunFolder(tmp_path, "sort")
    folder.write_json("config", {})
    folder.close()
    (tmp_path / ".3c4d.partial").touch()
    RunFolder.open(tmp_path)
    assert os.listdir(tmp_path) == ["config.json"]


def test_json_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.json cannot be read: No such file or directory"):
        read_json(tmp_path / "a.json")
    for content in (b"{", b"\xff"):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.json is (damaged: .|not UTF-8: byte 0xff)"):
            read_json(tmp_path / "a.json")


def test_arrays_are_written_as_safetensors(tmp_path: Path) -> None:
    ids = np.arange(12).reshape(3, 4)
    arrays = {
        "plain": ids,
        "view": ids[:, :-1],
        "turned": ids.T,
        "reversed": ids[::-1, ::-2],
        "broadcast": np.broadcast_to(ids[0], (2, 4)),
        "number": np.array(3.5),
    }
    path = RunFolder(tmp_path / "run", "sort").write_arrays("batch", arrays)
    assert path == tmp_path / "run" / "batch.safetensors"
    for name, found in load_file(path).items():
        np.testing.assert_array_equal(found, arrays[name])


def test_a_write_that_fails_names_the_file_and_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = RunFolder(tmp_path / "run", "sort")
    folder.write_text("sample.txt", "old")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match=r"sample\.txt cannot be written: No space left on device"):
        folder.write_text("sample.txt", "new")
    assert (folder.path / "sample.txt").read_text() == "old"
    assert os.listdir(folder.path) == ["sample.txt"]


@dataclass
class Config:
    batch: int = 4
    out: Path | None = None
    resume: Path | None = None


def test_a_new_folder_makes_no_sense_for_a_run_that_is_resumed(tmp_path: Path) -> None:
    sentence = "^--out a makes no sense beside --resume b, which goes on in its folder$"
    with pytest.raises(ValueError, match=sentence):
        begin_run(Config(out=Path("a"), resume=Path("b")), "program", {})


def test_a_new_run_writes_down_what_it_depends_on_and_where_it_was_run(tmp_path: Path) -> None:
    config = Config(out=tmp_path / "new")
    folder = begin_run(config, "program", {"options": {"batch": 4}}, {"losses": [1, 2]})
    assert folder.path == tmp_path / "new"
    written = json.loads((folder.path / "config.json").read_text())
    assert written["options"] == {"batch": 4}
    assert written["losses"] == [1, 2]
    assert written["places"]["out"] == str(tmp_path / "new")
    assert "python" in written["environment"]


def test_a_resumed_run_goes_on_in_its_folder_and_leaves_its_configuration(tmp_path: Path) -> None:
    begun = begin_run(Config(out=tmp_path / "run"), "program", {"options": {"batch": 4}})
    before = (begun.path / "config.json").read_bytes()
    begun.close()
    resumed = begin_run(Config(resume=tmp_path / "run"), "program", {"options": {"batch": 5}})
    assert resumed.path == begun.path
    assert (resumed.path / "config.json").read_bytes() == before


def test_a_program_that_cannot_go_on_begins_a_new_run(tmp_path: Path) -> None:
    @dataclass
    class WithoutResume:
        out: Path | None

    folder = begin_run(WithoutResume(tmp_path / "new"), "program", {"options": {}})
    assert folder.path == tmp_path / "new"
    assert (folder.path / "config.json").is_file()


def test_the_options_of_a_run_are_read_back_and_those_of_another_program_are_refused(tmp_path: Path) -> None:
    begin_run(started := Config(3, tmp_path / "run"), "program", {"options": {"batch": 3}})
    assert read_config(tmp_path / "run", "program", Config) == started
    with pytest.raises(ValueError, match=r"run holds a run of program, not of other$"):
        read_config(tmp_path / "run", "other", Config)
    begin_run(Config(out=tmp_path / "later"), "program", {"options": {"batch": 3, "quality": 1}})
    with pytest.raises(ValueError, match=r"later is not a run folder of this program: in its config.json the option"):
        read_config(tmp_path / "later", "program", Config)
