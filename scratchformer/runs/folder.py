import json
import os
import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy import ndarray
from safetensors.numpy import save

from scratchformer.runs.environment import describe_environment
from scratchformer.runs.table import Position, Table
from scratchformer.training import check_is_file, first_difference, load, read_checkpoint, trained_checkpoint


class RunFolder:
    """The folder of one run, with everything that is needed to redraw, to repeat and to resume it.

    Until it is closed, or the process ends, nobody else can use the folder for a run.

    Args:
        path: where; it must be new or empty. None for the first free one of runs/NAME-001, runs/NAME-002, ...
        name: of the experiment.

    Raises ValueError when the path exists and is not an empty folder, cannot be made, or is in use.
    """

    def __init__(self, path: Path | None, name: str) -> None:
        try:
            self.path = _make_numbered(Path("runs"), name) if path is None else path
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock()
            if any(not entry.name.endswith(".partial") for entry in self.path.iterdir()):
                raise ValueError(f"run folder {self.path} is not empty; choose another, nothing was overwritten")
        except OSError as error:
            raise ValueError(f"run folder {error.filename} cannot be made: {error.strerror}") from None

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """The folder of a run that was started before; says so if that was in another environment.

        Raises ValueError when there is none, or it is in use.
        """
        if not (path / "config.json").is_file():
            raise ValueError(f"{path} is no run folder: it holds no config.json")
        folder = cls.__new__(cls)
        folder.path = path
        folder._lock()
        stored = folder.read_json("config").get("environment")
        if difference := first_difference(stored, describe_environment(), "environment"):
            print(f"note: {difference}; the run goes on, but its last digits may differ", file=sys.stderr)
        return folder

    def _lock(self) -> None:
        """Where the system and the file system know such locks; the end of the process lifts it in any case."""
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

    def close(self) -> None:
        """Lets others use the folder."""
        self._unlock()

    def write_json(self, name: str, content: Any) -> None:
        """Writes NAME.json, indented, UTF-8."""
        text = json.dumps(content, indent=2, ensure_ascii=False, default=os.fspath, allow_nan=False)
        self.write_text(f"{name}.json", text + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Writes a UTF-8 file; one of that name is replaced at once, never half."""
        self._write(name, text.encode())

    def write_arrays(self, name: str, arrays: Mapping[str, ndarray]) -> Path:
        """Writes NAME.safetensors and returns its path."""
        return self._write(f"{name}.safetensors", save(dict(arrays)))

    def _write(self, name: str, content: bytes) -> Path:
        partial = self.path / f".{name}.partial"
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            return partial.replace(self.path / name)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise OSError(f"{self.path / name} cannot be written: {error.strerror}") from None

    def read_json(self, name: str) -> Any:
        """What NAME.json holds. Raises ValueError when it cannot be read."""
        return read_json(self.path / f"{name}.json")

    def table(self, name: str, *columns: str, position: Position | None = None) -> Table:
        """Opens NAME.csv with these columns, to go on from an earlier position if there is one."""
        return Table(self.path / f"{name}.csv", columns, position)


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises ValueError when it cannot be read."""
    try:
        check_is_file(path)
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def read_run(path: Path, *keys: str, experiment: str | None = None) -> dict[str, Any]:
    """The config.json of a run folder. Raises ValueError when it lacks one of these keys, or is of another experiment.

    Without `experiment` a run of any will do.
    """
    config = read_json(path / "config.json")
    if isinstance(config, dict) and "experiment" in config and experiment not in (None, config["experiment"]):
        raise ValueError(f"{path} holds a run of {config['experiment']}, not of {experiment}")
    if not isinstance(config, dict) or not {"experiment", *keys} <= config.keys():
        raise ValueError(f"{path} is not a run folder of this program")
    return config


def read_options(path: Path, experiment: str) -> dict[str, Any]:
    """The options of the run in a folder, its preset among them. Raises ValueError as `read_run` does."""
    options = read_run(path, "options", experiment=experiment)["options"]
    if not isinstance(options, dict) or not isinstance(options.get("preset"), str):
        raise ValueError(f"{path} is not a run folder of this program")
    return options


def load_run(path: Path) -> Any:
    """The best model of a run folder. Raises ValueError when the checkpoint is damaged, or of another run."""
    checkpoint = read_checkpoint(trained_checkpoint(path))
    stored = checkpoint.description.get("run")
    if not isinstance(stored, dict) or stored.get("options") != read_run(path, "options")["options"]:
        raise ValueError(f"{trained_checkpoint(path)} is not of the run in its folder")
    return load(path)


def _make_numbered(parent: Path, name: str) -> Path:
    number = 1
    while True:
        path = parent / f"{name}-{number:03}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return path
