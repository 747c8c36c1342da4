"""What every layer asks of its sizes."""

from scratchformer.ops.sizes import check_at_least


def check_size(layer: str, **sizes: int) -> None:
    """Raises ValueError unless every size is at least 1."""
    check_at_least(layer, 1, **sizes)


def check_probability(layer: str, **probabilities: float) -> None:
    """Raises ValueError unless every probability lies in [0, 1)."""
    for name, p in probabilities.items():
        if not 0 <= p < 1:
            raise ValueError(f"{layer}: {name} must lie in [0, 1), got {p}")
