"""Lines of ops, layers, optimizers and the checker that none of the tests reaches that mirror them, with the reasons.

`python -m tests.unreached` runs those tests, measures line by line and branch by branch, and fails if it finds another
line, or if one of these is reached or gone. It takes about four minutes of one core and needs
`pip install -e '.[test,mutation]'`. Of lines that follow each other the first is named, of a branch that is always, or
never, taken the line with its condition.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = ("ops", "layers", "optim", "gradcheck", "malformed")
ROOMS = ("ops", "layers", "optim", "gradcheck")
ROOT = Path(__file__).parents[1]

MYGRAD = "needs MyGrad, which no extra brings: tests/gradcheck/conventions/test_frameworks.py, where it is installed"
JAX = "needs the extra `jax`: tests/gradcheck/conventions/test_frameworks.py"
UNREACHED: dict[str, dict[str, str]] = {
    "gradcheck/judgement/limits.py": {
        "for _ in range(3 * len(points)):": "a bound of the algorithm; no points are known that reach it",
    },
    "gradcheck/numeric/by_differences.py": {
        "return slope": "more rounding beside a step than at it; no function is known for which that decides",
    },
    "gradcheck/subjects/frameworks.py": {
        "return _of_mygrad(owner)": MYGRAD,
        'mygrad: Any = sys.modules["mygrad"]': MYGRAD,
        "return _of_jax(op)": JAX,
        'jax: Any = sys.modules["jax"]': JAX,
    },
    "ops/checks.py": {
        "if misfit := misfit_of_array(array, *ACCEPTED[Integer]):": "what the line before lets through is a misfit",
    },
    "ops/contract.py": {
        "for name, annotation in function.__annotations__.items():": "ends at `return`, which every op has",
        "for argument, array in zip(arguments, args, strict=False):": "is called where some argument is no array alone",
    },
    "ops/linear_cross_entropy.py": {
        "elif add_product is not None:": "says to a type checker what holds wherever there is no dweight",
    },
}
"""By file, then by line, the reason."""


def found(report: dict[str, Any], lines: list[str]) -> Iterator[str]:
    """The lines of a file to be named, from its part of coverage's report."""
    executed, missing = set(report["executed_lines"]), set(report["missing_lines"])
    is_executed = True
    for number in sorted(executed | missing):
        if number in missing and is_executed:
            yield lines[number - 1].strip()
        is_executed = number in executed
    for start, end in report["missing_branches"]:
        if start in executed and end not in missing:
            yield lines[start - 1].strip()


def measured(folder: str) -> dict[str, Any]:
    """The report of coverage on these tests."""
    coverage = [sys.executable, "-m", "coverage"]
    data, report = f"--data-file={folder}/data", f"{folder}/report.json"
    sources = ",".join(f"scratchformer/{room}" for room in ROOMS)
    tests = ["-m", "pytest", "-n0", *(f"tests/{part}" for part in TESTS)]
    subprocess.run([*coverage, "run", "--branch", data, f"--source={sources}", *tests], cwd=ROOT, check=True)
    subprocess.run([*coverage, "json", data, "-q", "-o", report], cwd=ROOT, check=True)
    files: dict[str, Any] = json.loads(Path(report).read_text())["files"]
    return files


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        files = measured(folder)
    unnamed, reached = [], []
    for path, report in sorted(files.items()):
        name = path.removeprefix("scratchformer/")
        now, known = set(found(report, (ROOT / path).read_text().splitlines())), set(UNREACHED.get(name, ()))
        unnamed += [f"{name}: {line}" for line in sorted(now - known)]
        reached += [f"{name}: {line}" for line in sorted(known - now)]
    for said, lines in (("reached by no test, for no reason", unnamed), ("named here, but reached or gone", reached)):
        print(f"{len(lines)} {said}", *lines, sep="\n  ")
    return 1 if unnamed or reached else 0


if __name__ == "__main__":
    sys.exit(main())
