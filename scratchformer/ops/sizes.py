"""What ops that build arrays from sizes ask of them."""


def check_at_least(op: str, least: int, **sizes: int) -> None:
    """Raises ValueError unless every size is at least `least`."""
    for name, size in sizes.items():
        if size < least:
            raise ValueError(f"{op}: {name} must be at least {least}, got {size}")
