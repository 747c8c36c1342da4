import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from scratchformer.runs import begin_run, check_run


@dataclass
class Config:
    batch: int = 4
    threads: int = 2
    out: Path | None = None
    resume: Path | None = None


def test_check_run_accepts_a_thread_for_each_sequence_and_one_of_the_two_folders() -> None:
    check_run(Config(batch=2, threads=2))
    check_run(Config(out=Path("a")))
    check_run(Config(resume=Path("a")))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (Config(batch=2, threads=3), "--threads 3 is more than --batch 2; each takes a sequence"),
        (
            Config(out=Path("a"), resume=Path("b")),
            "--out a makes no sense beside --resume b, which goes on in its folder",
        ),
    ],
)
def test_check_run_refuses_options_that_make_no_sense_together(config: Config, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        check_run(config)


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
