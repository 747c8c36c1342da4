"""Calls a function in a fresh process: both calls and answers are pickled, and go through stdin and stdout."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Failure(Exception):
    """A process failed, or the two sides do not compute the same. The message is one sentence."""


ROOT = Path(__file__).parents[2]


def ask(call: Callable[[], T], what: str, root: Path = ROOT) -> T:
    """What a call returns in a fresh process.

    Args:
        call: a `functools.partial` of a function that a module defines.
        what: the process does, for the message of a failure.
        root: the folder that the packages are imported from.

    Raises Failure where the process fails, with the last line of its stderr.
    """
    command = [sys.executable, "-m", "experiments.speed.fresh_process"]
    done = subprocess.run(command, input=pickle.dumps(call), cwd=root, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
        raise Failure(f"the process that was to {what} failed: {said[-1]}")
    return pickle.loads(done.stdout)


if __name__ == "__main__" and __spec__ is None:
    sys.exit("fresh_process.py is no script; run python -m experiments.speed")
elif __name__ == "__main__":  # as `ask` starts it
    sys.stdout.buffer.write(pickle.dumps(pickle.load(sys.stdin.buffer)()))
