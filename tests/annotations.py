"""The run-time check of annotations."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

# An int is accepted where a float is expected, as type checkers do.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))


DRAWN_FROM = ("scratchformer.gradcheck.strategies", "scratchformer.catalogue")


def check_annotations(package: str) -> None:
    """From now on, checks every call of the package's functions and methods against their annotations.

    Functions inside functions are left out: each call of the outer one would decorate them anew, which takes fifty
    times as long as the call. So is what Hypothesis draws from: the checker looks at random items, which Hypothesis
    takes for randomness of the strategy's own.
    """
    decorator = jaxtyping.jaxtyped

    def jaxtyped(*, typechecker: Any) -> Callable[[Callable], Callable]:
        decorate = decorator(typechecker=typechecker)
        return lambda function: function if _is_left_out(function) else decorate(function)

    jaxtyping.jaxtyped = jaxtyped
    jaxtyping.install_import_hook(package, f"{__name__}.check")


def _is_left_out(function: Callable) -> bool:
    return "<locals>" in function.__qualname__ or function.__module__.startswith(DRAWN_FROM)


@contextmanager
def unchecked() -> Iterator[None]:
    """Switches the check off: for what a user without it is told, and for thousands of calls alike."""
    kept = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", kept)
