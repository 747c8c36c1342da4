"""What a lesson needs beside what it teaches: options, printed arrays, checks, and figures that can be drawn anew."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy import ndarray

from scratchformer.plots import Figure, attention_maps, matrix_panels, save_figure
from scratchformer.recipes.options import MeasuringOptions
from scratchformer.runs import About, Result, begin_run, conclude, one_sentence_errors, options_of, parse, read_json
from scratchformer.runs.terminal import replace_what_cannot_be_shown

PRESETS = {
    "quick": MeasuringOptions(),
    "paper": MeasuringOptions(preset="paper"),
    "smoke": MeasuringOptions(preset="smoke"),
}


class Lesson:
    """A lesson that runs as a program, as a notebook, and cell by cell in an editor.

    A program reads its options from the command line, and all presets are the same. A notebook or an interpreter has
    no command line: there the options are the defaults. With `--plot-only` the program draws its figures anew and ends.

    Args:
        program: file name of the lesson.
        description: for `--help`.
    """

    def __init__(self, program: str, description: str | None) -> None:
        self.program = program
        self.checks: dict[str, Result] = {}
        self._figures: dict[str, dict[str, object]] = {}
        is_program = Path(sys.argv[0]).name == program
        if is_program:
            replace_what_cannot_be_shown()
        if is_program:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
        if is_program and hasattr(signal, "SIGPIPE"):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `head` or a pager may be closed early
        with one_sentence_errors(program):
            self.options = PRESETS["quick"]
            if is_program:
                self.options = parse(PRESETS, prog=program, description=description or "", arguments=sys.argv[1:])
            if self.options.plot_only is not None:
                print("figures:", *redraw(self.options.plot_only))
                sys.exit()
            self.options.check()
            self._folder = begin_run(self.options, Path(program).stem, {"options": options_of(self.options)})
        self._start = perf_counter()

    def tell(self, what: str, array: ndarray) -> None:
        """Prints an array with its shape."""
        with np.printoptions(precision=3, suppress=True):
            print(f"\n{what}: {array.shape}\n{array}")

    def check(self, metric: str, difference: ndarray, at_most: float) -> None:
        """Prints the largest absolute difference. The largest of all checks of a name goes into the summary."""
        largest = float(abs(difference).max())
        before = self.checks[metric].achieved if metric in self.checks else 0.0
        self.checks[metric] = Result(metric, float(np.maximum(largest, before)), at_most)
        print(f"check {metric}: {largest:.1g}, at most {at_most:g}: {'right' if largest <= at_most else 'WRONG'}")

    def show(self, name: str, function: Callable[..., Figure], **arguments: object) -> "Drawn":
        """Draws with one of the library's functions, and keeps its arguments for `--plot-only`."""
        self._figures[name] = {"function": function.__name__, "arguments": arguments}
        with one_sentence_errors(self.program, status=1, kind=OSError):
            drawn = Drawn(save_figure(function(**arguments), self._folder.path / name))
        print(drawn)
        return drawn

    def conclude(self, about: About) -> None:
        """Writes the arguments of all figures, and the summary of all checks."""
        print(f"\nAll of it, in {self._folder.path}")
        with one_sentence_errors(self.program, status=1, kind=OSError):
            self._folder.write_text("figures.json", json.dumps(self._figures, default=np.ndarray.tolist) + "\n")
            results = list(self.checks.values())
            conclude(self._folder, about, self.options, results, perf_counter() - self._start)


class Drawn:
    """A figure that was saved; notebooks show it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"figure: {self.path}"

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()


def redraw(path: Path) -> list[Path]:
    """Draws what `Lesson.show` drew, from the arguments that it kept. Raises ValueError where they are missing."""
    functions: dict[str, Callable[..., Figure]] = {"attention_maps": attention_maps, "matrix_panels": matrix_panels}
    stored = read_json(path / "figures.json", allow_nan=True)
    if not isinstance(stored, dict) or not all(map(str.isidentifier, stored)):
        raise ValueError(f"{path / 'figures.json'} is not of this program: it holds no figures by name")
    drawn = {}
    for name, figure in stored.items():
        try:
            drawn[name] = functions[figure["function"]](**_with_arrays(figure["arguments"]))
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError):
            raise ValueError(f"{path / 'figures.json'} is not of this program: {name} is no figure") from None
    return [save_figure(figure, path / name) for name, figure in drawn.items()]


def _with_arrays(arguments: dict[str, object]) -> dict[str, object]:
    """Arguments as JSON gives them back, with arrays in the place of lists of numbers."""
    return {name: _as_array(value) for name, value in arguments.items()}


def _as_array(value: object) -> object:
    if isinstance(value, dict):
        return _with_arrays(value)
    return np.array(value) if isinstance(value, list) and not isinstance(value[0], str) else value
