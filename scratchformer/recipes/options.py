"""The options of experiments. The type of an option declares its help and its range, and is what checks it."""

import math
from dataclasses import dataclass
from operator import le, lt
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from tyro.conf import arg

from scratchformer.runs.ranges import Range, Relation, check_ranges
from scratchformer.runs.stored_options import Where, options_of

Count = Annotated[int, Range(at_least=1)]
Natural = Annotated[int, Range(at_least=0)]
Positive = Annotated[float, Range(above=0, below=math.inf)]
NotNegative = Annotated[float, Range(at_least=0, below=math.inf)]
Probability = Annotated[float, Range(at_least=0, below=1)]

Threads = Annotated[Count, Relation("batch", le, "is more than", "; each takes a sequence"), Where]

Layers = Annotated[Count, arg(help="Number of Transformer blocks.")]
Heads = Annotated[
    Count,
    Relation("width", lambda heads, width: width % heads == 0, "does not divide"),
    arg(help="Attention heads per block; must divide the width."),
]
Width = Annotated[Count, arg(help="Features of the residual stream.")]
Dropout = Annotated[Probability, arg(help="Probability of dropping an element, in [0, 1).")]

Steps = Annotated[Count, arg(help="Training steps: updates of the weights.")]
PeakRate = Annotated[Positive, arg(help="Peak of the schedule.")]
FinalRate = Annotated[NotNegative, arg(help="End of the schedule's cosine; the same as the peak for a constant rate.")]
Warmup = Annotated[Natural, Relation("steps", lt, "must be less than"), arg(help="Updates of linear rise to the peak.")]
WeightDecay = Annotated[NotNegative, arg(help="Decoupled decay of AdamW and Muon, on matrices and tables only.")]
Average = Annotated[
    Probability,
    arg(help="Decay of the moving average of the weights that is evaluated and saved; 0 for the last weights."),
]
Clip = Annotated[Positive, arg(help="Largest global norm of the gradient.")]
EvaluateEvery = Annotated[Count, arg(help="Updates between evaluations.")]
SaveEvery = Annotated[Count, arg(help="Updates between checkpoints.")]

EvaluationBatches = Annotated[
    Count, arg(help="Largest number of batches to evaluate: fixed ones, spread evenly over the text's last tenth.")
]
Text = Annotated[
    Path | None, arg(help="UTF-8 text file to learn from; without one, the language reference inside Python (pydoc).")
]


@runtime_checkable
class ExperimentOptions(Protocol):
    """The options of every experiment. One that can resume a run has the option `resume`, too."""

    @property
    def preset(self) -> str: ...

    @property
    def seed(self) -> int: ...

    @property
    def out(self) -> Path | None: ...

    @property
    def plot_only(self) -> Path | None: ...

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""


@runtime_checkable
class TrainingOptions(ExperimentOptions, Protocol):
    """The options that the frame needs of an experiment that trains."""

    @property
    def resume(self) -> Path | None: ...

    @property
    def threads(self) -> int: ...

    @property
    def shards(self) -> int | None: ...

    @property
    def steps(self) -> int: ...

    @property
    def evaluate_every(self) -> int: ...

    @property
    def save_every(self) -> int: ...


@dataclass(frozen=True)
class MeasuringOptions:
    """The options of an experiment that trains nothing: it ends within seconds, and cannot be resumed."""

    preset: Literal["quick", "paper", "smoke"] = "quick"
    """Where the other options start from: what answers the question, the same, or a try of seconds."""
    out: Path | None = None
    """Folder for the results, new or empty; without one, the next free one in runs/ with the experiment's name."""
    plot_only: Path | None = None
    """Run folder whose figures are drawn anew; all other options are then ignored."""
    seed: Natural = 0
    """Seed of all that is drawn at random."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        check_ranges(self)


@dataclass(frozen=True)
class RunOptions:
    """The options that every experiment that trains begins with; a subclass adds those of its model and training."""

    preset: Literal["quick", "paper", "smoke"] = "quick"
    """Sets the other options: quick takes some minutes, paper as long as the published figure needs, smoke seconds."""
    out: Path | None = None
    """Folder for the results, new or empty; without one, the next free one in runs/ with the experiment's name."""
    resume: Path | None = None
    """Run folder to resume, bit for bit, from its last checkpoint, with the options that it was started with."""
    plot_only: Path | None = None
    """Run folder whose figures are drawn anew; all other options are then ignored."""
    seed: Natural = 0
    """Seed of all that is drawn at random."""
    threads: Threads = 2
    """Workers, which are threads or processes; each takes a share of every batch."""
    shards: Count | None = None
    """Parts of a batch, whose gradients are added in a fixed order; one for each worker, if it is not given."""
    world: Annotated[Literal["auto", "mpi", "one"], Where] = "auto"
    """Where the workers are: in the ranks of mpiexec, if it has started this, or else in one process."""
    join_timeout: Annotated[Positive, Where] = 60.0
    """Seconds that ranks wait for each other at the start."""
    stall_timeout: Annotated[Positive, Where] = 600.0
    """Seconds that a rank waits for another in a step."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        check_ranges(self)


def is_as(options: object, preset: object, *free: str) -> bool:
    """Whether a run does the same as a preset, apart from its seed, its threads and the options that `free` names."""
    ignored = {"preset", "seed", "threads", "shards", *free}

    def compared(config: object) -> dict[str, Any]:
        return {name: value for name, value in options_of(config).items() if name not in ignored}

    return compared(options) == compared(preset)
