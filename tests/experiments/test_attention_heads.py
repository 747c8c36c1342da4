import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments import attention_heads as heads
from experiments.char_lm import ComparedCharacterModel
from scratchformer.analysis.attention_patterns import measure_heads, repeated_sequences
from scratchformer.recipes import head_maps
from scratchformer.text import CharacterTokenizer, pydoc_corpus
from scratchformer.training import load
from tests.experiments.running import TINY, refusal, run

FIGURES = {f"{name}.{suffix}" for name in ("attention_heads", "distances") for suffix in ("png", "svg")}
RESULTS = {"config.json", "summary.json", "findings.json", "heads.csv", "distances.csv"} | FIGURES
METRICS = ["previous_token_score", "uniform_previous_token_score", "induction_score", "uniform_induction_score"]
VERSE = "Freude, schoener Goetterfunken, Tochter aus Elysium\n"
FEW = ["--windows", "5", "--sequences", "3"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of char_lm.py, but for their figures: a GPT of the embedded corpus, a Llama of a text."""
    folder = tmp_path_factory.mktemp("heads")
    (folder / "ode.txt").write_text(VERSE * 40)
    llama = ["--model", "llama", "--text", "ode.txt", "--heads", "2", "--context", "9", "--layers", "3"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, options in (("gpt", ["--model", "gpt"]), ("llama", llama), ("short", [*llama, "--context", "3"])):
            ComparedCharacterModel.main([*TINY, *options, "--no-figures", "--out", name])
    return folder


@pytest.fixture(scope="module")
def measured(place: Path) -> Path:
    result = run("attention_heads.py", "gpt", *FEW, "--out", "measured", cwd=place)
    assert result.returncode == 0, result.stderr
    title, *lines, figures = result.stdout.splitlines()
    strongest, results = lines[: len(heads.PATTERNS)], lines[len(heads.PATTERNS) :]
    assert title == "The heads of a GPT on the last tenth of pydoc: 5 windows of 64 characters; results in measured"
    assert [line.partition(":")[0].strip() for line in strongest] == list(heads.PATTERNS)
    assert [line.partition(" ")[0] for line in results] == METRICS
    assert figures == "figures: measured/attention_heads.png measured/distances.png"
    return place / "measured"


def scores_of(folder: Path) -> dict[tuple[str, str, str], tuple[float, float]]:
    rows = csv.DictReader((folder / "heads.csv").read_text().splitlines())
    return {(row["layer"], row["head"], row["measure"]): (float(row["value"]), float(row["uniform"])) for row in rows}


def test_the_folder_holds_all_measures_of_all_heads(measured: Path) -> None:
    assert {path.name for path in measured.iterdir()} == RESULTS
    scores = scores_of(measured)
    assert scores.keys() == {("1", str(head), name) for head in (1, 2, 3, 4) for name in heads.MEASURES}
    of_text = sum(1 / (i + 1) for i in range(1, 64)) / 63
    of_pairs = sum(1 / (i + 1) for i in range(32, 64)) / 32
    uniform = {"previous token": of_text, "self": of_text, "first token": of_text, "induction": of_pairs}
    uniform["entropy"] = math.lgamma(65) / 63
    for (_, _, name), (_, level) in scores.items():
        assert level == pytest.approx(uniform[name], abs=1e-6)


def test_the_numbers_are_those_of_the_best_model_on_the_last_tenth(place: Path, measured: Path) -> None:
    model, config = load(place / "gpt"), json.loads((place / "gpt" / "config.json").read_text())
    _, held_out = pydoc_corpus().split()
    ids = CharacterTokenizer(**config["tokenizer"]).encode(held_out)
    starts = np.arange(0, len(ids) - 64, 64)
    windows = np.stack([ids[start : start + 64] for start in starts[np.arange(5) * len(starts) // 5]])
    sequences = repeated_sequences(model.config.vocabulary_size, 64, 3, generator=np.random.default_rng(0))
    expected, _ = measure_heads(model, windows, sequences)
    for (_, head, name), (value, uniform) in scores_of(measured).items():
        assert (value, uniform) == (expected[name][int(head) - 1], expected[name][-1])


def test_findings_and_summary_say_what_the_tables_hold(measured: Path) -> None:
    found, summary = (json.loads((measured / f"{name}.json").read_text()) for name in ("findings", "summary"))
    scores = scores_of(measured)
    assert (found["windows"], found["context"]) == (5, 64)
    for name in heads.MEASURES:
        values = [scores["1", str(head), name][0] for head in (1, 2, 3, 4)]
        assert [head[name] for head in found["heads"]] == values
        extreme = found["lowest_entropy"] if name == "entropy" else found["strongest"][name]
        best = min(values) if name == "entropy" else max(values)
        assert extreme == {"layer": 1, "head": values.index(best) + 1, "value": best}
        assert found["uniform"][name] == scores["1", "1", name][1]
    header, *rows = csv.reader((measured / "distances.csv").read_text().splitlines())
    names = ["1.1", "1.2", "1.3", "1.4", "uniform"]
    assert header == ["layer.head", *names]
    assert [row[0] for row in rows] == names
    distances = np.array([row[1:] for row in rows], float)
    np.testing.assert_array_equal(distances, distances.T)
    assert (np.diag(distances) == 0).all()
    (a, b), least = found["most_alike"]["heads"], found["most_alike"]["distance"]
    assert least == distances[:4, :4][~np.eye(4, dtype=bool)].min() == distances[a["head"] - 1, b["head"] - 1]
    for name in ("previous token", "induction"):
        metric = f"{name.replace(' ', '_')}_score"
        achieved = {result["metric"]: result["achieved"] for result in summary["results"]}
        assert achieved[metric] == found["strongest"][name]["value"]
        assert achieved[f"uniform_{metric}"] == found["uniform"][name]
    assert [result["metric"] for result in summary["results"]] == METRICS
    assert {result["target"] for result in summary["results"]} == {None}
    assert summary["question"] == "What do the heads of a trained model attend to?"


def scores_with(previous: float, induction: float) -> dict[str, np.ndarray]:
    """Those of two heads and uniform attention, with these as the strongest."""
    return {"previous token": np.array([0.1, previous, 0.06]), "induction": np.array([induction, 0.0, 0.02])}


def untrained(monkeypatch: pytest.MonkeyPatch, options: heads.Options) -> heads.AttentionHeads:
    """The experiment with a tiny model in the place of that of the run."""
    monkeypatch.setattr(heads, "trained", lambda run, text: heads.untrained(heads.PRESETS["smoke"]))
    return heads.AttentionHeads(options)


@pytest.mark.parametrize(
    ("previous", "induction", "missed"),
    [(0.25, 0.04, []), (0.24, 0.03, ["previous_token_score"]), (0.5, 0.041, ["induction_score"])],
)
def test_heads_of_a_run_that_was_judged_are_judged(
    previous: float, induction: float, missed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = untrained(monkeypatch, heads.Options(run=tmp_path))
    for passed, is_judged in ((True, True), (False, True), (None, False)):
        (tmp_path / "summary.json").write_text(json.dumps({"passed": passed}))
        results = experiment.compare(scores_with(previous, induction))
        assert [result.passed is not None for result in results] == [is_judged, False, is_judged, False]
        assert [result.metric for result in results if result.passed is False] == (missed if is_judged else [])


def test_nothing_is_judged_without_such_a_run_or_with_other_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = tmp_path / "run"
    judged.mkdir()
    (judged / "summary.json").write_text('{"passed": true}')
    for options, is_judged in (
        (heads.Options(run=judged), True),
        (heads.Options(run=judged, preset="paper", seed=1), True),
        (heads.Options(run=judged, windows=199), False),
        (heads.Options(run=tmp_path), False),
        (heads.PRESETS["smoke"], False),
    ):
        results = untrained(monkeypatch, options).compare(scores_with(0.1, 0.1))
        assert (results[0].target is not None) == is_judged


def test_everything_is_labelled(measured: Path) -> None:
    svg = (measured / "attention_heads.svg").read_text()
    for text in ("previous token", "self", "first token", "induction", "focus", "layer", "head", "score", "(uniform "):
        assert f">{text}" in svg
    shown = f">{scores_of(measured)['1', '2', 'self'][0]:.2f}<"
    assert shown in svg
    svg = (measured / "distances.svg").read_text()
    for text in ("1.4", "uniform", "layer.head", "nats"):
        assert f">{text}<" in svg
    assert "Jensen-Shannon" in svg


def test_an_untrained_model_is_near_uniform_and_its_results_repeat_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        heads.AttentionHeads.main(["--preset", "smoke", "--out", str(tmp_path / name)])
    title = json.loads((tmp_path / "a" / "config.json").read_text())["title"]
    assert title == "The heads of a GPT that is not trained on the last tenth of pydoc"
    for value, uniform in scores_of(tmp_path / "a").values():
        assert value == pytest.approx(uniform, rel=0.01)
    for name in RESULTS - {"config.json", "summary.json"}:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    monkeypatch.setattr(heads.AttentionHeads, "draw", lambda path: [])
    heads.AttentionHeads.main(["--preset", "smoke", "--seed", "1", "--out", str(tmp_path / "c")])
    for name in ("heads.csv", "distances.csv", "findings.json"):
        assert (tmp_path / "a" / name).read_bytes() != (tmp_path / "c" / name).read_bytes()


def test_a_text_is_measured_whole_unless_the_run_learned_from_it(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(heads.AttentionHeads, "draw", lambda path: [])
    (tmp_path / "moved.txt").write_text(VERSE * 40)
    (tmp_path / "other.txt").write_text(VERSE[::-1] * 2)
    tables = {}
    for name, held_out, windows in (("ode", True, 23), ("moved", True, 23), ("other", False, 11)):
        text = [] if name == "ode" else ["--text", str(tmp_path / f"{name}.txt")]
        heads.AttentionHeads.main(["llama", *text, "--out", str(tmp_path / name)])
        tables[name] = (tmp_path / name / "heads.csv").read_bytes()
        shown = f"{'the last tenth of ' * held_out}{name}.txt: {windows} windows of 9 characters"
        assert f"The heads of a Llama on {shown}" in capsys.readouterr().out
    assert tables["ode"] == tables["moved"] != tables["other"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, np.ndarray]]:
    """The panels of every figure from here on."""
    figures: list[dict[str, np.ndarray]] = []
    draw = head_maps.matrix_panels
    monkeypatch.setattr(
        head_maps, "matrix_panels", lambda panels, **options: figures.append(panels) or draw(panels, **options)
    )
    return figures


def test_figures_are_drawn_anew_from_the_folder_alone_with_a_map_of_every_measure(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], drawn: list
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(measured, copy, ignore=lambda folder, names: FIGURES)
    heads.AttentionHeads.main(["--plot-only", str(copy)])
    assert capsys.readouterr().out == f"figures: {copy}/attention_heads.png {copy}/distances.png\n"
    for name in FIGURES:
        assert (copy / name).read_bytes() == (measured / name).read_bytes()
    names = [heading.partition("\n")[0] for heading in drawn[0]]
    assert names == [*heads.PATTERNS, "focus"]
    scores = scores_of(measured)
    for name, (heading, matrix) in zip(names, drawn[0].items(), strict=True):
        of_heads = [scores["1", head, "entropy" if name == "focus" else name] for head in "1234"]
        expected = [1 - value / level if name == "focus" else value for value, level in of_heads]
        np.testing.assert_allclose(matrix, [expected], rtol=1e-12)
        assert heading.endswith("0.00)" if name == "focus" else f"(uniform {of_heads[0][1]:.2f})")


@pytest.mark.usefixtures("without_pixels")
def test_with_fewer_than_three_heads_each_has_a_map_by_layer_and_measure(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: list
) -> None:
    monkeypatch.chdir(place)
    heads.AttentionHeads.main(["llama", *FEW, "--out", str(tmp_path / "run")])
    found = json.loads((tmp_path / "run" / "findings.json").read_text())
    places = [(head["layer"], head["head"]) for head in found["heads"]]
    assert places == [(layer, head) for layer in (1, 2, 3) for head in (1, 2)]
    scores = scores_of(tmp_path / "run")
    assert list(drawn[0]) == ["head 1", "head 2"]
    for head in "12":
        expected = [[scores[layer, head, name][0] for name in heads.PATTERNS] for layer in "123"]
        np.testing.assert_array_equal(drawn[0][f"head {head}"][:, :4], expected)
    svg = (tmp_path / "run" / "attention_heads.svg").read_text()
    assert svg.count(">previous token<") == 2


@pytest.fixture(scope="module")
def strange(place: Path) -> Path:
    """The same folder, with what is not a run of char_lm.py, or no longer one."""
    (place / "empty").mkdir()
    (place / "foreign").mkdir()
    (place / "foreign" / "config.json").write_text('{"experiment": "sort", "options": {}}')
    for name, removed in (("bare", "*.safetensors"), ("broken", "*.csv")):
        shutil.copytree(place / "llama", place / name, ignore=shutil.ignore_patterns(removed))
    config = json.loads((place / "broken" / "config.json").read_text())
    (place / "broken" / "config.json").write_text(json.dumps(config | {"corpus": []}))
    for name, changed in (("lost", {"places": {"text": "lost.txt"}}), ("changed", {"places": {"text": "short.txt"}})):
        shutil.copytree(place / "llama", place / name)
        (place / name / "config.json").write_text(json.dumps(config | {"corpus": {"sha256": "0"}} | changed))
    (place / "short.txt").write_text("Elysium")
    (place / "greek.txt").write_text("F\u03b1", encoding="utf-8")
    return place


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name the run folder to look into, as in `attention_heads.py runs/char_lm-001`"),
        (["nowhere"], "nowhere/config.json cannot be read: No such file or directory"),
        (["empty"], "empty/config.json cannot be read: No such file or directory"),
        (["short.txt"], "short.txt/config.json cannot be read: Not a directory"),
        (["foreign"], "foreign holds a run of sort, not of char_lm"),
        (["bare"], "the folder bare holds no checkpoint"),
        (["broken"], "broken/config.json is damaged: list indices must be integers or slices, not str"),
        (["lost"], "text file lost.txt cannot be read: No such file or directory; choose a text with --text"),
        (["changed"], "short.txt is no longer the text that changed learned from; choose one with --text"),
        (["llama", "--text", "short.txt"], "short.txt has 7 characters, windows of 9 need at least 10"),
        (["llama", "--text", "nowhere.txt"], "text file nowhere.txt cannot be read: No such file or directory"),
        (
            ["llama", "--text", "greek.txt"],
            "CharacterTokenizer: text holds '\u03b1' at position 1, which is not in the vocabulary of 24 characters",
        ),
        (["short"], "short has a context of 3 characters, patterns need at least 4"),
        (["llama", "--windows", "0"], "--windows must be at least 1, got 0"),
        (["llama", "--sequences", "0"], "--sequences must be at least 1, got 0"),
        (["--plot-only", "llama"], "llama holds a run of char_lm, not of attention_heads"),
    ],
)
def test_bad_input_is_one_clear_sentence(arguments: list[str], said: str, strange: Path) -> None:
    assert refusal("attention_heads.py", *arguments, cwd=strange) == said


@pytest.mark.parametrize(
    ("table", "content"),
    [
        ("heads.csv", "a,b\n1,2\n"),
        ("heads.csv", "layer,head,measure,value,uniform\n"),
        ("heads.csv", "layer,head,measure,value,uniform\n1,1,self,0.5,0.5\n"),
        ("distances.csv", "layer.head,1.1\n"),
        ("distances.csv", "layer.head,1.1\n1.2,0\n"),
        ("distances.csv", "layer.head,1.1\n1.1,far\n"),
    ],
)
def test_a_table_of_something_else_is_one_sentence(measured: Path, tmp_path: Path, table: str, content: str) -> None:
    shutil.copytree(measured, tmp_path / "copy")
    (tmp_path / "copy" / table).write_text(content)
    what = table.removesuffix(".csv").replace("heads", "scores")
    said = refusal("attention_heads.py", "--plot-only", "copy", cwd=tmp_path)
    assert said == f"copy/{table} does not hold the {what} of heads"
