from typing import Any


def summarize(metric: str, achieved: float, target: float | None, seconds: float | None) -> dict[str, Any]:
    """What summary.json says of a run: its metric (lower is better), the target if there is one, the time if known."""
    return {
        "metric": metric,
        metric: achieved,
        "target": target,
        "achieved": achieved,
        "passed": None if target is None else achieved <= target,
        "seconds": None if seconds is None else round(seconds, 1),
    }
