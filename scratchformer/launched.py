"""A process that a launcher of MPI has started as one of several ranks, and the supervisor that watches it.

The supervisor is started before anything large is imported: from then on nobody has to guess why a job ended.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

LAUNCHERS = (("PMI_RANK", "PMI_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMIX_RANK", "SLURM_NTASKS"))
"""The variables in which launchers tell a process its rank and the number of ranks."""
SUPERVISOR = Path(__file__).with_name("supervisor.py")


@cache
def watched() -> "Watched | None":
    """This process as one of a launcher's ranks, with a supervisor, which the first call starts.

    None with `--world one`, and where no launcher has started it; there `--world mpi` makes it rank 0 of 1.
    """
    found = [(int(os.environ[a]), int(os.environ[b])) for a, b in LAUNCHERS if a in os.environ and b in os.environ]
    if not found and not any(a.startswith("--world") for a in sys.argv):
        return None
    options = options_of_ranks(sys.argv[1:])
    if options.world == "one" or not (found or options.world == "mpi"):
        return None
    return Watched(*(found or [(0, 1)])[0], options.join_timeout)


def options_of_ranks(arguments: Sequence[str]) -> argparse.Namespace:
    """`--world` and the timeouts among the arguments; the program checks them later."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--world", default="auto")
    for option, default in (("--join-timeout", 60.0), ("--stall-timeout", 600.0)):
        parser.add_argument(option, type=float, default=default)
    try:
        return parser.parse_known_args(arguments)[0]
    except argparse.ArgumentError:
        return parser.parse_args([])


class Watched:
    """This process, and the supervisor that it has started, to which it tells what happens.

    Attributes:
        rank, num_ranks: as the launcher says.
        address: where the supervisor of rank 0 listens to the supervisors of the other ranks; None on other ranks.
    """

    def __init__(self, rank: int, num_ranks: int, join_seconds: float) -> None:
        self.rank, self.num_ranks = rank, num_ranks
        self.address: tuple[str, int] | None = None
        listener = None
        if rank == 0:
            local = os.environ.get("MPI_LOCALNRANKS", os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE"))
            here = "127.0.0.1" if local == str(num_ranks) else ""
            listener = socket.create_server((here, 0))
            self.address = (here or socket.gethostname(), listener.getsockname()[1])
        program = Path(sys.argv[0]).name
        about = [rank, num_ranks, program, join_seconds, os.getpid(), None if listener is None else listener.fileno()]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", SUPERVISOR, json.dumps(about)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[] if listener is None else [listener.fileno()],
        )
        if listener is not None:
            listener.close()

    def tell(self, **message: object) -> None:
        """Tells the supervisor, for example `failed="..."`, or `done=True` before the process ends as it should."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
