"""What is collected is what the runs hold, and README.md shows it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from experiments import EXPERIMENTS, collect
from scratchformer.runs import Result, read_measures
from tests.experiments.running import EXPERIMENTS as FOLDER

README = f"Before.\n\n{collect.BEGIN}old\n{collect.END}\nAfter.\n"
METRICS = "step,training_loss,validation_loss,gradient_norm,learning_rate\n1,3.0,,1.0,0.1\n2,2.5,2.25,1.0,0.1\n"
METRICS += "3,2.0,,1.0,0.1\n4,1.5,1.23456789,1.0,0.1\n"


def result(metric: str, achieved: float, target: float | None = None, better: str = "lower") -> dict[str, Any]:
    found = Result(metric, achieved, target, better)
    return vars(found) | {"passed": found.passed}


def run_of(out: Path, name: str, seed: int = 0, *, tables: dict[str, str] | None = None, **summary: Any) -> Path:
    """The folder of a run that has ended."""
    folder = out / name / f"seed-{seed}"
    folder.mkdir(parents=True)
    written = {
        "experiment": name,
        "question": "Does it sort?",
        "source": "A paper, 2020",
        "published": "all of them",
        "picture": "sorted.png",
        "preset": "paper",
        "seed": seed,
        "seconds": 12.4,
        "results": [result("share_sorted", 1.0, 0.99, "higher")],
    } | summary
    verdicts = [found["passed"] for found in written["results"] if found["passed"] is not None]
    written = {"passed": all(verdicts) if verdicts else None} | written
    (folder / "summary.json").write_text(json.dumps(written))
    (folder / written["picture"]).write_bytes(f"{name} {seed}".encode())
    for table, content in (tables or {}).items():
        (folder / table).write_text(content)
    return folder


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "README.md").write_text(README)
    return folder


def rows(into: Path) -> dict[str, list[str]]:
    """The cells of the table's rows, by experiment."""
    lines = collect.table(into).splitlines()
    assert [line.strip("| ").split(" | ") for line in lines[:2]] == [list(collect.HEADER), ["---"] * 6]
    cells = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines[2:]]
    return {row[0].split("[")[1].split("]")[0]: row for row in cells}


def test_the_committed_table_is_that_of_the_committed_results() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert collect.with_table(readme, FOLDER) == readme, "run python -m experiments.collect"


def test_committed_curves_can_be_drawn() -> None:
    names = {experiment.name for experiment in EXPERIMENTS}
    for path in (FOLDER / "reference").glob("*.csv"):
        assert path.stem.removesuffix("-quick") in names
        assert read_measures(path)


def test_the_text_of_a_reference_run_is_written_down(tmp_path: Path) -> None:
    path = tmp_path / "texts.json"
    assert collect.note_text(tmp_path, "sort", path) == []
    for config, name in (({"corpus": {"sha256": "abc"}}, "char_lm"), ({"text": "abd"}, "ablations"), ({}, "sort")):
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert collect.note_text(tmp_path, name, path) == ([path] if config else [])
    assert json.loads(path.read_text()) == {"ablations": "abd", "char_lm": "abc"}


def test_summaries_of_all_seeds_are_taken_and_of_the_first_pictures_and_curves(tmp_path: Path, into: Path) -> None:
    out, tables = (
        tmp_path / "out",
        {"metrics.csv": METRICS, "measures.csv": "step,measure,value\n2,held out,0.123456789\n2,training,0.5\n"},
    )
    runs = [run_of(out, "sort", seed, tables=tables) for seed in (0, 1)]
    runs.append(run_of(out, "scaling"))
    shutil.copytree(runs[0], out / "sort" / "seed-0-interrupted-1")
    (out / "dates" / "seed-0").mkdir(parents=True)
    (out / "sort" / "seed-0.log").touch()
    written = collect.collect(out, into)
    expected = ["results/scaling-seed-0.json", "figures/scaling.png"]
    expected += ["results/sort-seed-0.json", "figures/sort.png", "reference/sort.csv", "results/sort-seed-1.json"]
    assert [str(path.relative_to(into)) for path in written] == expected
    assert sorted(path for path in into.rglob("*.*")) == sorted([*written, into / "README.md"])
    for path, run in zip((written[2], written[5], written[0]), runs, strict=True):
        assert path.read_bytes() == (run / "summary.json").read_bytes()
    assert (into / "figures" / "sort.png").read_bytes() == b"sort 0"
    assert (into / "reference" / "sort.csv").read_text() == (
        "step,measure,value\n2,validation_loss,2.25\n4,validation_loss,1.23457\n2,held out,0.123457\n"
    )


def test_measures_of_arms_are_taken_too_each_by_its_name(tmp_path: Path, into: Path) -> None:
    run = run_of(tmp_path / "out", "in_context_markov")
    for arm in ("decay", "control"):
        (run / arm).mkdir()
        (run / arm / "metrics.csv").write_text(METRICS)
        (run / arm / "measures.csv").write_text(f"step,measure,value\n1,{arm}_accuracy,0.5\n")
    collect.collect(tmp_path / "out", into)
    expected = "step,measure,value\n1,control_accuracy,0.5\n1,decay_accuracy,0.5\n"
    assert (into / "reference" / "in_context_markov.csv").read_text() == expected
    (run / "measures.csv").write_text("step,measure,value\n1,decay_accuracy,0.5\n")
    with pytest.raises(
        ValueError, match=r"decay/measures\.csv holds decay_accuracy, and another table of .* does too$"
    ):
        collect.curves_of(run, ["decay_accuracy"])


def test_what_is_collected_replaces_what_was(tmp_path: Path, into: Path) -> None:
    for number in (1, 2):
        run_of(tmp_path / f"{number}", "sort", seconds=float(number), picture=f"{number}.png")
        collect.collect(tmp_path / f"{number}", into)
    assert json.loads((into / "results" / "sort-seed-0.json").read_text())["seconds"] == 2.0


def test_without_results_the_table_is_empty_and_the_text_around_stays(into: Path) -> None:
    header = "| question | source | published | ours | time | picture |\n| --- | --- | --- | --- | --- | --- |\n"
    found = collect.with_table(README, into)
    assert found == f"Before.\n\n{collect.BEGIN}\n{header}\n{collect.END}\nAfter.\n"
    assert collect.with_table(found, into) == found


@pytest.mark.parametrize("readme", ["", collect.BEGIN, collect.END, collect.END + collect.BEGIN])
def test_a_text_without_a_place_for_the_table_is_refused(readme: str, into: Path) -> None:
    with pytest.raises(ValueError, match=r"^README\.md has no place for the table between its two marks$"):
        collect.with_table(readme, into)


def test_a_row_says_what_was_asked_and_what_came_out(tmp_path: Path, into: Path) -> None:
    for seed, share, loss in ((0, 0.992, 1.5), (2, 1.0, 1.25), (10, 0.995, 1.0)):
        results = [result("share", share, 0.99, "higher"), result("loss|x", loss, 1.4), result("other", 3.0)]
        run_of(tmp_path / "out", "sort", seed, results=results, seconds=None if seed == 2 else 100.0 + 2 * seed)
    run_of(tmp_path / "out", "char_lm", results=[result("loss", 1.23456)], picture="loss.png", preset="quick")
    run_of(tmp_path / "out", "scaling", seconds=None)
    run_of(tmp_path / "out", "attention_walkthrough")
    run_of(tmp_path / "out", "ablations", seconds=1000.0)
    collect.collect(tmp_path / "out", into)
    (into / "figures" / "scaling.png").unlink()
    found = rows(into)
    assert list(found) == ["attention_walkthrough", "scaling", "sort", "char_lm", "ablations"], (
        "in the order in which they run"
    )
    assert found["sort"] == [
        "[sort](sort.py): Does it sort?",
        "A paper, 2020",
        "all of them",
        "`share` 0.9957 (0.992 to 1), at least 0.99: reached<br>"
        "`loss\\|x` 1.25 (1 to 1.5), at most 1.4: **reached by 2 of 3**",
        "2 min, `paper`, 3 seeds",
        '<a href="figures/sort.png"><img src="figures/sort.png" width="180" alt="sort"></a>',
    ]
    assert found["char_lm"][3:5] == ["`loss` 1.235", "12 s, `quick`, 1 seed"]
    assert found["ablations"][4] == "17 min, `paper`, all its seeds"
    assert found["scaling"][3:] == ["`share_sorted` 1, at least 0.99: reached", "`paper`, 1 seed", ""]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(2.4, "2 s"), (99.4, "99 s"), (100, "2 min"), (5990, "100 min"), (6000, "1.7 h"), (20_000, "5.6 h")],
)
def test_times_are_in_words(seconds: float, said: str) -> None:
    assert collect.in_words(seconds) == said


def test_runs_of_different_presets_have_rows_pictures_and_curves_of_their_own(tmp_path: Path, into: Path) -> None:
    for number, preset in enumerate(("paper", "quick")):
        out, tables = tmp_path / preset, {"measures.csv": f"step,measure,value\n1,held out,{number}\n"}
        for seed in (0, 1):
            run_of(out, "sort", seed, preset=preset, tables=tables, seconds=100.0 * (number + 1))
        collect.collect(out, into)
    assert sorted(path.name for path in (into / "results").iterdir()) == [
        f"{name}-seed-{seed}.json" for name in ("sort-quick", "sort") for seed in (0, 1)
    ]
    assert sorted(path.name for path in (into / "figures").iterdir()) == ["sort-quick.png", "sort.png"]
    assert (into / "reference" / "sort-quick.csv").read_text() == "step,measure,value\n1,held out,1.0\n"
    assert (into / "reference" / "sort.csv").read_text() == "step,measure,value\n1,held out,0.0\n"
    lines = collect.table(into).splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == ["| [sort](sort.py): Does it sort?"] * 2
    assert sorted(line.split(" | ")[4] for line in lines) == ["2 min, `paper`, 2 seeds", "3 min, `quick`, 2 seeds"]
    assert [name in line for line in lines for name in ("sort.png", "sort-quick.png")].count(True) == 2


def test_a_figure_that_is_not_finite_is_said_as_such(tmp_path: Path, into: Path) -> None:
    for seed, loss in enumerate((1.0, None)):
        missed = result("loss", 1.0, 1.5) | ({} if loss else {"achieved": None, "passed": False})
        run_of(tmp_path / "out", "sort", seed, results=[missed])
    collect.collect(tmp_path / "out", into)
    assert rows(into)["sort"][3] == "`loss` 1, at most 1.5: **reached by 1 of 2**"


@pytest.mark.parametrize(
    ("name", "preset", "said"),
    [("newcomer", "paper", "newcomer, paper"), ("sort", "nope", "sort, nope")],
)
def test_a_run_of_no_experiment_is_refused(name: str, preset: str, said: str, tmp_path: Path, into: Path) -> None:
    run = run_of(tmp_path / "out" / "a", name, preset=preset)
    with pytest.raises(ValueError, match=rf"seed-0 is of no experiment that there is: {said}$"):
        collect.collect(run.parents[1], into)
    (into / "results").mkdir()
    shutil.copy(run / "summary.json", into / "results" / "x-seed-0.json")
    with pytest.raises(ValueError, match=rf"x-seed-0\.json is of no experiment that there is: {said}$"):
        collect.table(into)


def test_the_program_collects_and_writes_the_table(
    tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collect, "HERE", into)
    collect.main([])
    assert capsys.readouterr().out == f"{into / 'README.md'}\n"
    empty = (into / "README.md").read_text()
    run_of(tmp_path / "out", "sort")
    collect.main([str(tmp_path / "out")])
    written = ["results/sort-seed-0.json", "figures/sort.png", "README.md"]
    assert capsys.readouterr().out == "".join(f"{into / name}\n" for name in written)
    found = (into / "README.md").read_text()
    assert found == collect.with_table(empty, into)
    assert "| [sort](sort.py): Does it sort? |" in found


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("nothing", "OUT holds no run that has ended"),
        ("smoke", "OUT/sort/seed-1 is of the preset smoke, which tells nothing of the question"),
        ("picture", "OUT/sort/seed-1 has not ended: it holds no sorted.png"),
        ("summary", "OUT/sort/seed-1/summary.json is damaged: "),
        ("other", "OUT/sort/seed-1/summary.json is not of an experiment"),
        ("seed", "OUT/sort/seed-1 holds a run of sort with seed 7"),
        ("name", "OUT/sort/seed-1 holds a run of dates with seed 1"),
        ("curves", "OUT/sort/seed-0/measures.csv does not hold measures by step"),
    ],
)
def test_what_cannot_be_collected_is_one_sentence_and_nothing_is_written(
    spoil: str,
    said: str,
    tmp_path: Path,
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(collect, "HERE", into)
    out = tmp_path / "out"
    out.mkdir()
    if spoil != "nothing":
        run_of(out, "sort", 0)
        run = run_of(out, "sort", 1, preset="smoke" if spoil == "smoke" else "paper")
    match spoil:
        case "picture":
            (run / "sorted.png").unlink()
        case "summary":
            (run / "summary.json").write_text("{")
        case "curves":
            run_of(out, "dates", 0)
            (out / "sort" / "seed-0" / "measures.csv").write_text("step\n1\n")
        case "seed" | "name":
            changed = {"seed": 7} if spoil == "seed" else {"experiment": "dates"}
            (run / "summary.json").write_text(json.dumps(json.loads((run / "summary.json").read_text()) | changed))
        case "other":
            (run / "summary.json").write_text('{"preset": "paper"}')
    with pytest.raises(SystemExit, match="2"):
        collect.main([str(out)])
    error = capsys.readouterr().err
    assert error.startswith(f"python -m experiments.collect: error: {said.replace('OUT', str(out))}")
    assert error.count("\n") == 1
    assert [path.name for path in into.iterdir()] == ["README.md"]
    assert (into / "README.md").read_text() == README
