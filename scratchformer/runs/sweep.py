"""Many runs of one script, several at a time, each in a process of its own."""

import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from scratchformer.runs.folder import RunFolder
from scratchformer.runs.stopping import Stopped, StopSignals, shortest
from scratchformer.runs.summary import read_summary, results_of
from scratchformer.runs.training_run import DIVERGED


def run_sweep(folder: RunFolder, script: Path, runs: Mapping[str, Sequence[str]], *, at_once: int) -> None:
    """Runs a script once for each name, with its arguments, into the folder of that name inside the sweep's.

    A run that has ended is not repeated, and one that was interrupted is resumed. So a sweep that is called again goes
    on where it stopped. A run that diverged counts as ended; its diverged.txt says why.

    Ctrl-C, SIGTERM and a closed terminal stop the sweep as soon as each run has saved. A second Ctrl-C kills the runs;
    they are resumed from their last checkpoints.

    Args:
        folder: of the sweep.
        script: an experiment that takes `--out`, `--resume` and signals, and writes summary.json at its end.
        runs: arguments by name; slashes in a name make folders.
        at_once: how many processes run at a time.

    Raises:
        Stopped: after a signal.
        ChildProcessError: a run that failed, with the last line that it printed; the others have saved.
    """
    waiting = [name for name in runs if not has_ended(folder.path / name)]
    num_ended = len(runs) - len(waiting)
    running: list[_Run] = []
    with StopSignals() as stop:
        try:
            while running or (waiting and stop.received is None):
                while waiting and len(running) < at_once and stop.received is None:
                    name = waiting.pop(0)
                    running.append(_Run(name, folder.path / name, script, runs[name]))
                if stop.received is not None:
                    for run in running:
                        run.stop()
                for run in [run for run in running if run.process.poll() is not None]:
                    running.remove(run)
                    if ending := run.ending():
                        num_ended += 1
                        print(f"{run.name}: {ending} ({num_ended} of {len(runs)})", flush=True)
                time.sleep(0.02)
        except KeyboardInterrupt:
            for run in running:
                run.process.kill()
            raise
        finally:
            for run in running:
                run.stop()
                run.wait()
    if stop.received is not None and num_ended < len(runs):
        raise Stopped(stop.received, folder.path, f"{num_ended} of {len(runs)} runs")


def has_ended(path: Path) -> bool:
    """Whether the run in a folder is done or has diverged."""
    return (path / "summary.json").exists() or has_diverged(path)


def has_diverged(path: Path) -> bool:
    """Whether the run in a folder stopped because its loss was no longer finite."""
    return (path / DIVERGED).exists() and not (path / "summary.json").exists()


class _Run:
    """A run in a process of its own, and in a session of its own: else Ctrl-C in the terminal would reach it twice."""

    def __init__(self, name: str, path: Path, script: Path, arguments: Sequence[str]) -> None:
        self.name, self.path = name, path
        self.is_stopping = False
        place = ["--resume" if (path / "config.json").exists() else "--out", str(path)]
        print(shlex.join([shortest(sys.executable), shortest(str(script)), *arguments, *place]), flush=True)
        command = [sys.executable, str(script), *arguments, *place]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 for as long as the process runs
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=self._said, start_new_session=True)

    def stop(self) -> None:
        """Asks the run, once, to save and to end. One that has ended may still draw its figures."""
        if not self.is_stopping and not has_ended(self.path):
            self.process.terminate()
        self.is_stopping = True

    def wait(self) -> tuple[int, str]:
        """Waits for the end of the process; returns its exit status and what it printed on stderr."""
        status = self.process.wait()
        with self._said:
            self._said.seek(0)
            return status, self._said.read().decode(errors="replace").strip()

    def ending(self) -> str | None:
        """What a run that ended reached; None if it was stopped. Raises ChildProcessError if it failed."""
        status, said = self.wait()
        if status == 0:
            results = results_of(read_summary(self.path / "summary.json"))
            return ", ".join(f"{result.metric} {result.achieved:.5g}" for result in results)
        if has_diverged(self.path):
            return "diverged"
        if self.is_stopping and status in (-signal.SIGTERM, 128 + signal.SIGTERM):
            return None
        last_line = said.rpartition("\n")[2].strip()
        raise ChildProcessError(
            f"the run in {self.path} ended with status {status}: {last_line}; the sweep goes on with --resume"
        )
