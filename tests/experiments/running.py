"""Experiments run as users run them, with a folder of their own as the working directory."""

import gc
import importlib
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from tests.annotations import unchecked

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TINY = ["--preset", "smoke", "--layers", "1", "--width", "16", "--steps", "20", "--warmup", "2"]
TINY += ["--evaluate-every", "10", "--evaluation-batches", "3", "--sample", "20"]


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What a script does, prints and ends with, in this process: without the second that starting a program takes."""
    module = importlib.import_module(f"experiments.{Path(script).stem}")
    stdout, stderr = StringIO(), StringIO()
    status = 0
    with chdir(cwd), redirect_stdout(stdout), redirect_stderr(stderr), unchecked():
        try:
            module.main(arguments)
        except SystemExit as end:
            status = end.code
    gc.collect()  # as at the end of a program, which gives its folder back
    return subprocess.CompletedProcess([script, *arguments], status, stdout.getvalue(), stderr.getvalue())


def run_program(script: str, *arguments: str, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXPERIMENTS / script, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **options)


def start(script: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, EXPERIMENTS / script, *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
