"""Changes every operator, number, name and call of ops, layers and optimizers, and runs the tests that reach it.

`python -m tests.mutants.automatic` takes about an hour on two cores; with patterns, such as
`scratchformer.ops.softmax*`, only those modules. Needs the extra `mutation`. Ends with status 1 if a change survives
that `equivalent/` gives no reason for.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.mutants.__main__ import copy_of_the_library
from tests.mutants.equivalent import reason_for

KILLED = ("killed", "timeout", "segfault", "caught by type check")


def mutmut(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": "", "OPENBLAS_NUM_THREADS": "1", "HYPOTHESIS_PROFILE": "unshrunk"}
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def without_decorators(folder: Path) -> None:
    """Makes ops of functions at the end of their files instead: mutmut leaves decorated functions as they are."""
    for file in (folder / "scratchformer" / "ops").glob("*.py"):
        text, count = re.subn(r"^@op\n(?=def (\w+))", "", before := file.read_text(), flags=re.MULTILINE)
        names = re.findall(r"^@op\ndef (\w+)", before, re.MULTILINE)
        assert count == len(names)
        file.write_text(text + "".join(f"\n{name} = op({name})\n" for name in names))


def outcomes(folder: Path, patterns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The name of every mutant, and what became of it."""
    done = mutmut(folder, "run", *patterns)
    found = re.findall(
        r"^\s+(scratchformer\S+): (.+)$", mutmut(folder, "results", "--all", "true").stdout, re.MULTILINE
    )
    run = [(name, outcome) for name, outcome in found if outcome != "not checked"]
    if not run:
        sys.exit(f"mutmut ran nothing:\n{(done.stdout + done.stderr)[-2000:]}")
    yield from run


def change(folder: Path, name: str) -> tuple[str, str]:
    """The lines that a mutant takes away, and those that it puts there, without indentation."""
    diff = [line for line in mutmut(folder, "show", name).stdout.splitlines() if not line.startswith(("---", "+++"))]
    old, new = ("\n".join(line[1:].strip() for line in diff if line.startswith(sign)) for sign in "-+")
    return old, new


def main(patterns: Sequence[str]) -> int:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        copy_of_the_library(folder)
        without_decorators(folder)
        counts: Counter[str] = Counter()
        unexplained = 0
        for name, outcome in outcomes(folder, patterns):
            counts[outcome if outcome in KILLED else "survived"] += 1
            if outcome in KILLED:
                continue
            old, new = change(folder, name)
            reason = reason_for(name, old, new)
            unexplained += reason is None
            print(
                f"{name}: {outcome}\n  - {old}\n  + {new}\n  {reason or 'NO REASON: to be killed by a test'}",
                flush=True,
            )
    summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    seconds = time.perf_counter() - start
    print(f"{sum(counts.values())} mutants: {summary}; {unexplained} without a reason, {seconds:.0f} s")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
