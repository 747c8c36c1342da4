from collections.abc import Callable, Sequence
from typing import Any

from scratchformer.runs.progress import ProgressBar
from scratchformer.runs.recorder import Recorder
from scratchformer.runs.stopping import Stopped, StopSignals
from scratchformer.training import Batch, Divergence, Trainer, train


def run_training(
    trainer: Trainer[Any, Any],
    batches: Callable[[int], Sequence[Batch]],
    recorder: Recorder,
    *,
    num_steps: int,
    evaluate_every: int,
    save_every: int,
) -> float:
    """Trains into a run folder, so that the run can be stopped or killed at any time and then goes on bit for bit.

    Ctrl-C, SIGTERM and a closed terminal take effect at the end of a step, which is saved.

    Args:
        trainer, batches, num_steps, evaluate_every: as for `train`.
        recorder: of the same trainer; its batches are evaluated.
        save_every: updates between checkpoints; there is also one when a signal stops the run, and at its end.

    Returns:
        the seconds that it took, without those of earlier processes.

    Raises:
        Divergence: a loss or norm that is not finite; the batch at fault is in diverged_batch.safetensors, and the last
            checkpoint is as it was.
        Stopped: after a signal; `run_script` makes of it the message and the status that users expect.
    """
    with recorder, trainer, StopSignals() as stop, ProgressBar(num_steps, trainer.optimizer.num_steps) as bar:
        steps = train(
            trainer,
            batches,
            num_steps=num_steps,
            evaluation_batches=recorder.evaluation_batches,
            evaluate_every=evaluate_every,
        )
        try:
            for progress in steps:
                recorder.record(progress)
                done, stopping = progress.num_steps == num_steps, stop.received is not None
                if done or stopping or progress.num_steps % save_every == 0:
                    recorder.save()
                bar.update(progress.num_steps, progress.step.loss, progress.validation_loss)
                if stopping:
                    break
        except Divergence as error:
            raise recorder.explain(error) from None
        seconds = bar.seconds
    if stop.received and trainer.optimizer.num_steps < num_steps:
        stopped_after = f"step {trainer.optimizer.num_steps} of {num_steps}"
        raise Stopped(stop.received, recorder.folder.path, stopped_after)
    return seconds
