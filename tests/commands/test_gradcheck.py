import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scratchformer import __main__ as program
from scratchformer.catalogue import CATALOGUE, Entry
from scratchformer.catalogue.entry import op_entry
from scratchformer.catalogue.layers import KEY_BIAS
from scratchformer.commands import gradcheck as gradcheck_command
from scratchformer.gradcheck.strategies import any_arrays
from tests.annotations import unchecked


def run(*arguments: str) -> None:
    with unchecked():
        gradcheck_command.main(arguments)


def entry_of(name: str, op) -> Entry:
    return op_entry(name, op, lambda regimes: any_arrays(2, 2).map(lambda x: (x,)))


def doubled(x):
    return 2 * x, lambda dy: dy


def zero(x):
    return 0 * x, lambda dy: 0 * dy


def failing(x):
    raise RuntimeError("no way")


def test_one_op_is_shown_in_detail(capsys: pytest.CaptureFixture[str]) -> None:
    run("softmax", "--examples", "20")
    header, row, detail, summary = capsys.readouterr().out.splitlines()
    assert header.split() == ["examples", "central", "complex", "step", "Taylor", "verdict"]
    assert row.split()[:2] == ["softmax", "20"]
    assert row.endswith("right")
    assert detail.startswith("  x: right (")
    assert summary.startswith("1 of 1 right, ")


def test_a_gradient_that_is_zero_by_mathematics_is_shown_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    run("MultiHeadAttention", "--examples", "2")
    shown = capsys.readouterr().out
    assert "right, zero by mathematics: key_value.bias, part 1 of 2" in shown
    assert KEY_BIAS in shown


def test_several_entries_are_checked_in_processes_and_kept_as_they_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    names = ["softmax", "AdamW", "relu", "Linear"]
    chosen = [next(entry for entry in CATALOGUE if entry.name == name) for name in names]
    monkeypatch.setattr(gradcheck_command, "CATALOGUE", chosen)
    run("--examples", "3", "--out", str(tmp_path / "table.csv"))
    shown = capsys.readouterr()
    _, *rows, summary = shown.out.splitlines()
    assert sorted(row.split()[0] for row in rows) == sorted(names)
    assert shown.err.startswith("4 checks on ")
    kept = (tmp_path / "table.csv").read_text().splitlines()
    assert kept[0] == "name,examples,central,complex step,Taylor,verdict"
    assert [row.split(",")[0] for row in kept[1:]] == [row.split()[0] for row in rows]
    assert all(row.endswith(" right") for row in rows)
    assert summary.startswith("4 of 4 right, ")


def test_a_check_that_is_stopped_keeps_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    softmax, relu = (next(entry for entry in CATALOGUE if entry.name == name) for name in ("softmax", "relu"))

    def stopped(*_):
        yield gradcheck_command.check_entry(softmax, 2, ("ordinary",))
        raise KeyboardInterrupt

    monkeypatch.setattr(gradcheck_command, "CATALOGUE", [softmax, relu])
    monkeypatch.setattr(gradcheck_command, "check_entries", stopped)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(SystemExit, match="130"):
        run("--out", str(tmp_path / "table.csv"))
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1].startswith("1 of 1 right, ")
    assert shown.out.endswith(", stopped before 1 more\n")
    assert "1 of 2, about " in shown.err
    assert "softmax" in (tmp_path / "table.csv").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals between processes")
def test_ctrl_c_in_a_terminal_ends_all_processes_without_a_traceback() -> None:
    command = [sys.executable, "-m", "scratchformer", "gradcheck"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the header, before the processes start
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(rb"\d+ checks on \d+ cores, about \d+ s\n", err), err


@pytest.mark.parametrize(
    ("op", "said"),
    [
        (doubled, "the ratio is 0.5 everywhere"),
        (zero, "zero: no example proves anything of x"),
        (failing, "contract broken: it can be checked (RuntimeError: no way)"),
    ],
)
def test_a_failure_is_explained_and_ends_with_status_1(
    op, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gradcheck_command, "CATALOGUE", [entry_of(op.__name__, op)])
    with pytest.raises(SystemExit, match="1"):
        run("--examples", "5")
    shown = capsys.readouterr().out
    assert said in shown
    assert "0 of 1 right" in shown


def test_the_plot_shows_the_errors_by_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("gelu", "--examples", "5", "--plot", str(tmp_path / "gelu.png"))
    assert (tmp_path / "gelu.png").stat().st_size > 10_000
    assert ">complex step<" in (tmp_path / "gelu.svg").read_text()
    assert capsys.readouterr().out.endswith(f"figure: {tmp_path / 'gelu.png'}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sofmax"], "there is no 'sofmax'; did you mean 'softmax'?"),
        (["zzz"], "there is no 'zzz'; without a name everything is checked"),
        (["--plot", "a.png"], "--plot draws one op: name it, as in `gradcheck softmax --plot softmax.png`"),
        (["SGD", "--plot", "a.png"], "SGD has no gradient whose error could be drawn by step"),
        (["--examples", "-1"], "--examples must be at least 0, got -1"),
        (["--exampels", "3"], "unknown option --exampels; did you mean --examples?"),
    ],
)
def test_bad_input_is_one_clear_sentence(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(*arguments)
    assert capsys.readouterr().err == f"python -m scratchformer gradcheck: error: {said}\n"


def test_the_package_runs_the_command_and_lists_it() -> None:
    def package(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scratchformer", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert package("gradcheck", "relu", "--examples", "3").returncode == 0
    assert "gradcheck   check every gradient of the library" in package("--help").stdout
    assert package("gradchek").returncode == 2
    with pytest.raises(SystemExit, match="2"):
        program.main([])


def test_the_examples_are_the_same_each_time() -> None:
    reports: list[list[str]] = []
    for _ in range(2):
        seen: list[str] = []

        def note(x, seen=seen):
            seen.append(repr(x))
            return doubled(x)

        with unchecked():
            gradcheck_command.check_entry(entry_of("noted", note), 3, ("ordinary",))
        reports.append(seen)
    assert reports[0] == reports[1]
