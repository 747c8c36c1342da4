"""Puts every catalogued bug into a copy of the library and runs the tests that must notice it.

`python -m tests.mutants` runs all, `python -m tests.mutants WORD` those with the word in their name, `--sample` every
fourth, as `.ci/run` does. With `--keep FILE` each result is added to a file as it comes, and what the file holds of the
same code is not run again. Ends with status 1 if a bug survives, or if a test that is to notice fails without any bug.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import Queue
from typing import TypeVar

from tests.mutants.catalogue import CATALOGUE
from tests.mutants.kept import KeptResults
from tests.mutants.killing import compiled_copy, run, verdict
from tests.mutants.mutant import Mutant

SAMPLE = 4
"""Of so many bugs one is in the sample."""
PATIENCE = 30
"""A killer may take so many times as long as the quickest test, which is hardly longer than the start of a process."""
QUICKEST = "tests/test_allocator.py"
SHARES = 4
"""Killers are tried without any bug in so many processes of tests, and so many of checks."""

ItemT, ResultT = TypeVar("ItemT"), TypeVar("ResultT")


class Progress:
    """Prints lines with how many of all are done, and in how many seconds."""

    def __init__(self) -> None:
        self.start, self.done, self.total = time.perf_counter(), 0, 0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def begin(self, total: int) -> None:
        self.done, self.total = 0, total

    def tell(self, line: str) -> None:
        self.done += 1
        print(f"[{self.done} of {self.total}, {self.seconds:.0f} s] {line}", flush=True)


class Copies:
    """Copies of the library, one for each core, in which functions of an item and a folder run side by side."""

    def __init__(self, folder: Path) -> None:
        self.pool = ThreadPoolExecutor(os.cpu_count())
        self.folders: Queue[Path] = Queue()
        for copy in self.pool.map(compiled_copy, [folder / str(i) for i in range(os.cpu_count() or 1)]):
            self.folders.put(copy)

    def map(
        self, function: Callable[[ItemT, Path], ResultT], items: Sequence[ItemT]
    ) -> Iterator[tuple[ItemT, ResultT]]:
        """The items with their results, as they come."""

        def in_a_copy(item: ItemT) -> ResultT:
            folder = self.folders.get()
            try:
                return function(item, folder)
            finally:
                self.folders.put(folder)

        futures = {self.pool.submit(in_a_copy, item): item for item in items}
        for future in as_completed(futures):
            yield futures[future], future.result()

    def __enter__(self) -> "Copies":
        return self

    def __exit__(self, *exception: object) -> None:
        self.pool.shutdown(cancel_futures=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="in the names of the bugs")
    parser.add_argument("--sample", action="store_true", help="every fourth bug alone")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="of results, which are not run again")
    options = parser.parse_args(arguments)
    chosen = CATALOGUE[::SAMPLE] if options.sample else CATALOGUE
    bugs = [bug for bug in chosen if all(word in bug.name for word in options.words)]
    kept, progress = KeptResults(options.keep), Progress()
    left = [bug for bug in bugs if bug not in kept]
    with tempfile.TemporaryDirectory() as path, Copies(Path(path)) as copies:
        limit, false_alarms = prepared(left, copies, progress)
        progress.begin(len(left))
        for bug, (survives, said) in copies.map(lambda bug, folder: verdict(bug, folder, limit), left):
            progress.tell(f"{'SURVIVED' if survives else 'killed'}  {said}")
            kept.add(bug, survives, said)
    survivors = [said for survives, said in map(kept.__getitem__, bugs) if survives]
    for line in (*false_alarms, *(f"SURVIVED  {said}" for said in survivors)):
        print(line)
    print(f"{len(bugs) - len(survivors)} of {len(bugs)} killed, {progress.seconds:.0f} s")
    return 1 if survivors or false_alarms or not bugs else 0


def prepared(bugs: Sequence[Mutant], copies: Copies, progress: Progress) -> tuple[float, list[str]]:
    """How many seconds a killer may take on this machine, and what killers find without any bug, wrongly."""
    killers = {killer for bug in bugs for killer in bug.killers}
    tests = {killer for killer in killers if killer.startswith("tests/")}
    groups = [sorted(group)[i::SHARES] for group in (tests, killers - tests) for i in range(SHARES)]
    groups = [group for group in groups if group]
    start = time.perf_counter()
    list(copies.map(run, [[QUICKEST]]))
    limit = PATIENCE * (time.perf_counter() - start)
    progress.begin(len(groups))
    false_alarms = []
    for group, said in copies.map(run, groups):
        progress.tell(f"{len(group)} killers without any bug: {said or 'nothing'}")
        if said is not None:
            false_alarms.append(f"FALSE ALARM  one of {', '.join(group)} without any bug: {said}")
    return limit, false_alarms


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
