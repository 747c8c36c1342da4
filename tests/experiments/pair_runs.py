"""What the tests of the encoder-decoder experiments ask of any of them."""

import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.annotations import unchecked
from tests.experiments import killed_runs

TINY = ["--preset", "smoke", "--width", "8", "--heads", "2", "--steps", "8", "--batch", "4", "--tests", "3"]
TINY += ["--dropout", "0.2", "--average", "0.5", "--evaluate-every", "2", "--save-every", "3"]
FIGURES = {f"{name}.{suffix}" for name in ("loss", "norms", "attention") for suffix in ("png", "svg")}
TABLES = {"metrics.csv", "norms.csv", "tests.csv", "attention.csv", "best.safetensors", "last.safetensors"}
EVERYTHING = FIGURES | TABLES | {"config.json", "summary.json"}


def main(module: ModuleType, *arguments: str) -> None:
    with unchecked():
        module.main(arguments)


def draw_nothing(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time of a tiny run."""
    monkeypatch.setattr(module, "draw_figures", lambda path: [])


def goes_on_to_the_same_bytes(module: ModuleType, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_nothing(module, monkeypatch)
    sixth_step = ("batch_of", 4 + 6)  # four are evaluated
    killed_runs.goes_on_to_the_same_bytes(
        module, TINY, TABLES, killed_in=sixth_step, steps=5, place=place, monkeypatch=monkeypatch
    )


def is_drawn_anew(module: ModuleType, run: Path, tmp_path: Path) -> None:
    """All figures from the folder of a smoke run; of one that has not ended, all but the attention."""
    left_out = {*FIGURES, "last.safetensors", "tests.csv", "summary.json"}
    shutil.copytree(run, tmp_path / "copy", ignore=lambda folder, names: left_out)
    main(module, "--plot-only", str(tmp_path / "copy"))
    for name in FIGURES:
        assert (tmp_path / "copy" / name).read_bytes() == (run / name).read_bytes()
    labels = (run / "norms.svg").read_text()
    assert all(f">{stack} layer 1<" in labels for stack in ("encoder", "decoder"))


def shows_a_reference_run(module: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is one; and of a run that has not ended no attention is drawn."""
    assert ">validation, reference run<" not in (run / "loss.svg").read_text()
    for name in ("config.json", "metrics.csv"):
        shutil.copy(run / name, tmp_path)
    asked = []

    def reference_curves(script: str, preset: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        asked.append((script, preset))
        return {"validation_loss": (np.array([20, 40]), np.array([2.0, 1.0]))}

    monkeypatch.setattr(module, "reference_curves", reference_curves)
    monkeypatch.setattr(module, "draw_norms", lambda path, title: path / "norms.png")
    with unchecked():
        assert module.draw_figures(tmp_path) == [tmp_path / "loss.png", tmp_path / "norms.png"]
    assert asked == [(module.__file__, "smoke")]
    assert ">validation, reference run<" in (tmp_path / "loss.svg").read_text()


def panels_of(module: ModuleType, run: Path, monkeypatch: pytest.MonkeyPatch) -> list:
    """What the figure of the attention is drawn from."""
    shown: list = []
    monkeypatch.setattr(module, "draw_losses", lambda path, *arguments, **options: path)
    monkeypatch.setattr(module, "draw_norms", lambda path, title: path)
    monkeypatch.setattr(module, "alignment_maps", lambda panels, **options: shown.extend(panels))
    monkeypatch.setattr(module, "save_figure", lambda figure, path: path)
    assert module.draw_figures(run) == [run, run, run / "attention"]
    return shown
