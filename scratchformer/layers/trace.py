from copy import copy
from fnmatch import fnmatchcase

from numpy import ndarray


class Trace:
    """Records intermediates of a forward pass by name, and those of its backward pass with a `d` before the last part.

    Given to a model's call as `trace=`, it holds afterwards, in the order in which they were computed,

    - `embedded`: what enters the first block;
    - `blocks.0.residual_after_attention` and `blocks.0.residual`: the residual stream inside and after a block;
    - `blocks.0.attention_norm` and `blocks.0.feed_forward_norm`: what the branches get;
    - `blocks.0.attention.query`, `.key`, `.value`, `.weights` (before dropout), `.heads` and `.output`;
    - `blocks.0.feed_forward.hidden`, `.activations` and `.output`;
    - `normed`, `logits` and, for a loss, `loss`;

    and once the backward pass has run `dlogits`, `blocks.0.dresidual`, `blocks.0.attention.dquery` and so on.
    The arrays are those of the computation, not copies: whoever wants to change one copies it first.

    Args:
        patterns: the names to record, where `*` stands for anything: `Trace("*.attention.weights")`; none for all.
    """

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns or ("*",)
        self.arrays: dict[str, ndarray] = {}
        self._prefix = ""

    def within(self, name: str) -> "Trace":
        """A view of this trace for a part of the model, whose names all begin with the part's."""
        inner = copy(self)
        inner._prefix = f"{self._prefix}{name}."
        return inner

    def wants(self, name: str) -> bool:
        """Whether an intermediate would be recorded: asked before computing one that nothing else needs."""
        return any(fnmatchcase(self._prefix + name, pattern) for pattern in self.patterns)

    def record(self, name: str, array: ndarray) -> None:
        """Keeps the array under this name, in the place of an earlier one, if the name is wanted."""
        if self.wants(name):
            self.arrays[self._prefix + name] = array

    def __getitem__(self, name: str) -> ndarray:
        if name not in self.arrays:
            raise KeyError(
                f"Trace: nothing was recorded as {name!r}, only {', '.join(self.arrays) or 'nothing at all'}"
            )
        return self.arrays[name]


def record(trace: Trace | None, **arrays: ndarray) -> None:
    """Records the arrays under their names if there is a trace."""
    if trace is not None:
        for name, array in arrays.items():
            trace.record(name, array)


def within(trace: Trace | None, name: str) -> Trace | None:
    """The trace for a part of the model, if there is one."""
    return None if trace is None else trace.within(name)
