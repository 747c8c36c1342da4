import math

import numpy as np

from scratchformer.arguments import checked_arguments
from scratchformer.optim.optimizer import Optimizer, SpanUpdate, check_rate
from scratchformer.optim.spans import ParameterVector


@checked_arguments
class Adam(Optimizer):
    """Adam: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, and at step t
    theta -= learning_rate m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).

    `eps` stands outside the square root, after the bias correction, as in algorithm 1 of the paper.
    Raises ValueError for betas outside [0, 1) or a negative eps.

    Source: Kingma and Ba, "Adam", 2015, algorithm 1.

    Derivation: `python -m scratchformer derive adam`.
    """

    not_negative = ("v",)
    squares_gradients = True

    def __init__(
        self, parameters: ParameterVector, *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        name = type(self).__name__
        check_rate(name, "betas[0]", betas[0], below=1)
        check_rate(name, "betas[1]", betas[1], below=1)
        check_rate(name, "eps", eps)
        values = parameters.values  # unlike zeros_like, zeros takes memory only for what is written to
        super().__init__(parameters, m=np.zeros(values.shape, values.dtype), v=np.zeros(values.shape, values.dtype))
        self.betas = (float(betas[0]), float(betas[1]))
        self.eps = float(eps)

    def _update(self, learning_rate: float) -> SpanUpdate:
        b1, b2 = self.betas
        # Both sides of the quotient are multiplied by the root of the correction of v, which then needs no pass.
        root = math.sqrt(1 - b2**self.num_steps)
        step_size = learning_rate * root / (1 - b1**self.num_steps)
        eps = self.eps * root

        def update(span: slice) -> None:
            theta, g = self.parameters.values[span], self.parameters.grads[span]
            m, v = self.state["m"][span], self.state["v"][span]
            buffer = (1 - b1) * g  # one for all that follows, as it is in the cache
            m *= b1
            m += buffer
            np.multiply(g, g, out=buffer)
            buffer *= 1 - b2
            v *= b2
            v += buffer
            denominator = np.sqrt(v, out=buffer)
            denominator += eps
            np.divide(m, denominator, out=buffer)
            buffer *= step_size
            theta -= buffer

        return update


@checked_arguments
class AdamW(Adam):
    """Adam with decoupled weight decay: before Adam's step, theta *= 1 - learning_rate weight_decay.

    Decay applies to matrices and tables only (the leading `num_decayed` elements of the vector), not to biases and
    norms. Raises ValueError for a negative weight_decay, and what `Adam` raises.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2 (here, as in PyTorch, the
    decay is scaled by the learning rate).

    Derivation: `python -m scratchformer derive adam`.
    """

    def __init__(
        self,
        parameters: ParameterVector,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        check_rate("AdamW", "weight_decay", weight_decay)
        super().__init__(parameters, betas=betas, eps=eps)
        self.weight_decay = float(weight_decay)

    def _update(self, learning_rate: float) -> SpanUpdate:
        adam_update = super()._update(learning_rate)
        num_decayed = self.parameters.num_decayed

        def update(span: slice) -> None:
            decayed = self.parameters.values[span.start : min(span.stop, num_decayed)]
            decayed *= 1 - learning_rate * self.weight_decay
            adam_update(span)

        return update
