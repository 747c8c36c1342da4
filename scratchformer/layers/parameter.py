import numpy as np


class Parameter:
    """A learned tensor: its value, and its gradient, to which every backward pass adds."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value
        self.grad = np.zeros_like(value)
