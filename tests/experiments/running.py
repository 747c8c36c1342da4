"""Experiments run as users run them: as programs, in a folder of their own."""

import subprocess
import sys
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TINY = ["--preset", "smoke", "--layers", "1", "--width", "16", "--steps", "20", "--warmup", "2"]
TINY += ["--evaluate-every", "10", "--evaluation-batches", "3", "--sample", "20"]


def run(script: str, *arguments: str, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXPERIMENTS / script, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **options)


def start(script: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, EXPERIMENTS / script, *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
