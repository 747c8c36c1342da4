"""How long a training will take, and how much memory: from a gradient and an evaluation that are tried before it."""

import sys
from time import perf_counter

from scratchformer.arguments import checked_arguments
from scratchformer.runs.training_run import Training
from scratchformer.training.shards import BatchT, ModelT


@checked_arguments
def estimate(training: Training[ModelT, BatchT], num_steps: int, evaluate_every: int) -> str:
    """Says about how long the rest of a training takes, and how much memory the process has needed so far.

    It tries the gradient of the next step, and the loss of one batch, and changes no parameter.
    """
    trainer, held_out = training.trainer, training.evaluation_batches
    done = trainer.optimizer.num_steps
    num_evaluations = num_steps // evaluate_every - done // evaluate_every + bool(num_steps % evaluate_every)
    with trainer:
        batches = training.batches(done)
        trainer.gradient(batches)  # the first one takes longer
        start = perf_counter()
        trainer.gradient(batches)
        per_step = perf_counter() - start
        trainer.evaluate(held_out[:1])
        per_evaluation = (perf_counter() - start - per_step) * len(held_out)
    seconds = (num_steps - done) * per_step + num_evaluations * per_evaluation
    memory = peak_memory()
    return f"it takes about {in_words(seconds)}" + (f" and {memory:,.0f} MB of memory" if memory else "")


def in_words(seconds: float) -> str:
    """A time as people say it, with two digits: "8 s", "1.5 min", "2.3 h"."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{max(1, round(seconds))} s"


def peak_memory() -> float | None:
    """The most memory that the process has had, in megabytes (1e6 bytes); None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
