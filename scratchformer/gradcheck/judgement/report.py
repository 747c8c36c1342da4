from dataclasses import dataclass
from typing import Literal

import hypothesis

from scratchformer.gradcheck.subjects.subject import Subject

Verdict = Literal["right", "zero", "kink", "noisy", "vacuous", "wrong"]
PASSED: tuple[Verdict, ...] = ("right", "zero", "kink", "noisy")


@dataclass(frozen=True)
class Finding:
    """What the oracles say of the gradient of one tensor.

    `verdict` is "right"; "zero", by mathematics as declared; "kink", where only the slope to one side can be right and
    the gradient lies between both; "noisy", right as far as differences can tell, which is not far; "vacuous", when the
    true gradient is about zero and the check proves nothing; or "wrong".
    Errors are relative to the largest element. `exact` is against the complex step, None where it does not apply.
    `taylor` is the order of the Taylor remainder: 2 when right, 1 when wrong, None when it drowns in rounding.
    """

    tensor: str
    verdict: Verdict
    central: float
    exact: float | None
    taylor: float | None
    message: str = ""


@dataclass(frozen=True)
class Report:
    """What a check found: a finding per tensor, the promises of the contract that were broken, how to see it again.

    `subject` is what was checked, where it was a function.
    """

    name: str
    findings: list[Finding]
    broken_promises: list[str]
    example: str
    subject: Subject | None = None

    @property
    def passed(self) -> bool:
        """Whether no gradient is wrong, none vacuous, and no promise broken."""
        return not self.broken_promises and all(finding.verdict in PASSED for finding in self.findings)

    @property
    def proves_nothing(self) -> bool:
        """Whether nothing is wrong or broken, but some gradient is about zero."""
        return not (self.passed or self.broken_promises or any(found.verdict == "wrong" for found in self.findings))

    def assert_right(self) -> None:
        """Raises AssertionError with the diagnosis unless everything passed.

        In a test that Hypothesis runs, an example that proves nothing is rejected, so that another one is drawn; if all
        prove nothing, Hypothesis fails the test.
        """
        __tracebackhide__ = True
        if self.proves_nothing and hypothesis.currently_in_test_context():
            hypothesis.reject()
        if not self.passed:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        lines = [f"{self.name}: {'right' if self.passed else 'PROVES NOTHING' if self.proves_nothing else 'WRONG'}"]
        width = max((len(finding.tensor) for finding in self.findings), default=0)
        for finding in self.findings:
            errors = f"central {finding.central:.0e}"
            if finding.exact is not None:
                errors += f", complex step {finding.exact:.0e}"
            if finding.taylor is not None:
                errors += f", Taylor order {finding.taylor:.1f}"
            lines.append(f"  {finding.tensor:<{width}}  {finding.verdict:<7}  {errors}")
            lines += [f"    {line}" for line in finding.message.splitlines()]
        lines += [f"  contract broken: {promise}" for promise in self.broken_promises]
        if not self.passed and self.example:
            lines.append(f"  again: {self.example}")
        return "\n".join(lines)
