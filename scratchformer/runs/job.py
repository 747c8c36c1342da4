"""The processes of one program: one, or the ranks that a launcher of MPI has started, which begin and end together."""

import io
import json
import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from threadpoolctl import threadpool_info

from scratchformer.launched import Watched, options_of_ranks, watched
from scratchformer.python_numbers import as_python
from scratchformer.training.descriptions import describe_versions, first_difference
from scratchformer.training.world import World

ResultT = TypeVar("ResultT")

LEAVE_SECONDS = 1.0
"""A rank that fails waits so long for the others, which may fail alike. Those that have not ended then are killed."""

_world = World()
_supervisor: Watched | None = None
_command: list[str] = []


def current_world() -> World:
    """The ranks of this program; one alone, unless a launcher of MPI has started it."""
    return _world


@contextmanager
def job(program: str, arguments: Sequence[str], command: Sequence[str]) -> Iterator[None]:
    """Joins this process with the other ranks, if a launcher of MPI has started it, for as long as the `with` block.

    Only the first rank prints. When one rank fails, all end, and a supervisor says which one and why. Without a
    launcher nothing changes.

    Args:
        program: its name in messages.
        arguments: of the program, as typed; `--stall-timeout` is read from them.
        command: starts the program; its options are left out.
    """
    global _world, _supervisor, _command
    _command = list(command)
    _supervisor = watched()
    if _supervisor is None:
        yield
        return
    _supervisor.tell(program=program)
    world = _joined(program, _supervisor, options_of_ranks(arguments).stall_timeout)
    _world, own_stderr = world, sys.stderr
    _supervisor.tell(joined=world.collect(_supervisor.address)[0])
    if world.rank != 0:
        sys.stdout, sys.stderr = open(os.devnull, "w"), io.StringIO()  # noqa: SIM115 until the program ends
    else:
        sys.stderr = _Kept(own_stderr)
    cause, status = "", 0
    try:
        yield
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        cause = (
            _last_line(sys.stderr.getvalue()).removeprefix(f"{program}: error: ") or f"it ended with status {status}"
        )
    except BaseException as error:
        status, cause = 1, f"{type(error).__name__}: {error}"
        traceback.print_exception(error, file=own_stderr)
    if not world.leave(LEAVE_SECONDS if status else None):  # this rank fails, and the others go on
        _supervisor.tell(failed=cause)
        time.sleep(LEAVE_SECONDS / 2)  # for the supervisors to pass it on
        world.abort(status)
    if world.collect(status)[0] == 0 and status:
        _supervisor.tell(failed=cause)
    _supervisor.tell(done=True)
    sys.exit(status)


def resuming(folder: Path) -> str:
    """The command that resumes the run in a folder, with as many ranks."""
    launcher = [] if _supervisor is None else ["mpiexec", "-n", str(_world.num_ranks)]
    return shlex.join([*launcher, *_command, "--resume", str(folder)])


def keep_for_resuming(folder: Path) -> None:
    """Keeps the command that resumes the run, for the line that says why the job ended."""
    if _supervisor is not None:
        _supervisor.tell(command=resuming(folder))


def on_first_rank(work: Callable[[], ResultT]) -> ResultT:
    """Calls `work` on the first rank alone; returns its result, or raises its ValueError, on all ranks."""
    result, error = None, None
    if _world.rank == 0:
        try:
            result = work()
        except ValueError as failure:
            error = str(failure)
    result, error = _world.collect((result, error))[0]
    if error is not None:
        raise ValueError(error)
    return cast(ResultT, result)


def check_same_everywhere(depends_on: Mapping[str, object]) -> None:
    """Raises ValueError if a rank has other options, another text or other versions than the first one.

    Warns if its BLAS has kernels for another processor than that of the first: the last digits may then differ.
    """
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    kernels = ", ".join(sorted({library.get("architecture", "any processor") for library in blas}))
    mine = {"versions": describe_versions(), **depends_on}
    first, *others = _world.collect((json.loads(json.dumps(as_python(mine))), kernels))
    for rank, (described, found) in enumerate(others, start=1):
        if difference := first_difference(first[0], described):
            differing = difference.replace(" now and was ", f" on rank {rank} and ").replace(" then", " on rank 0")
            raise ValueError(f"ranks must be started with the same options, but {differing}")
        if found != first[1]:
            note = f"note: rank {rank} has BLAS for {found}, rank 0 for {first[1]}; the last digits depend on it"
            print(note, file=sys.stderr)


def _joined(program: str, watched: Watched, stall_seconds: float) -> Any:
    """The world of all ranks. If MPI does not find them, the first rank says why, and all end."""
    num_ranks = watched.num_ranks
    try:
        from scratchformer.training.mpi_world import MPIWorld

        world = MPIWorld(stall_seconds)
        found = f"mpi4py, of another MPI than the launcher, finds {world.num_ranks}"
        is_found = world.num_ranks == num_ranks
    except (ImportError, RuntimeError) as error:
        found, is_found = f"MPI cannot be loaded ({error}); pip install -e '.[mpi]' brings it", False
    if is_found:
        return world
    watched.tell(done=True)
    if watched.rank == 0:
        print(f"{program}: error: {num_ranks} ranks were started, but {found}", file=sys.stderr)
    else:
        time.sleep(LEAVE_SECONDS)  # the launcher ends the others as soon as one has ended
    sys.exit(2)


class _Kept(io.TextIOBase):
    """A stream that passes everything on, and keeps its end."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._end = stream, ""

    def write(self, text: str) -> int:
        self._end = (self._end + text)[-2000:]
        return int(self._stream.write(text))

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return bool(self._stream.isatty())

    def getvalue(self) -> str:
        return self._end


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2].strip()
