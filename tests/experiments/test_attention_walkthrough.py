"""The lesson runs as a program, cell by cell and when it is imported, and says what is wrong where something is."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from tests.experiments.conftest import SmokeRun
from tests.experiments.running import EXPERIMENTS, run
from tests.experiments.running import LESSON as SCRIPT

FIGURES = {
    f"{name}.{suffix}"
    for name in ("positions", "masks", "heads", "cross", "head_distances")
    for suffix in ("png", "svg")
}
EXACT = {"masked_weights", "what_the_future_changes", "what_padding_changes", "distance_where_there_is_one_key"}
CLOSE = {"difference_from_library", "rows_sum_to_1", "shifted_scores_change_nothing", "order_without_positions"}


def cells() -> list[tuple[str, str]]:
    """The kind and the source of every cell of the percent format."""
    _, *parts = ("\n" + (EXPERIMENTS / SCRIPT).read_text(encoding="utf-8")).split("\n# %%")
    return [(heading.strip(), source) for heading, _, source in (part.partition("\n") for part in parts)]


@pytest.fixture
def lesson(smoke_of: Callable[[str], SmokeRun]) -> SmokeRun:
    return smoke_of(Path(SCRIPT).stem)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the cells leave behind when they run one after another in a plain interpreter, and the folder of the run."""
    folder = tmp_path_factory.mktemp("interpreter")
    namespace: dict[str, Any] = {"__name__": "__main__", "run_folder": folder / "runs" / "attention_walkthrough-001"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", [""])
        for kind, source in cells():
            if not kind:
                exec(compile(source, SCRIPT, "exec"), namespace)
    assert (namespace["run_folder"] / "summary.json").is_file()
    return namespace


def test_cells_are_code_that_stands_alone_or_comments() -> None:
    (kind, docstring), *others = cells()
    assert kind == "[markdown]"
    assert docstring.startswith('"""')
    assert docstring.endswith('"""\n')
    assert {kind for kind, _ in others} == {"", "[markdown]"}
    for kind, source in others:
        if kind:
            assert all(line.startswith("#") for line in source.strip().splitlines())
        else:
            assert compile(source, SCRIPT, "exec").co_code


def test_the_run_folder_holds_the_figures_and_a_verdict_for_every_check(lesson: SmokeRun) -> None:
    assert {path.name for path in lesson.path.iterdir()} == FIGURES | {"config.json", "figures.json", "summary.json"}
    summary = json.loads((lesson.path / "summary.json").read_text())
    results = {result["metric"]: result for result in summary["results"]}
    assert summary["passed"] is True
    assert summary["picture"] in FIGURES
    pytorch = results.pop("difference_from_pytorch", None)
    assert (pytorch is None) == (find_spec("torch") is None)
    assert results.keys() == EXACT | CLOSE
    for name, result in results.items():
        assert result["target"] == (0 if name in EXACT else 1e-12)
        assert result["achieved"] <= result["target"]
        assert result["passed"] is True
    if pytorch is not None:
        assert (pytorch["target"], pytorch["passed"]) == (1e-12, True)


def test_the_question_is_that_of_the_docstring(names: dict[str, Any]) -> None:
    docstring = (EXPERIMENTS / SCRIPT).read_text(encoding="utf-8").split('"""')[1]
    assert names["ABOUT"].question == " ".join(docstring.partition("\n\n")[0].split())
    assert names["ABOUT"].name == Path(SCRIPT).stem


def test_every_intermediate_is_printed_with_its_shape(lesson: SmokeRun) -> None:
    printed = lesson.printed
    for line in (
        "embedded = embeddings[ids]: (1, 3, 4)",
        "x = embedded + positions: (1, 3, 4)",
        "scores = query @ key^T: (1, 3, 3)",
        "weights = stable_softmax(scaled): (1, 3, 3)",
        "y = weights @ value: (1, 3, 4)",
        "query_heads: (1, 2, 3, 2)",
        "head_weights: (1, 2, 3, 3)",
        "multi_head_y = merged @ output_weight: (1, 3, 4)",
        "cross_weights: (1, 2, 3, 4)",
    ):
        assert f"\n{line}\n" in printed
    assert "WRONG" not in printed
    is_left_out = "PyTorch is not installed in this Python: the comparison was left out\n" in printed
    assert is_left_out == (find_spec("torch") is None)


def test_weights_and_outputs_are_those_of_the_formula_in_indices(names: dict[str, Any]) -> None:
    query, key, value = (names[name][0] for name in ("query", "key", "value"))
    for h, features in enumerate((range(2), range(2, 4))):
        for i in range(3):
            exponentials = [math.exp(sum(query[i, m] * key[j, m] for m in features) / 2**0.5) for j in range(3)]
            for name, number in (("head_weights", 3), ("causal_head_weights", i + 1), ("padded_head_weights", 2)):
                expected = [exponentials[j] / sum(exponentials[:number]) if j < number else 0 for j in range(3)]
                np.testing.assert_allclose(names[name][0, h, i], expected, rtol=1e-12)
            mixed = [sum(names["head_weights"][0, h, i, j] * value[j, m] for j in range(3)) for m in features]
            np.testing.assert_allclose(names["merged"][0, i, features], mixed, rtol=1e-12)
    for i in range(3):
        exponentials = [math.exp(sum(query[i, m] * key[j, m] for m in range(4)) / 2) for j in range(3)]
        np.testing.assert_allclose(names["weights"][0, i], np.array(exponentials) / sum(exponentials), rtol=1e-12)


def test_the_naive_softmax_overflows_and_the_stable_one_does_not(names: dict[str, Any]) -> None:
    assert np.isnan(names["overflowed"]).all()
    assert np.isfinite(names["stable_softmax"](names["scaled"] + 1000)).all()


def test_the_distance_of_heads_is_that_of_jensen_and_shannon(names: dict[str, Any]) -> None:
    p, q = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 7))
    p[0], q[0] = [0.5, 0.5, 0, 0, 0], [0, 0, 0.3, 0.3, 0.4]
    found = names["jensen_shannon_distance"](p, q)
    np.testing.assert_allclose(found, [jensenshannon(a, b, base=2) for a, b in zip(p, q, strict=True)])
    assert found[0] == pytest.approx(1)
    assert (names["jensen_shannon_distance"](p, p) == 0).all()


def test_figures_are_drawn_anew_from_what_the_folder_keeps(lesson: SmokeRun, tmp_path: Path) -> None:
    shutil.copytree(lesson.path, tmp_path / "copy", ignore=lambda folder, files: FIGURES)
    result = run(SCRIPT, "--plot-only", "copy", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (
        0,
        "figures: copy/positions.png copy/masks.png copy/heads.png copy/cross.png copy/head_distances.png\n",
    )
    for name in FIGURES:
        assert (tmp_path / "copy" / name).read_bytes() == (lesson.path / name).read_bytes()


@pytest.mark.long
def test_to_import_it_is_to_run_it_and_the_seed_decides_the_numbers(
    names: dict[str, Any], lesson: SmokeRun, tmp_path: Path
) -> None:
    environment = os.environ | {"PYTHONPATH": str(EXPERIMENTS.parent)}
    command = [sys.executable, "-c", "import experiments.attention_walkthrough", "--seed", "1"]  # not its options
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    imported = tmp_path / "runs" / "attention_walkthrough-001"
    assert (imported / "figures.json").read_bytes() == (names["run_folder"] / "figures.json").read_bytes()
    kept, other = (json.loads((path / "figures.json").read_text()) for path in (imported, lesson.path))
    assert kept["positions"] == other["positions"]
    assert all(kept[name] != other[name] for name in ("masks", "heads", "cross", "head_distances"))


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="the system has no such signal")
def test_a_reader_that_stops_early_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, EXPERIMENTS / SCRIPT]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=60) == -signal.SIGPIPE
    assert process.stderr.read() == b""
    process.stderr.close()
