"""Calls a function in ranks that a launcher of MPI starts: calls and answers are pickled, into files."""

import sys

if __name__ == "__main__" and __spec__ is None:
    sys.exit("ranks.py is no script; run python -m experiments.scaling_out")

import scratchformer.program  # noqa: F401  starts the supervisor of a rank before all else

import os
import pickle
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar, get_args

from experiments.speed.fresh_process import ROOT, Failure
from scratchformer.runs import run_script
from scratchformer.runs.job import current_world
from scratchformer.training.world import World

T = TypeVar("T")
Way = Literal["shared memory", "TCP"]
"""How ranks of one machine send messages."""
WAYS: tuple[Way, ...] = get_args(Way)
OF_MPICH = {"MPIR_CVAR_NOLOCAL": "1", "UCX_TLS": "tcp,self", "FI_PROVIDER": "tcp"}
OF_OPEN_MPI = {"OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "tcp,self"}
BY_TCP = OF_MPICH | OF_OPEN_MPI
"""Variables that make them send messages within a machine as they do between two."""
PROG = "ranks.py"


def ask_ranks(call: Callable[[World], T], ranks: int, launcher: str, what: str, way: Way = "shared memory") -> T:
    """What a call returns on the first of several ranks; without a launcher where there is one.

    Args:
        call: a `functools.partial` of a function that a module defines; its last argument is the world.
        ranks: their number.
        launcher: the program that starts them.
        what: the ranks do, for the message of a failure.
        way: of their messages.

    Raises Failure where a rank fails, with the reason.
    """
    with TemporaryDirectory() as folder:
        Path(folder, "call").write_bytes(pickle.dumps(call))
        command = [launcher, "-n", str(ranks)] if ranks > 1 else []
        command += [sys.executable, "-m", "experiments.scaling_out.ranks", folder]
        environment = os.environ | (BY_TCP if way == "TCP" else {})
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if done.returncode or not Path(folder, "answer").exists():
            raise Failure(f"{ranks} ranks that were to {what} failed: {reason(done)}")
        return pickle.loads(Path(folder, "answer").read_bytes())


def reason(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a job has said of its end: the line of the rank that ended it, or the last."""
    said = [line.strip() for line in (done.stdout + done.stderr).decode(errors="replace").splitlines() if line.strip()]
    named = [line for line in said if " ended the job: " in line or line.startswith(f"{PROG}: error: ")]
    return [f"status {done.returncode}", *said, *named][-1]


def main(arguments: Sequence[str]) -> None:
    (folder,) = arguments
    world = current_world()
    answer = pickle.loads(Path(folder, "call").read_bytes())(world)
    if world.rank == 0:
        Path(folder, "answer").write_bytes(pickle.dumps(answer))


if __name__ == "__main__":
    run_script(main, PROG)
