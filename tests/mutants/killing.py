"""Puts a bug into a copy of the library, and runs there what must notice it."""

import compileall
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from py_compile import PycInvalidationMode

from scratchformer.catalogue import CATALOGUE as ENTRIES
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
EXAMPLES = {"ops": "12", "layers": "4", "models": "1", "optim": "12"}
SIGNS = ("the ratio", "it is", "only at", "worst ", "contract broken", "E  ", "FAILED")
"""How the line begins that says what was noticed."""


def copy_of_the_library(folder: Path) -> None:
    for name in ("scratchformer", "tests", "experiments"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", folder)


def compiled_copy(folder: Path) -> Path:
    """A copy whose modules need not be compiled again in each run. A changed one is: the files hold hashes of it."""
    copy_of_the_library(folder)
    compileall.compile_dir(folder, quiet=2, workers=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return folder


CHECKS = """
import sys
from scratchformer.commands.gradcheck import main
for name, examples in zip(sys.argv[1::2], sys.argv[2::2]):
    main([name, "--examples", examples])
"""


def command_of(killers: Sequence[str]) -> list[str]:
    """Runs tests, or checks entries of the catalogue, up to the first that notices something."""
    if killers[0].startswith("tests/"):
        return ["-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider", *killers]
    rooms = {entry.name: entry.room for entry in ENTRIES}
    return ["-c", CHECKS, *(word for killer in killers for word in (killer, EXAMPLES[rooms[killer]]))]


def run(killers: Sequence[str], folder: Path, limit: float | None = None) -> str | None:
    """What killers of one kind say of the library in a folder, None if they find nothing.

    What has no end within so many seconds has noticed something.
    """
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment |= {"HYPOTHESIS_PROFILE": "unshrunk"}
    process = subprocess.Popen(
        [sys.executable, *command_of(killers)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return f"no end within {limit:.0f} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # programs that it started as well
            process.communicate()
    return None if process.returncode == 0 else _reason(output)


def _reason(output: str) -> str:
    """The line that names the check."""
    lines = [line.strip() for line in output.splitlines()]
    for sign in SIGNS:
        for line in lines:
            if line.startswith(sign):
                return line
    return next((line for line in reversed(lines) if line), "no output")


def verdict(bug: Mutant, folder: Path, limit: float) -> tuple[bool, str]:
    """Whether a bug survives in a copy of the library, and the line to print: who noticed it, and how."""
    if misfit := misfit_of(bug):
        return True, misfit
    with put_in(bug, folder):
        said = {killer: run([killer], folder, limit) for killer in bug.killers}
    unseen = [killer for killer, reason in said.items() if reason is None]
    if unseen:
        return True, f"{bug.name}: {', '.join(unseen)} found nothing"
    return False, f"{bug.name}\n          by {'; '.join(f'{killer}: {reason}' for killer, reason in said.items())}"


def misfit_of(bug: Mutant) -> str:
    """Why a bug cannot be put in: its file holds other lines."""
    text = (ROOT / "scratchformer" / bug.file).read_text()
    for old, new in bug.changes:
        if text.count(old) != 1:
            return f"{bug.name}: {bug.file} holds {text.count(old)} times {old!r}, expected once"
        text = text.replace(old, new)
    return ""


@contextmanager
def put_in(bug: Mutant, folder: Path) -> Iterator[None]:
    """Within the `with` block the library in a folder has the bug."""
    file = folder / "scratchformer" / bug.file
    kept = text = file.read_text()
    for old, new in bug.changes:
        text = text.replace(old, new)
    try:
        file.write_text(text)
        yield
    finally:
        file.write_text(kept)
