"""The frame: what an experiment writes and says, how it goes on, and how it ends when something is wrong."""

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from scratchformer.runs import RunFolder, read_metrics
from tests.recipes import setting
from tests.recipes.setting import Tiny, run
from tests.runs.setting import contents

FIGURES = {"loss.png", "loss.svg"}
REPEATED = {"metrics.csv", "norms.csv", "measures.csv", "best.safetensors", "last.safetensors"} | FIGURES


def repeated(path: Path) -> dict[str, str]:
    """The hashes of all files that depend neither on the clock nor on the folder's name."""
    return {name: digest for name, digest in contents(path).items() if name in REPEATED}


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The status and the last line on stderr with which the experiment ends."""
    with pytest.raises(SystemExit) as end:
        run(Tiny, *arguments)
    return end.value.code, capsys.readouterr().err.splitlines()[-1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, with what it printed beside it."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with redirect_stdout(StringIO()) as printed:
        run(Tiny, "--seed", "3", "--out", str(folder))
    folder.with_suffix(".log").write_text(printed.getvalue())
    return folder


def test_a_run_is_trained_recorded_judged_and_drawn(whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == REPEATED | {"config.json", "summary.json"}
    config, summary = (json.loads((whole / f"{name}.json").read_text()) for name in ("config", "summary"))
    assert (config["experiment"], config["corpus"], config["title"]) == ("tiny", "random", "A tiny model")
    assert config["options"]["seed"] == summary["seed"] == 3
    loss = read_metrics(whole / "metrics.csv")["validation_loss"][1][-1]
    assert summary["results"][0]["achieved"] == loss
    assert summary["passed"] is True
    assert summary["seconds"] >= 0
    first, second, *_, verdict, last = whole.with_suffix(".log").read_text().splitlines()
    assert first == "two sequences"
    assert second.startswith("model: ")
    assert second.endswith(f" parameters, 2 processes, results in {whole}")
    assert verdict.startswith("loss ")
    assert last == f"figures: {whole / 'loss.png'}"


def test_a_run_that_has_ended_is_judged_again_and_not_trained(whole: Path) -> None:
    before, results = repeated(whole), json.loads((whole / "summary.json").read_text())["results"]
    run(Tiny, "--resume", str(whole))
    assert repeated(whole) == before
    assert json.loads((whole / "summary.json").read_text())["results"] == results


def test_what_is_wrong_is_one_sentence_and_a_status(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failure(capsys, "--seed", "-1") == (2, "tiny.py: error: --seed must be at least 0, got -1")
    assert failure(capsys, "--threads", "3") == (
        2,
        "tiny.py: error: --threads 3 is more than --batch 2; each takes a sequence",
    )
    status, said = failure(capsys, "--rate", "1e30", "--out", str(tmp_path / "wild"))
    assert status == 1
    assert said.startswith("tiny.py: error: training diverged in step 2: ")
    assert (tmp_path / "wild" / "diverged.txt").exists()
    monkeypatch.setattr(Tiny, "draw", lambda path: RunFolder.open(path / "nowhere"))
    status, said = failure(capsys, "--out", str(tmp_path / "undrawn"))
    assert (status, said.endswith("undrawn/nowhere is no run folder: it holds no config.json")) == (2, True)
    assert (tmp_path / "undrawn" / "summary.json").exists()


def test_a_run_goes_on_only_with_what_it_depends_on(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class OtherText(Tiny):
        def __init__(self, options: setting.Options) -> None:
            super().__init__(options)
            self.depends_on["corpus"] = "other"

    with pytest.raises(SystemExit, match="2"):
        run(OtherText, "--resume", str(whole))
    said = capsys.readouterr().err
    assert said.startswith(f"tiny.py: error: {whole / 'last.safetensors'} is of another run: run.corpus is 'other' now")
