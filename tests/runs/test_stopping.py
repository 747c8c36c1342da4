import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import scratchformer
from scratchformer.runs import StopSignals

ALONE = f"""import sys, types
package = sys.modules["scratchformer.runs"] = types.ModuleType("scratchformer.runs")
package.__path__ = [{str(Path(scratchformer.__file__).parent / "runs")!r}]
from scratchformer.runs.stopping import Stopped, StopSignals, run_script
"""
"""How a program of this file begins: with the module that it is about, without all else that its room imports."""


@pytest.fixture(autouse=True)
def hangups_are_not_ignored() -> Iterator[None]:
    """As they are where the tests run under nohup; child processes inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_and_the_handlers_come_back(number: signal.Signals, capfd: pytest.CaptureFixture) -> None:
    before = signal.getsignal(number)
    with StopSignals() as stop:
        assert stop.received is None
        os.kill(os.getpid(), number)
        assert stop.received == number
    assert signal.getsignal(number) is (signal.SIG_IGN if number == signal.SIGHUP else before)
    signal.signal(number, before)
    assert "stopping at the end of this step; Ctrl-C stops at once" in capfd.readouterr().err


def test_a_second_ctrl_c_stops_at_once() -> None:
    with StopSignals():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    with StopSignals() as stop:  # but a scheduler that asks twice is patient
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.received == signal.SIGTERM


def test_what_the_process_was_started_to_ignore_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_can_use_it_without_handlers() -> None:
    seen = []

    def work() -> None:
        with StopSignals() as stop:
            seen.append(stop.received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("raise KeyboardInterrupt", 130, ""),
        (
            "raise OSError('metrics.csv cannot be written: No space left on device')",
            1,
            "run.py: error: metrics.csv cann",
        ),
        ("raise MemoryError('Unable to allocate 1 TiB')", 1, "run.py: error: Unable to allocate 1 TiB"),
        ("raise FloatingPointError('generate: the model gave NaN')", 1, "run.py: error: generate: the model gave NaN"),
        ("raise SystemExit(7)", 7, ""),
        ("print('done')", 0, ""),
    ],
)
def test_a_script_ends_with_the_status_that_shells_expect(body: str, status: int, said: str) -> None:
    result = script(body)
    assert result.returncode == status
    assert result.stderr.startswith(said)
    assert "Traceback" not in result.stderr
    assert said or result.stderr == ""


def script(body: str, before: str = "", **options: object) -> subprocess.CompletedProcess[str]:
    program = f"{before}\n{ALONE}"
    program += f"def main(arguments):\n    {body}\nrun_script(main, 'run.py')"
    options = {"capture_output": True} | options
    return subprocess.run([sys.executable, "-c", program], text=True, check=False, **options)


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    result = script("raise RuntimeError('a mistake')")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "ascii:surrogateescape", "utf-8", "utf-16"])
def test_what_a_terminal_cannot_show_is_replaced(encoding: str) -> None:
    text = "caf\u00e9 \u4f60 \U0001fae0 \udc80"
    result = script(
        f"print({text!a})", env=os.environ | {"PYTHONIOENCODING": encoding}, encoding=encoding.split(":")[0]
    )
    shown = "".join(c if c.isascii() or can_encode(c, encoding.split(":")[0]) else "?" for c in text)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{shown}\n", "")


def can_encode(character: str, encoding: str) -> bool:
    return character.encode(encoding, "ignore") != "".encode(encoding)


def test_closed_streams_and_stand_ins_serve() -> None:
    stand_in = "class Writes:\n    def write(self, text): ...\n    def flush(self): ...\nimport sys; "
    for streams in ("None", "Writes()"):
        result = script("print('\u4f60')", before=f"{stand_in}sys.stdout = sys.stderr = {streams}")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("count", [1, 100_000])
def test_a_closed_pipe_is_no_error_to_speak_of(count: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as closed:
        result = script(f"print('x' * {count})", capture_output=False, stdout=closed, stderr=subprocess.PIPE)
    assert result.returncode == 141
    assert result.stderr == ""


def test_a_run_that_was_stopped_says_how_it_goes_on(tmp_path: Path) -> None:
    body = "raise Stopped(signal.SIGTERM, Path('my run'), 'step 7 of 12')"
    result = script(body, cwd=tmp_path, before="import signal; from pathlib import Path")
    assert result.returncode == 143
    first, command = result.stderr.splitlines()
    assert first == "SIGTERM stopped the run after step 7 of 12; it goes on with"
    assert command == f"  {sys.executable} -c --resume 'my run'"


@pytest.mark.parametrize(("file", "name"), [("study.py", "study"), ("study/__main__.py", "study")])
def test_a_module_that_was_stopped_goes_on_as_one(file: str, name: str, tmp_path: Path) -> None:
    program = f"import signal; from pathlib import Path\n{ALONE}"
    program += "def main(arguments):\n    raise Stopped(signal.SIGINT, Path('run'), '1 of 2 runs')\n"
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(program + "run_script(main, 'study')")
    command = [sys.executable, "-m", name]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 130
    assert result.stderr.splitlines() == [
        "SIGINT stopped the run after 1 of 2 runs; it goes on with",
        f"  {sys.executable} -m study --resume run",
    ]


def test_the_installed_command_goes_on_as_the_module(tmp_path: Path) -> None:
    program = f"import signal; from pathlib import Path\n{ALONE}"
    program += "def main(arguments):\n    raise Stopped(signal.SIGINT, Path('run'), '1 of 2 steps')\n"
    (tmp_path / "scratchformer").write_text(program + "run_script(main, 'study', ['train'])")
    command = [sys.executable, "scratchformer", "train"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.stderr.splitlines()[-1] == f"  {sys.executable} -m scratchformer train --resume run"


def test_a_terminal_that_was_closed_is_no_longer_written_to() -> None:
    """The hangup comes with every write to the terminal failing; the run must be saved all the same."""
    master, slave = os.openpty()
    program = "import os, sys, time\nfrom scratchformer.runs import StopSignals\n"
    program += "with StopSignals() as stop:\n    print('ready', flush=True)\n"
    program += "    while not stop.received: time.sleep(0.01)\n"
    program += "print('gone', flush=True)\nprint('gone', file=sys.stderr, flush=True)\nos._exit(5)"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    assert b"ready" in os.read(master, 100)
    os.close(master)
    process.send_signal(signal.SIGHUP)  # this is not its controlling terminal, which would send it
    assert process.wait(timeout=30) == 5


@pytest.mark.parametrize("closed", ["1", "2"])
def test_output_that_a_shell_closed_is_no_error(closed: str) -> None:
    body = "import sys; sys.stdout.write('x'); sys.stderr.write('y'); sys.stdout.flush()"
    program = f"{ALONE}def main(arguments):\n    {body}\nrun_script(main, 'run.py')"
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}>&-', sys.executable, program]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
