"""Experiments run as users run them, with a folder of their own as the working directory."""

import gc
import importlib
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from scratchformer.recipes.experiment import Experiment
from scratchformer.training import Trainer
from tests.annotations import unchecked

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
LESSON = "attention_walkthrough.py"
TINY = ["--preset", "smoke", "--layers", "1", "--width", "16", "--steps", "20", "--warmup", "2"]
TINY += ["--evaluate-every", "10", "--evaluation-batches", "3", "--sample", "20"]


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What a script does, prints and ends with, in this process: without the second that starting a program takes."""
    result = run_main(script, arguments, cwd)
    gc.collect()  # as at the end of a program, which gives its folder back
    return result


def refusal(script: str, *arguments: str, cwd: Path) -> str:
    """The one sentence on stderr that a script ends with, with status 2, before it prints or makes anything.

    `script` is the name of a file, or of a package that is run as `python -m experiments.NAME`.
    """
    before = sorted(cwd.rglob("*"))
    result = run_main(script, arguments, cwd)
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert sorted(cwd.rglob("*")) == before
    program = script if script.endswith(".py") else f"python -m experiments.{script}"
    sentence = re.fullmatch(rf"{re.escape(program)}: error: (.+)\n", result.stderr)
    assert sentence is not None, result.stderr
    return sentence[1]


def run_main(script: str, arguments: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    main = run_lesson if script == LESSON else main_of(script)
    stdout, stderr = StringIO(), StringIO()
    status = 0
    with chdir(cwd), redirect_stdout(stdout), redirect_stderr(stderr), unchecked():
        try:
            main(arguments)
        except SystemExit as end:
            status = end.code or 0
    return subprocess.CompletedProcess([script, *arguments], status, stdout.getvalue(), stderr.getvalue())


def main_of(script: str) -> Callable[[Sequence[str]], None]:
    """The function `main` of a module, or that of the experiment which it defines."""
    name = script.removesuffix(".py") if script.endswith(".py") else f"{script}.__main__"
    module = importlib.import_module(f"experiments.{name}")
    own = [thing for thing in vars(module).values() if getattr(thing, "__module__", None) == module.__name__]
    mains = [thing.main for thing in own if isinstance(thing, type) and issubclass(thing, Experiment)]
    return mains[0] if mains else module.main


def run_lesson(arguments: Sequence[str]) -> None:
    """The walkthrough has no `main`: it is the program itself, from its first line to its last."""
    received = {
        number: signal.getsignal(number) for number in (signal.SIGINT, getattr(signal, "SIGPIPE", None)) if number
    }
    with patch.object(sys, "argv", [LESSON, *arguments]):
        try:
            runpy.run_path(str(EXPERIMENTS / LESSON), run_name="__main__")
        finally:
            for number, handler in received.items():
                signal.signal(number, handler)


def run_program(script: str, *arguments: str, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXPERIMENTS / script, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **options)


def start(script: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, EXPERIMENTS / script, *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_in_step(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a Ctrl-C come in the step of this number, counted over all models."""
    step, calls = Trainer.step, count(1)

    def interrupted(self: Trainer, micro_batches: Any) -> Any:
        if next(calls) == number:
            raise KeyboardInterrupt
        return step(self, micro_batches)

    monkeypatch.setattr(Trainer, "step", interrupted)


def repeated(folder: Path) -> dict[str, bytes]:
    """All files that depend neither on the clock nor on the folder's name."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if path.suffix != ".json"}
