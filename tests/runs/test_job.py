"""Ranks that begin and end together, without MPI: what their supervisors say, and what they agree on."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scratchformer import supervisor
from scratchformer.runs import job
from scratchformer.training.world import World, threads_as_ranks

COMMAND = "mpiexec -n 2 python train.py --resume runs/a"


@pytest.fixture
def watched() -> Iterator[subprocess.Popen]:
    """A process that stands for a rank."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def said(watched: subprocess.Popen, *messages: dict, rank: int = 0, join_seconds: float = 60) -> str:
    """What a supervisor says of a rank that writes these messages and then ends."""
    about = json.dumps([rank, 2, "train.py", join_seconds, watched.pid, None])
    command = [sys.executable, "-I", "-S", supervisor.__file__, about]
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if join_seconds < 1:
        watched.wait(10)
    return process.communicate(lines, timeout=10)[1]


def test_a_supervisor_says_the_cause_and_the_command_that_goes_on(watched: subprocess.Popen) -> None:
    messages = {"joined": ["", 0]}, {"command": COMMAND}, {"failed": "OSError: the disk is full"}
    expected = "train.py: rank 0 of 2 ended the job: OSError: the disk is full; the run goes on with\n  "
    assert said(watched, *messages) == f"{expected}{COMMAND}\n"


def test_a_supervisor_notices_that_its_rank_was_killed(watched: subprocess.Popen) -> None:
    expected = "train.py: rank 0 of 2 ended the job: it was killed, or ended without a word\n"
    assert said(watched, {"joined": ["", 0]}) == expected
    assert said(watched, {"joined": ["", 0]}, {"done": True}) == ""
    assert said(watched).startswith(f"{expected[:-1]} before it had joined the others; if mpi4py has found another MPI")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, to know which ranks one launcher has started")
def test_a_supervisor_names_the_rank_that_does_not_come_and_ends_its_own(watched: subprocess.Popen) -> None:
    line = said(watched, rank=1, join_seconds=0.2)
    assert line.startswith("train.py: rank 1 of 2 ended the job: rank 0 has not come within 0.2 s")
    assert watched.returncode == -9


def test_supervisors_end_their_ranks_where_a_launcher_leaves_them(watched: subprocess.Popen) -> None:
    with socket.create_server(("127.0.0.1", 0)) as of_first:
        about = [1, 2, "train.py", 60, watched.pid, None]
        code = f"import supervisor; supervisor.LAST_PATIENCE = 0.2; supervisor.Supervisor(*{about}).run()"
        path = f"import sys; sys.path.insert(0, {str(Path(supervisor.__file__).parent)!r}); "
        process = subprocess.Popen([sys.executable, "-I", "-S", "-c", path + code], stdin=subprocess.PIPE, text=True)
        assert process.stdin is not None
        print(json.dumps({"joined": of_first.getsockname()}), file=process.stdin, flush=True)
        with of_first.accept()[0] as connection:
            assert connection.recv(100) == b'{"rank": 1}\n'
            assert watched.poll() is None
    assert watched.wait(10) == -9, "the other supervisor hung up"
    process.communicate(timeout=10)


def test_the_supervisor_of_the_first_rank_says_the_line_and_hangs_up(watched: subprocess.Popen) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        about = json.dumps([0, 2, "train.py", 60, watched.pid, listener.fileno()])
        command = [sys.executable, "-I", "-S", supervisor.__file__, about]
        pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, text=True, pass_fds=[listener.fileno()], **pipes)
        with socket.create_connection(listener.getsockname(), timeout=10) as other:
            assert process.stdin is not None
            print(json.dumps({"joined": ["", 0]}), file=process.stdin, flush=True)
            other.sendall(b'{"rank": 1, "failed": "OSError: the disk is full"}\n')
            assert other.recv(1) == b""
    said = "train.py: rank 1 of 2 ended the job: OSError: the disk is full\n"
    assert process.communicate(timeout=10)[1] == said


def in_ranks(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setattr(job, "_world", world)


def test_work_of_the_first_rank_and_its_errors_reach_all(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = World(), World()
    second.rank = 1
    told: list = []
    for world in (first, second):
        world.collect = lambda value: [told[0]] if told else [told.append(value) or value]  # type: ignore[method-assign]
        in_ranks(monkeypatch, world)
        assert job.on_first_rank(lambda: 5) == 5

    def fails() -> None:
        raise ValueError("the folder is in use")

    told.clear()
    for world in (first, second):
        in_ranks(monkeypatch, world)
        with pytest.raises(ValueError, match="the folder is in use"):
            job.on_first_rank(fails)


def test_ranks_with_other_options_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    of_first = {"options": {"width": 64}}
    descriptions = threads_as_ranks(2, lambda world: world.collect({"options": {"width": 64 - 32 * world.rank}}))[0]
    assert descriptions[0] == of_first
    world = World()
    world.collect = lambda value: [value, ({**value[0], **descriptions[1]}, value[1])]  # type: ignore[method-assign]
    in_ranks(monkeypatch, world)
    message = "^ranks must be started with the same options, but options.width is 32 on rank 1 and 64 on rank 0$"
    with pytest.raises(ValueError, match=message):
        job.check_same_everywhere(of_first)
