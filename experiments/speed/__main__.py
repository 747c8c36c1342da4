"""How fast is a training step, and how much memory does it need, beside the same step in PyTorch on the same machine?

A step is forward, backward, clipping the gradient's norm to 1 and AdamW, of five GPTs in float32 without biases and
dropout; `tiny` takes one thread on each side. Decoding is of one token after another, with a cache, by two of them with
random weights. Causal attention alone (forward and backward, 8 heads of 64) is timed by length.

- Where PyTorch is installed in this Python, fresh processes of all sides take turns, with as many threads. PyTorch has
  its fused attention and its fused AdamW, and trains models as they are and through `torch.compile`, if there is a C++
  compiler; ratios are to the faster of the two. Our workers share the batch; those of a small model are processes. For
  attention alone our threads share the heads. The workers of GPT-2 share gradients, in parts.
- JAX, where it is installed, trains the two smallest models. The whole step is one compiled function, which writes new
  weights over old ones. It has a column of its own, and our time as a multiple of JAX's follows the table.
- Before anything is timed, all sides do two steps from the same random weights on the same batches. Losses and norms
  of gradients (or of attention's arrays) must agree to 1e-4.
- A process measures the median of its steps, after a warm-up. The table shows the median and the range of the
  processes, the ratio of the medians, and the range of the rounds' ratios.
- Memory is the most that the process ever had in RAM (VmHWM of Linux), from its start to its end: interpreter,
  libraries, weights, optimizer and all, with what its forked workers do not share. The ratio is to PyTorch's smaller
  form.
- A decoding step reads every weight once. How fast it reads them stands after the table, beside the bandwidth of a
  product of a large matrix with a vector.
- With `--pretrained`, a Llama from files is timed beside transformers: prefill, decoding with random keys and values in
  the cache, and training steps. Of a GGUF file, the figures of
  llama.cpp follow the table: its weights stay as the file has them.
- "of peak" is the share of the speed of a large float32 matrix product in NumPy. The FLOPs of a step are those of its
  matrix products: backward counts twice as much as forward, and attention's scores count as the full square. A side
  that skips the forbidden half of the scores can be above 100 %.

The preset `quick` takes less than five minutes, `smoke` a few seconds. `paper` measures everything, and says at its end
how long it took: 24 to 43 minutes on two cores.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import json
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which
from typing import Literal

from experiments.speed.agreement import largest_difference
from experiments.speed.fresh_process import Failure, ask
from experiments.speed.llama_cpp import llama_cpp_milliseconds
from experiments.speed.measure import Figures, measure, memory_bandwidth, peak_flops
from experiments.speed.pretrained_steps import write_llama
from experiments.speed.profiling import profile
from experiments.speed.table import HEADER, Row, as_text, print_table, row_of, task_as_json
from experiments.speed.tasks import (
    ALL_MODELS,
    BESIDE_JAX,
    DECODING,
    MODELS,
    SIDES,
    TINY,
    TINY_DECODING,
    Decoder,
    DecodingSettings,
    Model,
    PretrainedSettings,
    Side,
    Task,
    TrainingSettings,
    attention,
    num_weights,
    pretrained_tasks,
)
from scratchformer.models import LlamaConfig
from scratchformer.recipes.options import Count
from scratchformer.runs import check_ranges, describe_environment, one_sentence_errors, parse, run_script

PROG = "python -m experiments.speed"


@dataclass(frozen=True)
class Options:
    """The options of the benchmark."""

    preset: Literal["quick", "paper", "smoke"] = "quick"
    """Where the other options start from: small tasks, all of them, or a run of seconds to see that it works."""
    models: tuple[Model, ...] = ALL_MODELS
    """GPTs of 5 thousand, 0.8, 10.6 and 124 million parameters, the last with 4 x 64 and with 2 x 512 tokens."""
    tiny: bool = False
    """Shrink the models to almost nothing, to see that everything runs."""
    decoding: tuple[Decoder, ...] = ("small", "gpt2")
    """GPTs that decode, with random weights."""
    attention: bool = True
    """Whether attention alone is timed."""
    lengths: tuple[Count, ...] = (256, 512, 1024, 2048, 4096)
    """Sequence lengths at which attention alone is timed."""
    pretrained: Path | None = None
    """File or folder of a Llama such as SmolLM2-135M, to be timed too; `scratchformer pretrained get` brings it."""
    pairs: Count = 5
    """Processes of each side per row of the table."""
    threads: Count = 2
    """Threads of each side."""
    json: Path | None = None
    """File to write every process's figures to."""
    profile: bool = False
    """Instead, break our training steps in one thread down by part of the package."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for a value out of range, too many threads, or nothing to time."""
        check_ranges(self)
        for task in self.tasks():
            if self.threads > task.shares > 1:
                raise ValueError(f"--threads {self.threads} is more than {task.name} can keep busy, {task.shares}")
        if not self.tasks() and (self.pretrained is None or self.profile):
            raise ValueError("there is nothing to time: no --models, no --decoding, and no --attention with --lengths")
        if self.pretrained is not None and not self.pretrained.exists():
            raise ValueError(f"--pretrained {self.pretrained} does not exist")
        if self.json is not None:
            try:
                self.json.open("a").close()
            except OSError as error:
                raise ValueError(f"--json {self.json} cannot be written: {error.strerror}") from None

    def tasks(self) -> list[Task]:
        tasks = [(TINY if self.tiny else MODELS)[name] for name in self.models]
        if not self.profile:
            tasks += [(TINY_DECODING if self.tiny else DECODING)[name] for name in self.decoding]
        if self.attention and not self.profile:
            tasks += [attention(length) for length in self.lengths]
        return tasks


PRESETS = {
    "quick": Options(models=("tiny", "small"), decoding=("small",), lengths=(256, 1024), pairs=3),
    "paper": Options(preset="paper", pairs=7),
    "smoke": Options(preset="smoke", models=("small",), tiny=True, decoding=("small",), lengths=(64,), pairs=1),
}


def main(arguments: Sequence[str]) -> None:
    options = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
    with one_sentence_errors(PROG):
        options.check()
    with one_sentence_errors(PROG, status=1, kind=Failure):
        start = time.monotonic()
        print_profiles(options) if options.profile else compare(options)
        print(f"\nthis took {(time.monotonic() - start) / 60:.1f} minutes")


def compare(options: Options) -> None:
    """Checks, then times every task on both sides, and prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        tasks, model = options.tasks(), None
        if options.pretrained is None:
            print("--pretrained names no model: prefill and decoding of a real model are not timed")
        else:
            model = ask(partial(write_llama, options.pretrained, Path(folder)), f"open {options.pretrained}")
            tasks += pretrained_tasks(Path(folder), model, is_tiny=options.tiny)
        compare_tasks(options, tasks)
    if options.pretrained is not None and model is not None:
        print_llama_cpp(options.pretrained, options, model)


def sides_of(task: Task) -> list[Side]:
    """The sides of a task that are installed. PyTorch compiles with a C++ compiler."""
    needed = ("torch", "transformers") if isinstance(task.settings, PretrainedSettings) else ("torch",)
    sides: list[Side] = ["ours"]
    if all(map(is_installed, needed)):
        compiles = isinstance(task.settings, TrainingSettings) and which("g++") is not None
        sides += ["pytorch", "compiled"] if compiles else ["pytorch"]
    return [*sides, "jax"] if task.name in BESIDE_JAX and is_installed("jax") else sides


def compare_tasks(options: Options, tasks: list[Task]) -> None:
    differences: dict[str, float] = {}
    if not is_installed("torch"):
        print("PyTorch is not installed in this Python and is not timed")
    elif options.pretrained is not None and not is_installed("transformers"):
        print("transformers is not installed in this Python: of the pretrained model, only ours is timed")
    for task in tasks:
        sides = sides_of(task)
        if len(sides) > 1:
            differences[task.name] = largest_difference(task, sides, min(options.threads, task.shares))
    if differences:
        print(f"all sides agree: losses and norms differ by {max(differences.values()):.0e} at most, relatively")

    peak = ask(partial(peak_flops, options.threads, 256 if options.tiny else 2048), "measure the peak")
    print(f"float32 matrix product: {peak / 1e9:.0f} GFLOPS in {options.threads} threads", flush=True)
    bandwidth = ask(partial(memory_bandwidth, options.threads, 4 if options.tiny else 512), "measure the bandwidth")
    print(f"memory bandwidth: {bandwidth / 1e9:.1f} GB/s in {options.threads} threads", flush=True)
    rows: list[Row] = []
    for task in tasks:
        sides = sides_of(task)
        processes: dict[Side, list[Figures]] = {side: [] for side in sides}
        for _ in range(options.pairs):
            for side in sides:
                call = partial(measure, task, side, min(options.threads, task.shares))
                processes[side].append(ask(call, f"measure {side} {task.name}"))
        rows.append(row_of(task, processes, peak, differences.get(task.name)))
        told = ", ".join(f"{SIDES[side]} {figures}" for side, figures in rows[-1].sides.items())
        print(f"{task.name}: {told}", flush=True)
    measured = {"peak_flops_per_second": peak, "bytes_per_second": bandwidth}
    write_report(options, measured | {"rows": [row.as_json() for row in rows]})
    print_table([HEADER, *(row.cells() for row in rows)])
    for row in rows:
        if row.jax_ratio is not None:
            print(f"\n{row.task.name}: our step takes {as_text(row.jax_ratio)} times as long as JAX's")
        if isinstance(row.task.settings, DecodingSettings):
            print(f"\n{row.task.name} reads {', '.join(reading(row, bandwidth))}")


def reading(row: Row, bandwidth: float) -> Iterator[str]:
    """How fast each side reads the weights in decoding, as a share of the bandwidth."""
    assert isinstance(row.task.settings, DecodingSettings)
    size = 4 * num_weights(row.task.settings.model)
    for side, figures in row.sides.items():
        speed = size / (figures.median / 1e3)
        yield f"{SIDES[side]} {speed / 1e9:.1f} GB/s of weights ({speed / bandwidth:.0%} of the bandwidth)"


def print_llama_cpp(path: Path, options: Options, model: LlamaConfig) -> None:
    """Prints what llama.cpp takes with the same file, or why it is not timed."""
    if path.suffix != ".gguf":
        print("\nllama.cpp is not timed: it reads GGUF files alone")
    elif not is_installed("xllamacpp"):
        print("\nllama.cpp is not timed: the package xllamacpp is not installed in this Python")
    else:
        lengths = (8, 16) if options.tiny else (256, 4096)
        call = partial(llama_cpp_milliseconds, path, options.threads, lengths, model.vocabulary_size)
        found = ask(call, "measure llama.cpp")
        print("\nllama.cpp, ms: " + ", ".join(f"{name} {time:.1f}" for name, time in found.items()))


def print_profiles(options: Options) -> None:
    """Prints for every model where the time of our step goes."""
    rows = []
    for task in options.tasks():
        parts = ask(partial(profile, task), f"profile {task.name}")
        total = sum(parts.values())
        print_table(
            [(task.name, "ms per step", "share")]
            + [(part, f"{time:.2f}", f"{time / total:.1%}") for part, time in parts.items()]
            + [("all", f"{total:.2f}", "")]
        )
        rows.append({"task": task_as_json(task), "milliseconds": parts})
    write_report(options, {"rows": rows})


def write_report(options: Options, figures: dict[str, object]) -> None:
    """Writes everything that was measured as JSON, if a file for it was named."""
    if options.json is not None:
        environment = describe_environment() | {package: version_of(package) for package in ("torch", "jax")}
        report = {"options": asdict(options), "environment": environment} | figures
        options.json.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def is_installed(package: str) -> bool:
    return version_of(package) is not None


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way of ending it ends its process too
    run_script(main, PROG)
