"""A sweep of a stand-in for an experiment: it counts, saves where it stands when it is asked to, and goes on there."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from scratchformer.runs import RunFolder, Stopped
from scratchformer.runs.sweep import has_diverged, has_ended, run_sweep

SUMMARY = dict.fromkeys(("experiment", "question", "source", "published", "picture", "preset"), "count")
SUMMARY |= {"seed": 0, "seconds": None, "passed": None, "results": []}
COUNTING = (
    f"SUMMARY = {SUMMARY!r}"
    """
import json, signal, sys, time
from pathlib import Path

options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
path = Path(options.get("--resume") or options["--out"])
path.mkdir(parents=True, exist_ok=True)
last, log = path / "last.txt", path / "log.txt"
with log.open("a") as file:
    file.write(" ".join(sys.argv[1:-1]) + "\\n")
done = int(last.read_text()) if "--resume" in options and last.exists() else 0
stopping = []
signal.signal(signal.SIGTERM, lambda *signals: stopping.append(1))
if options.get("--diverged"):
    (path / "diverged.txt").write_text(options["--diverged"])
    sys.exit(1)
if options.get("--said"):
    print("a warning, and then", file=sys.stderr)
    print("counting.py: error: " + options["--said"], file=sys.stderr)
    sys.exit(int(options["--status"]))
(path / "config.json").write_text("{}")
for step in range(done, int(options["--steps"])):
    if stopping:
        last.write_text(str(step))
        sys.exit(128 + signal.SIGTERM)
    with (path / "steps.txt").open("a") as file:
        file.write(f"{step}\\n")
    time.sleep(0.002)
result = {"metric": "count", "achieved": float(options["--steps"]), "target": None, "better": "lower", "passed": None}
(path / "summary.json").write_text(json.dumps(SUMMARY | {"results": [result]}))
"""
)
LONG = "3000"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "counting.py").write_text(COUNTING)
    return tmp_path / "counting.py"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "sweep", "sweep")


def log_of(folder: RunFolder, name: str) -> list[str]:
    return (folder.path / name / "log.txt").read_text().splitlines()


def send_when(path: Path, *numbers: signal.Signals) -> threading.Thread:
    """Sends this process the signals when there is a file."""

    def work() -> None:
        while not path.exists():
            time.sleep(0.002)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.02)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_every_run_gets_its_arguments_and_its_folder(
    script: Path, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {f"{arm}/seed-{seed}": ["--steps", str(seed + 1), "--arm", arm] for arm in ("a", "b") for seed in (0, 1)}
    run_sweep(folder, script, runs, at_once=2)
    for name, arguments in runs.items():
        assert log_of(folder, name) == [f"{' '.join(arguments)} --out"]
        assert has_ended(folder.path / name)
        assert not has_diverged(folder.path / name)
    said = capsys.readouterr().out.splitlines()
    commands = [line for line in said if "counting.py" in line]
    assert [line.partition("counting.py ")[2] for line in commands] == [
        f"{' '.join(arguments)} --out {folder.path / name}" for name, arguments in runs.items()
    ]
    ended = [line for line in said if "counting.py" not in line]
    assert sorted(line.partition(" (")[0] for line in ended) == [
        f"{arm}/seed-{seed}: count {seed + 1}" for arm in "ab" for seed in (0, 1)
    ]
    assert [line.partition(" (")[2] for line in ended] == [f"{i} of 4)" for i in (1, 2, 3, 4)]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_only_so_many_go_on_at_once(script: Path, folder: RunFolder, at_once: int, tmp_path: Path) -> None:
    script.write_text(f"""
import os, sys, time
from pathlib import Path
here = Path({str(tmp_path)!r}, "here")
here.mkdir(exist_ok=True)
(here / str(os.getpid())).touch()
deadline = time.monotonic() + 0.2 * ({at_once} > 1)
most = 0
while time.monotonic() < deadline or most == 0:
    most = max(most, len(list(here.iterdir())))
    time.sleep(0.005)
(here / str(os.getpid())).unlink()
Path(sys.argv[-1]).mkdir()
Path(sys.argv[-1], "most").write_text(str(most))
Path(sys.argv[-1], "summary.json").write_text({json.dumps(SUMMARY)!r})
""")
    names = [str(i) for i in range(4)]
    run_sweep(folder, script, {name: [] for name in names}, at_once=at_once)
    most = max(int((folder.path / name / "most").read_text()) for name in names)
    assert most <= at_once
    assert (most == 1) == (at_once == 1)


def test_what_ended_is_left_alone_and_what_was_interrupted_goes_on(
    script: Path, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, files in (
        ("done", ["summary.json"]),
        ("wild", ["config.json", "diverged.txt"]),
        ("cut", ["config.json"]),
    ):
        (folder.path / name).mkdir()
        for file in files:
            (folder.path / name / file).touch()
    (folder.path / "cut" / "last.txt").write_text("7")
    run_sweep(folder, script, {name: ["--steps", "9"] for name in ("done", "wild", "cut", "new")}, at_once=2)
    assert {path.name for path in (folder.path / "done").iterdir()} == {"summary.json"}
    assert {path.name for path in (folder.path / "wild").iterdir()} == {"config.json", "diverged.txt"}
    assert log_of(folder, "cut") == ["--steps 9 --resume"]
    assert (folder.path / "cut" / "steps.txt").read_text().split() == ["7", "8"]
    assert log_of(folder, "new") == ["--steps 9 --out"]
    assert "(3 of 4)" in capsys.readouterr().out


def test_a_run_that_diverges_is_a_result(script: Path, folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    run_sweep(folder, script, {"wild": ["--diverged", "in step 3"], "calm": ["--steps", "2"]}, at_once=1)
    assert has_diverged(folder.path / "wild")
    assert (folder.path / "wild" / "diverged.txt").read_text() == "in step 3"
    assert "wild: diverged (1 of 2)" in capsys.readouterr().out
    assert has_ended(folder.path / "calm")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("1", "the disk is full"),
        ("1", "training diverged, says one that wrote no diverged.txt"),
        ("143", "somebody ended me"),
    ],
)
def test_a_run_that_fails_ends_the_sweep_and_the_others_save(
    script: Path, folder: RunFolder, status: str, said: str
) -> None:
    runs = {"long": ["--steps", LONG], "bad": ["--status", status, "--said", said], "never": ["--steps", "1"]}
    sentence = f"the run in {folder.path / 'bad'} ended with status {status}: counting.py: error: {said}"
    sentence += "; the sweep goes on with --resume"
    with pytest.raises(ChildProcessError) as raised:
        run_sweep(folder, script, runs, at_once=2)
    assert str(raised.value) == sentence
    assert not (folder.path / "never").exists()
    assert not has_ended(folder.path / "long")
    steps = (folder.path / "long" / "steps.txt").exists()
    assert not steps or (folder.path / "long" / "last.txt").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_signal_stops_the_sweep_when_the_runs_have_saved_and_it_goes_on(
    script: Path, folder: RunFolder, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    runs = {"short": ["--steps", "1"], "long": ["--steps", "800"], "late": ["--steps", "1"]}
    thread = send_when(folder.path / "long" / "steps.txt", number)
    with pytest.raises(Stopped, match=rf"^{number.name} stopped the run after [01] of 3 runs$") as stopped:
        run_sweep(folder, script, runs | {"late": ["--steps", LONG]}, at_once=2)
    thread.join()
    assert signal.getsignal(number) is before
    assert stopped.value.folder == folder.path
    steps = (folder.path / "long" / "steps.txt").read_text().split()
    assert (folder.path / "long" / "last.txt").read_text() == str(len(steps))
    assert len(steps) < 800
    run_sweep(folder, script, runs, at_once=2)
    assert log_of(folder, "long")[-1] == "--steps 800 --resume"
    assert (folder.path / "long" / "steps.txt").read_text().split() == [str(i) for i in range(800)]
    assert "3 of 3)" in capfd.readouterr().out


def test_a_second_ctrl_c_kills_the_runs(script: Path, folder: RunFolder) -> None:
    script.write_text(COUNTING.replace("stopping.append(1)", "None"))  # one that is deaf
    thread = send_when(folder.path / "long" / "steps.txt", signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(folder, script, {"long": ["--steps", LONG]}, at_once=2)
    thread.join()
    steps = folder.path / "long" / "steps.txt"
    count = steps.read_text()
    time.sleep(0.05)
    assert steps.read_text() == count
    assert not has_ended(folder.path / "long")


def test_a_run_that_is_done_may_draw_before_the_sweep_stops(script: Path, folder: RunFolder) -> None:
    drawing = "\nimport time; time.sleep(0.3); (path / 'figure.png').touch()"
    script.write_text(COUNTING.replace("lambda *signals: stopping.append(1)", "signal.SIG_DFL") + drawing)
    thread = send_when(folder.path / "short" / "summary.json", signal.SIGTERM)
    run_sweep(folder, script, {"short": ["--steps", "1"]}, at_once=2)
    thread.join()
    assert (folder.path / "short" / "figure.png").exists()
