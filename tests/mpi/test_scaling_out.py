"""Ranks measure messages, exchanges and steps, and say why they fail."""

import json
from functools import partial
from pathlib import Path

import pytest

import experiments.scaling_out.__main__ as scaling_out
from experiments.scaling_out.measure import message_seconds
from experiments.scaling_out.ranks import ask_ranks
from experiments.speed.fresh_process import Failure
from tests.mpi.test_ranks import MPIEXEC, pytestmark  # noqa: F401 skips these tests, too


def test_the_smoke_preset_measures_and_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "measured.json"
    scaling_out.main(["--preset", "smoke", "--json", str(file), "--figure", str(tmp_path / "drawn")])
    printed = capsys.readouterr().out
    assert "stops: the first number of ranks" in printed
    measured = json.loads(file.read_text())["measured"]
    assert [(one["model"], one["ranks"]) for one in measured["joint"]] == [("small", 2)]
    (joint,), (computed,) = measured["joint"], measured["computed"]
    assert joint["bytes_sent"] == 4 * computed["values"], "the only block is the other rank's"
    assert (tmp_path / "drawn.png").exists()


def test_ranks_that_fail_say_why() -> None:
    said = "2 ranks that were to send messages failed: ValueError: negative dimensions"
    with pytest.raises(Failure, match=said):
        ask_ranks(partial(message_seconds, [-1], 1), 2, str(MPIEXEC), "send messages")
