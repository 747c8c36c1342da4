"""A run that is killed and goes on, beside one that was left alone."""

import json
from collections.abc import Callable, Collection, Sequence
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.annotations import unchecked


def goes_on_to_the_same_bytes(
    module: ModuleType,
    options: Sequence[str],
    tables: Collection[str],
    *,
    killed_in: tuple[str, int],
    steps: int,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kills a run between two checkpoints, and resumes it.

    Args:
        module: an experiment, best without its figures, which take most of the time.
        options: of a run.
        tables: files of the run's folder that must not differ.
        killed_in: a function of the module, and in which call of it.
        steps: how many have been recorded by then.
    """
    name, number = killed_in
    whole, killed = place / "whole", place / "killed"
    with unchecked():
        module.main([*options, "--out", str(whole)])
        with monkeypatch.context() as patched:
            patched.setattr(module, name, until_killed(number, getattr(module, name)))
            with pytest.raises(KeyboardInterrupt):
                module.main([*options, "--out", str(killed)])
        assert len((killed / "metrics.csv").read_text().splitlines()) == 1 + steps
        module.main(["--resume", str(killed)])
    for table in tables:
        assert (killed / table).read_bytes() == (whole / table).read_bytes(), table
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (whole, killed)]
    assert summaries[0]["seconds"] is not None
    assert summaries[0] | {"seconds": None} == summaries[1]


def until_killed(number: int, function: Callable) -> Callable:
    """The function, which a Ctrl-C interrupts in the call of this number."""
    calls = count(1)

    def call(*arguments: Any) -> Any:
        if next(calls) == number:
            raise KeyboardInterrupt
        return function(*arguments)

    return call
