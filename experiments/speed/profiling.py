"""Where the time of our training step goes, by part of the package."""

import sys

if __name__ == "__main__":
    sys.exit("profiling.py is no script; run python -m experiments.speed")

import cProfile
from collections.abc import Mapping
from pathlib import Path

from experiments.speed.measure import steps_of
from experiments.speed.tasks import Task

Function = tuple[str, int, str]
"""How the profiler names a function: file, line, name."""
Times = tuple[int, int, float, float]
"""Calls, calls that are not recursive, own seconds, seconds with all that was called."""
Stats = Mapping[Function, tuple[int, int, float, float, Mapping[Function, Times]]]
"""The times of every function, and which of them it spent for each of its callers."""
Part = tuple[str, str]
"""A file of the package, such as ops/linear, and the direction there: forward, backward, or nothing."""


def profile(task: Task) -> dict[str, float]:
    """Milliseconds per step by part, in one thread."""
    profiler = cProfile.Profile(builtins=False)
    with steps_of(task, "ours", threads=1) as step:
        for index in range(task.warmup):
            step(index)
        profiler.enable()
        for index in range(task.warmup, task.warmup + task.steps):
            step(index)
        profiler.disable()
    profiler.create_stats()
    return {part: 1e3 * seconds / task.steps for part, seconds in by_part(profiler.stats).items()}


def by_part(stats: Stats) -> dict[str, float]:
    """The own seconds of a profile by file of the package and by direction; the largest come first.

    Only files of ops, layers and models have directions. There a function named backward is backward; any other is
    backward to the extent that its callers are. Time outside the package goes to the functions of the package that
    called for it, each by its share of the calls' time.
    """
    known: dict[Function, dict[Part, float]] = {}

    def parts(function: Function) -> dict[Part, float]:
        if function not in known:
            known[function] = {}  # ends the recursion where functions call each other in a circle
            known[function] = find(function)
        return known[function]

    def find(function: Function) -> dict[Part, float]:
        callers = stats[function][4]
        total = sum(times[3] for times in callers.values())
        inherited: dict[Part, float] = {}
        for caller, times in callers.items():
            for part, share in parts(caller).items():
                inherited[part] = inherited.get(part, 0) + (share * times[3] / total if total else 0)
        path = Path(function[0])
        room, file = path.parent.name, f"{path.parent.name}/{path.stem}"
        if path.parent.parent.name != "scratchformer":
            return inherited or {("other", ""): 1.0}
        if room not in ("ops", "layers", "models"):
            return {(file, ""): 1.0}
        called_backward = sum(share for (_, direction), share in inherited.items() if direction == "backward")
        backward = 1.0 if function[2] == "backward" else called_backward
        return {(file, "forward"): 1 - backward, (file, "backward"): backward}

    seconds: dict[Part, float] = {}
    for function, (_, _, own, _, _) in stats.items():
        for part, share in parts(function).items():
            seconds[part] = seconds.get(part, 0) + own * share
    largest_first = sorted(seconds.items(), key=lambda item: -item[1])
    return {f"{file} {direction}".rstrip(): total for (file, direction), total in largest_first if total}
