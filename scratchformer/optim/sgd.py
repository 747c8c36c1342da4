import numpy as np

from scratchformer.arguments import checked_arguments
from scratchformer.optim.optimizer import Optimizer, SpanUpdate, check_rate
from scratchformer.optim.spans import ParameterVector


@checked_arguments
class SGD(Optimizer):
    """Gradient descent: p -= learning_rate g. With momentum mu: u = mu u + g, then p -= learning_rate u
    or, with Nesterov's momentum, p -= learning_rate (g + mu u).

    Raises ValueError for a momentum outside [0, 1), or for `nesterov` without momentum.

    Source: Sutskever et al., "On the importance of initialization and momentum", 2013, section 2 (here, as in PyTorch,
    the learning rate is outside the velocity, and Nesterov's gradient is taken at p).

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
            p, g = self.parameters.values[span], self.parameters.grads[span]
            if not self.momentum:
                p -= learning_rate * g
                return
            u = self.state["velocity"][span]
            u *= self.momentum
            u += g
            p -= learning_rate * (g + self.momentum * u if self.nesterov else u)

        return update
