"""Puts every catalogued bug into a copy of the library and runs the tests that must notice it.

`python -m tests.mutants` runs all, `python -m tests.mutants WORD` those with the word in their name. Ends with status 1
if a bug survives, or if a test that is to notice fails without any bug.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scratchformer.catalogue import CATALOGUE as ENTRIES
from tests.mutants.catalogue import CATALOGUE
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
TIMEOUT = 120
EXAMPLES = {"ops": "12", "layers": "4", "models": "1", "optim": "12"}


def copy_of_the_library(folder: Path) -> None:
    for name in ("scratchformer", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", folder)


def notices(killer: str, folder: Path) -> str | None:
    """What a killer says of the library in a folder: None if it finds nothing."""
    if killer.startswith("tests/"):
        command = ["-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider", killer]
    else:
        (room,) = (entry.room for entry in ENTRIES if entry.name == killer)
        command = ["-m", "scratchformer", "gradcheck", killer, "--examples", EXAMPLES[room]]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"HYPOTHESIS_PROFILE": "unshrunk"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    return None if done.returncode == 0 else _reason(done.stdout + done.stderr)


def _reason(output: str) -> str:
    """The line that names the check."""
    lines = [line.strip() for line in output.splitlines()]
    for sign in ("the ratio", "it is", "only at", "worst ", "contract broken", "E  ", "FAILED"):
        for line in lines:
            if line.startswith(sign):
                return line
    return next((line for line in reversed(lines) if line), "no output")


def survives(bug: Mutant) -> str:
    """The line to print: which killer noticed the bug and how, or that none did."""
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        copy_of_the_library(folder)
        file = folder / "scratchformer" / bug.file
        text = file.read_text()
        for old, new in bug.changes:
            if text.count(old) != 1:
                return f"SURVIVED  {bug.name}: {bug.file} holds {text.count(old)} times {old!r}, expected once"
            text = text.replace(old, new)
        file.write_text(text)
        said = {killer: notices(killer, folder) for killer in bug.killers}
    unseen = [killer for killer, reason in said.items() if reason is None]
    if unseen:
        return f"SURVIVED  {bug.name}: {', '.join(unseen)} found nothing"
    return f"killed    {bug.name}\n          by {'; '.join(f'{killer}: {reason}' for killer, reason in said.items())}"


def main(words: list[str]) -> int:
    start = time.perf_counter()
    bugs = [bug for bug in CATALOGUE if all(word in bug.name for word in words)]
    killers = sorted({killer for bug in bugs for killer in bug.killers})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        false_alarms = [
            f"FALSE ALARM  {killer} without any bug: {reason}"
            for killer, reason in zip(killers, pool.map(lambda killer: notices(killer, ROOT), killers), strict=True)
            if reason is not None
        ]
        print(*false_alarms, sep="\n", end="\n" if false_alarms else "")
        lines = []
        for line in pool.map(survives, bugs):
            print(line, flush=True)
            lines.append(line)
    survivors = sum(line.startswith("SURVIVED") for line in lines)
    print(f"{len(bugs) - survivors} of {len(bugs)} killed, {time.perf_counter() - start:.0f} s")
    return 1 if survivors or false_alarms or not bugs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
