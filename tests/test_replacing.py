import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from scratchformer.commands import house
from scratchformer.derivations.reader import site
from scratchformer.plots import save_figure, save_svg
from scratchformer.replacing import replace_file

OLD = b"what was there before"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


WRITERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "file": (lambda folder: replace_file(folder / "a", [b"new"]), "a"),
    "png": (lambda folder: save_figure(Figure(), folder / "a"), "a.png"),
    "svg": (lambda folder: save_svg(Figure(), folder / "a"), "a.svg"),
    "house": (lambda folder: house.main(["--out", str(folder / "a.svg")]), "a.svg"),
    "site": (lambda folder: site._write(folder, {"a.html": b"new"}, {"a.html"}), "a.html"),
}


@pytest.fixture(params=WRITERS.values(), ids=WRITERS)
def writer(request: pytest.FixtureRequest) -> tuple[Callable[[Path], object], str]:
    return request.param


def test_a_file_is_whole_at_every_moment(
    writer: tuple[Callable[[Path], object], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file is there until the new one, complete and on the disk, takes its name."""
    write, name = writer
    (tmp_path / name).write_bytes(OLD)
    seen = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        if target.name == name:
            seen.append(((tmp_path / name).read_bytes(), self.read_bytes(), self.parent))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write(tmp_path)
    ((before, new, parent),) = seen
    assert (before, parent) == (OLD, tmp_path)
    assert (tmp_path / name).read_bytes() == new != OLD
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".") and path.name != site.MANIFEST]


@pytest.fixture(params=[KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["Ctrl-C", "full disk"])
def interruption(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[BaseException]:
    def interrupted(descriptor: int) -> None:
        raise request.param

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        yield request.param


def test_a_write_that_is_interrupted_leaves_the_old_file(
    writer: tuple[Callable[[Path], object], str], interruption: BaseException, tmp_path: Path
) -> None:
    write, name = writer
    (tmp_path / name).write_bytes(OLD)
    with pytest.raises(type(interruption)):
        write(tmp_path)
    assert files(tmp_path) == {name: OLD}


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, kind in ((tmp_path / "nowhere" / "a", FileNotFoundError), (tmp_path / "folder", IsADirectoryError)):
        with pytest.raises(kind) as caught:
            replace_file(path, [b"new"])
        assert str(caught.value) == f"[Errno {caught.value.errno}] {caught.value.strerror}: {str(path)!r}"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_process_left_does_not_keep_a_site_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / ".0123456789abcdef.partial").write_bytes(b"half a pa")
    assert site._files_of_earlier_site(tmp_path) == set()
