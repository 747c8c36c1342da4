from pathlib import Path

import numpy as np
import pytest

from scratchformer.analysis.alignment import Alignment
from scratchformer.recipes.alignment import alignment_results, has_alignment, read_alignment, write_alignment
from scratchformer.runs import RunFolder

SHARES = {"a": np.array([[0.1, 0.9], [0.7, 0.3]]), "b": np.array([[0.4, 0.0], [0.6, 0.8]])}
ALIGNMENT = Alignment(SHARES, {"a": 0.25, "b": 0.5})


def test_results_are_the_best_head_the_mean_and_uniform_attention() -> None:
    results = alignment_results(ALIGNMENT)
    assert {result.metric: result.achieved for result in results} == pytest.approx(
        {
            "attention_on_a_best_head": 0.7,
            "attention_on_a_mean_of_heads": 0.5,
            "attention_on_a_if_uniform": 0.25,
            "attention_on_b_best_head": 0.6,
            "attention_on_b_mean_of_heads": 0.45,
            "attention_on_b_if_uniform": 0.5,
        }
    )
    assert {(result.target, result.better) for result in results} == {(None, "higher")}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", "test")
    assert not has_alignment(folder.path)
    write_alignment(folder, ALIGNMENT)
    assert has_alignment(folder.path)
    table = (tmp_path / "run" / "attention.csv").read_text().splitlines()
    assert table[:3] == ["sought,layer,head,share,uniform", "a,1,1,0.1,0.25", "a,1,2,0.9,0.25"]
    assert table[-1] == "b,2,2,0.8,0.5"
    found = read_alignment(tmp_path / "run")
    assert found.uniform == ALIGNMENT.uniform
    assert found.shares.keys() == SHARES.keys()
    for name, shares in SHARES.items():
        np.testing.assert_array_equal(found.shares[name], shares)


@pytest.mark.parametrize(
    "table",
    ["sought,layer\na,1\n", "sought,layer,head,share,uniform\n", "sought,layer,head,share,uniform\na,1,2,3,4\n"],
)
def test_another_table_is_refused(table: str, tmp_path: Path) -> None:
    (tmp_path / "attention.csv").write_text(table)
    with pytest.raises(ValueError, match=r"attention.csv does not hold the attention of heads$"):
        read_alignment(tmp_path)
