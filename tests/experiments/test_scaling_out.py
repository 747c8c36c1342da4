"""The model's numbers are those of its formulas, and tables, file and figure say what was measured."""

import json
import math
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import experiments.scaling_out.__main__ as scaling_out
from experiments.scaling_out.alpha_beta import (
    RANKS,
    AlphaBeta,
    Network,
    Traffic,
    Work,
    added_up,
    collected,
    fitted,
    gathered,
    of_a_step,
)
from experiments.scaling_out.measure import (
    Computed,
    Exchange,
    Gradient,
    Joint,
    Message,
    SilentWorld,
    computing_seconds,
    exchange_seconds,
    joint_seconds,
)
from experiments.scaling_out.measured import Measured, read_measured, traffic_of
from experiments.scaling_out.ranks import WAYS, reason
from experiments.speed.tasks import TINY
from scratchformer.optim.spans import SPAN
from scratchformer.training.world import World, threads_as_ranks
from tests.experiments.running import refusal

OWN = AlphaBeta(latency=1e-3, seconds_per_byte=1e-9, seconds_per_added=2e-9)
WORK = Work("toy", 2**20, tables=2**18, batch=4, fixed=0.5, per_sequence=1.0, backward=0.5, update=2.0)


class Numbered(World):
    """Of a rank that says nothing."""

    def __init__(self, rank: int, num_ranks: int) -> None:
        self.rank, self.num_ranks = rank, num_ranks


def measurements(cores: int = 2) -> Measured:
    """Of a machine on which exchanges take what OWN says, and messages a tenth of it."""

    def exchanges(*ranks: int) -> list[Exchange]:
        kinds = [("collect", 0), *((operation, 4**i) for operation in ("add_up", "gather") for i in (8, 10, 12))]
        found = [Exchange(operation, num, values, 1.0) for num in ranks for operation, values in kinds]
        return [replace(one, seconds=max(1, one.ranks / cores) * OWN.seconds(traffic_of(one))) for one in found]

    messages = [Message(size, 1e-4 + 1e-10 * size) for size in (64, 2**20)]
    computed = Computed("small", WORK.size, WORK.tables, batch=4, forward=2.25, step=6.5)
    gradients = [Gradient("small", n, WORK.gradient(n)) for n in (1, 2, 4)]
    exchanged = {"shared memory": exchanges(2, 4), "TCP": exchanges(2)}
    joint = [Joint("small", ranks, 1.0, seconds=1.25, bytes_sent=2**22) for ranks in (2, 4)]
    return Measured(cores, dict.fromkeys(WAYS, messages), exchanged, [computed], gradients, joint)


@given(st.floats(1e-7, 1e-2), st.floats(1e-11, 1e-7))
def test_the_fit_finds_the_costs_that_seconds_were_made_of(latency: float, per_byte: float) -> None:
    counts = [(messages, size) for messages in (1, 3, 200) for size in (0, 64, 2**16, 2**26)]
    seconds = [latency * messages + per_byte * size for messages, size in counts]
    assert fitted(counts, seconds) == pytest.approx([latency, per_byte], rel=1e-6)
    per_added = 3 * per_byte
    traffic = [Traffic(messages, size, added) for messages, size in counts for added in (0, size)]
    model = AlphaBeta.fit(traffic, [AlphaBeta(latency, per_byte, per_added).seconds(sent) for sent in traffic])
    costs = model.latency, model.seconds_per_byte, model.seconds_per_added
    assert costs == pytest.approx((latency, per_byte, per_added), rel=1e-5)


def test_a_fit_is_relative_and_no_cost_is_negative() -> None:
    assert fitted([(1, 1), (1, 2)], [2.0, 1.0]) == [pytest.approx(1.2), 0], "the least of (a / 2 - 1)^2 + (a - 1)^2"
    assert fitted([(0, 2), (0, 4)], [1.0, 2.0]) == [0, pytest.approx(0.5)]


@given(st.integers(1, 2**26), st.integers(1, 70))
def test_traffic_is_what_the_parts_of_a_vector_make(size: int, ranks: int) -> None:
    parts = World.parts(Numbered(0, ranks), size)
    lengths = [part.stop - part.start for part in parts]
    sent = sum(4 * (size - own) for own in lengths) / ranks
    for traffic in (added_up(size, ranks), gathered(size, ranks)):
        assert traffic.bytes == pytest.approx(sent)
    assert (added_up(size, ranks).added, gathered(size, ranks).added) == (pytest.approx(sent), 0)
    assert added_up(size, ranks).messages == math.ceil(max(lengths) / SPAN) * (ranks - 1)


def test_a_step_sends_two_vectors_and_two_small_values() -> None:
    assert (collected(1), collected(2), collected(1000)) == (Traffic(0, 0), Traffic(2, 0), Traffic(20, 0))
    assert of_a_step(2**20, 4) == Traffic(1 * 3 + 3 + 2 * 4, 2 * 4 * 2**20 * 3 / 4, 4 * 2**20 * 3 / 4)
    assert of_a_step(2**20, 1) == Traffic(0, 0)


def test_a_predicted_step_is_as_computed_by_hand() -> None:
    step = Network(OWN, gigabits=1).step(WORK, 256, overlaps=False)
    sent = 2 * 4 * 2**20 * 255 / 256
    assert step.computing == pytest.approx(0.5 + 4 * 1.0 + 2.0 / 256)
    assert step.messages == pytest.approx(1e-3 * (255 + 255 + 2 * 2 * 8))
    assert (step.copying, step.link) == (pytest.approx(1e-9 * sent + 2e-9 * sent / 2), pytest.approx(8e-9 * sent))
    alone = 256 * 0.5 + 1024 + 2.0
    efficiency = Network(OWN, gigabits=1).efficiency(WORK, 256, overlaps=False)
    assert efficiency == pytest.approx(alone / (256 * step.total))
    assert Network(OWN, gigabits=1).limit(WORK, 256) == "messages"
    assert Network(OWN, gigabits=1e-3).limit(WORK, 256) == "bytes on the link"
    free = AlphaBeta(0, 0)
    assert Network(free, gigabits=1e9).limit(WORK, 1024) == "small micro-batches", "1.5 s for a sequence, not 1.125"


def test_overlap_hides_what_layers_send_behind_the_last_backward() -> None:
    for work, hidden in ((WORK, 8e-9 * 4 * 3 * 2**18 * 255 / 256), (replace(WORK, backward=1e-4), 1e-4 * 4.5)):
        plain, overlapped = (Network(OWN, 1).step(work, 256, overlaps=overlaps) for overlaps in (False, True))
        assert overlapped == replace(plain, link=pytest.approx(plain.link - hidden))
    assert WORK.last_backward(9) == 0.5 * WORK.gradient(1) == 0.75


@given(st.sampled_from(RANKS), st.floats(0.1, 1000))
def test_one_rank_loses_nothing_and_faster_links_and_overlap_never_cost(ranks: int, gigabits: float) -> None:
    slow, fast = Network(OWN, gigabits), Network(OWN, 2 * gigabits)
    assert slow.efficiency(WORK, 1, overlaps=False) == slow.efficiency(WORK, 1, overlaps=True) == 1
    plain, overlapped, faster = (
        network.step(WORK, ranks, overlaps=overlaps).total
        for network, overlaps in ((slow, False), (slow, True), (fast, False))
    )
    assert plain >= overlapped
    assert plain >= faster
    assert overlapped >= slow.step(WORK, ranks, overlaps=False).computing


def test_a_joint_step_is_what_ranks_compute_and_what_the_model_says_of_exchanges() -> None:
    for cores in (2, 4):
        measured = measurements(cores)
        assert measured.of_exchanges("shared memory") == AlphaBeta(*map(pytest.approx, (1e-3, 1e-9, 2e-9)))
        for joint in measured.joint:
            crowd = max(1, joint.ranks / cores)
            exchanged = OWN.seconds(of_a_step(WORK.size, joint.ranks))
            assert measured.predicted(joint) == pytest.approx(joint.silent + crowd * exchanged)
    assert measured.of_messages("TCP") == AlphaBeta(pytest.approx(1e-4), pytest.approx(1e-10), 0)
    (work,) = measured.works()
    assert (work.fixed, work.per_sequence) == (pytest.approx(0.5), pytest.approx(1.0))
    assert (work.backward, work.update) == (pytest.approx(1 - 2.25 / 4.5), pytest.approx(2.0))


def test_ranks_measure_exchanges_and_steps() -> None:
    found = threads_as_ranks(2, partial(exchange_seconds, [2**16], 1))
    kinds = [("collect", 0), ("add_up", 2**16), ("gather", 2**16)]
    assert [(one.operation, one.ranks, one.values) for one in found[0]] == [(kind, 2, size) for kind, size in kinds]
    assert all(one.seconds > 0 for one in found[0])
    first, second = threads_as_ranks(2, partial(joint_seconds, TINY["small"], 2))
    assert (first.ranks, first.silent > 0, first.seconds) == (2, True, second.seconds), "the slowest rank's"
    assert SilentWorld(Numbered(1, 3)).own(2**20) == Numbered(1, 3).own(2**20)
    computed, gradients = computing_seconds(TINY["small"], [1, 4], 1, World())
    assert [one.sequences for one in gradients] == [1, 4]
    assert (computed.batch, computed.tables) == (4, (65 + 8) * 16)
    assert min(computed.forward, computed.step) > 0


def test_tables_file_and_figure_are_made_of_measurements(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, figure = (tmp_path / name for name in ("first.json", "second.json", "drawn.png"))
    first.write_text(json.dumps({"measured": measurements().as_json()}))
    scaling_out.main(["--read", str(first), "--json", str(second), "--figure", str(figure)])
    printed = capsys.readouterr().out
    fits = "100.0 us a message, 0.10 ns a byte; exchanges of gradients: 1000.0 us a message, 1.00 ns a byte, 2.00 ns"
    assert f"TCP: {fits} a byte that is added; off by 0% at most" in printed
    (row,) = [line.split() for line in printed.splitlines() if line.startswith("small      2")]
    predicted = 1.0 + OWN.seconds(of_a_step(WORK.size, 2))
    assert row == [
        "small",
        "2",
        "1000.0",
        f"{1e3 * predicted:.1f}",
        "1250.0",
        f"{predicted / 1.25 - 1:+.0%}",
        "4.2",
        "4.2",
    ]
    assert read_measured(second) == read_measured(first) == measurements()
    steps = json.loads(second.read_text())["predicted"]
    assert len(steps) == 3 * len(RANKS) * 2
    (one,) = [s for s in steps if (s["gigabits"], s["ranks"], s["overlaps"]) == (1, 256, False)]
    assert one["efficiency"] == pytest.approx(Network(OWN, 1).efficiency(WORK, 256, overlaps=False))
    scaling_out.main(["--read", str(first), "--latency", "3000"])
    (row,) = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("small     100")]
    slow = replace(OWN, latency=OWN.latency + 3e-3)
    efficiencies = [f"{Network(slow, 100).efficiency(WORK, ranks, overlaps=False):.0%}" for ranks in (8, 64, 1024)]
    assert row[2:5] == efficiencies
    svg = figure.with_suffix(".svg").read_text(encoding="utf-8")
    for text in ("1 Gbit/s", "overlap", "copies, sums", "small, 1.0 M parameters"):
        assert f">{text}<" in svg


def test_scaling_stops_where_less_than_half_is_used() -> None:
    network = Network(OWN, 1)
    stop = scaling_out.stops_at(network, WORK, overlaps=False)
    assert stop is not None
    assert network.efficiency(WORK, stop, overlaps=False) < 0.5 <= network.efficiency(WORK, stop // 2, overlaps=False)
    assert scaling_out.stops_at(Network(AlphaBeta(0, 0), 1e9), WORK, overlaps=False) is None


def test_the_reason_of_a_failure_is_the_line_of_the_rank_that_ended_the_job() -> None:
    said = b"Traceback\nranks.py: rank 1 of 2 ended the job: OSError: full\n===\n=   EXIT CODE: 1\n"
    assert reason(subprocess.CompletedProcess([], 1, b"", said)) == "ranks.py: rank 1 of 2 ended the job: OSError: full"
    assert (
        reason(subprocess.CompletedProcess([], 1, b"there are not enough slots\n", b"")) == "there are not enough slots"
    )
    assert reason(subprocess.CompletedProcess([], 9, b"", b"")) == "status 9"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--repeats", "0"], "--repeats must be at least 1, got 0"),
        (["--latency", "-1"], "--latency must be at least 0, got -1.0"),
        (["--ranks", "1"], "--ranks must be at least 2, got 1"),
        (["--ranks", "3"], "--ranks 3 does not divide the 8 sequences of medium"),
        (["--largest", "9"], "--largest must be at least 65536, got 9"),
        (["--models", "--ranks", "2"], "there is nothing to time: no --models"),
        (["--figure", "no/where.png"], "--figure no/where.png cannot be written: its folder does not exist"),
        (["--json", "no/where"], "--json no/where cannot be written: No such file or directory"),
        (["--read", "no.json"], "no.json cannot be read: No such file or directory"),
        (["--read", "cut.json"], "cut.json is damaged: "),
        (["--read", "other.json"], "other.json does not hold the measurements of a run"),
        (["--read", "words.json"], "words.json does not hold the measurements of a run"),
        (["--mpiexec", "nowhere"], "there is no program nowhere; it is to start the ranks"),
    ],
)
def test_bad_options_are_one_clear_sentence(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling_out, "find_spec", lambda package: object())
    words = {"measured": measurements().as_json() | {"cores": "two"}}
    for name, content in (("cut", "{"), ("other", "{}"), ("words", json.dumps(words))):
        (tmp_path / f"{name}.json").write_text(content)
    assert refusal("scaling_out", *arguments, cwd=tmp_path).startswith(said)


def test_what_is_missing_for_ranks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling_out, "find_spec", lambda package: None)
    said = "mpi4py is not installed in this Python; pip install -e '.[mpi]' brings it, and mpiexec"
    assert refusal("scaling_out", cwd=tmp_path) == said
    monkeypatch.setattr(scaling_out, "find_spec", lambda package: object())
    monkeypatch.setattr(scaling_out.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal("scaling_out", cwd=tmp_path) == "there is no program mpiexec; --mpiexec names one elsewhere"
    for name, value in (("PMI_RANK", "0"), ("PMI_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert refusal("scaling_out", cwd=tmp_path) == "it starts ranks itself; run it without mpiexec"
