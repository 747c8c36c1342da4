import pytest

from scratchformer.gradcheck import Finding, Report, Verdict
from scratchformer.gradcheck.judgement.report import OracleErrors
from scratchformer.gradcheck.judgement.tally import tally


def report(*verdicts: Verdict, broken: tuple[str, ...] = ()) -> Report:
    errors = OracleErrors({"central": 1e-9, "complex step": 1e-15}, 2.0)
    findings = [Finding(f"x{i}", verdict, errors, "why") for i, verdict in enumerate(verdicts)]
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
    (of_tensor,) = found.tensors
    assert of_tensor.verdict == verdict
    assert of_tensor.counts.total() == len(examples)
    assert of_tensor.reason == ("" if verdict in ("wrong", "vacuous") else "why")
    assert found.verdict == {"wrong": "wrong", "vacuous": "vacuous"}.get(verdict, "right")
    assert (found.first_failure is not None) == (verdict == "wrong")


def test_tensors_are_judged_one_by_one() -> None:
    found = tally("op", [report("right", "vacuous"), report("right", "right"), report("kink")])
    assert [of_tensor.verdict for of_tensor in found.tensors] == ["right", "right"]
    assert [of_tensor.counts.total() for of_tensor in found.tensors] == [3, 2]
    assert found.verdict == "right"
    assert found.sample.findings[1].verdict == "right"


def test_the_worst_errors_of_the_examples_that_count_are_kept() -> None:
    first, second = OracleErrors({"central": 1e-9}, 1.9), OracleErrors({"central": 1e-8, "complex step": 1e-14}, 2.1)
    findings = [
        Finding("x", "right", first),
        Finding("x", "right", second),
        Finding("x", "vacuous", OracleErrors({"central": 1.0, "complex step": 1.0})),
    ]
    (of_tensor,) = tally("op", [Report("op", [finding], [], "") for finding in findings]).tensors
    assert of_tensor.errors == OracleErrors({"central": 1e-8, "complex step": 1e-14}, 2.0)


def test_a_broken_promise_makes_the_whole_wrong() -> None:
    found = tally("op", [report("right"), report("right", broken=("b", "a")), report("right", broken=("a",))])
    assert found.broken_promises == ["a", "b"]
    assert found.verdict == "wrong"
    assert found.first_failure is not None
    assert found.first_failure.broken_promises == ["b", "a"]
