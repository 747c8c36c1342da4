"""What runs on a text share: the text that is chosen, and what their losses are compared with in figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scratchformer.arguments import checked_arguments
from scratchformer.reading import typed
from scratchformer.runs.figures import ReferenceRun, draw_losses, draw_norms
from scratchformer.runs.files import is_finite_number
from scratchformer.runs.folder import read_run
from scratchformer.text import Corpus, pydoc_corpus, read_corpus


@checked_arguments
def chosen_corpus(text: Path | None) -> Corpus:
    """The text in a file; without one, Python's language reference. Raises ValueError when it cannot be read."""
    return pydoc_corpus() if text is None else read_corpus(text)


def _are_levels(value: object) -> bool:
    return isinstance(value, dict) and all(map(is_finite_number, value.values()))


@checked_arguments
@dataclass(frozen=True)
class TextFigures:
    """The title of a run's figures, and what its losses are compared with; config.json keeps it.

    Args:
        title: of all figures.
        references: losses to compare with, by name, such as the entropy of bigrams.
        reference_run: the validation loss of another run, drawn in grey; None for none.
    """

    title: str
    references: Mapping[str, float]
    reference_run: ReferenceRun | None

    @classmethod
    @checked_arguments
    def read(cls, path: Path, experiment: str) -> "TextFigures":
        """Reads the config.json of a run folder. Raises ValueError as `read_run` does, and where it is damaged."""
        run = read_run(path, "title", "references", "reference_run", experiment=experiment)
        try:
            title = typed(run, "title", lambda title: isinstance(title, str), "text")
            levels = typed(run, "references", _are_levels, "finite numbers by name")
            stored = run["reference_run"]
            return cls(title, levels, None if stored is None else ReferenceRun.of_json(stored))
        except ValueError as error:
            raise ValueError(f"{path / 'config.json'} is damaged: {error}") from None

    @checked_arguments
    def draw(self, path: Path, *, unit: str) -> list[Path]:
        """Draws losses, in this unit, and norms of the run in a folder."""
        options = read_run(path, "options")["options"]
        averaged = isinstance(options, dict) and bool(options.get("average"))
        losses = draw_losses(
            path, self.references, self.reference_run, is_averaged=averaged, unit=unit, title=self.title
        )
        return [losses, draw_norms(path, title=self.title)]
