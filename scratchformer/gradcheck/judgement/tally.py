"""Reports of many examples, summed up."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from scratchformer.gradcheck.judgement.errors import largest
from scratchformer.gradcheck.judgement.report import PASSED, Finding, OracleErrors, Report, Verdict

STRENGTH: tuple[Verdict, ...] = (
    "wrong",
    "right",
    "right to float32",
    "right to float16",
    "kink",
    "noisy",
    "zero",
    "vacuous",
)
"""The first of these verdicts that any example got holds for all: one wrong gradient is enough, and so is one proof."""


@dataclass(frozen=True)
class TensorTally:
    """What all examples together say of one tensor.

    Attributes:
        verdict: the strongest.
        counts: how many examples got each verdict.
        errors: the largest among the examples with that verdict, and the median of their Taylor orders.
        reason: the message of the first example with that verdict, if the verdict passes.
    """

    tensor: str
    verdict: Verdict
    counts: Counter[Verdict]
    errors: OracleErrors
    reason: str


@dataclass(frozen=True)
class Tally:
    """What many reports on the same op, layer, model or optimizer say together.

    Attributes:
        first_failure: the first report with a wrong gradient or a broken promise.
        sample: the report on the largest tensors among those with nothing but right gradients, or else among all.
    """

    name: str
    num_examples: int
    tensors: list[TensorTally]
    broken_promises: list[str]
    first_failure: Report | None
    sample: Report

    @property
    def verdict(self) -> Verdict:
        """Wrong if a promise is broken or any tensor wrong, else vacuous if any is, else right."""
        found = {of_tensor.verdict for of_tensor in self.tensors}
        if self.broken_promises or "wrong" in found:
            return "wrong"
        return "vacuous" if "vacuous" in found else "right"


def tally(name: str, reports: Sequence[Report]) -> Tally:
    """Sums up reports tensor by tensor. A tensor need not occur in all of them, as an optional argument does not."""
    findings: dict[str, list[Finding]] = {}
    for report in reports:
        for finding in report.findings:
            findings.setdefault(finding.tensor, []).append(finding)
    right = [report for report in reports if all(finding.verdict == "right" for finding in report.findings)]
    return Tally(
        name,
        len(reports),
        [_tally_of_tensor(tensor, found) for tensor, found in findings.items()],
        sorted({promise for report in reports for promise in report.broken_promises}),
        next((report for report in reports if report.is_wrong), None),
        max(right or reports, key=_num_elements),
    )


def _num_elements(report: Report) -> int:
    return 0 if report.subject is None else sum(x.size for x in report.subject.tensors.values())


def _tally_of_tensor(tensor: str, findings: Sequence[Finding]) -> TensorTally:
    counts: Counter[Verdict] = Counter(finding.verdict for finding in findings)
    verdict = next(verdict for verdict in STRENGTH if counts[verdict])
    decisive = [finding for finding in findings if finding.verdict == verdict]
    oracles = dict.fromkeys(oracle for finding in decisive for oracle in finding.errors.by_oracle)
    orders = [finding.errors.taylor_order for finding in decisive if finding.errors.taylor_order is not None]
    errors = OracleErrors(
        {oracle: largest(finding.errors.by_oracle.get(oracle, 0.0) for finding in decisive) for oracle in oracles},
        median(orders) if orders else None,
    )
    return TensorTally(tensor, verdict, counts, errors, decisive[0].message if verdict in PASSED else "")
