from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.experiments.running import run_program


@dataclass(frozen=True)
class SmokeRun:
    """The folder of a run, and what it printed."""

    path: Path
    printed: str


@pytest.fixture(scope="session")
def smoke_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SmokeRun]:
    """The run of a script with the preset smoke and seed 5; all tests read the same, and none writes into it."""

    @cache
    def smoke(name: str) -> SmokeRun:
        folder = tmp_path_factory.mktemp(name)
        result = run_program(f"{name}.py", "--preset", "smoke", "--seed", "5", "--out", "run", cwd=folder)
        assert result.returncode == 0, result.stderr
        return SmokeRun(folder / "run", result.stdout)

    return smoke
