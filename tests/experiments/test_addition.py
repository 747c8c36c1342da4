"""What is held out stays so, and measures and verdict are what their names say."""

import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import addition
from experiments.addition import PRESETS, Addition
from scratchformer.runs import read_measures
from tests.experiments.conftest import SmokeRun

CARRIES = ["no carry", "a carry", "a carry through 9"]
MEASURES = ["held out", "training", "ones", "tens", "hundreds", *CARRIES]


def test_the_smoke_preset_learns_and_shows_what_it_added(smoke_of: Callable[[str], SmokeRun]) -> None:
    smoke = smoke_of("addition")
    first, second, *rest, figures = smoke.printed.splitlines()
    assert first == "9,000 sums to learn from, 1,000 held out"
    assert second.startswith("model: 13,600 parameters, 2 processes, results in ")
    examples = [line.replace(",", "").split() for line in rest if " + " in line]
    assert len(examples) >= 4
    for a, _, b, _, c, *but in examples:
        assert (int(a) + int(b) != int(c)) == bool(but)
        assert not but or int(but[-1]) == int(a) + int(b)
    curves = read_measures(smoke.path / "measures.csv")
    assert list(curves) == MEASURES
    assert [steps.tolist() for steps, _ in curves.values()] == [[20, 40, 60]] * len(MEASURES)
    (result,) = json.loads((smoke.path / "summary.json").read_text())["results"]
    assert result["metric"] == "share_of_held_out_sums"
    assert curves["held out"][1][-1] == pytest.approx(result["achieved"], abs=0.002)
    assert curves["hundreds"][1][-1] > 0.4
    svg = (smoke.path / "added.svg").read_text(encoding="utf-8")
    assert all(f">{text}<" in svg for text in (*MEASURES, "training step", "share that is right"))


def test_every_step_draws_anew_from_all_but_what_is_held_out() -> None:
    training, held_out = addition.split()
    drawn = []
    for seed in (3, 4):
        run = Addition(replace(PRESETS["smoke"], seed=seed, batch=2000))
        (evaluated,) = run.training.evaluation_batches
        np.testing.assert_array_equal(evaluated.ids[:, :4], addition.prompts_of(held_out))
        drawn += [batch.ids[:, :4] @ [[10, 0], [1, 0], [0, 10], [0, 1]] for n in (0, 1) for batch in run.batches(n)]
    assert len({batch.tobytes() for batch in drawn}) == 4
    rows = set(map(tuple, np.concatenate(drawn).tolist()))
    assert rows <= set(map(tuple, training.tolist()))
    assert len(rows) > 0.5 * len(training)


def test_a_hash_of_the_numbers_alone_holds_a_thousand_out() -> None:
    training, held_out = (list(map(tuple, pairs.tolist())) for pairs in addition.split())
    everything = [(a, b) for a in range(100) for b in range(100)]
    lowest = set(sorted(everything, key=lambda pair: zlib.crc32(f"{pair[0]} + {pair[1]}".encode()))[:1000])
    assert held_out == [pair for pair in everything if pair in lowest]
    assert training == [pair for pair in everything if pair not in lowest]
    assert held_out[:3] == [(0, 32), (0, 36), (0, 63)], "as in every run that was ever made"
    assert sum((b, a) in set(training) for a, b in held_out) > 800, "as the help says"


def test_only_the_digits_of_the_sum_are_predicted() -> None:
    pairs = np.array([[55, 45], [6, 39], [0, 0], [99, 98]])
    batch = Addition(replace(PRESETS["smoke"], order="reversed")).batch_of(pairs)
    assert batch.ids.tolist() == [[5, 5, 4, 5, 0, 0], [0, 6, 3, 9, 5, 4], [0] * 6, [9, 9, 9, 8, 7, 9]]
    assert batch.targets[:, 3:].tolist() == [[0, 0, 1], [5, 4, 0], [0, 0, 0], [7, 9, 1]]
    assert (batch.targets[:, :3] == -100).all()
    batch = Addition(replace(PRESETS["smoke"], order="written")).batch_of(pairs)
    assert batch.ids.tolist() == [[5, 5, 4, 5, 1, 0], [0, 6, 3, 9, 0, 4], [0] * 6, [9, 9, 9, 8, 1, 9]]
    assert batch.targets[:, 3:].tolist() == [[1, 0, 0], [0, 4, 5], [0, 0, 0], [1, 9, 7]]


class Adder:
    """Writes the right sum, in an order, but forgets the carry from the ones where it meets tens that add up to 9."""

    def __init__(self, order: str) -> None:
        self.order = order

    def __call__(self, ids: np.ndarray, **options: object) -> tuple[np.ndarray, None]:
        following = []
        for row in ids.tolist():
            a, b, c, d = row[:4]
            total = 90 + (b + d) % 10 if a + c == 9 else 10 * a + b + 10 * c + d
            written = f"{total:03}"[::-1] if self.order == "reversed" else f"{total:03}"
            following.append(int(written[len(row) - 4]))
        return np.repeat(np.eye(10)[following][:, None], ids.shape[1], axis=1), None


@pytest.mark.parametrize("order", ["reversed", "written"])
def test_shares_are_those_of_sums_and_digits_that_are_right(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Addition(replace(PRESETS["smoke"], order=order))
    monkeypatch.setattr(Addition, "model", Adder(order))
    found = run.measure()
    right: dict[str, list[bool]] = {name: [] for name in MEASURES}
    for name, pairs in (("training", run.learned[::9]), ("held out", run.held_out)):
        for a, b in pairs.tolist():
            carries, meets_9 = a % 10 + b % 10 >= 10, a // 10 + b // 10 == 9
            is_right = not (carries and meets_9)
            right[name].append(is_right)
            if name == "held out":
                right[CARRIES[carries + (carries and meets_9)]].append(is_right)
                for digit in ("ones", "tens", "hundreds"):
                    right[digit].append(is_right or digit == "ones")
    assert list(found) == MEASURES
    assert found == pytest.approx({name: np.mean(which) for name, which in right.items()})
    assert found["a carry through 9"] == 0 < found["tens"] == found["hundreds"] < found["ones"] == 1
    sums = run.add(np.array([[55, 45], [54, 45], [29, 32]]))
    assert sums.tolist() == [90, 99, 61], "the source's model wrote 55 + 45 so, too"


@pytest.mark.parametrize(
    ("name", "options", "is_judged"),
    [
        ("quick", {"seed": 5, "save_every": 7, "out": Path("x")}, True),
        ("paper", {}, True),
        ("quick", {"order": "written"}, False),
        ("smoke", {}, False),
    ],
)
def test_only_the_set_up_of_the_target_is_judged(
    name: str, options: dict, is_judged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for num_wrong, passed in ((1, True), (2, False)):
        wrong = np.arange(9000) < num_wrong
        monkeypatch.setattr(Addition, "add", lambda self, pairs, wrong=wrong: pairs.sum(axis=1) + wrong[: len(pairs)])
        (result,) = Addition(replace(PRESETS[name], **options)).judge(None)
        assert result.achieved == 1 - num_wrong / 1000
        assert result.passed is (passed if is_judged else None)
