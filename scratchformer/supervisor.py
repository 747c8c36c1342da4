"""Watches one of several ranks from a process of its own, and says why the job ended.

A launcher of MPI kills all ranks as soon as one has died, and no handler of theirs runs. This process is in a session
of its own, which the launcher does not know. So it lives long enough to say one line.

Every rank has a supervisor. Once the ranks have joined, the other supervisors tell that of rank 0 what happens, and it
says the line. Before that they cannot reach each other: they leave notes in a folder, and the first one to see that
something is wrong says the line.

It imports nothing but the standard library, because a rank waits for it.
"""

import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PATIENCE = 0.12
"""Seconds in which other ranks may report a better cause than the first."""
LAST_PATIENCE = 6.0
"""Seconds after which a rank that is left over is killed."""
CONNECT_SECONDS = 3.0
LAUNCHERS = "mpiexec", "mpiexec.hydra", "mpirun", "orterun", "prterun", "srun"


class Supervisor:
    """Watches the rank that started it, which writes a line of JSON to its standard input for everything that happens.

    Args:
        rank, num_ranks: of the watched process, as its launcher says.
        program: what messages call the program.
        join_seconds: how long ranks may take to join.
        pid: of the watched process.
        listener: descriptor of a socket on which rank 0 hears of the others; None for other ranks.
    """

    def __init__(
        self, rank: int, num_ranks: int, program: str, join_seconds: float, pid: int, listener: int | None
    ) -> None:
        self.rank, self.num_ranks, self.program, self.pid = rank, num_ranks, program, pid
        self.join_seconds, self.join_by = join_seconds, time.monotonic() + join_seconds
        self.has_joined = self.is_done = self.has_ended = self.has_said = False
        self.command = ""  # that resumes the run
        self.uplink: socket.socket | None = None  # to the supervisor of rank 0
        self.first: float | None = None  # when the first rank failed
        self.causes: dict[int, str | None] = {}  # of ranks that ended: "done", what failed, or None if they did not say
        self.meeting = Path(tempfile.gettempdir(), f"scratchformer-{os.getuid()}-{_parent_of(pid)}")
        self.stderr_of_launcher = _stderr_of(_launcher_of(pid))
        self.selector = selectors.DefaultSelector()
        self.selector.register(0, selectors.EVENT_READ, (rank, bytearray()))
        if listener is not None:
            self.listener = socket.socket(fileno=listener)
            self.selector.register(self.listener, selectors.EVENT_READ, None)

    def run(self) -> None:
        """Watches until the rank has ended and, if a rank has failed, the line is said."""
        with suppress(OSError):
            self.meeting.mkdir(mode=0o700, exist_ok=True)
            (self.meeting / str(self.rank)).touch()
        while not self._is_over():
            for key, _ in self.selector.select(0.02 if self.first else 0.25):
                if key.data is None:
                    connection, _ = self.listener.accept()
                    self.selector.register(connection, selectors.EVENT_READ, (-1, bytearray()))
                else:
                    self._read(key)
            self._look_at_the_clock()
        self._clean_up()

    def _clean_up(self) -> None:
        """Removes the folder in which the ranks of one machine meet, once all have read what they need."""
        with suppress(OSError):
            (self.meeting / str(self.rank)).unlink(missing_ok=True)
            if self.has_said:
                for descriptor in (0, 1, 2, self.stderr_of_launcher):
                    if descriptor is not None:
                        os.close(descriptor)  # whoever reads them need not wait
                time.sleep(1.0)
                for path in self.meeting.iterdir():
                    path.unlink(missing_ok=True)
            self.meeting.rmdir()

    def _is_over(self) -> bool:
        return self.has_ended and (self.first is None or self.has_said)

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        if self.first is not None and not self.has_said and now > self.first + PATIENCE:
            self._say()
        if self.first is not None and not self.has_ended and now > self.first + LAST_PATIENCE:
            self._kill()
        if not self.has_joined and not self.has_ended and self.first is None and now > self.join_by:
            self._note(self.rank, self._who_is_missing())
            self._say()
            self._kill()

    def _kill(self) -> None:
        with suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)

    def _read(self, key: selectors.SelectorKey) -> None:
        """Reads what this rank, or the supervisor of another one, has written. The end of its stream ends the rank."""
        rank, buffer = key.data  # the rank is -1 until it is known
        try:
            data = os.read(key.fd, 65536)
        except OSError:
            data = b""
        buffer += data
        while b"\n" in buffer:
            line, _, rest = bytes(buffer).partition(b"\n")
            buffer[:] = rest
            rank = self._take(json.loads(line), rank)
        if data:
            self.selector.modify(key.fileobj, selectors.EVENT_READ, (rank, buffer))
            return
        self.selector.unregister(key.fileobj)
        if rank >= 0 and not (self.is_done if rank == self.rank else self.causes.get(rank) == "done"):
            self._note(rank, None)
        if rank == self.rank:
            self.has_ended = True

    def _take(self, message: dict[str, Any], rank: int) -> int:
        """Takes note of one message; returns the rank that it is about. The first of another supervisor names that."""
        rank = int(message.get("rank", rank))
        if "joined" in message:
            self.has_joined = True
            if self.rank != 0:
                self._connect(*message["joined"])
        if "program" in message:
            self.program = message["program"]
        if "command" in message:
            self.command = message["command"]
        if "failed" in message:
            self._note(rank, message["failed"])
        if "done" in message:
            if rank == self.rank:
                self.is_done = True
                self._tell({"rank": rank, "done": True})
            else:
                self.causes.setdefault(rank, "done")
        return rank

    def _connect(self, host: str, port: int) -> None:
        with suppress(OSError):
            self.uplink = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
            self._tell({"rank": self.rank})

    def _tell(self, message: dict[str, Any]) -> None:
        if self.uplink is not None:
            with suppress(OSError):
                self.uplink.sendall(json.dumps(message).encode() + b"\n")

    def _note(self, rank: int, cause: str | None) -> None:
        """Notes that a rank has failed, and passes it on. The cause is None if it has ended without a word."""
        if rank in self.causes:
            return
        self.causes[rank] = cause
        if not self.has_joined:  # others cannot hear of it, but they can read
            with suppress(OSError):
                (self.meeting / f"{time.monotonic():020.6f}.ended").write_text(json.dumps([rank, cause]))
        if self.uplink is not None:
            if cause is not None:
                self._tell({"rank": rank, "failed": cause})
            else:
                self.uplink.close()  # which the supervisor of rank 0 understands
            self.has_said = True
        self.first = self.first or time.monotonic()

    def _say(self) -> None:
        """Says the line, unless another supervisor was faster."""
        self.has_said = True
        if self.rank != 0 or not self.has_joined:
            try:
                os.close(os.open(self.meeting / "said", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
            except OSError:
                pass
            with suppress(OSError, ValueError):
                noted = [json.loads(path.read_text()) for path in sorted(self.meeting.glob("*.ended"))]
                self.causes = dict(noted) or self.causes
        failed = {rank: cause for rank, cause in self.causes.items() if cause not in (None, "done")}
        ended = [rank for rank, cause in self.causes.items() if cause is None]
        if failed:
            rank, cause = next(iter(failed.items()))
        elif ended:
            rank, cause = ended[0], "it was killed, or ended without a word"
        else:
            return
        goes_on = f"; the run goes on with\n  {self.command}" if self.command else ""
        line = f"{self.program}: rank {rank} of {self.num_ranks} ended the job: {cause}{goes_on}\n".encode()
        try:
            os.write(2, line)
        except OSError:  # the launcher no longer passes it on
            if self.stderr_of_launcher is not None:
                with suppress(OSError):
                    os.write(self.stderr_of_launcher, line)

    def _who_is_missing(self) -> str:
        with suppress(OSError):
            come = {int(path.name) for path in self.meeting.iterdir() if path.name.isdigit()}
            missing = sorted(set(range(self.num_ranks)) - come)
            if missing:
                on_others = "" if os.environ.get("MPI_LOCALNRANKS") == str(self.num_ranks) else ", or is elsewhere"
                named = ", ".join(map(str, missing))
                return f"rank {named} has not come within {self.join_seconds:g} s{on_others} (--join-timeout)"
        return f"the ranks did not find each other within {self.join_seconds:g} s (--join-timeout)"


def _parent_of(pid: int) -> int:
    """The process that started another, as Linux tells it; 0 where that is unknown."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _launcher_of(pid: int) -> int:
    """The process on this machine that has started all ranks; 0 where it is elsewhere or unknown."""
    while pid := _parent_of(pid):
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() in LAUNCHERS:
                return pid
    return 0


def _stderr_of(pid: int) -> int | None:
    """A descriptor of the same file as the standard error of another process; None where it cannot be had."""
    with suppress(OSError):
        return os.open(f"/proc/{pid}/fd/2", os.O_WRONLY | os.O_NOCTTY | os.O_APPEND)
    return None


if __name__ == "__main__":
    Supervisor(*json.loads(sys.argv[1])).run()
