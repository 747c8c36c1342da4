import numpy as np

from scratchformer.arguments import checked_arguments
from scratchformer.optim.optimizer import Optimizer, SpanUpdate, check_rate
from scratchformer.optim.spans import ParameterVector


@checked_arguments
class SGD(Optimizer):
    """Gradient descent: theta -= learning_rate g.

    With momentum: velocity = momentum velocity + g, then theta -= learning_rate velocity or, with Nesterov's momentum,
    theta -= learning_rate (g + momentum velocity).

    Raises ValueError for a momentum outside [0, 1), or for `nesterov` without momentum.

    Source: Sutskever et al., "On the importance of initialization and momentum", 2013, section 2 (here, as in PyTorch,
    the learning rate is outside the velocity, and Nesterov's gradient is taken at theta).

    Derivation: `python -m scratchformer derive sgd`.
    """

    def __init__(self, parameters: ParameterVector, *, momentum: float = 0.0, nesterov: bool = False) -> None:
        check_rate("SGD", "momentum", momentum, below=1)
        if nesterov and momentum == 0:
            raise ValueError("SGD: nesterov needs a momentum above 0, got 0")
        state = {"velocity": np.zeros_like(parameters.values)} if momentum else {}
        super().__init__(parameters, **state)
        self.momentum = float(momentum)
        self.nesterov = bool(nesterov)

    def _update(self, learning_rate: float) -> SpanUpdate:
        def update(span: slice) -> None:
            theta, g = self.parameters.values[span], self.parameters.grads[span]
            if not self.momentum:
                theta -= learning_rate * g
                return
            velocity = self.state["velocity"][span]
            velocity *= self.momentum
            velocity += g
            theta -= learning_rate * (g + self.momentum * velocity if self.nesterov else velocity)

        return update
