"""Counts false alarms and misses of the checker over functions x regimes x the right gradient and four spoiled ones.

    python -m tests.gradcheck.table.run [--only NAME] [--seeds N] [--verbose]

Which cells count is said by `cells.py`, which failures are known and why by `explained.py`.
"""

import argparse
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field

from scratchformer.gradcheck import check_op
from tests.gradcheck.table.cells import RIGHT, Cell, cells
from tests.gradcheck.table.explained import explained
from tests.gradcheck.table.functions import FUNCTIONS
from tests.gradcheck.table.regimes import REGIMES

MOST_VACUOUS = 0.05
"""The share of cells that may prove nothing because the gradient is 0 there."""


@dataclass
class Tally:
    """How many cells had which outcome, and how long the checker took."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def judge(self, cell: Cell, is_verbose: bool) -> str | None:
        """What went wrong, or None."""
        began = time.perf_counter()
        report = check_op(cell.op, cell.x, contract=False)
        self.seconds += time.perf_counter() - began
        verdict = report.findings[0].verdict
        if report.passed == (cell.spoiling == RIGHT):
            self.outcomes[f"ok: {verdict}"] += 1
            return None
        kind = "false alarm" if cell.spoiling == RIGHT else "miss"
        why = explained(cell.function.name, cell.regime, kind)
        self.outcomes[f"explained {kind}" if why else kind] += 1
        if is_verbose:
            print(report, repr(cell.x), sep="\n")
        return f"{kind}: {cell.regime}, {cell.spoiling}: {verdict}" + (f"; explained: {why}" if why else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="name of a function")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    start, tally = time.perf_counter(), Tally()
    warnings.simplefilter("ignore")
    for function in FUNCTIONS:
        if options.only not in (None, function.name):
            continue
        told: list[str] = []
        for regime in REGIMES:
            for seed in range(options.seeds):
                for cell in cells(function, regime, seed):
                    if isinstance(cell, str):
                        tally.outcomes[cell] += 1
                    elif failure := tally.judge(cell, options.verbose):
                        told.append(f"    seed {seed}, {failure}")
        print(function.name, "ok" if not told else f"{len(told)} failures", *told, sep="\n", flush=True)
    print(f"{time.perf_counter() - start:.0f} s, of which the checker {tally.seconds:.0f} s")
    num_cells = sum(tally.outcomes.values())
    print(f"{num_cells:7} cells")
    for kind, count in sorted(tally.outcomes.items()):
        print(f"{count:7} {kind}")
    is_vacuous = tally.outcomes["vacuous"] > MOST_VACUOUS * num_cells
    sys.exit(is_vacuous or tally.outcomes["false alarm"] + tally.outcomes["miss"] > 0)


if __name__ == "__main__":
    main()
