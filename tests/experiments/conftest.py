import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from scratchformer.plots import style
from tests.experiments.running import run_program


@dataclass(frozen=True)
class SmokeRun:
    """The folder of a run, and what it printed."""

    path: Path
    printed: str


@pytest.fixture(scope="session")
def smoke_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SmokeRun]:
    """The run of a script with the preset smoke and seed 5.

    All tests of all test processes read the same run, and none writes into it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "smoke"

    def smoke(name: str) -> SmokeRun:
        folder = shared / name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (printed := folder / "printed.txt").exists():
                result = run_program(f"{name}.py", "--preset", "smoke", "--seed", "5", "--out", "run", cwd=folder)
                assert result.returncode == 0, result.stderr
                printed.write_text(result.stdout, encoding="utf-8")
        return SmokeRun(folder / "run", printed.read_text(encoding="utf-8"))

    return smoke


@pytest.fixture
def without_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets PNG files be of empty figures, where a test reads the SVG alone: each takes as long to draw."""
    drawn, empty = style._drawn, Figure(figsize=(0.1, 0.1))
    monkeypatch.setattr(
        style, "_drawn", lambda figure, path, kind: drawn(empty if kind == "png" else figure, path, kind)
    )
