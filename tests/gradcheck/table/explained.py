"""Failures of the checker that are known, one by one, each with the reason."""

LOST = (
    "float64 computes another function: where one probability rounds to 1, log p is 0 instead of -(1 - p). Beside 120 "
    "digits, its slope over a step of 2^-12 is off by 1.4e-2 in one row; in another it is a staircase at fine steps"
)
BENT = "the slope bends within 1e-8, over which a ten thousandth of it is 1e-13 of the output: ten roundings"
EXPLAINED: dict[tuple[str, str, str], str] = {
    ("entropy of softmax", "mixed sizes", "false alarm"): LOST,
    ("nuclear norm", "near ties", "miss"): BENT,
}
"""By function, regime and kind of failure."""


def explained(function: str, regime: str, kind: str) -> str | None:
    return EXPLAINED.get((function, regime, kind))
