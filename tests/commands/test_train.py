"""Training and sampling without a checkout: `train` and `sample` of the package."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scratchformer import __main__ as program
from tests.experiments.running import TINY, run
from tests.experiments.test_resume import wait_for


def test_a_run_of_the_command_is_one_of_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("char_lm.py", *TINY, "--no-figures", "--out", "script", cwd=tmp_path).returncode == 0
    monkeypatch.chdir(tmp_path)
    program.main(["train", *TINY, "--no-figures", "--out", "command"])
    for file in ("metrics.csv", "best.safetensors", "last.safetensors", "sample.txt"):
        assert (tmp_path / "command" / file).read_bytes() == (tmp_path / "script" / file).read_bytes()
    capsys.readouterr()
    program.main(["train", "--resume", "script"])
    assert capsys.readouterr().out.startswith("the run in script has ended")
    program.main(["sample", "command", "--prompt", "The", "--tokens", "20"])
    assert (
        capsys.readouterr().out == run("sample.py", "script", "--prompt", "The", "--tokens", "20", cwd=tmp_path).stdout
    )


def test_a_run_that_is_stopped_goes_on_with_the_same_command(tmp_path: Path) -> None:
    options = [*TINY, "--steps", "100000", "--save-every", "1", "--out", "run"]
    command = [sys.executable, "-m", "scratchformer", "train", *options]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "run" / "last.safetensors")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.splitlines()[-1].endswith("-m scratchformer train --resume run")


def test_the_list_of_commands_fits_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    with pytest.raises(SystemExit, match="0"):
        program.main(["--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 50


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "python -m scratchformer: error: unknown command trian; did you mean train?\n"),
        (["foo"], "python -m scratchformer: error: unknown command foo; there are train, sample, chat, "),
        (["sample", "nowhere"], "python -m scratchformer sample: error: checkpoint nowhere cannot be read: No such "),
        (["train", "--seed", "-1"], "python -m scratchformer train: error: --seed must be at least 0, got -1\n"),
    ],
)
def test_bad_input_is_one_clear_sentence(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        program.main(arguments)
    printed = capsys.readouterr()
    assert printed.err.startswith(said)
    assert printed.err.count("\n") == 1
    assert printed.out == ""
