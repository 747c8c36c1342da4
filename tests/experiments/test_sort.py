"""What is held out stays so, and measures and verdict are what their names say."""

import json
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from experiments import sort
from experiments.sort import PRESETS, Sort
from scratchformer.runs import read_measures
from tests.experiments.conftest import SmokeRun

MEASURES = ["held out", "training", *sort.REPEATS]


def test_the_smoke_preset_learns_and_shows_what_it_sorted(smoke_of: Callable[[str], SmokeRun]) -> None:
    smoke = smoke_of("sort")
    first, second, *rest, figures = smoke.printed.splitlines()
    assert first == "543 sequences to learn from, 186 held out"
    assert second.startswith("model: 7,680 parameters, 2 processes, results in ")
    examples = [line.split(" -> ") for line in rest if " -> " in line]
    assert len(examples) >= 5
    assert {len(answer) for example in examples for answer in example} == {6}
    curves = read_measures(smoke.path / "measures.csv")
    assert list(curves) == MEASURES
    assert [steps.tolist() for steps, _ in curves.values()] == [[20, 40, 60]] * len(MEASURES)
    draws, once = json.loads((smoke.path / "summary.json").read_text())["results"]
    assert (draws["metric"], once["metric"]) == ("share_of_draws_sorted", "share_of_held_out_sorted")
    assert curves["held out"][1][-1] == pytest.approx(once["achieved"], abs=2 / 186)
    assert once["achieved"] > 0.3
    assert draws["achieved"] == pytest.approx(once["achieved"], abs=0.05), "a draw of 5,000 from the 186"
    svg = (smoke.path / "sorted.svg").read_text(encoding="utf-8")
    assert all(f">{text}<" in svg for text in (*MEASURES, "training step", "share sorted exactly"))


def test_every_step_draws_anew_from_all_but_what_is_held_out() -> None:
    training, held_out = sort.split()
    drawn = []
    for seed in (3, 4):
        run = Sort(replace(PRESETS["smoke"], seed=seed, batch=2000))
        (evaluated,) = run.training.evaluation_batches
        np.testing.assert_array_equal(evaluated.ids, sort.batch_of(held_out).ids)
        drawn += [batch.ids[:, :6] for step in (0, 1) for batch in run.training.batches(step)]
    assert len({batch.tobytes() for batch in drawn}) == 4
    rows = set(map(tuple, np.concatenate(drawn).tolist()))
    assert rows <= set(map(tuple, training.tolist()))
    assert len(rows) > 0.5 * len(training)
    np.testing.assert_allclose([(drawn[0] == digit).mean() for digit in range(3)], 1 / 3, atol=0.02)


def test_a_hash_of_the_digits_alone_holds_a_quarter_out() -> None:
    training, held_out = sort.split()
    texts = ["".join(digits) for digits in product("012", repeat=6)]
    apart = [text for text in texts if zlib.crc32(text.encode()) % 4 == 0]
    assert [sort.in_digits(sequence) for sequence in held_out] == apart
    assert [sort.in_digits(sequence) for sequence in training] == [text for text in texts if text not in apart]
    assert (len(apart), apart[0], apart[-1]) == (186, "000001", "222221"), "as in every run that was ever made"


def test_the_digits_in_order_are_what_is_predicted() -> None:
    batch = sort.batch_of(np.array([[2, 0, 1, 2, 0, 0], [1, 1, 1, 1, 1, 0]]))
    assert batch.ids.tolist() == [[2, 0, 1, 2, 0, 0, 0, 0, 0, 1, 2], [1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1]]
    assert batch.targets.tolist() == [[-100] * 5 + [0, 0, 0, 1, 2, 2], [-100] * 5 + [0, 1, 1, 1, 1, 1]]


def test_shares_are_those_of_answers_that_are_right_in_every_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sorter:
        """Sorts, but writes 0 first where 2 comes four times or more."""

        def __call__(self, ids: np.ndarray, **options: object) -> tuple[np.ndarray, None]:
            place = ids.shape[1] - 6
            following = [sorted(row[:6])[place] if place or list(row).count(2) < 4 else 0 for row in ids.tolist()]
            return np.repeat(np.eye(3)[following][:, None], ids.shape[1], axis=1), None

    training, held_out = sort.split()
    run = Sort(PRESETS["smoke"])
    monkeypatch.setattr(Sort, "model", Sorter())
    found = run.measure()
    right: dict[str, list[bool]] = {name: [] for name in MEASURES}
    for name, sequences in (("training", training), ("held out", held_out)):
        for sequence in sequences.tolist():
            is_right = sequence.count(2) < 4 or 0 in sequence
            most = max(Counter(sequence).values())
            group = {2: "2 or 3 times", 3: "2 or 3 times", 4: "4 times"}.get(most, "5 or 6 times")
            right[name].append(is_right)
            right[group].append(is_right)
    assert list(found) == MEASURES
    assert found == pytest.approx({name: np.mean(which) for name, which in right.items()})
    assert found["2 or 3 times"] == 1 > found["4 times"] > found["5 or 6 times"]


def test_one_wrong_digit_is_one_wrong_sequence_and_only_the_published_set_up_is_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def greedy_answers(model: object, sequences: np.ndarray, num_tokens: int) -> np.ndarray:
        asked.append(sequences)
        answers = np.sort(sequences, axis=1)
        answers[0, -1] = 0  # of a sequence that ends with 1 or 2 then
        return answers

    monkeypatch.setattr(sort, "greedy_answers", greedy_answers)
    free, bound = {"seed": 5, "save_every": 7, "out": Path("x")}, {"steps": 1999}
    for name, options, is_judged in (
        ("quick", free, True),
        ("paper", {}, True),
        ("quick", bound, False),
        ("smoke", {}, False),
    ):
        draws, once = Sort(replace(PRESETS[name], **options)).judge(None)
        assert (draws.achieved, once.achieved) == (4999 / 5000, 185 / 186)
        assert draws.passed is once.passed is (False if is_judged else None)
        held_out, drawn = asked[-2:]
        np.testing.assert_array_equal(held_out, sort.split()[1])
        assert len(drawn) == 5000
        assert set(map(tuple, drawn.tolist())) == set(map(tuple, held_out.tolist()))
