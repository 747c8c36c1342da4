import io
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from scratchformer.runs import ProgressBar


def test_where_there_is_no_terminal_each_evaluation_is_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(100) as progress:
        progress.update(1, 3.5, None)
        progress.update(2, 3.25, 3.125)
    shown = capsys.readouterr()
    assert shown.out.startswith("step   2 of 100: training loss 3.2500, validation loss 3.1250, ")
    assert shown.out.count("\n") == 1
    assert shown.err == ""


def test_streams_may_be_closed_or_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed, SimpleNamespace(write=list)):
        monkeypatch.setattr("sys.stderr", stream)
        for out in (None, SimpleNamespace(write=list)):
            monkeypatch.setattr("sys.stdout", out)
            with ProgressBar(2) as progress:
                progress.update(1, 3.5, 3.25)


@pytest.mark.parametrize(
    ("num_steps", "every", "shown"),
    [
        (100, 2, range(2, 101, 2)),
        (200, 1, range(1, 201, 4)),
        (130, 20, [20, 40, 60, 80, 100, 120, 130]),
    ],
)
def test_of_many_evaluations_some_are_shown_and_the_last_one(
    num_steps: int, every: int, shown: Sequence[int], capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressBar(num_steps) as progress:
        for done in range(1, num_steps + 1):
            progress.update(done, 3.5, 3.125 if done % every == 0 or done == num_steps else None)
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split()[1]) for line in lines] == list(dict.fromkeys([*shown, num_steps]))


def test_in_a_terminal_there_is_a_bar_with_the_live_loss(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ProgressBar(2) as progress:
        progress.update(1, 3.5, None)
        progress.update(2, 3.25, None)
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "training loss 3.250" in shown
