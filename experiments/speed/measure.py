"""What a fresh process measures of a task: results, time and memory."""

import sys

if __name__ == "__main__":
    sys.exit("measure.py is no script; run python -m experiments.speed")

import math
import platform
import re
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.speed.pretrained_steps import our_pretrained
from experiments.speed.steps import Results, Step, our_attention, our_decoding, our_training
from experiments.speed.tasks import DecodingSettings, PretrainedSettings, Side, Task, TrainingSettings


@dataclass(frozen=True)
class Figures:
    """What one process measured of its timed steps.

    Args:
        median, least, most: milliseconds of a step.
        peak_memory: the most bytes that the process ever held, and the processes that it has forked beside what they
            share.
        working_memory: how much more that is than what was held before the first step; what steps return is left out.
    """

    median: float
    least: float
    most: float
    peak_memory: int
    working_memory: int


def steps_of(task: Task, side: Side, threads: int, weights: Path | None = None) -> AbstractContextManager[Step]:
    """The steps of a task on one side; `weights` is the file that training starts from."""
    settings = task.settings
    if isinstance(settings, PretrainedSettings):
        if side == "pytorch":  # imported here, as it is not installed everywhere
            from experiments.speed.transformers_steps import transformers_pretrained

            return transformers_pretrained(settings, threads)
        return our_pretrained(settings, task, threads)
    if side == "jax" and isinstance(settings, TrainingSettings):
        from experiments.speed.jax_steps import jax_training

        return jax_training(settings, task, threads, weights)
    if side != "ours":
        from experiments.speed.pytorch_steps import pytorch_attention, pytorch_decoding, pytorch_training

        if isinstance(settings, DecodingSettings):
            return pytorch_decoding(settings, task, threads, weights)
        if isinstance(settings, TrainingSettings):
            return pytorch_training(settings, task, threads, weights, is_compiled=side == "compiled")
        return pytorch_attention(settings, threads)
    if isinstance(settings, TrainingSettings):
        return our_training(settings, task, threads, weights)
    if isinstance(settings, DecodingSettings):
        return our_decoding(settings, task, threads, weights)
    return our_attention(settings, threads)


def compute(task: Task, side: Side, threads: int, weights: Path | None) -> list[list[float]]:
    """For every step, the norm of each thing that it computed: loss and gradient, or the arrays of attention."""
    with steps_of(task, side, threads, weights) as step:
        return [norms(step(index)) for index in range(task.steps)]


def norms(results: Results) -> list[float]:
    # In float64: a sum of millions of squares in float32 is off by 1e-4.
    return [
        math.hypot(*(float(np.linalg.norm(np.asarray(part, np.float64))) for part in parts))
        for parts in zip(*results, strict=True)
    ]


def measure(task: Task, side: Side, threads: int) -> Figures:
    """Times the steps of a task, after its warm-up."""
    milliseconds = []
    with steps_of(task, side, threads) as step:
        before, returned = memory("VmRSS"), 0
        for index in range(task.warmup + task.steps):
            start = time.perf_counter()
            results = step(index)
            milliseconds.append(1e3 * (time.perf_counter() - start))
            returned = sum(getattr(result, "nbytes", 0) for part in results for result in part)
            del results  # the next step would hold its own beside them
        peak = memory("VmHWM") + (memory_of_forked() if side == "ours" else 0)  # those of PyTorch compile
    timed = milliseconds[task.warmup :]
    # What is returned may fit into memory that was held before.
    return Figures(median(timed), min(timed), max(timed), peak, max(0, peak - before - returned))


def memory(quantity: Literal["VmHWM", "VmRSS"]) -> int:
    """Bytes that this process held at most (VmHWM) or holds now (VmRSS).

    They are read from /proc. Where there is none, both are ru_maxrss: the most, and the parent process's too.
    """
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(rf"{quantity}:\s*(\d+) kB", status.read_text())):
        return 1024 * int(found[1])
    import resource  # not there on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else 1024 * peak


def memory_of_forked() -> int:
    """The most bytes that the processes which this one has forked held, without what they share; 0 without /proc."""
    children = Path("/proc/thread-self/children")
    return sum(map(own_peak, children.read_text().split())) if children.exists() else 0


def own_peak(pid: str) -> int:
    """The most that a process held, less what of it others hold too."""
    status, now = (Path(f"/proc/{pid}/{name}").read_text() for name in ("status", "smaps_rollup"))
    kilobytes = dict(re.findall(r"^(\w+):\s*(\d+) kB", status + now, re.MULTILINE))
    shared = int(kilobytes["Shared_Clean"]) + int(kilobytes["Shared_Dirty"])
    return 1024 * (int(kilobytes["VmHWM"]) - shared)


def peak_flops(threads: int, size: int) -> float:
    """The most FLOPs a second that ten products of two square float32 matrices reach."""
    a, b = np.random.default_rng(0).standard_normal((2, size, size), dtype=np.float32)
    y = np.empty_like(a)
    seconds = []
    with threadpool_limits(threads, user_api="blas"):
        for _ in range(10):
            start = time.perf_counter()
            np.matmul(a, b, out=y)
            seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def memory_bandwidth(threads: int, megabytes: int) -> float:
    """Bytes a second that a matrix is read with, in a float32 product with a vector, as decoding reads weights."""
    matrix, vector = np.ones((megabytes * 2**18 // 1024, 1024), np.float32), np.ones(1024, np.float32)
    seconds = []
    with threadpool_limits(threads, user_api="blas"):
        for _ in range(7):
            start = time.perf_counter()
            matrix @ vector
            seconds.append(time.perf_counter() - start)
    return matrix.nbytes / min(seconds)
