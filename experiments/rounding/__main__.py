"""How exact is float32 here, beside PyTorch? Measures how far outputs and gradients are from long doubles.

A cell is an operation, a width, an offset and a spread: inputs are the offset, plus the spread times standard normal
numbers. Attention has four queries, as many keys as the width says, and offsets up to 10.

The error of an array in a cell is the largest difference by the largest true number, of the worst of some seeds. Every
seed draws four rows.

Expected: each error is at most twice PyTorch's, or at most 5e-7. Cells are listed and not judged where both sides are
off by more than 1e-2, or where the true numbers are subnormal. It needs PyTorch. The preset `quick` takes about five
minutes, `paper` is the same, and `smoke` takes a few seconds.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from experiments.rounding.subjects import SUBJECTS, Subject
from scratchformer.recipes.options import Count
from scratchformer.runs import check_ranges, one_sentence_errors, parse, run_script

PROG = "python -m experiments.rounding"
FACTOR, SMALL, HOPELESS = 2.0, 5e-7, 1e-2


@dataclass(frozen=True)
class Options:
    """What is measured."""

    preset: Literal["quick", "paper", "smoke"] = "quick"
    """Where the other options start from."""
    only: tuple[str, ...] = tuple(subject.name for subject in SUBJECTS)
    """Names of the operations."""
    widths: tuple[Count, ...] = (3, 48, 384, 768, 1000, 4096, 50_257)
    """Lengths of the rows, or numbers of keys."""
    offsets: tuple[float, ...] = (0.0, 1.0, 10.0, 100.0, 1e4, 1e6)
    """Means of the inputs."""
    spreads: tuple[float, ...] = (1e-4, 1e-2, 1.0, 30.0, 1e3)
    """Standard deviations of the inputs."""
    seeds: Count = 8
    """Draws per cell, of which the worst counts."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for a value out of range or an unknown operation."""
        check_ranges(self)
        known = [subject.name for subject in SUBJECTS]
        for name in self.only:
            if name not in known:
                raise ValueError(f"--only {name} is none of {', '.join(known)}")


PRESETS = {
    "quick": Options(),
    "paper": Options(preset="paper"),
    "smoke": Options(preset="smoke", widths=(3, 1000), offsets=(0.0, 10.0), spreads=(1.0,), seeds=2),
}


@dataclass(frozen=True)
class Cell:
    """The errors of the outputs (0) or of the gradient of an input (from 1 on) in one cell."""

    name: str
    width: int
    offset: float
    spread: float
    array: int
    ours: float
    torch: float
    is_subnormal: bool
    medians: tuple[float, float]

    @property
    def is_judged(self) -> bool:
        return not self.is_subnormal and not min(self.ours, self.torch) > HOPELESS

    @property
    def is_good(self) -> bool:
        return self.ours <= max(SMALL, FACTOR * self.torch)

    def __str__(self) -> str:
        inputs = f"width {self.width}, offset {self.offset:g}, spread {self.spread:g}"
        errors = f"ours {self.ours:.1e}, PyTorch {self.torch:.1e}"
        medians = "ours {:.1e}, PyTorch {:.1e}".format(*self.medians)
        return f"{self.name}, {name_of(self.array)}, {inputs}: {errors}; median of the seeds {medians}"


def main(arguments: Sequence[str]) -> None:
    options = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
    with one_sentence_errors(PROG):
        options.check()
    warnings.simplefilter("ignore", RuntimeWarning)  # of cells that overflow on both sides
    bad = []
    for subject in SUBJECTS:
        if subject.name in options.only:
            cells = list(measure(subject, options))
            bad += report(subject, cells)
    if bad:
        raise SystemExit(f"{len(bad)} of the judged errors are larger than expected")


def measure(subject: Subject, options: Options) -> Iterator[Cell]:
    """The errors of every cell of an operation."""
    offsets = [offset for offset in options.offsets if offset <= subject.largest_offset]
    for width, offset, spread in itertools.product(options.widths, offsets, options.spreads):
        errors: dict[int, list[tuple[float, float]]] = {}
        subnormal: set[int] = set()
        for seed in range(options.seeds):
            inputs = subject.draw(np.random.default_rng(seed), width, offset, spread)
            true = subject.true(*(x.astype(np.longdouble) if x.dtype.kind == "f" else x for x in inputs))
            ours, theirs = subject.ours(*inputs), subject.torch(*inputs)
            for i, (a, b, expected) in enumerate(zip(ours, theirs, true, strict=True)):
                errors.setdefault(i, []).append((error(a, expected), error(b, expected)))
                if is_subnormal(expected):
                    subnormal.add(i)
        for i, pairs in errors.items():
            of_ours, of_torch = np.transpose(pairs)
            medians = float(np.median(of_ours)), float(np.median(of_torch))
            largest = float(of_ours.max()), float(of_torch.max())
            yield Cell(subject.name, width, offset, spread, i, *largest, i in subnormal, medians)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference by the largest true number. NaN counts as infinite."""
    difference = np.abs(found - expected).max()
    return 0.0 if difference == 0 else float(np.nan_to_num(difference / np.abs(expected).max(), nan=np.inf))


def is_subnormal(expected: np.ndarray) -> bool:
    """Whether the true numbers are all below the smallest normal number of float32."""
    return bool(np.abs(expected).max() < np.finfo(np.float32).tiny)


def name_of(array: int) -> str:
    return "output" if array == 0 else f"gradient {array}"


def report(subject: Subject, cells: list[Cell]) -> list[Cell]:
    """Prints the errors of an operation by width, and the cells that are bad or not judged. Returns the bad ones."""
    judged = [cell for cell in cells if cell.is_judged]
    bad = [cell for cell in judged if not cell.is_good]
    print(f"{subject.name}: {len(judged)} errors judged, {len(judged) - len(bad)} as expected", flush=True)
    for width in dict.fromkeys(cell.width for cell in judged):
        of_width = [cell for cell in judged if cell.width == width]
        ours, theirs = (np.array([getattr(cell, side) for cell in of_width]) for side in ("ours", "torch"))
        print(
            f"  width {width:6}: median ours {np.median(ours):.1e}, PyTorch {np.median(theirs):.1e}; "
            f"worst ours {ours.max():.1e}, PyTorch {theirs.max():.1e}"
        )
    for cell in bad:
        print(f"  too large: {cell}")
    left_out: dict[tuple[int, float, bool], list[Cell]] = {}
    for cell in cells:
        if not cell.is_judged:
            left_out.setdefault((cell.array, cell.spread, cell.is_subnormal), []).append(cell)
    for (array, spread, is_subnormal), group in left_out.items():
        why = "subnormal" if is_subnormal else f"both off by more than {HOPELESS}"
        places = ", ".join(f"{cell.width}/{cell.offset:g}" for cell in group)
        print(f"  not judged, {why}: {name_of(array)} at spread {spread:g}, width/offset {places}")
    return bad


if __name__ == "__main__":
    run_script(main, PROG)
