from collections.abc import Iterator
from contextlib import contextmanager

from scratchformer.arguments import checked_arguments
from scratchformer.optim.optimizer import check_rate
from scratchformer.optim.spans import ParallelMap, ParameterVector, spans


@checked_arguments
class WeightAverage:
    """Exponential moving average of the parameters: a = decay a + (1 - decay) p after each step, started at p.

    Steps jump about a minimum; their average lies closer to it, and costs no gradient.
    Raises ValueError for a decay outside [0, 1).

    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992, in the exponential form
    of Kingma and Ba, "Adam", 2015, section 7.2.
    """

    def __init__(self, parameters: ParameterVector, decay: float) -> None:
        check_rate("WeightAverage", "decay", decay, below=1)
        self.parameters = parameters
        self.decay = float(decay)
        self.values = parameters.values.copy()

    @checked_arguments
    def update(self, parallel_map: ParallelMap = map, part: slice | None = None) -> None:
        """Adds the current parameters to the average, or those of a part; the result does not depend on the map."""
        begin, end, _ = (part or slice(None)).indices(self.values.size)

        def update(span: slice) -> None:
            a, p = self.values[span], self.parameters.values[span]
            a *= self.decay
            a += (1 - self.decay) * p

        for _ in parallel_map(update, spans(end, begin)):
            pass

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the `with` block the parameters hold their average; afterwards they are as they were, bit for bit."""
        kept = self.parameters.values.copy()
        self.parameters.values[...] = self.values
        try:
            yield
        finally:
            self.parameters.values[...] = kept
