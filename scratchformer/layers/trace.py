from collections.abc import Iterator, Mapping
from copy import copy
from difflib import get_close_matches
from fnmatch import fnmatchcase

from numpy import ndarray

from scratchformer.arguments import checked_arguments


@checked_arguments
class Trace(Mapping[str, ndarray]):
    """Records intermediates of a forward pass by name, and their gradients once the backward pass has run.

    It is a mapping from names to arrays, for one forward pass and its backward. Pass it to a model as `trace=`. After a
    GPT or Llama has run, it holds these, in the order in which they were recorded (other models have similar names):

    - `embedded`: what enters the first block;
    - `blocks.0.residual_after_attention` and `blocks.0.residual`: the residual stream inside and after a block;
    - `blocks.0.attention_norm` and `blocks.0.feed_forward_norm`: the outputs of the norms;
    - `blocks.0.attention.query`, `.key`, `.value`, `.weights` (before dropout), `.heads` and `.output`;
    - `blocks.0.feed_forward.hidden`, `.activations` and `.output`;
    - `normed`, `logits` and, for a loss, `loss`.

    The name of a gradient has a `d` before its last part: `dlogits`, `blocks.0.dresidual`, `blocks.0.attention.dquery`.
    The gradients of `weights` and `loss` are not recorded.
    The arrays are those of the computation, not copies: copy one before you change it.

    Args:
        patterns: of the names to record, where `*` stands for anything, as in `Trace("*.attention.weights")`. Without
            patterns it records everything.
    """

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns or ("*",)
        self.arrays: dict[str, ndarray] = {}
        self._prefix = ""

    @checked_arguments
    def within(self, name: str) -> "Trace":
        """A view of this trace for a part of the model. It puts the name of the part before every name."""
        inner = copy(self)
        inner._prefix = f"{self._prefix}{name}."
        return inner

    @checked_arguments
    def wants(self, name: str) -> bool:
        """Whether an intermediate would be recorded. Ask before you compute one that nothing else needs."""
        return any(fnmatchcase(self._prefix + name, pattern) for pattern in self.patterns)

    @checked_arguments
    def record(self, **arrays: ndarray) -> None:
        """Keeps each array whose name is wanted. It replaces an earlier one of that name."""
        for name, array in arrays.items():
            if self.wants(name):
                self.keep(self._prefix + name, array)

    @checked_arguments
    def keep(self, name: str, array: ndarray) -> None:
        """Keeps the array under its whole name."""
        self.arrays[name] = array

    def __getitem__(self, name: str) -> ndarray:
        if name not in self.arrays:
            close = get_close_matches(str(name), self.arrays, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f" among {len(self.arrays)} names"
            raise KeyError(f"Trace: nothing was recorded as {name!r}{hint}")
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


class NoTrace(Trace):
    """Records nothing. It is the default of every forward pass."""

    def within(self, name: str) -> "NoTrace":
        return self

    def wants(self, name: str) -> bool:
        return False

    def record(self, **arrays: ndarray) -> None:
        pass


NO_TRACE = NoTrace()
