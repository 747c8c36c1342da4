from pathlib import Path

import numpy as np
import pytest

from scratchformer.runs import draw_attention, draw_losses, draw_norms, evaluations
from tests.runs.setting import started, train_into, trainer
from tests.training.setting import tiny_gpt


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("figures") / "run"
    train_into(started(path), trainer())
    return path


def test_every_figure_of_a_run_is_drawn_as_png_and_svg_and_again_the_same(run: Path) -> None:
    model = tiny_gpt(dtype=np.float32, num_layers=2)
    drawn = []
    for _ in range(2):
        paths = [
            draw_losses(run, {"unigrams": 1.9}, evaluations(run), unit="nats", title="A run of a$b$"),
            draw_norms(run, title="A run"),
            draw_attention(run, model, np.array([0, 1, 2, 1]), list("abcb"), title="A run"),
        ]
        assert [path.name for path in paths] == ["loss.png", "norms.png", "attention.png"]
        files = [path.with_suffix(suffix) for path in paths for suffix in (".png", ".svg")]
        drawn.append([file.read_bytes() for file in files])
        for file in files:
            file.unlink()
    assert drawn[0] == drawn[1]


def test_the_evaluations_of_a_run_can_be_compared_with(run: Path, tmp_path: Path) -> None:
    found = evaluations(run)
    assert found["name"] == "run"
    assert found["steps"] == [4, 8, 12]
    assert len(found["losses"]) == 3
    (tmp_path / "metrics.csv").write_text("step,validation_loss\n1,\n")
    with pytest.raises(ValueError, match="has no validation loss to compare with"):
        evaluations(tmp_path)
    with pytest.raises(ValueError, match=r"metrics\.csv cannot be read"):
        evaluations(tmp_path / "missing")


def test_a_run_that_was_killed_before_it_evaluated_can_be_drawn(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,training_loss,validation_loss\n1,2.5,\n2,2.25,\n")
    (tmp_path / "norms.csv").write_text("step,quantity,layer,norm\n")
    assert draw_losses(tmp_path, {}, unit="nats", title="").exists()
    assert draw_norms(tmp_path, title="").exists()


def test_a_table_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    (tmp_path / "norms.csv").write_text("step,quantity,layer,norm\n1,foo,norm,2.0\n")
    with pytest.raises(ValueError, match=r"metrics\.csv does not hold the metrics of a run"):
        draw_losses(tmp_path, {}, unit="nats", title="")
    with pytest.raises(ValueError, match=r"norms\.csv does not hold the norms of a run"):
        draw_norms(tmp_path, title="")


def test_an_evaluation_that_was_cut_off_is_left_out(run: Path, tmp_path: Path) -> None:
    rows = (run / "norms.csv").read_text().splitlines()
    (tmp_path / "norms.csv").write_text("\n".join(rows[:-3]))
    assert draw_norms(tmp_path, title="").exists()
