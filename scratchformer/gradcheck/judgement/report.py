from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import hypothesis

from scratchformer.arguments import checked_arguments
from scratchformer.gradcheck.judgement import in_hypothesis
from scratchformer.gradcheck.subjects.subject import Subject
from scratchformer.gradcheck.subjects.wording import NOT_DIFFERENTIATED

Verdict = Literal["right", "right to float32", "right to float16", "zero", "kink", "noisy", "vacuous", "wrong"]
PASSED: tuple[Verdict, ...] = ("right", "right to float32", "right to float16", "zero", "kink", "noisy")
TO_PRECISION: tuple[Verdict, ...] = ("right to float16", "right to float32")
Contract = Literal["advice", "required", False]
"""Whether broken promises are said, fail the check, or are not looked for."""


@dataclass(frozen=True)
class OracleErrors:
    """How far a gradient is from what each oracle says.

    Attributes:
        by_oracle: the largest error against each that applies, relative to the derivative; empty if none was asked.
        taylor_order: the order of the Taylor remainder, 2 for a right gradient and 1 for a wrong one; None where the
            remainder drowns in rounding.
    """

    by_oracle: Mapping[str, float] = field(default_factory=dict)
    taylor_order: float | None = None

    def __str__(self) -> str:
        order = [] if self.taylor_order is None else [f"Taylor order {self.taylor_order:.1f}"]
        return ", ".join([f"{oracle} {error:.0e}" for oracle, error in self.by_oracle.items()] + order)


@checked_arguments
@dataclass(frozen=True)
class Finding:
    """What the oracles say of the gradient of one tensor.

    The verdict is one of

    - "right";
    - "right to float32", "right to float16": it is right as far as a function can tell that computes in this precision;
    - "zero": the gradient is zero by mathematics, as was declared;
    - "kink": it lies between the slopes to both sides of a kink, and no single value is right there;
    - "noisy": it is right as far as the oracles can tell, but their noise is large;
    - "vacuous": it is about zero, and so is the true gradient, so that the check proves nothing;
    - "wrong": it differs from what the oracles say by more than their errors allow.
    """

    tensor: str
    verdict: Verdict
    errors: OracleErrors
    message: str = ""


@checked_arguments
@dataclass(frozen=True, repr=False)
class Report:
    """What a check found; false unless it passed.

    Attributes:
        name: of what was checked.
        findings: one for each tensor.
        broken_promises: what was seen of those promises of the contract that are broken.
        example: the line of source text that repeats the check.
        subject: what was checked; None for an optimizer.
        contract: whether broken promises are advice, or fail the check.
        remarks: what else is to be known, such as what is not differentiated.
    """

    name: str
    findings: list[Finding]
    broken_promises: list[str]
    example: str
    subject: Subject | None = None
    contract: Contract = "required"
    remarks: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether there is a gradient, none is wrong, none vacuous, and no promise broken that is required."""
        return bool(self.findings) and not self.is_wrong and all(finding.verdict in PASSED for finding in self.findings)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return str(self)  # which `assert check_op(...)` shows where it fails

    @property
    def is_wrong(self) -> bool:
        """Whether a gradient is wrong, or a promise broken that is required."""
        is_refused = self.contract == "required" and bool(self.broken_promises)
        return is_refused or any(finding.verdict == "wrong" for finding in self.findings)

    @property
    def proves_nothing(self) -> bool:
        """Whether nothing is wrong or broken, but some gradient is about zero."""
        return not (self.passed or self.is_wrong)

    def assert_right(self) -> None:
        """Raises AssertionError with the whole report unless everything passed.

        In a test that Hypothesis runs, an example that proves nothing is rejected instead, so that Hypothesis draws
        another one. If nearly all examples prove nothing, the test fails, and says what to write.
        """
        __tracebackhide__ = True
        if hypothesis.currently_in_test_context():
            if said := in_hypothesis.count(self.proves_nothing):
                raise AssertionError(f"{self}\n{said}")
            if self.proves_nothing:
                hypothesis.reject()
        if not self.passed:
            raise AssertionError(str(self))

    @property
    def headline(self) -> str:
        """The verdict on the gradients, then that on the contract."""
        verdicts = {finding.verdict for finding in self.findings}
        if "wrong" in verdicts:
            of_gradients = "WRONG"
        elif "vacuous" in verdicts:
            of_gradients = "PROVES NOTHING"
        elif not verdicts:
            of_gradients = "NOTHING WAS JUDGED"
        else:
            of_gradients = next((verdict for verdict in TO_PRECISION if verdict in verdicts), "right")
        left_out = [remark for remark in self.remarks if remark.startswith(NOT_DIFFERENTIATED)]
        if left_out and of_gradients.startswith("right"):
            judged = ", ".join(finding.tensor for finding in self.findings)
            of_gradients += f" of {judged} alone; {len(left_out)} not differentiated, said below"
        if not self.broken_promises:
            return of_gradients
        count = len(self.broken_promises)
        of_contract = f"contract broken: {count} promise{'s' if count > 1 else ''}, said below"
        return f"{'gradients ' if of_gradients.startswith('right') else ''}{of_gradients}; {of_contract}"

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.headline}"]
        width = max((len(finding.tensor) for finding in self.findings), default=0)
        for finding in self.findings:
            lines.append(f"  {finding.tensor:<{width}}  {finding.verdict:<7}  {finding.errors}".rstrip())
            lines += [f"    {line}" for line in finding.message.splitlines()]
        lines += [f"  {remark}" for remark in self.remarks]
        lines += [f"  contract broken: {promise}" for promise in self.broken_promises]
        if not self.passed and self.example:
            lines.append(f"  again: {self.example}")
        return "\n".join(lines)
