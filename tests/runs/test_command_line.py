import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from scratchformer.runs import one_sentence_errors, options_of, parse, places_of


@dataclass(frozen=True)
class Options:
    preset: str = "long"
    """Where to start from."""
    num_steps: int = 100
    """Updates."""
    out: Path | None = None
    """Folder."""


PRESETS = {"long": Options(), "short": Options(preset="short", num_steps=5)}


def parsed(*arguments: str) -> Options:
    return parse(PRESETS, prog="run.py", description="A run.", arguments=arguments)


def test_options_start_from_the_preset() -> None:
    assert parsed() == Options()
    assert parsed("--preset", "short") == Options("short", 5)
    assert parsed("--preset=short", "--out", "x") == Options("short", 5, Path("x"))
    assert parsed("--num-steps", "7", "--preset", "short") == Options("short", 7)


def test_a_tilde_is_the_home_folder_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parsed("--out=~/runs/x").out == tmp_path / "runs/x"
    assert parsed("--out", "a/~").out == Path("a/~")
    with pytest.raises(ValueError, match=r"^~nobody-here/x: there is no home folder of ~nobody-here$"):
        parsed("--out=~nobody-here/x")


def test_help_shows_the_defaults_of_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parsed("--preset", "short", "--help")
    shown = capsys.readouterr().out
    assert "Updates. (default: 5)" in shown


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("--num-step", "run.py: error: unknown option --num-step; did you mean --num-steps?"),
        ("--quality", "run.py: error: unknown option --quality; --help lists the options"),
        ("--nope", "run.py: error: unknown option --nope; --help lists the options"),
        ("extra", "run.py: error: unknown argument extra; --help lists the arguments"),
    ],
)
def test_a_misspelt_option_is_one_sentence(typed: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed(typed, "3")
    assert capsys.readouterr().err.strip() == said


def test_a_value_of_another_type_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed("--num-steps", "many")
    assert "--num-steps" in capsys.readouterr().err


def test_a_value_error_becomes_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"), one_sentence_errors("run.py"):
        raise ValueError("width must be even, got 3")
    assert capsys.readouterr().err == "run.py: error: width must be even, got 3\n"
    with pytest.raises(SystemExit, match="2"), one_sentence_errors("run.py"):
        raise MemoryError
    assert capsys.readouterr().err == "run.py: error: not enough memory\n"
    with pytest.raises(KeyError), one_sentence_errors("run.py"):
        raise KeyError("a mistake of ours keeps its traceback")


@dataclass(frozen=True)
class Resumable:
    preset: str = "long"
    seed: int = 0
    num_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    names: tuple[str, ...] = ()
    text: Path | None = None
    out: Path | None = None
    resume: Path | None = None


def stored(config: Resumable) -> dict[str, dict]:
    return {"options": options_of(config), "places": places_of(config)}


def resumed(*arguments: str) -> Resumable:
    presets = {"long": Resumable(), "short": Resumable(preset="short", num_steps=5)}
    return parse(presets, prog="run.py", description="A run.", arguments=arguments)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    started = Resumable("short", 0, 7, (0.5, 0.75), ("a", "b", "c"), Path("a.txt"), tmp_path / "out")
    (tmp_path / "config.json").write_text(json.dumps(stored(started) | {"corpus": "x"}))
    return tmp_path


def test_a_run_goes_on_with_its_own_options(run: Path) -> None:
    again = Resumable(
        "short", 0, 7, (0.5, 0.75), ("a", "b", "c"), Path("a.txt"), None, run
    )  # it goes on where it is, not elsewhere
    assert resumed("--resume", str(run)) == again
    assert resumed(f"--resume={run}", "--num-steps", "7", "--preset", "short") == again
    moved = resumed("--resume", str(run), "--text", "b.txt")
    assert asdict(moved) == asdict(again) | {"text": Path("b.txt")}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ["--num-steps", "8"],
            "--num-steps is 8, the run in RUN was started with 7; a run goes on with its own options only",
        ),
        (["--seed", "1"], "--seed is 1, the run in RUN was started with 0; a run"),
        (["--preset", "long"], "--preset is long, the run in RUN was started with short; a run"),
        (["--betas", "0.5", "0.8"], r"--betas is \(0.5, 0.8\), the run in RUN was started with \(0.5, 0.75\); a run"),
    ],
)
def test_other_options_than_those_of_the_run_are_refused(run: Path, typed: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("RUN", str(run))):
        resumed("--resume", str(run), *typed)


def test_a_folder_that_holds_no_such_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--resume .*: there is no run to go on with, it holds no config\.json"):
        resumed("--resume", str(tmp_path))
    fewer, more = stored(Resumable()), stored(Resumable())
    del fewer["options"]["betas"]
    more["options"]["quality"] = 3
    for content in ([], {}, {"options": {}, "places": None}, {"options": [], "places": {}}, fewer, more):
        (tmp_path / "config.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"its config\.json is not of this program in this version"):
            resumed("--resume", str(tmp_path))
    for name, value in (
        ("num_steps", "7"),
        ("num_steps", None),
        ("num_steps", True),
        ("betas", [0.9]),
        ("betas", "ab"),
        ("names", ["a", 1]),
        ("names", "ab"),
    ):
        wrong = stored(Resumable())
        wrong["options"][name] = value
        (tmp_path / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=r"its config\.json is not of this program in this version"):
            resumed("--resume", str(tmp_path))
    for content in ("{", "[" * 100_000):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match=r"config\.json is damaged"):
            resumed("--resume", str(tmp_path))
