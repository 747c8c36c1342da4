"""Dates are held out in every form, what is sought is the same part of a date, what is tested the best model."""

import csv
import json
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from experiments import dates
from experiments.dates import PRESETS, Dates
from scratchformer.analysis.alignment import cross_attention
from scratchformer.recipes.alignment import read_alignment
from scratchformer.runs import load_run
from scratchformer.text.dates import DATE_FORMS, write_date
from tests.experiments.conftest import SmokeRun
from tests.experiments.pair_verdicts import judged_or_not, passed

METRICS = ["share_read_exactly"]
METRICS += [
    f"attention_on_{part}_{of}"
    for part in ("year", "month", "day")
    for of in ("best_head", "mean_of_heads", "if_uniform")
]


@pytest.fixture
def smoke(smoke_of: Callable[[str], SmokeRun]) -> Path:
    return smoke_of("dates").path


@pytest.fixture(scope="module")
def splits() -> dict[str, list[date]]:
    return {name: dates.dates_of(name) for name in dates.SPLITS}


def test_what_is_tested_is_the_best_model_on_the_tests_of_the_seed(smoke_of: Callable[[str], SmokeRun]) -> None:
    smoke = smoke_of("dates")
    rows = list(csv.DictReader((smoke.path / "tests.csv").read_text().splitlines()))
    tests = dates.random_dates("test", 20, 5)
    assert [(row["read"], row["parts"], row["expected"]) for row in rows] == tests
    found = dates.PAIRS.translate(load_run(smoke.path), [one.text for one in tests], longest=10, width=2)
    assert [row["written"] for row in rows] == found
    results = json.loads((smoke.path / "summary.json").read_text())["results"]
    assert [result["metric"] for result in results] == METRICS
    assert results[0]["achieved"] == sum(row["written"] == row["expected"] for row in rows) / 20
    wrong = [row for row in rows if row["written"] != row["expected"]]
    assert f"{wrong[0]['read']} -> {wrong[0]['written']}, it is {wrong[0]['expected']}\n" in smoke.printed
    assert smoke.printed.count(" -> ") == 8 + 5


def test_the_attention_is_that_of_the_digits_of_a_part_on_the_same_part(smoke: Path) -> None:
    tests = dates.random_dates("test", 20, 5)
    weights = cross_attention(load_run(smoke), dates.batch_of(tests))
    shares, uniform = {}, {}
    for part, rows in (("y", (0, 1, 2, 3)), ("m", (5, 6)), ("d", (8, 9))):
        each = []
        for one, weight in zip(tests, weights, strict=True):
            columns = [i for i, c in enumerate(one.parts) if c == part]
            each += [weight[0, :, row, columns].sum(axis=0) for row in rows]
        shares[part] = np.mean(each, axis=0)
        uniform[part] = np.mean([one.parts.count(part) / len(one.parts) for one in tests])
    best = sum(shares.values()).argmax()
    expected = [value for part in "ymd" for value in (shares[part][best], shares[part].mean(), uniform[part])]
    results = json.loads((smoke / "summary.json").read_text())["results"]
    assert [result["achieved"] for result in results[1:]] == pytest.approx(expected, rel=1e-5)


def test_every_date_has_one_use_that_its_hash_decides(splits: dict[str, list[date]]) -> None:
    days = [date(1900, 1, 1) + timedelta(i) for i in range(73_049)]
    assert days[-1] == date(2099, 12, 31)
    assert sorted(day for split in splits.values() for day in split) == days
    assert splits["test"] == [day for day in days if zlib.crc32(f"{day:%Y-%m-%d}".encode()) % 10 == 0]
    assert [len(splits[name]) for name in ("test", "evaluation", "training")] == [7290, 7307, 58452], "for ever"


def test_drawn_dates_are_of_their_split_in_every_form_and_case(splits: dict[str, list[date]]) -> None:
    for name, split in splits.items():
        drawn = dates.random_dates(name, 150, 0)
        assert {one.iso for one in drawn} <= {day.isoformat() for day in split}
        assert len({one.iso for one in drawn}) > 140
        written: dict[str, Counter] = {"form": Counter(), "case": Counter()}
        for one in drawn:
            day = date.fromisoformat(one.iso)
            matches = [
                (form, case)
                for form in DATE_FORMS
                for case in (str, str.upper, str.lower)
                if write_date(day, form, case) == one
            ]
            written["form"].update({form for form, _ in matches})
            written["case"].update({case for _, case in matches})
        assert min(written["form"][form] for form in DATE_FORMS) > 1
        assert min(written["case"].values()) > 35
    again = dates.random_dates("test", 50, 0), dates.random_dates("test", 50, 0)
    assert again[0] == again[1]
    assert (
        len({tuple(dates.random_dates(name, 50, *seed)) for name in splits for seed in ((0, 0), (0, 1), (1, 0))}) == 9
    )


def test_every_character_of_every_form_is_known() -> None:
    for form in DATE_FORMS:
        for month in range(1, 13):
            for case in (str.upper, str.lower):
                one = write_date(date(1980 + month, month, 9 + month), form, case)
                assert dates.batch_of([one]).source.shape == (1, len(one.text))


def test_the_iso_form_is_what_the_decoder_is_taught() -> None:
    batch = dates.batch_of([write_date(date(2021, 3, 4), "{day} {mon}"), write_date(date(1999, 12, 31), "{day}")])
    known = dates.PAIRS.characters
    assert ["".join(known[i] for i in row[:-1]) for row in batch.targets] == ["2021-03-04", "1999-12-31"]
    assert "".join(known[i] for i in batch.source[0]) == "4 Mar"
    assert batch.source_lengths.tolist() == [5, 2]
    assert batch.targets[:, -1].tolist() == [dates.PAIRS.end_id] * 2


def test_the_same_part_is_sought() -> None:
    written = [write_date(date(2021, 3, 4), "{day}.{roman}.{year}"), write_date(date(2021, 3, 14), "{wkd}{day}")]
    sought = dates.same_part(written)
    assert list(sought) == ["year", "month", "day"]
    for name, rows in (("year", (0, 1, 2, 3)), ("month", (5, 6)), ("day", (8, 9))):
        assert sought[name].shape == (2, 11, 10)
        for i, parts in enumerate(("d.mmm.yyyy", "...dd")):
            for t in range(11):
                columns = [s for s, part in enumerate(parts) if part == name[0] and t in rows]
                assert np.flatnonzero(sought[name][i, t]).tolist() == columns


def test_every_batch_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, seen = dates.random_dates, []
    monkeypatch.setattr(dates, "random_dates", lambda *given: seen.append(given) or draw(*given))
    run = Dates(replace(PRESETS["smoke"], batch=4, seed=3))
    for step in range(8):
        run.training.batches(step)
    evaluated = [("evaluation", 4, 3, i) for i in range(4)]
    assert seen == [*evaluated, *(("training", 4, 3, step) for step in range(8))]


def test_the_maps_are_those_of_the_best_head_on_dates_of_the_test(
    smoke: Path, monkeypatch: pytest.MonkeyPatch, splits: dict[str, list[date]]
) -> None:
    svg = (smoke / "attention.svg").read_text()
    assert all(f">{text}<" in svg for text in ("year", "month", "day", "end", "read by the encoder"))
    assert ">least possible 0.74<" in (smoke / "loss.svg").read_text()
    monkeypatch.setattr(dates, "alignment_maps", lambda panels, **options: panels)
    model, (layer, head) = load_run(smoke), read_alignment(smoke).best_head
    for panel, form in zip(dates.draw_attention(model, (layer, head), 5), dates.SHOWN, strict=True):
        *iso, end = panel.written
        day = date.fromisoformat("".join(iso))
        assert day in splits["test"]
        one = write_date(day, form)
        assert (panel.read, end) == (one.text, "end")
        weights = cross_attention(model, dates.batch_of([one]))[0, layer, head]
        np.testing.assert_array_equal(panel.weights, weights)
        for texts, parts in ((panel.read_parts, one.parts), (panel.written_parts, "yyyy.mm.dd.")):
            assert [text[:1] or "." for text in texts] == [*parts]


@judged_or_not
def test_the_target_counts_for_the_options_that_it_was_stated_for(
    name: str, options: dict, is_judged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Dates(replace(PRESETS[name], **options))
    right = [one.iso for one in dates.random_dates("test", run.options.tests, run.options.seed)]
    assert passed(dates, run, right, tmp_path, monkeypatch) == ([True, False] if is_judged else [None, None])
