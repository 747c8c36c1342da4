"""How fast is a training step, and how much memory does it need, beside the same step in PyTorch on the same machine?

A step is forward, backward, clipping the gradient's norm to 1 and AdamW, of three GPTs in float32 without biases and
dropout. Causal attention alone (forward and backward, 8 heads of 64) is timed by length.

- Where PyTorch is installed in this Python, fresh processes of both sides take turns, with as many threads. Ours share
  out the batch, as the trainer does, or the heads for attention alone: both are faster than threads inside BLAS.
- Before anything is timed, both sides do two steps from the same random weights on the same batches; losses and norms
  of gradients (and of attention's output) must agree to 1e-4.
- A process gives the median of its steps after a warm-up. The table shows the median and range of the processes, the
  ratio of the medians and the range of the pairs' ratios, and the most memory that a process held, libraries included.
- "of peak" is the share of the speed of a large float32 matrix product in NumPy. The FLOPs of a step are those of its
  matrix products alone: backward counts twice as much as forward, attention's scores as the full square. Who skips
  the forbidden half of it can be above 100 %.

Expected on two cores: at most 1.05 times PyTorch's time for each GPT, at most half of its memory for `small` and no
more than its memory for `medium`. The preset `quick` takes about ten minutes and `paper` is the same, `smoke` takes a
few seconds.
"""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from scratchformer.models import GPTConfig
from scratchformer.runs import check_option, describe_environment, one_sentence_errors, parse, run_script

TOLERANCE = 1e-4
HEADER = ("ours / PyTorch", "ours, ms", "PyTorch, ms", "time ratio", "tokens/s", "of peak", "memory, MiB", "ratio")
SIDES = {"ours": "ours", "pytorch": "PyTorch"}


class Failure(Exception):
    """A process failed, or the two sides do not compute the same; the message is one sentence."""


@dataclass(frozen=True)
class Task:
    """What is timed: training steps of a GPT, or attention alone."""

    name: str
    kind: Literal["training", "attention"]
    settings: dict[str, Any]
    """What the process that does it has to know beside the steps."""
    shares: int
    """Into how many parts threads can share out a step."""
    tokens: int
    flops: int
    warmup: int
    steps: int

    def request(self) -> dict[str, Any]:
        return self.settings | {"name": self.name, "kind": self.kind, "warmup": self.warmup, "steps": self.steps}


def training(name: str, model: GPTConfig, *, batch: int, warmup: int, steps: int) -> Task:
    """Forward, a token takes 2 FLOPs per weight (12 d^2 in each layer, and the head's), and in each layer 4 T d for its
    scores and their product with the values."""
    tokens = batch * model.context_length
    weights = 12 * model.num_layers * model.d_model**2 + model.vocabulary_size * model.d_model
    attended = 4 * model.num_layers * model.context_length * model.d_model
    settings = {"model": asdict(model), "batch": batch}
    return Task(name, "training", settings, batch, tokens, 3 * tokens * (2 * weights + attended), warmup, steps)


def attention(length: int, heads: int = 8, features: int = 64) -> Task:
    """One sequence; short ones take more steps."""
    settings = {"length": length, "heads": heads, "features": features}
    flops, steps = 3 * 4 * length**2 * heads * features, min(200, max(3, 2**24 // length**2))
    return Task(f"attention {length}", "attention", settings, heads, length, flops, warmup=2, steps=steps)


def gpt(num_layers: int, num_heads: int, d_model: int, context_length: int, vocabulary_size: int) -> GPTConfig:
    return GPTConfig(vocabulary_size, context_length, num_layers, num_heads, d_model, bias=False)


MODELS = {
    "small": training("small", gpt(4, 4, 128, 64, 65), batch=12, warmup=10, steps=100),
    "medium": training("medium", gpt(6, 6, 384, 256, 65), batch=8, warmup=2, steps=5),
    "gpt2": training("gpt2", gpt(12, 12, 768, 64, 50257), batch=4, warmup=1, steps=4),
}
TINY = {name: training(name, gpt(1, 2, 16, 8, 65), batch=4, warmup=1, steps=3) for name in MODELS}


@dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    preset: Literal["quick", "paper", "smoke"] = "quick"
    """Where the other options start from: all measurements, the same, or a run of seconds to see that it works."""
    models: tuple[Literal["small", "medium", "gpt2"], ...] = ("small", "medium", "gpt2")
    """GPTs of 0.8, 10.6 and 124 million parameters."""
    tiny: bool = False
    """Shrink the models to almost nothing, to see that everything runs."""
    attention: bool = True
    """Whether attention alone is timed."""
    lengths: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    """Sequence lengths at which attention alone is timed."""
    pairs: int = 5
    """Processes of each side per row of the table."""
    threads: int = 2
    """Threads of each side."""
    json: Path | None = None
    """File to write every process's figures to."""
    profile: bool = False
    """Instead, break our training steps in one thread down by part of the package."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        for name in ("pairs", "threads"):
            check_option(name, getattr(self, name), at_least=1)
        for length in self.lengths:
            check_option("lengths", length, at_least=1)
        for task in self.tasks():
            if self.threads > task.shares:
                raise ValueError(f"--threads {self.threads} is more than {task.name} can keep busy, {task.shares}")
        if not self.tasks():
            raise ValueError("there is nothing to time: no --models, and no --attention with --lengths")
        if self.json is not None:
            try:
                self.json.open("a").close()
            except OSError as error:
                raise ValueError(f"--json {self.json} cannot be written: {error.strerror}") from None

    def tasks(self) -> list[Task]:
        tasks = [(TINY if self.tiny else MODELS)[name] for name in self.models]
        if self.attention and not self.profile:
            tasks += [attention(length) for length in self.lengths]
        return tasks


PRESETS = {
    "quick": Config(),
    "paper": Config(preset="paper"),
    "smoke": Config(preset="smoke", models=("small",), tiny=True, lengths=(64,), pairs=1),
}


def main(arguments: Sequence[str]) -> None:
    config = parse(PRESETS, prog="speed.py", description=__doc__, arguments=arguments)
    with one_sentence_errors("speed.py"):
        config.check()
    with one_sentence_errors("speed.py", status=1, kind=Failure):
        profile(config) if config.profile else compare(config)


def write_report(config: Config, figures: dict[str, Any]) -> None:
    """Everything that was measured, as JSON, if there is a file for it."""
    if config.json is not None:
        environment = describe_environment() | {"torch": torch_version()}
        report = {"options": asdict(config), "environment": environment} | figures
        config.json.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")


def torch_version() -> str | None:
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


def compare(config: Config) -> None:
    """Checks, then times every task on both sides, and prints the table."""
    sides, differences = list(SIDES), {}
    if torch_version() is None:
        print("PyTorch is not installed in this Python: only ours is timed")
        sides.remove("pytorch")
    else:
        for task in config.tasks():
            differences[task.name] = check_agreement(task, config.threads)
        print(f"both sides agree: losses and norms differ by {max(differences.values()):.0e} at most, relatively")

    peak = ask("peak", threads=config.threads, size=256 if config.tiny else 2048)["flops_per_second"]
    print(f"float32 matrix product: {peak / 1e9:.0f} GFLOPS in {config.threads} threads", flush=True)
    rows: list[dict[str, Any]] = []
    for task in config.tasks():
        processes: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for _ in range(config.pairs):
            for side in sides:
                processes[side].append(ask("measure", side=side, threads=config.threads, **task.request()))
        rows.append(row_of(task, processes, peak) | {"difference": differences.get(task.name)})
        print(f"{task.name}: {', '.join(told(SIDES[side], rows[-1][side]) for side in sides)}", flush=True)
    figures = {"peak_flops_per_second": peak, "rows": rows}
    write_report(config, figures)
    print_table([HEADER, *map(cells, rows)])


def profile(config: Config) -> None:
    """Prints for every model where the time of our step goes."""
    rows = []
    for task in config.tasks():
        parts = ask("profile", side="ours", threads=1, **task.request())
        total = sum(parts.values())
        print_table(
            [(task.name, "ms per step", "share")]
            + [(part, f"{time:.2f}", f"{time / total:.1%}") for part, time in parts.items()]
            + [("all", f"{total:.2f}", "")]
        )
        rows.append({"task": asdict(task), "milliseconds": parts})
    write_report(config, {"rows": rows})


def check_agreement(task: Task, threads: int) -> float:
    """The largest relative difference between what two steps compute on both sides, from the same weights.

    Raises Failure when it is above the tolerance.
    """
    asked = task.request() | {"threads": threads, "warmup": 0, "steps": 2}
    with tempfile.TemporaryDirectory() as folder:
        if task.kind == "training":
            asked["weights"] = str(Path(folder) / "weights.safetensors")
            ask("weights", **asked)
        ours, theirs = (ask("check", side=side, **asked) for side in SIDES)
    difference = float(np.abs(np.divide(ours, theirs) - 1).max())
    if not difference <= TOLERANCE:
        raise Failure(f"{task.name} is not the same on both sides: what they compute differs by {difference:.1e}")
    return difference


def ask(job: str, **asked: Any) -> Any:
    """What a fresh process answers. Raises Failure when it fails."""
    command = [sys.executable, "-m", "experiments.speed.worker", json.dumps({"job": job, **asked})]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        of = " ".join(str(asked[key]) for key in ("side", "name") if key in asked)
        raise Failure(f"the process that was to {job} {of} failed: {said[-1]}")
    return json.loads(done.stdout)


def row_of(task: Task, processes: dict[str, list[dict[str, float]]], peak: float) -> dict[str, Any]:
    """A row of the table, with the figures of every process; `peak` in FLOPs a second."""
    row: dict[str, Any] = {"task": asdict(task)}
    for side, figures in processes.items():
        milliseconds = [figure["median"] for figure in figures]
        seconds = median(milliseconds) / 1e3
        row[side] = {
            "median": median(milliseconds),
            "least": min(milliseconds),
            "most": max(milliseconds),
            "tokens_per_second": task.tokens / seconds,
            "share_of_peak": task.flops / seconds / peak,
            "peak_memory": median(figure["peak_memory"] for figure in figures),
            "working_memory": median(figure["working_memory"] for figure in figures),
            "processes": figures,
        }
    if "pytorch" in processes:
        ours, theirs = row["ours"], row["pytorch"]
        ratios = [a["median"] / b["median"] for a, b in zip(processes["ours"], processes["pytorch"], strict=True)]
        row["time_ratio"] = {"median": ours["median"] / theirs["median"], "least": min(ratios), "most": max(ratios)}
        row["memory_ratio"] = ours["peak_memory"] / theirs["peak_memory"]
    return row


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """The table's line of a row."""
    sides = [row[side] for side in SIDES if side in row]
    ratio = row.get("time_ratio")
    return (
        row["task"]["name"],
        spread(row["ours"]),
        spread(row["pytorch"]) if "pytorch" in row else "-",
        f"{ratio['median']:.2f} ({ratio['least']:.2f}-{ratio['most']:.2f})" if ratio else "-",
        " / ".join(f"{side['tokens_per_second']:,.0f}" for side in sides),
        " / ".join(f"{side['share_of_peak']:.0%}" for side in sides),
        " / ".join(f"{side['peak_memory'] / 2**20:,.0f}" for side in sides),
        f"{row['memory_ratio']:.2f}" if "memory_ratio" in row else "-",
    )


def told(name: str, figures: dict[str, Any]) -> str:
    return f"{name} {spread(figures)} ms and {figures['working_memory'] / 2**20:,.0f} MiB to work in"


def spread(figures: dict[str, float]) -> str:
    return f"{figures['median']:.1f} ({figures['least']:.1f}-{figures['most']:.1f})"


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """With the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for first, *others in rows:
        line = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        print("  ".join(line).rstrip())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that either way of ending it ends its process too
    run_script(main, "speed.py")
