import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.runs import Table, read_measures, read_table
from scratchformer.runs.files import MEASURES
from tests.runs.setting import as_lists

NAMES = st.text("abcdefgh ,\"/'", min_size=1, max_size=6)
VALUES = st.floats(allow_nan=False)


def written(path: Path, rows: list[tuple[int, str, float]]) -> Path:
    with Table(path, MEASURES) as table:
        for row in rows:
            table.add(*row)
    return path


def test_each_row_is_in_the_file_once_it_was_added(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with Table(path, ("step", "loss")) as table:
        assert path.read_text() == "step,loss\n"
        table.add(1, 0.1)
        table.add(2, None)
        table.add(3, 1 / 3)
        assert path.read_text().splitlines() == ["step,loss", "1,0.1", "2,", "3,0.3333333333333333"]
    assert read_table(path) == {"step": ["1", "2", "3"], "loss": ["0.1", "", "0.3333333333333333"]}


def test_a_table_goes_on_from_a_mark_and_drops_what_came_after_it(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole.csv", tmp_path / "stopped.csv"
    with Table(whole, ("step", "name")) as table:
        for step in range(5):
            table.add(step, "größer, und so")
    with Table(stopped, ("step", "name")) as table:
        for step in range(3):
            table.add(step, "größer, und so")
        position = table.mark()
        table.add(99, "lost")
    prefix = stopped.read_bytes()[: position["num_bytes"]]
    with Table(stopped, ("step", "name"), position) as table:
        assert stopped.read_bytes() == prefix
        assert table.mark() == position
        for step in range(3, 5):
            table.add(step, "größer, und so")
        later = table.mark()
    assert stopped.read_bytes() == whole.read_bytes()
    with Table(stopped, ("step", "name"), later):
        assert stopped.read_bytes() == whole.read_bytes()


def test_a_mark_is_made_when_all_rows_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_size))
    with Table(tmp_path / "metrics.csv", ("step",)) as table:
        table.add(12)
        assert table.mark()["num_bytes"] == len("step\n12\n")
    assert flushed == [len("step\n12\n")]


def test_a_table_that_was_changed_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with Table(path, ("step",)) as table:
        table.add(1)
        table.add(2)
        position = table.mark()
    for content in ("step\n1\n3\n", "step\n1\n", "", None):
        path.write_text(content) if content is not None else path.unlink()
        with pytest.raises(ValueError, match=r"metrics\.csv was changed since the checkpoint was written"):
            Table(path, ("step",), position)
        assert path.read_text() == content if content is not None else not path.exists()


def test_a_new_table_replaces_an_old_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("what a killed run left, which is longer\n")
    with Table(path, ("step",)) as table:
        table.add(1)
    assert path.read_text() == "step\n1\n"


def test_a_disk_that_is_full_is_one_sentence() -> None:
    with pytest.raises(OSError, match=r"^/dev/full cannot be written: No space left on device$"):
        Table(Path("/dev/full"), ("step",))


def test_a_row_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    for cut in ("2", "2,", "2,1.2"):
        (tmp_path / "a.csv").write_text(f"step,loss\n1,2.5\n{cut}")
        assert read_table(tmp_path / "a.csv") == {"step": ["1"], "loss": ["2.5"]}


def test_a_table_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.csv cannot be read: No such file or directory"):
        read_table(tmp_path / "a.csv")
    for content in (b"", b"step,loss", b"step,loss\n1\n2,3\n", b"step,step\n1,2\n", b'step,"loss\n1,2\n'):
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.csv is not a table with equal rows"):
            read_table(tmp_path / "a.csv")
    for content, said in ((b"\xff\xfe", "UTF-8: byte 0xff at offset 0"), (b"a\n\0\n", "text: it holds a zero byte")):
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(ValueError, match=rf"a\.csv is not {said}"):
            read_table(tmp_path / "a.csv")


@given(
    rows=st.lists(st.tuples(st.integers(0, 10**9), NAMES, VALUES), max_size=12, unique_by=lambda row: row[0]).map(
        sorted
    )
)
def test_what_is_read_is_what_was_written_by_name_in_its_order(
    rows: list[tuple[int, str, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    curves = read_measures(written(tmp_path_factory.mktemp("measures") / "measures.csv", rows))
    expected: dict[str, list[tuple[int, float]]] = {}
    for step, name, value in rows:
        expected.setdefault(name, []).append((step, value))
    assert as_lists(curves) == expected
    assert list(curves) == list(expected)
    for steps, values in curves.values():
        assert (steps.dtype, values.dtype) == (np.int64, np.float64)


def test_what_is_not_a_number_is_read_too(tmp_path: Path) -> None:
    curves = read_measures(written(tmp_path / "measures.csv", [(1, "a", float("nan")), (2, "a", float("inf"))]))
    np.testing.assert_array_equal(curves["a"][1], [np.nan, np.inf])


@pytest.mark.parametrize(
    "content",
    [
        "step,value\n1,2\n",
        "step,measure,value\n1,a,much\n",
        "step,measure,value\n1.5,a,2\n",
        "step,measure,value\n,a,2\n",
        "step,measure,value\n1_0,a,2\n",
        "step,measure,value\n1,a,2\n1,a,3\n",
        "step,measure,value\n1,a,1e999\n",
    ],
)
def test_a_table_of_something_else_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "measures.csv").write_text(content)
    with pytest.raises(ValueError, match=r"^.*measures\.csv does not hold measures by step: ."):
        read_measures(tmp_path / "measures.csv")
