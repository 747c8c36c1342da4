"""All experiments one after another: of tiny scripts that stand in for the real ones."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from experiments import EXPERIMENTS, Experiment
from experiments import __main__ as whole
from scratchformer.runs import StopSignals, read_json
from tests.experiments.running import EXPERIMENTS as FOLDER
from tests.experiments.running import LESSON

SCRIPT = """
import json, signal, sys, time
from pathlib import Path

def option(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None

folder = Path(option("--resume") or option("--out"))
folder.mkdir(exist_ok=True)
(folder / "config.json").write_text("{}")
with (folder / "arguments.txt").open("a") as file:
    print(*sys.argv[1:], file=file)

def conclude(*achieved, passed=True, target=0.9):
    results = [
        {"metric": f"share_{i}", "achieved": value, "target": target, "better": "higher", "passed": passed}
        for i, value in enumerate(achieved)
    ]
    summary = dict.fromkeys(("experiment", "question", "source", "published", "preset"), "sort")
    summary |= {"results": results, "passed": passed, "picture": "loss.png", "seed": 0, "seconds": None}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "loss.png").write_bytes(b"picture")

print("some words")
"""
BODIES = {
    "first": "conclude(0.95)",
    "second": "conclude(0.99, 1.0)",
    "third": "conclude(0.5, passed=None, target=None)",
}


class Scripts:
    """A folder of scripts, and what is run of them."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.monkeypatch = monkeypatch
        monkeypatch.chdir(path)
        monkeypatch.setattr(whole, "FOLDER", path)
        self.use(first=BODIES["first"], second=BODIES["second"], third=BODIES["third"])

    def use(self, options: dict[str, dict[str, Any]] | None = None, **bodies: str) -> None:
        experiments = tuple(Experiment(name, **(options or {}).get(name, {})) for name in bodies)
        self.monkeypatch.setattr(whole, "EXPERIMENTS", experiments)
        for name, body in bodies.items():
            self.write(name, body)

    def write(self, name: str, body: str) -> None:
        (self.path / f"{name}.py").write_text(SCRIPT + body)

    def arguments(self, run: str) -> list[str]:
        return (self.path / run / "arguments.txt").read_text().splitlines()


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripts:
    return Scripts(tmp_path, monkeypatch)


def status_of(*arguments: str) -> int:
    try:
        whole.main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_experiments_are_the_scripts_that_say_what_they_are_about() -> None:
    sources = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
    about = {name for name, source in sources.items() if "\nABOUT = About(" in source}
    assert {experiment.name for experiment in EXPERIMENTS} == about
    assert len(EXPERIMENTS) == len(about)
    names = [experiment.name for experiment in EXPERIMENTS]
    for experiment in EXPERIMENTS:
        if f"{experiment.name}.py" != LESSON:
            options = importlib.import_module(f"experiments.{experiment.name}").PRESETS["quick"]
            assert hasattr(options, "resume") == experiment.can_resume
        if experiment.looks_into is not None:
            assert names.index(experiment.looks_into) < names.index(experiment.name)


def test_each_is_run_into_its_folder_and_the_table_says_what_it_reached(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("--preset", "paper", "--out", "out") == 0
    for name in BODIES:
        assert scripts.arguments(f"out/{name}/seed-0") == [f"--preset paper --seed 0 --out out/{name}/seed-0"]
        command, said = Path(f"out/{name}/seed-0.log").read_text().splitlines()
        assert command == f"$ {sys.executable} {scripts.path}/{name}.py --preset paper --seed 0 --out out/{name}/seed-0"
        assert said == "some words"
    options = read_json(Path("out/config.json"))["options"]
    assert options == {"preset": "paper", "only": [], "seeds": [0]}
    printed = re.sub(r" +\d+\.\d s", "  T", capsys.readouterr().out)
    assert printed.splitlines() == [
        "3 runs, preset paper, results in out",
        "first   seed 0  reached  T  share_0 0.95, at least 0.9: reached",
        "second  seed 0  reached  T  share_0 0.99, at least 0.9: reached (and 1 more)",
        "third   seed 0  ran  T  share_0 0.5",
        "",
        "first   seed 0  reached  T  share_0 0.95, at least 0.9: reached",
        "second  seed 0  reached  T  share_0 0.99, at least 0.9: reached",
        " " * 36 + "share_1 1, at least 0.9: reached",
        "third   seed 0  ran  T  share_0 0.5",
        "",
        "3 runs: 2 reached, 1 ran",
    ]


@pytest.mark.parametrize(
    ("body", "verdict", "said"),
    [
        ("conclude(0.5, passed=False)", "MISSED ", "share_0 0.5, at least 0.9: NOT REACHED"),
        (
            "sys.exit('second.py: error: too large')",
            "FAILED ",
            "status 1, out/second/seed-0.log: second.py: error: too",
        ),
        ("conclude(0.95); raise SystemExit(3)", "FAILED ", "status 3, out/second/seed-0.log: some words"),
        ("", "FAILED ", "status 0, out/second/seed-0.log: some words"),
        ("import os; os.kill(os.getpid(), 9)", "FAILED ", "status -9, out/second/seed-0.log: some words"),
    ],
)
def test_after_a_failure_the_others_have_their_turn_and_the_status_tells(
    body: str, verdict: str, said: str, scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts.use(first=BODIES["first"], second=body, third=BODIES["third"])
    assert status_of("--out", "out") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith(f"second  seed 0  {verdict}")
    assert said in lines[2]
    assert lines[-1] == f"3 runs: 1 reached, 1 {verdict.strip()}, 1 ran"


def test_a_script_that_is_missing_fails(scripts: Scripts, capsys: pytest.CaptureFixture[str]) -> None:
    (scripts.path / "second.py").unlink()
    assert status_of("--out", "out") == 1
    assert "No such file" in capsys.readouterr().out


def test_what_was_missed_is_said_first(scripts: Scripts, capsys: pytest.CaptureFixture[str]) -> None:
    results = [{"metric": "a", "achieved": 1.0, "target": 0.9, "better": "higher", "passed": True}]
    results += [{"metric": "b", "achieved": 0.1, "target": 0.9, "better": "higher", "passed": False}]
    results += [{"metric": "c", "achieved": 0.1, "target": None, "better": "lower", "passed": None}]
    outcome = whole.judged({"results": results, "passed": False}, 1.25)
    assert str(outcome) == "MISSED       1.2 s  b 0.1, at least 0.9: NOT REACHED (and 1 more)"
    assert outcome.said == ["b 0.1, at least 0.9: NOT REACHED", "a 1, at least 0.9: reached"]


def test_only_some_with_several_seeds_each_seed_of_all_in_turn(scripts: Scripts) -> None:
    scripts.use({"second": {"has_own_seeds": True}}, **BODIES)
    assert status_of("--only", "third", "second", "--seeds", "4", "7", "--out", "out") == 0
    assert sorted(str(path) for path in Path("out").glob("*/*")) == [
        "out/second/seed-4",
        "out/second/seed-4.log",
        "out/third/seed-4",
        "out/third/seed-4.log",
        "out/third/seed-7",
        "out/third/seed-7.log",
    ]
    order = sorted(Path("out").glob("*/*/config.json"), key=lambda path: path.stat().st_mtime_ns)
    assert [str(path.parent) for path in order] == ["out/second/seed-4", "out/third/seed-4", "out/third/seed-7"]
    assert scripts.arguments("out/third/seed-7") == ["--preset quick --seed 7 --out out/third/seed-7"]


def test_one_that_looks_into_a_run_is_given_that_of_its_seed(scripts: Scripts) -> None:
    scripts.use({"second": {"looks_into": "first"}}, first=BODIES["first"], second=BODIES["second"])
    assert status_of("--seeds", "0", "1", "--out", "out") == 0
    for seed in (0, 1):
        expected = f"out/first/seed-{seed} --preset quick --seed {seed} --out out/second/seed-{seed}"
        assert scripts.arguments(f"out/second/seed-{seed}") == [expected]
    assert status_of("--preset", "smoke", "--only", "second", "--out", "alone") == 0
    assert scripts.arguments("alone/second/seed-0") == ["--preset smoke --seed 0 --out alone/second/seed-0"]


def test_without_a_folder_the_next_free_one_is_taken(scripts: Scripts) -> None:
    for number in ("001", "002"):
        assert status_of("--only", "first") == 0
        assert Path(f"runs/all-{number}/first/seed-0/summary.json").exists()


def test_what_has_ended_is_left_alone_and_the_rest_goes_on(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted = "(folder / 'half').touch(); sys.exit(1)"
    names = {"first": {}, "second": {}, "third": {"can_resume": False}, "fourth": {}}
    scripts.use(names, first=BODIES["first"], second=interrupted, third=interrupted, fourth="conclude(1.0)")
    assert status_of("--seeds", "3", "--out", "out") == 1
    (scripts.path / "out" / "fourth" / "seed-3" / "loss.png").unlink()  # it was killed before it drew
    for name in ("second", "third"):
        scripts.write(name, BODIES[name])
    before = Path("out/first/seed-3/summary.json").stat().st_mtime_ns
    capsys.readouterr()
    assert status_of("--resume", "out") == 0
    printed = capsys.readouterr().out
    assert "\nfirst   seed 3  reached    earlier  share_0 0.95, at least 0.9: reached\n" in printed
    assert Path("out/first/seed-3/summary.json").stat().st_mtime_ns == before
    for name in ("second", "fourth"):
        assert scripts.arguments(f"out/{name}/seed-3")[1:] == [f"--resume out/{name}/seed-3"]
    started = "--preset quick --seed 3 --out out/third/seed-3"
    assert scripts.arguments("out/third/seed-3") == [started]
    assert scripts.arguments("out/third/seed-3-interrupted-1") == [started]
    assert Path("out/third/seed-3-interrupted-1/half").exists()
    assert not Path("out/third/seed-3/half").exists()
    assert Path("out/third/seed-3.log").read_text().count("some words") == 2


def test_a_run_without_a_configuration_is_begun_anew_and_nothing_is_lost(scripts: Scripts) -> None:
    assert status_of("--only", "first", "--out", "out") == 0
    run = Path("out/first/seed-0")
    for number in (1, 2):
        for name in ("config.json", "summary.json"):
            (run / name).unlink()
        assert status_of("--resume", "out") == 0
        assert Path(f"out/first/seed-0-interrupted-{number}/arguments.txt").exists()
    assert scripts.arguments("out/first/seed-0") == ["--preset quick --seed 0 --out out/first/seed-0"]


@pytest.mark.parametrize(
    ("number", "body"),
    [
        (signal.SIGTERM, "(folder / 'ready').touch(); time.sleep(60)"),
        (
            signal.SIGINT,
            "signal.signal(signal.SIGINT, lambda *_: sys.exit(7)); (folder / 'ready').touch(); time.sleep(60)",
        ),
    ],
)
def test_a_signal_stops_the_experiment_and_the_whole_goes_on(
    number: signal.Signals, body: str, scripts: Scripts
) -> None:
    scripts.use(first=BODIES["first"], second=body)
    scripts.write("third", "raise AssertionError('its turn must not come')")
    program = (
        "from experiments import __main__ as whole, Experiment\n"
        "from pathlib import Path\nfrom scratchformer.runs import run_script\n"
        f"whole.FOLDER = Path({str(scripts.path)!r})\n"
        "whole.EXPERIMENTS = tuple(map(Experiment, ('first', 'second', 'third')))\n"
        "run_script(whole.main, 'python -m experiments')"
    )
    command = [sys.executable, "-c", program, "--out", "out"]
    environment = os.environ | {"PYTHONPATH": str(FOLDER.parent)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 60
    while not Path("out/second/seed-0/ready").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert stdout.splitlines()[-1] == "second  seed 0  stopped"
    *_, said, command = stderr.splitlines()
    assert said == f"{number.name} stopped the run after 1 of 3 runs; it goes on with"
    assert command.endswith(" --resume out")
    assert not Path("out/third").exists()
    scripts.use(**BODIES)
    assert status_of("--resume", "out") == 0
    assert scripts.arguments("out/second/seed-0")[1:] == ["--resume out/second/seed-0"]


def test_a_signal_comes_once_and_one_that_ends_well_after_it_counts(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    note = "import os\ndef note(*_):\n    print('noted', os.getsid(0) == os.getpid())\n"
    stopped = "signal.signal(signal.SIGTERM, note); os.kill(os.getppid(), signal.SIGTERM); time.sleep(1)\n"
    scripts.use(first=note + stopped + BODIES["first"])
    assert status_of("--out", "out") == 0
    assert "first  seed 0  reached" in capsys.readouterr().out
    said = Path("out/first/seed-0.log").read_text().splitlines()
    assert said[2:] == ["noted True"], "in a session of its own, where no terminal sends it another"


def test_a_second_ctrl_c_is_passed_on_too(tmp_path: Path) -> None:
    program = "import signal, sys, time\nfrom pathlib import Path\nseen = []\n"
    program += "def note(number, frame):\n    seen.append(number)\n    Path(f'seen-{len(seen)}').touch()\n"
    program += "    if len(seen) == 2: sys.exit(5)\n"
    program += "signal.signal(signal.SIGINT, note)\nPath('ready').touch()\ntime.sleep(60)\ntime.sleep(60)\n"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path)
    stop = StopSignals()

    def poll() -> int | None:
        """As the process polls, with a Ctrl-C when it is ready, and another when it has seen the first."""
        if (tmp_path / "ready").exists() and stop.received is None:
            stop.received = signal.SIGINT
        elif (tmp_path / "seen-1").exists() and not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        return original()

    pressed: list[bool] = []
    original, process.poll = process.poll, poll
    whole.wait(process, stop, whole.Status("first", tmp_path / "log"))
    assert process.returncode == 5
    assert (tmp_path / "seen-2").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "fourth"], "--only fourth is none of first, second, third"),
        (["--seeds", "0", "-1"], "--seeds must be at least 0, got -1"),
        (["--seeds", "1", "1"], "--seeds must be one or several that differ, got 1 1"),
        (["--seeds"], "--seeds must be one or several that differ, got none"),
        (["--only", "--seeds", "1"], "--only needs a value; --help explains it"),
        (["--only", "third"], "third looks into a run of first: choose both with --only"),
        (["--out", "full"], "run folder full is not empty; choose another, nothing was overwritten"),
        (["--resume", "full"], "--resume full: there is no run to go on with, it holds no config.json"),
        (["--seed", "1"], "unknown option --seed; did you mean --seeds?"),
    ],
)
def test_bad_options_are_one_clear_sentence(
    arguments: list[str], said: str, scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts.use({"third": {"looks_into": "first"}}, **BODIES)
    (scripts.path / "full").mkdir()
    (scripts.path / "full" / "file").touch()
    assert status_of(*arguments) == 2
    assert capsys.readouterr().err == f"python -m experiments: error: {said}\n"
    assert not (scripts.path / "runs").exists()


def test_other_options_than_those_that_it_was_started_with_are_refused(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("--only", "first", "--out", "out") == 0
    assert status_of("--resume", "out", "--out", "other") == 2
    assert "--out other makes no sense beside --resume out" in capsys.readouterr().err
    assert status_of("--resume", "out", "--seeds", "0", "1") == 2
    assert "--seeds is (0, 1), the run in out was started with (0,); a run goes on" in capsys.readouterr().err
    Path("out/first/seed-0/summary.json").write_text("[]")
    assert status_of("--resume", "out") == 1
    expected = "python -m experiments: error: out/first/seed-0/summary.json is not of an experiment: it holds []"
    assert capsys.readouterr().err.startswith(expected)


def test_the_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("--help") == 0
    shown = capsys.readouterr().out
    for option in ("--preset", "--only", "--seeds", "--out", "--resume"):
        assert f"{option} " in shown
    assert "OUT/NAME/seed-S.log" in shown
    assert json.dumps("quick")[1:-1] in shown
