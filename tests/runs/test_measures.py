from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.runs import RunFolder, as_reference_run, read_measures, reference_curves
from scratchformer.runs.measures import MEASURES

NAMES = st.text("abcdefgh ,\"/'", min_size=1, max_size=6)
VALUES = st.floats(allow_nan=False)


def written(path: Path, rows: list[tuple[int, str, float]]) -> Path:
    folder = RunFolder(path, "test")
    with folder.table("measures", *MEASURES) as table:
        for row in rows:
            table.add(*row)
    folder.close()
    return path / "measures.csv"


def as_lists(curves: dict[str, tuple[ndarray, ndarray]]) -> dict[str, list[tuple[int, float]]]:
    return {name: list(zip(steps.tolist(), values.tolist(), strict=True)) for name, (steps, values) in curves.items()}


@given(rows=st.lists(st.tuples(st.integers(0, 10**9), NAMES, VALUES), max_size=12))
def test_what_is_read_is_what_was_written_by_name_in_its_order(
    rows: list[tuple[int, str, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    curves = read_measures(written(tmp_path_factory.mktemp("measures") / "run", rows))
    expected: dict[str, list[tuple[int, float]]] = {}
    for step, name, value in rows:
        expected.setdefault(name, []).append((step, value))
    assert as_lists(curves) == expected
    assert list(curves) == list(expected)
    for steps, values in curves.values():
        assert (steps.dtype, values.dtype) == (np.int64, np.float64)


def test_what_is_not_a_number_is_read_too(tmp_path: Path) -> None:
    curves = read_measures(written(tmp_path / "run", [(1, "a", float("nan")), (2, "a", float("inf"))]))
    np.testing.assert_array_equal(curves["a"][1], [np.nan, np.inf])


@pytest.mark.parametrize(
    "content",
    [
        "step,value\n1,2\n",
        "step,measure,value\n1,a,much\n",
        "step,measure,value\n1.5,a,2\n",
        "step,measure,value\n,a,2\n",
    ],
)
def test_a_table_of_something_else_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "measures.csv").write_text(content)
    with pytest.raises(ValueError, match=r"^.*measures\.csv does not hold measures by step$"):
        read_measures(tmp_path / "measures.csv")


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"measures\.csv cannot be read: No such file or directory$"):
        read_measures(tmp_path / "measures.csv")


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


def test_the_validation_loss_of_a_reference_is_a_run_to_compare_with() -> None:
    curves = {"validation_loss": (np.array([5, 9]), np.array([2.0, 1.5])), "accuracy": (np.array([5]), np.array([0.1]))}
    assert as_reference_run(curves) == {"name": "reference run", "steps": [5, 9], "losses": [2.0, 1.5]}
    assert as_reference_run({"accuracy": curves["accuracy"]}) is None
    assert as_reference_run({}) is None
