from pathlib import Path

import numpy as np
import pytest

from scratchformer.recipes import head_maps
from scratchformer.recipes.head_maps import MEASURES, PATTERNS, draw_distances, draw_heads, thinned, write_tables
from scratchformer.runs import RunFolder


def test_many_heads_are_drawn_with_names_that_do_not_overlap() -> None:
    assert thinned(["1", "2", "3", "4", "5"], 0.15) == ["1", "2", "3", "4", "5"]
    assert thinned(["1", "2", "3", "4", "5"], 0.1) == ["1", "", "3", "", "5"]
    assert thinned(["1", "2", "3", "4", "5"], 0.05) == ["", "2", "", "", "5"]


@pytest.mark.parametrize("num_heads", [2, 3])
def test_scores_and_distances_are_drawn_where_their_names_say(
    num_heads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, np.ndarray]] = []
    monkeypatch.setattr(head_maps, "heatmaps", lambda panels, *names, **options: drawn.append(panels))
    monkeypatch.setattr(head_maps, "save_figure", lambda figure, path: path)
    heads = [(layer, head) for layer in (1, 2) for head in range(1, num_heads + 1)]
    generator, n = np.random.default_rng(0), len(heads) + 1
    scores, distances = {name: generator.random(n) for name in MEASURES}, generator.random((n, n))
    distances += distances.T
    write_tables(RunFolder(tmp_path / "run", "test"), heads, scores, distances)
    draw_heads(tmp_path / "run", "")
    draw_distances(tmp_path / "run", "")
    panels = np.array(list(drawn[0].values()))  # by measure, layer and head, or by head, layer and measure
    by_measure = panels if num_heads == 3 else panels.T
    focus = 1 - scores["entropy"] / scores["entropy"][-1]
    for values, matrix in zip([*map(scores.get, PATTERNS), focus], by_measure, strict=True):
        np.testing.assert_array_equal(matrix, values[:-1].reshape(2, num_heads))
    np.testing.assert_array_equal(drawn[1][""], distances)
