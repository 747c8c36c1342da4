"""What a check does in a test that Hypothesis runs, and what it says where a deadline or a health check may strike."""

from dataclasses import dataclass

import hypothesis
from hypothesis import HealthCheck, settings

FEW, MANY = 10, 45
"""Hypothesis gives up if it rejects 50 examples before it has found 10; the reason is said a little earlier."""


@dataclass
class _Counts:
    """How many examples of the test with these settings (`test`) proved something, and how many nothing."""

    test: object
    proved: int = 0
    rejected: int = 0


_counts = _Counts(settings.default)


def count(proves_nothing: bool) -> str:
    """Counts an example. Where Hypothesis is about to give up, returns what to write."""
    global _counts
    if settings.default is not _counts.test:
        _counts = _Counts(settings.default)
    if not proves_nothing:
        _counts.proved += 1
        return ""
    _counts.rejected += 1
    suppressed = settings.default.suppress_health_check if settings.default else ()
    if HealthCheck.filter_too_much in suppressed or _counts.proved >= FEW or _counts.rejected < MANY:
        return ""
    seen = f"{_counts.rejected} of {_counts.rejected + _counts.proved} examples prove nothing, as this one does"
    return (
        f"{seen}: draw other values, name in zero=... what is zero by mathematics, or write "
        "@settings(suppress_health_check=[HealthCheck.filter_too_much])"
    )


def note_time(name: str, seconds: float) -> None:
    """Notes, in a test whose deadline this was, what to write."""
    if not hypothesis.currently_in_test_context():
        return
    deadline = settings.default.deadline if settings.default else None
    if deadline is not None and seconds > deadline.total_seconds() / 2:
        hypothesis.note(
            f"{name}: this check took {seconds:.2f} s of {deadline.total_seconds():.2g} s until the deadline: write "
            '@settings(deadline=None), or give contract=False or effort="directions" to take less'
        )
