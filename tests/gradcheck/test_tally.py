import pytest

from scratchformer.gradcheck import Finding, Report, Verdict
from scratchformer.gradcheck.judgement.tally import tally


def report(*verdicts: Verdict, broken: tuple[str, ...] = (), exact: float | None = 1e-15) -> Report:
    findings = [Finding(f"x{i}", verdict, 1e-9, exact, 2.0, "why") for i, verdict in enumerate(verdicts)]
    return Report("op", findings, list(broken), "again")


@pytest.mark.parametrize(
    ("examples", "verdict"),
    [
        (["vacuous", "right", "kink"], "right"),
        (["right", "right", "wrong"], "wrong"),
        (["vacuous", "vacuous"], "vacuous"),
        (["zero", "zero"], "zero"),
        (["vacuous", "noisy"], "noisy"),
        (["kink", "noisy", "vacuous"], "kink"),
    ],
)
def test_one_proof_is_enough_and_so_is_one_wrong_gradient(examples: list[Verdict], verdict: Verdict) -> None:
    found = tally("op", [report(example) for example in examples])
    assert found.num_examples == len(examples)
    (line,) = found.lines
    assert line.verdict == verdict
    assert line.counts.total() == len(examples)
    assert found.verdict == {"wrong": "wrong", "vacuous": "vacuous"}.get(verdict, "right")
    assert (found.first_failure is not None) == (verdict == "wrong")


def test_tensors_are_judged_one_by_one() -> None:
    found = tally("op", [report("right", "vacuous"), report("right", "right"), report("kink")])
    assert [line.verdict for line in found.lines] == ["right", "right"]
    assert [line.counts.total() for line in found.lines] == [3, 2]
    assert found.verdict == "right"
    assert found.sample.findings[1].verdict == "right"


def test_the_worst_errors_of_the_examples_that_count_are_kept() -> None:
    first, second = Finding("x", "right", 1e-9, None, 1.9), Finding("x", "right", 1e-8, 1e-14, 2.1)
    other = Finding("x", "vacuous", 1.0, 1.0, None)
    (line,) = tally("op", [Report("op", [finding], [], "") for finding in (first, second, other)]).lines
    assert (line.central, line.exact) == (1e-8, 1e-14)
    assert line.taylor == pytest.approx(2.0)


def test_a_broken_promise_makes_the_whole_wrong() -> None:
    found = tally("op", [report("right"), report("right", broken=("b", "a")), report("right", broken=("a",))])
    assert found.broken_promises == ["a", "b"]
    assert found.verdict == "wrong"
    assert found.first_failure is not None
    assert found.first_failure.broken_promises == ["b", "a"]
