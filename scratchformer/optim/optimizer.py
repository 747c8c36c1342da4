from collections.abc import Callable

import numpy as np

from scratchformer.optim.spans import ParallelMap, ParameterVector, spans

Update = Callable[[slice], None]


class Optimizer:
    """What all optimizers share: they update a vector of parameters in place from the vector of their gradients.

    A subclass says in `_update` how a span is updated. `state` names the vectors that it keeps between steps.
    """

    def __init__(self, parameters: ParameterVector, **state: np.ndarray) -> None:
        self.parameters = parameters
        self.state = state
        self.num_steps = 0

    def step(self, learning_rate: float, parallel_map: ParallelMap = map) -> None:
        """One update of all parameters.

        Args:
            learning_rate: of this step; schedules give it.
            parallel_map: a thread pool's `map`, to share the work out; the result does not depend on it.

        Raises:
            ValueError: a learning rate that is negative or not finite.
        """
        if not 0 <= learning_rate < float("inf"):
            raise ValueError(
                f"{type(self).__name__}: learning_rate must be finite and not negative, got {learning_rate}"
            )
        self.num_steps += 1
        for _ in parallel_map(self._update(float(learning_rate)), spans(self.parameters.values.size)):
            pass

    def _update(self, learning_rate: float) -> Update:
        """The update of one span in the current step."""
        raise TypeError("Optimizer is a base class: use SGD, Adam or AdamW")


def check_rate(optimizer: str, name: str, value: float, below: float = float("inf")) -> None:
    """Raises ValueError unless 0 <= value < below."""
    if not 0 <= value < below:
        raise ValueError(f"{optimizer}: {name} must lie in [0, {below:g}), got {value}")
