import sys
import time
from types import TracebackType

from tqdm import tqdm

ABOUT_LINES = 50


class ProgressBar:
    """Shows how a run goes: a plain line per evaluation (of many, about 50), in a terminal a bar with the live loss."""

    def __init__(self, num_steps: int, done: int = 0) -> None:
        self.num_steps = num_steps
        self.start = time.perf_counter()
        self._next_line = 0.0
        self._bar = tqdm(total=num_steps, initial=done, unit=" steps", disable=not sys.stderr.isatty())

    def update(self, done: int, training_loss: float, validation_loss: float | None) -> None:
        """Says that `done` steps are done."""
        self._bar.set_postfix_str(f"training loss {training_loss:.3f}", refresh=False)
        self._bar.update(done - self._bar.n)
        if validation_loss is not None and (done >= self._next_line or done == self.num_steps):
            self._next_line = done + self.num_steps / ABOUT_LINES
            line = (
                f"step {done:>{len(str(self.num_steps))}} of {self.num_steps}: "
                f"training loss {training_loss:.4f}, validation loss {validation_loss:.4f}, {self.seconds:.1f} s"
            )
            tqdm.write(line)
            sys.stdout.flush()

    @property
    def seconds(self) -> float:
        """Wall-clock time since the start."""
        return time.perf_counter() - self.start

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()
