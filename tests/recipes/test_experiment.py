"""The frame: what an experiment writes and says, how it goes on, and how it ends when something is wrong."""

import gc
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from scratchformer.runs import RunFolder, Stopped, read_metrics
from scratchformer.text import TokenBatch
from tests.recipes import setting
from tests.recipes.setting import Tiny, run
from tests.runs.setting import contents
from tests.training.setting import ragged_batches

FIGURES = {"loss.png", "loss.svg"}
REPEATED = {"metrics.csv", "norms.csv", "measures.csv", "best.safetensors", "last.safetensors"} | FIGURES


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(Tiny, "--out", str(folder))
    return folder


def repeated(path: Path) -> dict[str, str]:
    """The hashes of all files that depend neither on the clock nor on the folder's name."""
    return {name: digest for name, digest in contents(path).items() if name in REPEATED}


def stop_in_step(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends a signal in every step of this number."""

    def batches(step: int, count: int) -> Sequence[TokenBatch]:
        if step == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return ragged_batches(step, count)

    monkeypatch.setattr(setting, "ragged_batches", batches)


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The status and the last line on stderr with which the experiment ends."""
    with pytest.raises(SystemExit) as end:
        run(Tiny, *arguments)
    return end.value.code, capsys.readouterr().err.splitlines()[-1]


def test_a_run_is_trained_recorded_judged_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    run(Tiny, "--seed", "3", "--out", str(folder))
    assert {path.name for path in folder.iterdir()} == REPEATED | {"config.json", "summary.json"}
    config, summary = (json.loads((folder / f"{name}.json").read_text()) for name in ("config", "summary"))
    assert (config["experiment"], config["corpus"], config["title"]) == ("tiny", "random", "A tiny model")
    assert config["options"]["seed"] == summary["seed"] == 3
    loss = read_metrics(folder / "metrics.csv")["validation_loss"][1][-1]
    assert summary["results"][0]["achieved"] == loss
    assert summary["passed"] is True
    assert summary["seconds"] >= 0
    first, second, *_, verdict, last = capsys.readouterr().out.splitlines()
    assert first == "two sequences"
    assert second.startswith("model: ")
    assert second.endswith(f" parameters, 2 threads, results in {folder}")
    assert verdict.startswith("loss ")
    assert last == f"figures: {folder / 'loss.png'}"


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patched:
        stop_in_step(6, patched)
        with pytest.raises(Stopped, match="SIGTERM stopped the run after step 7 of 12") as stopped:
            run(Tiny, "--out", str(folder))
    assert stopped.value.folder == folder
    assert not (folder / "summary.json").exists()
    del stopped
    gc.collect()  # and with it the folder, which was in use
    run(Tiny, "--resume", str(folder))
    assert "\nit goes on after step 7 of 12\n" in capsys.readouterr().out
    assert repeated(folder) == repeated(whole)
    summaries = [json.loads((path / "summary.json").read_text()) for path in (folder, whole)]
    assert summaries[0] == summaries[1] | {"seconds": None}


def test_a_run_that_has_ended_is_judged_again_and_not_trained(whole: Path) -> None:
    before, results = repeated(whole), json.loads((whole / "summary.json").read_text())["results"]
    run(Tiny, "--resume", str(whole))
    assert repeated(whole) == before
    assert json.loads((whole / "summary.json").read_text())["results"] == results


def test_figures_alone_are_drawn_with_plot_only(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = {name: (whole / name).read_bytes() for name in FIGURES}
    for name in FIGURES:
        (whole / name).unlink()
    run(Tiny, "--plot-only", str(whole), "--rate", "9")
    assert capsys.readouterr().out == f"figures: {whole / 'loss.png'}\n"
    assert {name: (whole / name).read_bytes() for name in FIGURES} == drawn


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


def test_the_verdict_is_for_the_options_of_a_preset_whatever_is_free() -> None:
    for options, is_judged in (
        (setting.Options(seed=9, threads=1, out=Path("x"), save_every=9), True),
        (setting.Options(rate=0.02), False),
        (setting.Options(evaluate_every=3), False),
    ):
        assert Tiny(options).is_preset("quick", free=("save_every",)) == is_judged
        assert Tiny(options).is_preset("smoke", "quick", free=("save_every",)) == (is_judged or options.rate == 0.02)
