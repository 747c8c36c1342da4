from pathlib import Path

import pytest

from scratchformer.runs import Table, read_table


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
    (tmp_path / "a.csv").write_text("step,loss\n1,2.5\n2")
    assert read_table(tmp_path / "a.csv") == {"step": ["1"], "loss": ["2.5"]}


def test_a_table_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.csv cannot be read: No such file or directory"):
        read_table(tmp_path / "a.csv")
    for content in (b"", b"step,loss\n1\n2,3\n", b"\xff\xfe"):
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.csv is not a table with equal rows"):
            read_table(tmp_path / "a.csv")
