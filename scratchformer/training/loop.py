from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import as_python
from scratchformer.training.shards import BatchT, ModelT
from scratchformer.training.trainer import StepMetrics, Trainer


@checked_arguments
@dataclass(frozen=True)
class Progress:
    """A run after `num_steps` updates: the last step, and the validation loss, None where it was not evaluated."""

    num_steps: int
    step: StepMetrics
    validation_loss: float | None


@checked_arguments
def train(
    trainer: Trainer[ModelT, BatchT],
    batches: Callable[[int], Sequence[BatchT]],
    *,
    num_steps: int,
    evaluation_batches: Sequence[BatchT],
    evaluate_every: int,
) -> Iterator[Progress]:
    """Trains step by step, from the step that the trainer has reached, and yields after each.

    Args:
        trainer: inside its `with` block.
        batches: gives the micro-batches of a step for the number of updates made before.
        num_steps: number of updates in all; those that the trainer has already made count.
        evaluation_batches: the batches that `validation_loss` is measured on, the same each time.
        evaluate_every: number of updates between evaluations; the last update is always followed by one.

    Raises:
        ValueError: num_steps or evaluate_every below 1.
    """
    num_steps, evaluate_every = as_python((num_steps, evaluate_every))
    for name, value in (("num_steps", num_steps), ("evaluate_every", evaluate_every)):
        if value < 1:
            raise ValueError(f"train: {name} must be at least 1, got {value}")

    def steps() -> Iterator[Progress]:
        for done in range(trainer.optimizer.num_steps, num_steps):
            metrics = trainer.step(batches(done))
            is_evaluated = (done + 1) % evaluate_every == 0 or done + 1 == num_steps
            yield Progress(done + 1, metrics, trainer.evaluate(evaluation_batches) if is_evaluated else None)

    return steps()  # a function of its own, so that bad arguments raise at the call and not at the first step
