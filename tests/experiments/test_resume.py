"""Runs that are killed, stopped or refused disk space go on to the very bytes of the run that was left alone."""

import gc
import hashlib
import json
import platform
import resource
import signal
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from scratchformer.text import Corpus
from scratchformer.training import LAST, load, read_checkpoint
from tests.experiments.running import TINY, kill_in_step, run, run_program, start

OPTIONS = [*TINY, "--steps", "40", "--dropout", "0.1", "--accumulate", "2", "--threads", "2", "--save-every", "1"]
OPTIONS += ["--no-figures"]  # which are drawn from the folder alone
REPEATED = ["metrics.csv", "norms.csv", "last.safetensors", "best.safetensors", "sample.txt"]


def contents(path: Path) -> dict[str, str]:
    """The hashes of all files that do not depend on the clock or on the folder's name."""
    hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.iterdir()}
    assert hashes.keys() == {*REPEATED, "config.json", "summary.json"}
    return {name: hashes[name] for name in REPEATED}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """The contents of the run that is left alone, and how many seconds it takes from its first file on."""
    folder = tmp_path_factory.mktemp("whole")
    process = start("char_lm.py", *OPTIONS, "--out", "run", cwd=folder)
    begin = wait_for(folder / "run" / "config.json")
    process.communicate()
    assert process.returncode == 0
    return contents(folder / "run"), time.monotonic() - begin


def wait_for(path: Path) -> float:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.001)
    return time.monotonic()


def goes_on_to(whole: dict[str, str], cwd: Path) -> None:
    result = run("char_lm.py", "--resume", "run", cwd=cwd)
    assert result.returncode == 0, result.stderr
    assert contents(cwd / "run") == whole


@pytest.mark.long
@pytest.mark.parametrize("number", range(30))
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
    number: int, whole: tuple[dict[str, str], float], tmp_path: Path
) -> None:
    expected, seconds = whole
    process = start("char_lm.py", *OPTIONS, "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run" / "config.json")
    time.sleep(np.random.default_rng(number).uniform(0, seconds))
    process.kill()
    process.communicate()
    goes_on_to(expected, tmp_path)


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(
    number: signal.Signals, whole: tuple[dict[str, str], float], tmp_path: Path
) -> None:
    process = start("char_lm.py", *OPTIONS, "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run" / LAST)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    last_line = said.splitlines()[-1]
    assert f"{number.name} stopped the run after step" in said
    assert last_line.endswith("char_lm.py --resume run")
    goes_on_to(whole[0], tmp_path)


def test_a_disk_that_is_full_leaves_the_checkpoint_before(
    whole: tuple[dict[str, str], float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_in_step(8, patched)
        with pytest.raises(KeyboardInterrupt):
            run("char_lm.py", *OPTIONS, "--out", "run", cwd=tmp_path)
    gc.collect()  # as at the end of a process, which gives its folder back
    before = (tmp_path / "run" / LAST).read_bytes()

    def allow_small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, len(before) // 2))

    result = run_program("char_lm.py", "--resume", "run", cwd=tmp_path, preexec_fn=allow_small_files_only)
    assert result.returncode == 1
    sentence = "char_lm.py: error: checkpoint run/last.safetensors cannot be written: File too large; "
    assert result.stderr == f"{sentence}the earlier checkpoint is untouched\n"
    assert (tmp_path / "run" / LAST).read_bytes() == before
    assert np.isfinite(load(tmp_path / "run" / LAST).values).all()
    goes_on_to(whole[0], tmp_path)


def test_another_text_or_option_is_refused_with_the_difference_named(tmp_path: Path) -> None:
    (tmp_path / "ode.txt").write_text("Freude, schöner Götterfunken, Tochter aus Elysium\n" * 40, encoding="utf-8")
    (tmp_path / "other.txt").write_text(
        "Wir betreten feuertrunken, Himmlische, dein Heiligtum\n" * 40, encoding="utf-8"
    )
    assert run("char_lm.py", *TINY, "--no-figures", "--text", "ode.txt", "--out", "run", cwd=tmp_path).returncode == 0
    for arguments, said in (
        (
            ["--text", "other.txt"],
            "run/last.safetensors is of another run: run.corpus.characters is 2160 now and was 2000 then; "
            "resume it with the text that it began with",
        ),
        (
            ["--steps", "21"],
            "--steps is 21, the run in run was started with 20; a run goes on with its own options only",
        ),
    ):
        result = run("char_lm.py", "--resume", "run", *arguments, cwd=tmp_path)
        assert result.returncode == 2
        assert result.stderr.startswith(f"char_lm.py: error: {said}")
        assert result.stderr.count("\n") == 1
    (tmp_path / "ode.txt").write_text("Deine Zauber binden wieder\n" * 40, encoding="utf-8")
    result = run("char_lm.py", "--resume", "run", cwd=tmp_path)
    assert result.returncode == 2
    assert "run.corpus.characters is 1080 now and was 2000 then" in result.stderr


def test_another_version_of_the_embedded_text_is_told_with_what_to_do(tmp_path: Path) -> None:
    assert run("char_lm.py", *TINY, "--no-figures", "--out", "run", cwd=tmp_path).returncode == 0
    with patch("scratchformer.recipes.text_runs.pydoc_corpus", lambda: Corpus("pydoc", "Another text.\n" * 200)):
        result = run("char_lm.py", "--resume", "run", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.endswith(
        " then; the embedded text differs between versions of Python: "
        f"resume with {platform.python_version()}, which began the run\n"
    )


def test_a_config_that_was_edited_is_refused(tmp_path: Path) -> None:
    assert run("char_lm.py", *TINY, "--no-figures", "--out", "run", cwd=tmp_path).returncode == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["options"]["batch"] = 5
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    result = run("char_lm.py", "--resume", "run", cwd=tmp_path)
    assert result.returncode == 2
    assert "is of another run: run.options.batch is 5 now and was 6 then" in result.stderr


def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    assert run("char_lm.py", *TINY, "--no-figures", "--out", "run", cwd=tmp_path).returncode == 0
    path = tmp_path / "run" / LAST
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    result = run("char_lm.py", "--resume", "run", cwd=tmp_path)
    assert result.returncode == 2
    message = "checkpoint run/last.safetensors is damaged: its content does not match its checksum"
    assert result.stderr == f"char_lm.py: error: {message}\n"
    with pytest.raises(ValueError, match="is damaged"):
        read_checkpoint(path)
