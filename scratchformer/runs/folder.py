"""The folder of a run: begun or reopened, written to, and read by other programs."""

import json
import os
import platform
import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy import ndarray

import scratchformer
from scratchformer.arguments import checked_arguments
from scratchformer.layers import Layer
from scratchformer.python_numbers import as_python
from scratchformer.reading import as_word
from scratchformer.replacing import PARTIAL, replace_file
from scratchformer.runs.files import Position, Table, UnwrittenTable, as_utf8, read_json
from scratchformer.runs.stored_options import ConfigT, UnfitConfig, config_from_json, places_of
from scratchformer.training import (
    Checkpoint,
    as_safetensors,
    first_difference,
    load,
    read_checkpoint,
    trained_checkpoint,
    write_checkpoint,
)


@runtime_checkable
class FolderOptions(Protocol):
    """The option that says where a run is kept. A program that can resume a run has the option `resume`, too."""

    @property
    def out(self) -> Path | None: ...


@checked_arguments
class RunFolder:
    """The folder of one run, with all that is needed to redraw it, to repeat it and to resume it.

    Until it is closed, or the process ends, no other process can use the folder for a run.

    Args:
        path: a new or empty folder. None for the first free one of runs/NAME-001, runs/NAME-002, ...
        name: of the experiment.

    Raises ValueError when the path is not an empty folder, cannot be made, or is in use.
    """

    def __init__(self, path: Path | None, name: str) -> None:
        if "\0" in f"{path}{name}":
            raise ValueError("RunFolder: path and name must be names of folders, got one with a zero byte")
        try:
            self.path = _make_numbered(Path("runs"), name) if path is None else path
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock()
            self._remove_partial_files()
            if any(self.path.iterdir()):
                raise ValueError(f"run folder {self.path} is not empty; choose another, nothing was overwritten")
        except OSError as error:
            raise ValueError(f"run folder {error.filename} cannot be made: {_reason(error)}") from None

    @classmethod
    @checked_arguments
    def open(cls, path: Path) -> "RunFolder":
        """Opens the folder of an earlier run, with a note on stderr where the environment has changed since then.

        Raises ValueError when there is no run in it, or it is in use.
        """
        if not (path / "config.json").is_file():
            raise ValueError(f"{path} is no run folder: it holds no config.json")
        folder = cls.__new__(cls)
        folder.path = path
        folder._lock()
        folder._remove_partial_files()
        config = folder.read_json("config")
        if not isinstance(config, dict):
            raise ValueError(f"{path} is not a run folder of this program: its config.json holds no settings by name")
        if difference := first_difference(config.get("environment"), describe_environment(), "environment"):
            print(f"note: {difference}; the run goes on, but its last digits may differ", file=sys.stderr)
        return folder

    def _lock(self) -> None:
        """Locks the folder, where system and file system can. The lock ends with the process at the latest."""
        self._unlock: Callable[[], object] = lambda: None
        if sys.platform == "win32":
            return
        import fcntl

        descriptor = os.open(self.path, os.O_RDONLY)
        self._unlock = weakref.finalize(self, os.close, descriptor)
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"run folder {self.path} is in use by another run") from None

    def _remove_partial_files(self) -> None:
        """Removes what a killed process left. Nobody else writes into the folder: it is locked."""
        for partial in self.path.glob(f".*{PARTIAL}"):
            with suppress(OSError):
                partial.unlink()

    def close(self) -> None:
        """Unlocks the folder."""
        self._unlock()

    @checked_arguments
    def write_json(self, name: str, content: object) -> None:
        """Writes NAME.json, indented, UTF-8."""
        try:
            text = json.dumps(as_python(content), indent=2, ensure_ascii=False, default=os.fspath, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise type(error)(f"RunFolder: content of {name}.json holds what JSON cannot: {error}") from None
        self.write_text(f"{name}.json", text + "\n")

    @checked_arguments
    def write_text(self, name: str, text: str) -> None:
        """Writes a UTF-8 file, see `as_utf8`. It replaces an older one as a whole: no reader ever sees half of it."""
        self._write(name, as_utf8(text))

    @checked_arguments
    def write_arrays(self, name: str, arrays: Mapping[str, ndarray]) -> Path:
        """Writes NAME.safetensors and returns its path."""
        return self._write(f"{name}.safetensors", as_safetensors(arrays))

    @checked_arguments
    def write_checkpoint(self, name: str, checkpoint: Checkpoint) -> None:
        """Writes or replaces a checkpoint. Raises OSError as `write_checkpoint` does."""
        write_checkpoint(self.path / name, checkpoint)

    def _write(self, name: str, content: bytes) -> Path:
        try:
            return replace_file(self.path / name, [content])
        except OSError as error:
            raise OSError(f"{self.path / name} cannot be written: {error.strerror}") from None

    @checked_arguments
    def read_json(self, name: str) -> Any:
        """The content of NAME.json. Raises ValueError when it cannot be read."""
        return read_json(self.path / f"{name}.json")

    @checked_arguments
    def table(self, name: str, *columns: str, position: Position | None = None) -> Table:
        """Opens NAME.csv with these columns; writing goes on at `position`, if there is one."""
        return Table(self.path / f"{name}.csv", columns, position)


class FolderOfFirstRank(RunFolder):
    """The folder of a run on all ranks but the first, which alone writes: here all that is written is dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unlock = lambda: None

    def write_checkpoint(self, name: str, checkpoint: Checkpoint) -> None:
        pass

    def _write(self, name: str, content: bytes) -> Path:
        return self.path / name

    def table(self, name: str, *columns: str, position: Position | None = None) -> Table:
        return UnwrittenTable(self.path / f"{name}.csv")


@checked_arguments
def begin_run(
    options: FolderOptions,
    experiment: str,
    depends_on: Mapping[str, object],
    notes: Mapping[str, object] | None = None,
) -> RunFolder:
    """Makes the folder of a new run, with its config.json, or opens the one that `--resume` names.

    Args:
        options: with `out`, and with `resume` if the program can resume.
        experiment: its name. A run can only be resumed by the experiment that started it.
        depends_on: what determines the results, such as the options, for config.json.
        notes: what else goes into config.json. Paths and the environment are added to it.

    Raises ValueError when both `out` and `resume` are given, and as `RunFolder` and `read_run` do.
    """
    resume: Path | None = getattr(options, "resume", None)
    if resume is not None and options.out is not None:
        raise ValueError(f"--out {options.out} makes no sense beside --resume {resume}, which goes on in its folder")
    if resume is not None:
        read_run(resume, experiment=experiment)
        return RunFolder.open(resume)
    folder = RunFolder(options.out, experiment)
    write_config(folder, options, experiment, depends_on, notes or {})
    return folder


@checked_arguments
def write_config(
    folder: RunFolder,
    options: FolderOptions,
    experiment: str,
    depends_on: Mapping[str, object],
    notes: Mapping[str, object],
) -> None:
    """Writes the config.json that makes a folder one of a run; see `begin_run`."""
    added = {"experiment": experiment, "places": places_of(options), "environment": describe_environment()}
    folder.write_json("config", {**depends_on, **added, **notes})


def describe_environment() -> dict[str, str | int | None]:
    """Versions and machine, on which the last digits of a run depend."""
    return {
        "scratchformer": scratchformer.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
    }


@checked_arguments
def read_run(path: Path, *keys: str, experiment: str | None = None) -> dict[str, Any]:
    """The config.json of a run folder.

    Raises ValueError when it lacks one of the keys, or is of another experiment than `experiment`, if that is given.
    """
    config = read_json(path / "config.json")
    if isinstance(config, dict) and "experiment" in config and experiment not in (None, config["experiment"]):
        raise ValueError(f"{path} holds a run of {as_word(config['experiment'])}, not of {experiment}")
    if not isinstance(config, dict):
        raise ValueError(f"{path} is not a run folder of this program: its config.json holds no settings by name")
    for key in ("experiment", *keys):
        if key not in config:
            raise ValueError(f"{path} is not a run folder of this program: its config.json lacks {key}")
    return config


@checked_arguments
def read_options(path: Path, experiment: str) -> dict[str, Any]:
    """The options of the run in a folder, `preset` among them. Raises ValueError as `read_run` does."""
    options = read_run(path, "options", experiment=experiment)["options"]
    if not isinstance(options, dict) or not isinstance(options.get("preset"), str):
        raise ValueError(f"{path} is not a run folder of this program: its config.json holds no options with a preset")
    return options


@checked_arguments
def read_config(path: Path, experiment: str, config_type: type[ConfigT]) -> ConfigT:
    """The configuration that the run in a folder was started with. Raises ValueError as `read_run` does."""
    try:
        return config_from_json(config_type, read_run(path, "options", "places", experiment=experiment))
    except UnfitConfig as error:
        raise ValueError(f"{path} is not a run folder of this program: in its config.json {error}") from None


@checked_arguments
def load_run(path: Path) -> Layer:
    """The best model of a run folder. Raises ValueError when its checkpoint is damaged, or of another run."""
    checkpoint = read_checkpoint(trained_checkpoint(path))
    stored = checkpoint.description.get("run")
    if not isinstance(stored, dict) or stored.get("options") != read_run(path, "options")["options"]:
        raise ValueError(f"{trained_checkpoint(path)} is not of the run in its folder")
    return load(path)


def _make_numbered(parent: Path, name: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)  # not in the loop, where its errors would look like a name that is taken
    number = 1
    while os.path.lexists(path := parent / f"{name}-{number:03}") or not _is_made(path):
        number += 1
    return path


def _is_made(path: Path) -> bool:
    """Makes a folder; False if another process was faster."""
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True


def _reason(error: OSError) -> str:
    """Why a folder cannot be made. Of a link that leads nowhere, the system says only that it exists."""
    path = error.filename
    if os.path.islink(path) and not os.path.exists(path):  # unlike Path's, they do not raise for a name too long
        return f"it is a link to {os.readlink(path)}, which does not exist"
    return str(error.strerror)
