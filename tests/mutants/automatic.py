"""Changes every operator, number, name and call of ops, layers and optimizers, and runs the tests that reach it.

`python -m tests.mutants.automatic` takes two hours on two cores. With `--since REF` it changes only the files that
differ from a commit, with patterns, such as `scratchformer.ops.softmax.*`, only those modules. With `--keep FOLDER` a
run that was interrupted goes on where it ended. Needs the extra `mutation`. Ends with status 1 if a change survives
that `equivalent/` gives no reason for.
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from tests.mutants.equivalent import reason_for
from tests.mutants.killing import ROOT, copy_of_the_library

ROOMS = "scratchformer/ops", "scratchformer/layers", "scratchformer/optim"
LEFT = "staticmethod", "abstractmethod"
"""Decorators without which a class could not be made."""
KILLED = ("killed", "timeout", "segfault", "caught by type check")


def mutmut(folder: Path, *arguments: str) -> str:
    """What a command of mutmut prints; its progress is shown as it goes on."""
    environment = os.environ | {"PYTHONPATH": "", "OPENBLAS_NUM_THREADS": "1", "HYPOTHESIS_PROFILE": "unshrunk"}
    command = [sys.executable, "-m", "mutmut", *arguments]
    output = None if arguments[0] == "run" else subprocess.PIPE
    done = subprocess.run(command, cwd=folder, env=environment, stdout=output, text=True, check=False)
    return done.stdout or ""


def without_decorators(folder: Path) -> None:
    """Calls each decorator after its function instead: mutmut leaves decorated functions as they are."""
    for file in (file for room in ROOMS for file in (folder / room).glob("*.py")):
        text = file.read_text()
        lines = text.splitlines(keepends=True)
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        for function in sorted(functions, key=lambda function: -function.lineno):
            decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
            if len(decorators) == 1 and decorators[0] not in LEFT:  # a line less and a line more: the others stay put
                indentation = " " * function.col_offset
                lines.insert(
                    function.end_lineno or 0, f"{indentation}{function.name} = {decorators[0]}({function.name})\n"
                )
                del lines[function.lineno - 2]
        file.write_text("".join(lines))


def refresh(folder: Path) -> None:
    """Makes a folder a copy of the library to be changed. What is as it was there is left alone, with its results."""
    with tempfile.TemporaryDirectory() as path:
        copy_of_the_library(fresh := Path(path))
        without_decorators(fresh)
        wanted = {file.relative_to(fresh) for file in fresh.rglob("*") if file.is_file()}
        reached = folder / "mutants" / "mutmut-stats.json"  # by which tests; it would say of new functions: by none
        for name in wanted:
            if not (folder / name).exists() or (folder / name).read_bytes() != (fresh / name).read_bytes():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(fresh / name, folder / name)
                reached.unlink(missing_ok=True)
        for room in ("scratchformer", "tests", "experiments"):
            for file in (folder / room).rglob("*.py"):
                if file.relative_to(folder) not in wanted:
                    file.unlink()


def changed_modules(ref: str) -> list[str]:
    """Patterns of the modules that differ from a commit, or are new."""
    git = ["git", "-C", str(ROOT)]
    commands = [[*git, "diff", "--name-only", ref, "--"], [*git, "ls-files", "--others", "--exclude-standard", "--"]]
    listed = [subprocess.run([*one, *ROOMS], stdout=subprocess.PIPE, text=True, check=True).stdout for one in commands]
    paths = [Path(line) for line in "".join(listed).splitlines()]
    modules = [path.with_suffix("") for path in paths if path.suffix == ".py" and (ROOT / path).exists()]
    return [f"{'.'.join(module.parts)}.*" for module in modules]


def outcomes(folder: Path, patterns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The name of every mutant, and what became of it."""
    mutmut(folder, "run", *patterns)
    found = re.findall(r"^\s+(scratchformer\S+): (.+)$", mutmut(folder, "results", "--all", "true"), re.MULTILINE)
    run = [(name, outcome) for name, outcome in found if outcome != "not checked"]
    if not run:
        sys.exit("mutmut ran nothing")
    yield from run


def change(folder: Path, name: str) -> tuple[str, str]:
    """The lines that a mutant takes away, and those that it puts there, without indentation."""
    diff = [line for line in mutmut(folder, "show", name).splitlines() if not line.startswith(("---", "+++"))]
    old, new = ("\n".join(line[1:].strip() for line in diff if line.startswith(sign)) for sign in "-+")
    return old, new


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.automatic", description=__doc__)
    parser.add_argument("patterns", nargs="*", help="of modules")
    parser.add_argument("--since", metavar="REF", help="changes only files that differ from this commit")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of results")
    options = parser.parse_args(arguments)
    patterns = [*options.patterns, *(changed_modules(options.since) if options.since else [])]
    if options.since and not patterns:
        print(f"no module of {', '.join(ROOMS)} differs from {options.since}")
        return 0
    start = time.perf_counter()
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        refresh(folder)
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
