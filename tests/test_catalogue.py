"""The library under its own toolkit: every op, layer, model and optimizer, on examples that Hypothesis draws."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scratchformer import layers, models, ops, optim
from scratchformer.catalogue import CATALOGUE, OPS, Entry
from scratchformer.gradcheck import Report
from scratchformer.gradcheck.judgement.tally import tally
from scratchformer.gradcheck.strategies import ORDINARY, REGIMES, Regime
from tests.annotations import unchecked

EXAMPLES = {"ops": 8, "layers": 2, "models": 1, "optim": 12}
UNCATALOGUED = {"Backward", "op", "Layer", "Parameter", "Trace", "NO_TRACE"}
UNCATALOGUED |= {"Optimizer", "ParallelMap", "ParameterVector", "WeightAverage", "clip_global_norm", "global_norm"}
UNCATALOGUED |= {"Constant", "WarmupCosine", "WarmupInverseSquareRoot"}
UNCATALOGUED |= {"Muon", "block_matrices", "orthogonal"}  # no element of a matrix moves by itself
UNCATALOGUED |= {"BERTConfig", "GPTConfig", "LlamaConfig", "TransformerConfig", "AttentionConfig", "BlockConfig"}
UNCATALOGUED |= {"KeyValueCache", "Rotary"}
UNCATALOGUED |= {"alibi_bias", "relative_buckets", "sinusoidal_positions"}
UNCATALOGUED |= {"llama3_frequencies", "yarn_frequencies", "yarn_magnitude"}
UNCATALOGUED |= {"causal_mask", "combine_masks", "packed_mask", "padding_mask", "sliding_window_mask"}


def takes_long(entry: Entry) -> bool:
    """Layers, models and attention in blocks: left to `python -m scratchformer gradcheck` and `-m long`.

    They have tests of their own.
    """
    return entry.room in ("layers", "models") or entry.name.startswith("blockwise")


by_name = pytest.mark.parametrize(
    "entry",
    [pytest.param(entry, marks=[pytest.mark.long] if takes_long(entry) else []) for entry in CATALOGUE],
    ids=[entry.name for entry in CATALOGUE],
)


def reports_of(entry: Entry, examples: int, regimes: tuple[Regime, ...]) -> list[Report]:
    reports = []

    @given(check=entry.checks(regimes))
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    def run(check) -> None:
        with unchecked():
            report = check()
        reports.append(report)
        assert not report.broken_promises, report
        assert all(finding.verdict != "wrong" for finding in report.findings), report

    run()
    return reports


@by_name
def test_every_gradient_is_right_and_some_example_proves_it(entry: Entry) -> None:
    found = tally(entry.name, reports_of(entry, EXAMPLES[entry.room], ORDINARY))
    assert found.verdict == "right", found
    for line in found.tensors:
        exact = line.errors.by_oracle.get("complex step")
        # Beside much larger gradients a small one is noisy by differences, but not by the complex step.
        is_sharp = line.verdict == "noisy" and exact is not None and exact <= 1e-10
        assert line.verdict in ("right", "zero") or is_sharp, line
        assert line.verdict != "zero" or "key bias" in line.reason or "not read" in line.reason


@pytest.mark.long
@pytest.mark.parametrize("entry", OPS, ids=[entry.name for entry in OPS])
def test_no_right_gradient_is_called_wrong_whatever_is_drawn(entry: Entry) -> None:
    """Some 20,000 examples over all ops, kinks, ties, huge and subnormal values among them."""
    reports_of(entry, 750, REGIMES)


def test_nothing_is_left_out() -> None:
    public = {name for room in (ops, layers, models, optim) for name in room.__all__} - UNCATALOGUED
    catalogued = {entry.name.partition(" (")[0] for entry in CATALOGUE}
    assert public - catalogued == {"scaled_dot_product_attention"}  # under the name of attention
    assert catalogued - public == {"attention"}
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE)


@given(entry=st.sampled_from(OPS), data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_check_repeats(entry: Entry, data: st.DataObject) -> None:
    check = data.draw(entry.checks(ORDINARY))
    with unchecked():
        assert str(check()) == str(check())
