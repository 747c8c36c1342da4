"""Failures of the checker that are known, one by one, each with the reason."""

EXPLAINED: dict[tuple[str, str, str], str] = {}
"""By function, regime and kind of failure."""


def explained(function: str, regime: str, kind: str) -> str | None:
    return EXPLAINED.get((function, regime, kind))
