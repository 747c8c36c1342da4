"""To how many machines does data-parallel training scale, and what stops it?

Every rank computes the gradient of its share of a step's sequences. It receives its part of the others' gradients, adds
them, updates its part of the parameters, and receives the other parts: 2 (N - 1) / N of the model in bytes for N ranks.
Communication is predicted by the alpha-beta model (Hockney, 1994): alpha * messages + bytes / beta seconds, and gamma
for each byte that is added up.

- Ranks of this machine measure what a message takes, and what the exchanges of a training step take, through shared
  memory and through TCP. The three costs are fitted to the exchanges of ranks with a core each.
- Steps of three GPTs are timed in one process of one thread, and in several ranks. The ranks also compute side by side
  without communication: the prediction is this time, and what the model says of communication. It is printed beside
  what the whole step takes. Where ranks share a core, exchanges take longer by as much.
- Then as many machines as there are ranks are predicted, each with a link of its own. They share a step of 1,024
  sequences. Alpha is that of TCP here, and --latency. A byte takes what it takes through TCP here, where it is copied
  and added, and its time on the link. In a micro-batch of few sequences each takes longer: that is lost, too.
- With overlap, gradients of layers travel while earlier layers compute theirs, in the last micro-batch of a rank. The
  trainer does not do that, and the figure says what it would bring. A rank would have to own a piece of each layer; now
  it owns one part of all, so gradients of the last layers all go to the last rank.
- Efficiency is the time that one rank takes for the step, by the time of all ranks together. Scaling stops where it
  falls below a half: from there on, most of what the machines could do is lost.

Expected: the prediction is within a tenth of what is measured where each rank has a core. `quick` takes about four
minutes on two cores, and `smoke` some seconds. Leave the machine alone meanwhile.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Annotated, Literal

from experiments.scaling_out.alpha_beta import RANKS, SPEEDS, AlphaBeta, Network, Work, of_a_step
from experiments.scaling_out.figure import scaling_figure
from experiments.scaling_out.measure import (
    Exchange,
    Joint,
    Message,
    computing_seconds,
    exchange_seconds,
    joint_seconds,
    message_seconds,
)
from experiments.scaling_out.measured import Measured, read_measured, traffic_of
from experiments.scaling_out.ranks import WAYS, Way, ask_ranks
from experiments.speed.fresh_process import Failure
from experiments.speed.table import print_table
from experiments.speed.tasks import MODELS, TINY, Task
from scratchformer.launched import rank_of_launcher
from scratchformer.plots import save_figure
from scratchformer.recipes.options import Count, NotNegative
from scratchformer.runs import Range, check_ranges, describe_environment, one_sentence_errors, parse, run_script

PROG = "python -m experiments.scaling_out"
Model = Literal["small", "medium", "gpt2"]
SHORTEST = 2**16
"""Values of the shortest vector that is exchanged."""


@dataclass(frozen=True)
class Options:
    """The options of the measurement."""

    preset: Literal["quick", "smoke"] = "quick"
    """Where the other options start from: all that the figure takes, or a run of seconds to see that it works."""
    models: tuple[Model, ...] = ("small", "medium", "gpt2")
    """GPTs of 0.8, 10.6 and 124 million parameters, with 12 x 64, 8 x 256 and 4 x 64 tokens in a micro-batch."""
    tiny: bool = False
    """Shrink the models to almost nothing, to see that everything runs."""
    ranks: tuple[Annotated[int, Range(at_least=2)], ...] = (2, 4)
    """Numbers of ranks whose steps are predicted and timed."""
    largest: Annotated[int, Range(at_least=SHORTEST)] = 2**24
    """Values of the largest vector that is exchanged."""
    repeats: Count = 7
    """How often everything is timed; the least counts."""
    latency: NotNegative = 0.0
    """Microseconds that a link adds to each message in predictions, beside what TCP takes inside of this machine."""
    mpiexec: str | None = None
    """Program that starts ranks; without one, mpiexec beside this Python, or in PATH."""
    json: Path | None = None
    """File to write all measurements and predictions to."""
    read: Path | None = None
    """Such a file, whose measurements are taken instead of new ones."""
    figure: Path | None = None
    """File to draw the figure to, as PNG; an SVG is drawn beside it."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for a value out of range, or where no ranks can be started."""
        check_ranges(self)
        if not self.models or not self.ranks:
            raise ValueError(f"there is nothing to time: no {'--ranks' if self.models else '--models'}")
        for task in self.tasks():
            for ranks in self.ranks:
                if task.shares % ranks:
                    raise ValueError(f"--ranks {ranks} does not divide the {task.shares} sequences of {task.name}")
        if self.json is not None:
            try:
                self.json.open("a").close()
            except OSError as error:
                raise ValueError(f"--json {self.json} cannot be written: {error.strerror}") from None
        if self.figure is not None and not self.figure.absolute().parent.is_dir():
            raise ValueError(f"--figure {self.figure} cannot be written: its folder does not exist")
        if self.read is None:
            self.launcher()

    def tasks(self) -> list[Task]:
        return [replace((TINY if self.tiny else MODELS)[name], name=name) for name in self.models]

    def launcher(self) -> str:
        """The program that starts ranks. Raises ValueError where there is none, or no mpi4py, or these are ranks."""
        if rank_of_launcher() is not None:
            raise ValueError("it starts ranks itself; run it without mpiexec")
        if find_spec("mpi4py") is None:
            raise ValueError("mpi4py is not installed in this Python; pip install -e '.[mpi]' brings it, and mpiexec")
        beside = Path(sys.executable).with_name("mpiexec")
        chosen = self.mpiexec or (str(beside) if beside.exists() else "mpiexec")
        found = which(chosen)
        if found is None:
            more = "--mpiexec names one elsewhere" if self.mpiexec is None else "it is to start the ranks"
            raise ValueError(f"there is no program {chosen}; {more}")
        return found


PRESETS = {
    "quick": Options(),
    "smoke": Options(preset="smoke", models=("small",), tiny=True, ranks=(2,), largest=2**18, repeats=2),
}


def main(arguments: Sequence[str]) -> None:
    options = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
    with one_sentence_errors(PROG):
        options.check()
        read = None if options.read is None else read_measured(options.read)
    with one_sentence_errors(PROG, status=1, kind=Failure):
        report(options, measure(options) if read is None else read)


def measure(options: Options) -> Measured:
    """Starts ranks, one job after another, and processes of one rank."""
    launcher, repeats = options.launcher(), options.repeats
    sizes = [4**i for i in range(3, 12)]
    values = [size for size in (SHORTEST * 4**i for i in range(9)) if size <= options.largest]
    messages: dict[Way, list[Message]] = {}
    exchanges: dict[Way, list[Exchange]] = {}
    for way in WAYS:
        messages[way] = ask_ranks(partial(message_seconds, sizes, repeats), 2, launcher, "send messages", way)
        call = partial(exchange_seconds, values, repeats)
        exchanges[way] = [
            one
            for ranks in (options.ranks if way == "shared memory" else (2,))
            for one in ask_ranks(call, ranks, launcher, "exchange vectors", way)
        ]
        print(f"{way}: measured", flush=True)
    computed, gradients, joint = [], [], []
    for task in options.tasks():
        parts = sorted({1, task.shares, *(task.shares // ranks for ranks in options.ranks)})
        step, by_part = ask_ranks(partial(computing_seconds, task, parts, repeats), 1, launcher, f"train {task.name}")
        computed.append(step)
        gradients += by_part
        for ranks in options.ranks:
            joint.append(ask_ranks(partial(joint_seconds, task, repeats), ranks, launcher, f"train {task.name}"))
        print(f"{task.name}: measured", flush=True)
    return Measured(num_cores(), messages, exchanges, computed, gradients, joint)


def num_cores() -> int:
    """Cores that this process, and what it starts, may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def report(options: Options, measured: Measured) -> None:
    """Prints all tables, and writes the files that were asked for."""
    fitted = measured.of_exchanges("TCP")
    own = replace(fitted, latency=fitted.latency + 1e-6 * options.latency)
    print_messages(measured)
    print_table([JOINT_HEADER, *(joint_cells(measured, joint) for joint in measured.joint)])
    print(f"\nranks share {measured.cores} cores; sent by the first rank, and 2 (N - 1) / N of the model's bytes")
    rows = [cells(work, own, gigabits) for work in measured.works() for gigabits in SPEEDS]
    print_table([HEADER, *rows])
    print("\nstops: the first number of ranks whose efficiency is below a half; overlap: the same with overlap")
    print(f"computing to messages: where the time goes without overlap, in ms, where it stops or at {RANKS[-1]:,}")
    if options.json is not None:
        about = {"options": asdict(options), "environment": describe_environment()}
        found = about | {"measured": measured.as_json(), "predicted": list(predictions(measured, own))}
        options.json.write_text(json.dumps(found, indent=2, default=str) + "\n", encoding="utf-8")
    if options.figure is not None:
        print("\nfigure:", save_figure(scaling_figure(measured.works(), own), options.figure))


def print_messages(measured: Measured) -> None:
    """Prints what messages take, and how well the model fits."""
    by_size = zip(*(measured.messages[way] for way in WAYS), strict=True)
    rows = [(f"{one[0].bytes:,}", *(f"{1e6 * message.seconds:.1f}" for message in one)) for one in by_size]
    print_table([("bytes", *(f"{way}, us" for way in WAYS)), *rows])
    print()
    for way in WAYS:
        fit, used = measured.of_exchanges(way), measured.fitted_exchanges(way)
        off = [abs(fit.seconds(traffic_of(one)) / one.seconds - 1) for one in used]
        print(f"{way}: {measured.of_messages(way)}; exchanges of gradients: {fit}; off by {max(off):.0%} at most")


JOINT_HEADER = ("model", "ranks", "computing, ms", "predicted, ms", "measured, ms", "error", "MB sent", "formula")


def joint_cells(measured: Measured, joint: Joint) -> tuple[str, ...]:
    """A row of the table of steps in several ranks."""
    predicted, formula = measured.predicted(joint), of_a_step(measured.values_of(joint.model), joint.ranks).bytes
    times = (f"{1e3 * seconds:.1f}" for seconds in (joint.silent, predicted, joint.seconds))
    error = f"{predicted / joint.seconds - 1:+.0%}"
    return joint.model, str(joint.ranks), *times, error, f"{joint.bytes_sent / 1e6:.1f}", f"{formula / 1e6:.1f}"


HEADER = (
    *("model", "Gbit/s", "at 8", "at 64", f"at {RANKS[-1]:,}", "fastest", "stops", "overlap"),
    *("computing", "link", "copies", "messages", "most is lost to"),
)


def cells(work: Work, own: AlphaBeta, gigabits: int) -> tuple[str, ...]:
    """A row of the table of predictions: efficiencies, the ranks with the shortest step, and where scaling stops."""
    network = Network(own, gigabits)
    shares = [f"{network.efficiency(work, ranks, overlaps=False):.0%}" for ranks in (8, 64, RANKS[-1])]
    fastest = min(RANKS, key=lambda ranks: network.step(work, ranks, overlaps=False).total)
    stop, with_overlap = (stops_at(network, work, overlaps=overlaps) for overlaps in (False, True))
    ends = [f"{end:,}" if end else "-" for end in (fastest, stop, with_overlap)]
    step, limit = network.step(work, stop or RANKS[-1], overlaps=False), network.limit(work, stop or RANKS[-1])
    parts = [f"{1e3 * seconds:,.1f}" for seconds in (step.computing, step.link, step.copying, step.messages)]
    return work.name, str(gigabits), *shares, *ends, *parts, limit


def stops_at(network: Network, work: Work, *, overlaps: bool) -> int | None:
    """The first number of ranks whose efficiency is below a half; None where there is none."""
    return next((ranks for ranks in RANKS if network.efficiency(work, ranks, overlaps=overlaps) < 0.5), None)


def predictions(measured: Measured, own: AlphaBeta) -> Iterator[dict[str, object]]:
    """Every predicted step."""
    for work in measured.works():
        for gigabits in SPEEDS:
            for ranks in RANKS:
                for overlaps in (False, True):
                    network = Network(own, gigabits)
                    step = asdict(network.step(work, ranks, overlaps=overlaps))
                    efficiency = network.efficiency(work, ranks, overlaps=overlaps)
                    of = {"model": work.name, "gigabits": gigabits, "ranks": ranks, "overlaps": overlaps}
                    yield of | step | {"efficiency": efficiency}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way of ending it ends its process too
    run_script(main, PROG)
