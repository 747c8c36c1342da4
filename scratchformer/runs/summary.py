from typing import Any


def summarize(metric: str, achieved: float, target: float | None, seconds: float) -> dict[str, Any]:
    """What summary.json says of a run: the metric (lower is better), its target if there is one, and the time."""
    return {
        "metric": metric,
        metric: achieved,
        "target": target,
        "achieved": achieved,
        "passed": None if target is None else achieved <= target,
        "seconds": round(seconds, 1),
    }
