"""The table of the benchmark: one row per task, from what all processes measured."""

import sys

if __name__ == "__main__":
    sys.exit("table.py is no script; run python -m experiments.speed")

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from experiments.speed.measure import Figures
from experiments.speed.tasks import SIDES, Side, Task

HEADER = (" / ".join(SIDES.values()), *(f"{name}, ms" for name in SIDES.values()), "time ratio", "tokens/s", "of peak")
HEADER += ("memory, MiB", "ratio")


@dataclass(frozen=True)
class Spread:
    """A median, and the range that it is of."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class SideFigures(Spread):
    """What the processes of one side measured: milliseconds of a step, and bytes of memory."""

    tokens_per_second: float
    share_of_peak: float
    peak_memory: float
    working_memory: float
    processes: Sequence[Figures]

    def __str__(self) -> str:
        return f"{milliseconds(self)} ms and {self.working_memory / 2**20:,.0f} MiB to work in"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Args:
        task: what was timed.
        sides: what each side that was timed measured.
        time_ratio: ours to the faster form of PyTorch: the ratio of the medians, and the range of the rounds' ratios.
        jax_ratio: the same of ours to JAX.
        memory_ratio: ours to the smaller form of PyTorch.
        difference: the largest relative difference between what all sides compute.
    """

    task: Task
    sides: Mapping[Side, SideFigures]
    time_ratio: Spread | None
    jax_ratio: Spread | None
    memory_ratio: float | None
    difference: float | None

    def as_json(self) -> dict[str, object]:
        row: dict[str, object] = {"task": task_as_json(self.task)}
        row |= {side: asdict(figures) for side, figures in self.sides.items()}
        if self.time_ratio is not None:
            row |= {"time_ratio": asdict(self.time_ratio), "memory_ratio": self.memory_ratio}
        if self.jax_ratio is not None:
            row |= {"jax_ratio": asdict(self.jax_ratio)}
        return row | {"difference": self.difference}

    def cells(self) -> tuple[str, ...]:
        sides = self.sides.values()
        return (
            self.task.name,
            *(milliseconds(self.sides[side]) if side in self.sides else "-" for side in SIDES),
            as_text(self.time_ratio) if self.time_ratio else "-",
            " / ".join(f"{side.tokens_per_second:,.0f}" for side in sides),
            " / ".join(f"{side.share_of_peak:.0%}" for side in sides),
            " / ".join(f"{side.peak_memory / 2**20:,.0f}" for side in sides),
            f"{self.memory_ratio:.2f}" if self.memory_ratio else "-",
        )


def row_of(task: Task, processes: Mapping[Side, Sequence[Figures]], peak: float, difference: float | None) -> Row:
    """The row of a task.

    Args:
        task: what was timed.
        processes: what the processes of each side measured, ours first, by round.
        peak: FLOPs a second of a large matrix product.
        difference: as in `Row`.
    """
    sides = {side: _side_figures(task, figures, peak) for side, figures in processes.items()}
    ours, jax = sides["ours"], sides.get("jax")
    jax_ratio = None if jax is None else _ratio(ours, jax)
    pytorch = [figures for side, figures in sides.items() if side in ("pytorch", "compiled")]
    if not pytorch:
        return Row(task, sides, None, jax_ratio, None, difference)
    time_ratio = _ratio(ours, min(pytorch, key=lambda side: side.median))
    smallest = min(side.peak_memory for side in pytorch)
    return Row(task, sides, time_ratio, jax_ratio, ours.peak_memory / smallest, difference)


def _ratio(ours: SideFigures, theirs: SideFigures) -> Spread:
    ratios = [a.median / b.median for a, b in zip(ours.processes, theirs.processes, strict=True)]
    return Spread(ours.median / theirs.median, min(ratios), max(ratios))


def _side_figures(task: Task, processes: Sequence[Figures], peak: float) -> SideFigures:
    medians = [figures.median for figures in processes]
    seconds = median(medians) / 1e3
    return SideFigures(
        median=median(medians),
        least=min(medians),
        most=max(medians),
        tokens_per_second=task.tokens / seconds,
        share_of_peak=task.flops / seconds / peak,
        peak_memory=median(figures.peak_memory for figures in processes),
        working_memory=median(figures.working_memory for figures in processes),
        processes=processes,
    )


def task_as_json(task: Task) -> dict[str, object]:
    return asdict(task) | {"kind": task.kind}


def as_text(ratio: Spread) -> str:
    return f"{ratio.median:.2f} ({ratio.least:.2f}-{ratio.most:.2f})"


def milliseconds(spread: Spread) -> str:
    digits = 1 if spread.median >= 1 else 3
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f}-{spread.most:.{digits}f})"


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Prints a table: the first column is aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for first, *others in rows:
        line = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        print("  ".join(line).rstrip())
