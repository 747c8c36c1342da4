from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scratchformer.training.trainer import BatchT, ModelT, Step, Trainer


@dataclass(frozen=True)
class Progress:
    """Where a run stands after `num_steps` updates; `validation_loss` is None where it was not evaluated."""

    num_steps: int
    step: Step
    validation_loss: float | None


def train(
    trainer: Trainer[ModelT, BatchT],
    batches: Callable[[int], Sequence[BatchT]],
    *,
    num_steps: int,
    evaluation_batches: Sequence[BatchT],
    evaluate_every: int,
) -> Iterator[Progress]:
    """Trains step by step, from where the trainer stands, and yields after each.

    Args:
        trainer: inside its `with` block.
        batches: the micro-batches of a step, by the number of updates made before.
        num_steps: number of updates in all, those included that the trainer has made before.
        evaluation_batches: the fixed batches that `validation_loss` is measured on.
        evaluate_every: updates between evaluations; there is also one after the last update.

    Raises:
        ValueError: num_steps or evaluate_every below 1.
    """
    for name, value in (("num_steps", num_steps), ("evaluate_every", evaluate_every)):
        if value < 1:
            raise ValueError(f"train: {name} must be at least 1, got {value}")

    def steps() -> Iterator[Progress]:
        for done in range(trainer.optimizer.num_steps, num_steps):
            step = trainer.step(batches(done))
            evaluate = (done + 1) % evaluate_every == 0 or done + 1 == num_steps
            yield Progress(done + 1, step, trainer.evaluate(evaluation_batches) if evaluate else None)

    return steps()
