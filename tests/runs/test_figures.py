import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from scratchformer import plots
from scratchformer.layers import Trace
from scratchformer.runs import (
    ReferenceRun,
    comparable_run,
    draw_attention,
    draw_losses,
    draw_norms,
    read_metrics,
    reference_curves,
    reference_run,
)
from scratchformer.runs.files import read_norms
from scratchformer.training import load
from tests.runs.setting import as_lists, started, train_into, trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("figures") / "run"
    train_into(started(path), trainer())
    return path


def test_every_figure_of_a_run_is_drawn_as_png_and_svg(run: Path) -> None:
    kind = {"is_averaged": True, "unit": "nats", "title": "A run of a$b$"}
    paths = [
        draw_losses(run, {"unigrams": 1.9}, ReferenceRun("other", [4], [2.0]), **kind),
        draw_norms(run, title="A run"),
        *draw_attention(run, np.array([0, 1, 2, 1]), list("abcb"), title="A run"),
    ]
    assert [path.name for path in paths] == ["loss.png", "norms.png", "attention.png"]
    assert all(path.with_suffix(suffix).is_file() for path in paths for suffix in (".png", ".svg"))
    assert b">validation (averaged weights)<" in (run / "loss.svg").read_bytes()


def test_a_run_on_the_same_text_can_be_compared_with(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text('{"experiment": "test", "corpus": {"sha256": "abc"}}')
    found = comparable_run(tmp_path / "run", "abc")
    assert (found.name, found.steps, len(found.losses)) == ("run", [4, 8, 12], 3)
    with pytest.raises(ValueError, match="learned from another text, its losses cannot be compared with these"):
        comparable_run(tmp_path / "run", "abd")
    (tmp_path / "run" / "metrics.csv").write_text("step,training_loss,validation_loss,gradient_norm,learning_rate\n")
    with pytest.raises(ValueError, match="has no validation loss to compare with"):
        comparable_run(tmp_path / "run", "abc")


def test_a_run_that_was_killed_before_it_evaluated_can_be_drawn(tmp_path: Path) -> None:
    columns = "step,training_loss,validation_loss,gradient_norm,learning_rate"
    (tmp_path / "metrics.csv").write_text(f"{columns}\n1,2.5,,1,1\n2,2.25,,1,1\n")
    (tmp_path / "norms.csv").write_text("step,quantity,layer,norm\n")
    assert draw_losses(tmp_path, {}, unit="nats", title="").exists()
    assert draw_norms(tmp_path, title="").exists()
    assert draw_attention(tmp_path, np.array([0]), ["a"], title="") == []


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


def test_the_reference_of_an_experiment_lies_beside_its_script(tmp_path: Path) -> None:
    script = str(tmp_path / "sort.py")
    assert reference_curves(script, "paper") == {}
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "sort.csv").write_text("step,measure,value\n5,accuracy,0.5\n9,accuracy,1.0\n")
    assert as_lists(reference_curves(script, "paper")) == {"accuracy": [(5, 0.5), (9, 1.0)]}
    assert as_lists(reference_curves(script, "quick")) == as_lists(reference_curves(script, "paper"))
    assert reference_curves(script, "smoke") == {}
    assert reference_curves(str(tmp_path / "other.py"), "paper") == {}
    (tmp_path / "reference" / "sort-quick.csv").write_text("step,measure,value\n5,accuracy,0.25\n")
    assert as_lists(reference_curves(script, "quick")) == {"accuracy": [(5, 0.25)]}
    assert as_lists(reference_curves(script, "paper")) == {"accuracy": [(5, 0.5), (9, 1.0)]}
    (tmp_path / "reference" / "sort.csv").write_text("")
    with pytest.raises(ValueError, match=r"sort\.csv is not a table with equal rows$"):
        reference_curves(script, "paper")


def test_the_validation_loss_of_the_reference_is_a_run_to_compare_with(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    for name, measure in (("sort", "validation_loss"), ("add", "accuracy")):
        (tmp_path / "reference" / f"{name}.csv").write_text(f"step,measure,value\n5,{measure},2.0\n9,{measure},1.5\n")
    shown = ReferenceRun("reference run", [5, 9], [2.0, 1.5])
    assert reference_run(str(tmp_path / "sort.py"), "paper") == shown
    assert reference_run(str(tmp_path / "sort.py"), "smoke") is None
    assert reference_run(str(tmp_path / "add.py"), "paper") is None


def test_a_reference_of_another_text_is_not_compared_with(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "char_lm.csv").write_text("step,measure,value\n5,validation_loss,2.0\n")
    (tmp_path / "reference" / "texts.json").write_text('{"char_lm": "abc"}')
    script = str(tmp_path / "char_lm.py")
    assert reference_run(script, "paper", "abd") is None
    assert reference_run(script, "paper", "abc") == reference_run(script, "paper")
    assert reference_run(script, "paper").losses == [2.0]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that a test draws, which are not written."""
    kept: list[Figure] = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: kept.append(figure) or path)
    return kept


def test_attention_maps_are_those_of_each_layer_and_head_in_their_order(run: Path, drawn: list[Figure]) -> None:
    ids, trace = np.array([0, 1, 2, 1]), Trace("*.attention.weights")
    draw_attention(run, ids, list("abcb"), title="")
    load(run)(ids, trace=trace)
    *panels, _ = drawn[0].axes
    of_heads = [head for layer in range(2) for head in trace[f"blocks.{layer}.attention.weights"]]
    for axes, weights in zip(panels, of_heads, strict=True):
        shown = axes.images[0].get_array()
        np.testing.assert_array_equal(shown.data, weights)
        np.testing.assert_array_equal(shown.mask, np.arange(4) > np.arange(4)[:, None])


def test_losses_and_norms_are_drawn_where_their_labels_say(run: Path, drawn: list[Figure]) -> None:
    draw_losses(run, {}, ReferenceRun("other", [4, 8], [2.5, 2.0]), unit="nats", title="")
    draw_norms(run, title="")
    metrics, norms = read_metrics(run / "metrics.csv"), read_norms(run / "norms.csv")
    training, _, validation, other = drawn[0].axes[0].lines
    expected = metrics["training_loss"], metrics["validation_loss"], ([4, 8], [2.5, 2.0])
    for line, curve in zip((training, validation, other), expected, strict=True):
        np.testing.assert_array_equal(line.get_xydata().T, curve)
    for axes, kind in zip(drawn[1].axes, ("gradient", "activation"), strict=True):
        curves = [curve for (quantity, _), curve in norms.items() if quantity == kind]
        for line, curve in zip(axes.lines, curves, strict=True):
            np.testing.assert_array_equal(line.get_xydata().T, curve)
        assert {"layer 1", "layer 2"} <= {text.get_text() for text in axes.texts}
