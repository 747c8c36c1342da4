"""The derivations as a site: HTML and one style sheet, without scripts, which a browser shows without a network."""

import os
import signal
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from scratchformer.derivations.reader.pages import Page, pages
from scratchformer.derivations.reader.running import Outcome, PageError, run_page
from scratchformer.reading import read_utf8
from scratchformer.replacing import PARTIAL, replace_file

LIBRARIES = {"markdown_it": "markdown-it-py", "math_core": "math-core", "pygments": "Pygments"}
MANIFEST = ".scratchformer-site"


def write_site(folder: Path) -> Path:
    """Runs all pages, and writes them as HTML, with the results of their checks and the source that they link to.

    The folder may be new, empty, or that of an earlier site. A site has a list of its files in its folder, and only
    these files are replaced, each as a whole.

    Returns the path of the site's index.html.

    Where Ctrl-C stops the writing, the message of the KeyboardInterrupt says what the folder holds; elsewhere nothing
    has changed.

    Raises ValueError, before anything is written, when the folder holds other files, or a library is missing.
    """
    earlier = _files_of_earlier_site(folder)
    try:
        from scratchformer.derivations.reader.documents import site_files
    except ModuleNotFoundError as error:
        if error.name not in LIBRARIES:
            raise
        raise ValueError(f"a site needs {LIBRARIES[error.name]}: pip install 'scratchformer[site]'") from error
    all_pages = pages()
    files = site_files(all_pages, _run(all_pages))
    for name in files:
        if name not in earlier and (folder / name).exists():
            raise ValueError(f"{folder / name} is not a file of the earlier site; move it, or name another folder")
    try:
        _write(folder, files, earlier)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"every file in {folder} is whole, but some are old or missing") from None
    return folder / "index.html"


def _files_of_earlier_site(folder: Path) -> set[str]:
    if os.path.lexists(folder) and not folder.is_dir():
        kind = "a file" if folder.exists() else "a link that leads nowhere"
        raise ValueError(f"{folder} is {kind}, expected a folder for the site")
    manifest = folder / MANIFEST
    if os.path.lexists(manifest):
        return {name for name in read_utf8(manifest).split("\n") if name and _is_inside(name)}
    if folder.is_dir() and any(not path.name.endswith(PARTIAL) for path in folder.iterdir()):
        raise ValueError(f"{folder} holds other files, expected a new or empty folder, or one with an earlier site")
    return set()


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _run(all_pages: Sequence[Page]) -> list[Outcome]:
    """Runs the pages, in as many processes as there are cores."""
    if len(all_pages) == 1:
        return [_run_one(all_pages[0])]
    context = get_context("spawn")
    with ProcessPoolExecutor(mp_context=context, initializer=_begin_process) as pool:
        try:
            outcomes = pool.map(_run_one, all_pages)
            return list(tqdm(outcomes, "checking", len(all_pages), unit=" pages", disable=None))  # in a terminal
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin_process() -> None:
    """Leaves Ctrl-C to the process that began this one, and uses one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(1)


def _run_one(page: Page) -> Outcome:
    try:
        return run_page(page)
    except PageError as error:
        return str(error)


def _write(folder: Path, files: dict[str, bytes], earlier: set[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write_manifest(folder, earlier | set(files))  # first, so that an interrupted site is recognised
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, [content])
    for name in earlier - set(files):
        (folder / name).unlink(missing_ok=True)
    _write_manifest(folder, files)


def _write_manifest(folder: Path, names: Iterable[str]) -> None:
    replace_file(folder / MANIFEST, ["".join(f"{name}\n" for name in sorted(names)).encode()])
