import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from scratchformer.runs.progress import ProgressBar
from scratchformer.runs.recorder import Recorder
from scratchformer.runs.stopping import StopSignals
from scratchformer.training import Batch, Divergence, Trainer, train


def run_training(
    trainer: Trainer[Any, Any],
    batches: Callable[[int], Sequence[Batch]],
    recorder: Recorder,
    *,
    num_steps: int,
    evaluation_batches: Sequence[Batch],
    evaluate_every: int,
    save_every: int,
) -> float:
    """Trains into a run folder, so that the run can be stopped or killed at any time and then goes on bit for bit.

    Ctrl-C, SIGTERM and a closed terminal take effect at the end of a step, which is saved.

    Args:
        trainer, batches, num_steps, evaluation_batches, evaluate_every: as for `train`.
        recorder: of the same trainer.
        save_every: updates between checkpoints; there is also one when a signal stops the run, and at its end.

    Returns:
        the seconds that it took, without those of earlier processes.

    Raises:
        Divergence: a loss or norm that is not finite; the batch at fault is in diverged_batch.safetensors, and the last
            checkpoint is as it was.
        SystemExit: after a signal, with the status that shells expect.
    """
    with recorder, trainer, StopSignals() as stop, ProgressBar(num_steps, trainer.optimizer.num_steps) as progress:
        steps = train(
            trainer,
            batches,
            num_steps=num_steps,
            evaluation_batches=evaluation_batches,
            evaluate_every=evaluate_every,
        )
        try:
            for state in steps:
                recorder.record(state)
                done = state.num_steps == num_steps
                if done or stop.received or state.num_steps % save_every == 0:
                    recorder.save()
                progress.update(state.num_steps, state.step.loss, state.validation_loss)
                if stop.received and not done:
                    break
        except Divergence as error:
            raise recorder.explain(error) from None
        seconds = progress.seconds
    if stop.received and trainer.optimizer.num_steps < num_steps:
        command = shlex.join([sys.executable, sys.argv[0], "--resume", str(recorder.folder.path)])
        step = f"step {trainer.optimizer.num_steps} of {num_steps}"
        print(f"{stop.received.name} stopped the run after {step}; it goes on with\n  {command}", file=sys.stderr)
        raise SystemExit(128 + stop.received)
    return seconds
