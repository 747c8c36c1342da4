from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from scratchformer.gradcheck.judgement.report import PASSED, Finding, Report, Verdict

STRENGTH: tuple[Verdict, ...] = ("wrong", "right", "kink", "noisy", "zero", "vacuous")
"""Of several examples the first of these verdicts holds: one wrong gradient is enough, and so is one that proves it."""


@dataclass(frozen=True)
class Line:
    """What all examples together say of one tensor.

    The verdict, and of the examples that led to it the worst errors and the median order of the Taylor remainder.
    """

    tensor: str
    verdict: Verdict
    counts: Counter[Verdict]
    central: float
    exact: float | None
    taylor: float | None
    reason: str


@dataclass(frozen=True)
class Tally:
    """Many reports on the same subject, in one; `sample` is the largest that was right throughout, if there is any."""

    name: str
    num_examples: int
    lines: list[Line]
    broken_promises: list[str]
    first_failure: Report | None
    sample: Report

    @property
    def verdict(self) -> Verdict:
        """Of the whole: wrong or vacuous if any tensor is, else right."""
        if self.broken_promises:
            return "wrong"
        found = {line.verdict for line in self.lines}
        if "wrong" in found:
            return "wrong"
        return "vacuous" if "vacuous" in found else "right"


def tally(name: str, reports: Sequence[Report]) -> Tally:
    """The reports of many examples, tensor by tensor; a tensor that only some examples have counts in those."""
    by_tensor: dict[str, list[Finding]] = {}
    for report in reports:
        for finding in report.findings:
            by_tensor.setdefault(finding.tensor, []).append(finding)
    promises = sorted({promise for report in reports for promise in report.broken_promises})
    failed = [
        report
        for report in reports
        if report.broken_promises or any(finding.verdict == "wrong" for finding in report.findings)
    ]
    lines = [_line(tensor, findings) for tensor, findings in by_tensor.items()]
    right = [report for report in reports if all(finding.verdict == "right" for finding in report.findings)]
    sample = max(right or reports, key=_size)
    return Tally(name, len(reports), lines, promises, failed[0] if failed else None, sample)


def _size(report: Report) -> int:
    return 0 if report.subject is None else sum(x.size for x in report.subject.tensors.values())


def _line(tensor: str, findings: Sequence[Finding]) -> Line:
    counts: Counter[Verdict] = Counter(finding.verdict for finding in findings)
    verdict = next(verdict for verdict in STRENGTH if counts[verdict])
    judged = [finding for finding in findings if finding.verdict == verdict]
    orders = [finding.taylor for finding in judged if finding.taylor is not None]
    exact = [finding.exact for finding in judged if finding.exact is not None]
    return Line(
        tensor,
        verdict,
        counts,
        max(finding.central for finding in judged),
        max(exact) if exact else None,
        median(orders) if orders else None,
        judged[0].message if verdict in PASSED else "",
    )
