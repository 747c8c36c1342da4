"""What a terminal shows of a training run while it goes on."""

import sys
import time

from tqdm import tqdm

from scratchformer.arguments import checked_arguments
from scratchformer.runs.terminal import is_terminal, tell

NUM_LINES = 50
"""About how many evaluations of a run are printed."""


@checked_arguments
class ProgressBar:
    """Prints a line per evaluation (of many, about 50 of them), and in a terminal a bar with the loss of each step."""

    def __init__(self, num_steps: int, done: int = 0) -> None:
        self.num_steps = num_steps
        self.start = time.perf_counter()
        self._next_line = 0.0
        self._bar = tqdm(total=num_steps, initial=done, unit=" steps", disable=not is_terminal(sys.stderr))

    @checked_arguments
    def update(self, done: int, training_loss: float, validation_loss: float | None) -> None:
        """Shows the losses after `done` steps."""
        self._bar.set_postfix_str(f"training loss {training_loss:.3f}", refresh=False)
        self._bar.update(done - self._bar.n)
        if validation_loss is not None and (done >= self._next_line or done == self.num_steps):
            self._next_line = done + self.num_steps / NUM_LINES
            seconds = time.perf_counter() - self.start
            line = (
                f"step {done:>{len(str(self.num_steps))}} of {self.num_steps}: "
                f"training loss {training_loss:.4f}, validation loss {validation_loss:.4f}, {seconds:.1f} s"
            )
            with tqdm.external_write_mode():  # above the bar
                tell(line)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()
