"""A test of gradients in one decorator."""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from scratchformer.arguments import checked_arguments
from scratchformer.gradcheck.judgement.report import Report
from scratchformer.gradcheck.strategies import ORDINARY, Regime, related_arrays
from scratchformer.gradcheck.subjects.wording import described, quoted


@checked_arguments
def for_shapes(
    *, max_examples: int | None = None, regimes: Sequence[Regime] = ORDINARY, **drawn: str | SearchStrategy[Any]
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Runs a test on many arrays of related shapes, and requires that the report that it returns has passed.

        @for_shapes(x="... n d", w="d m", b="m")
        def test_linear(x, w, b):
            return check_op(linear, x, w, b)

    pytest finds the test by its name. Where a gradient is wrong, Hypothesis looks for the smallest arrays for which it
    is, and the failure ends with the line that repeats that check. An example that proves nothing is drawn anew.

    Args:
        max_examples: how many inputs are tried; by Hypothesis' own settings if none is given.
        regimes: what numbers the arrays hold, such as "tied maxima" or "huge"; see `strategies.regime_array`.
        drawn: for each argument of the test a shape, as of `strategies.related_arrays`, or any strategy.

    Raises TypeError for a name that is no argument of the test, and if the test returns no report or list of reports.
    """
    shapes = {name: shape for name, shape in drawn.items() if isinstance(shape, str)}
    others = {name: strategy for name, strategy in drawn.items() if not isinstance(strategy, str)}

    def decorate(test: Callable[..., Any]) -> Callable[..., None]:
        taken = inspect.signature(test).parameters
        if unknown := drawn.keys() - taken.keys():
            raise TypeError(f"for_shapes: {min(unknown)!r} is no argument of {test.__name__}, it has {quoted(taken)}")

        @wraps(test)
        def checked(*fixtures: Any, inputs: dict[str, Any], **others_given: Any) -> None:
            __tracebackhide__ = True
            reports = test(*fixtures, **inputs, **others_given)
            for report in reports if isinstance(reports, list | tuple) else [reports]:
                if not isinstance(report, Report):
                    raise TypeError(f"{test.__name__}: must return the report of a check, got {described(report)}")
                report.assert_right()

        left = [p for name, p in taken.items() if name not in drawn]  # pytest's fixtures
        whole = inspect.Parameter("inputs", inspect.Parameter.KEYWORD_ONLY)
        checked.__signature__ = inspect.Signature([*left, whole])  # type: ignore[attr-defined]
        of_shapes = related_arrays(*shapes.values(), regimes=regimes)
        arrays = of_shapes.map(lambda drawn_arrays: dict(zip(shapes, drawn_arrays, strict=True)))
        inputs = st.tuples(arrays, st.fixed_dictionaries(others)).map(lambda parts: parts[0] | parts[1])
        phases = tuple(phase for phase in Phase if phase is not Phase.explain)  # which lists lines of the checker
        chosen = settings(deadline=None, phases=phases)
        if max_examples is not None:
            chosen = settings(chosen, max_examples=max_examples)
        return given(inputs=inputs)(chosen(checked))

    return decorate
