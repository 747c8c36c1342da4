from collections.abc import Iterator, Mapping
from copy import copy
from difflib import get_close_matches
from fnmatch import fnmatchcase

from numpy import ndarray


class Trace(Mapping[str, ndarray]):
    """Records intermediates of a forward pass by name, and those of its backward pass with a `d` before the last part.

    It is a mapping from names to arrays, meant for one forward pass and its backward.
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

    def record(self, **arrays: ndarray) -> None:
        """Keeps each array under its name, in the place of an earlier one, if the name is wanted."""
        for name, array in arrays.items():
            if self.wants(name):
                self.keep(self._prefix + name, array)

    def keep(self, name: str, array: ndarray) -> None:
        """Keeps the array under its whole name."""
        self.arrays[name] = array

    def __getitem__(self, name: str) -> ndarray:
        if name not in self.arrays:
            close = get_close_matches(name, self.arrays, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f" among {len(self.arrays)} names"
            raise KeyError(f"Trace: nothing was recorded as {name!r}{hint}")
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


class NoTrace(Trace):
    """Records nothing: what a forward pass is given unless somebody wants to look inside."""

    def within(self, name: str) -> "NoTrace":
        return self

    def wants(self, name: str) -> bool:
        return False

    def record(self, **arrays: ndarray) -> None:
        pass


NO_TRACE = NoTrace()
