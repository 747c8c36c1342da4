"""Valid calls of what `scratchformer.derivations` has."""

import numpy as np

from scratchformer import catalogue, derivations
from tests.malformed.recipes.call import Recipe, new, normal


def page() -> derivations.Page:
    return derivations.Page("a", "b", "c", "```python\nx = 1\n```\n")


def halves(x: np.ndarray) -> np.ndarray:
    return x / 2


GRADIENT = {"name": "dx", "gradient": lambda: np.full(3, 0.5), "rest": halves, "at": lambda: normal(3)}
DERIVATIONS: dict[str, Recipe] = {
    "derivations.CheckResult": new(
        derivations, "CheckResult", name="a", claim="same", error=0.0, is_right=True, line=1
    ),
    "derivations.Page": new(derivations, "Page", name="a", title="b", summary="c", text="d"),
    "derivations.find_page": new(derivations, "find_page", name="softmax"),
    "derivations.run_page": new(derivations, "run_page", page=lambda: page()),
    "derivations.describe_wrong": new(
        derivations, "describe_wrong", page=lambda: page(), result=derivations.CheckResult("a", "same", 1.0, False, 2)
    ),
    "derivations.kept_bytes": new(derivations, "kept_bytes", backward=len, **{"*already_there": lambda: [normal(3)]}),
    "derivations.check": new(derivations, "check", cotangent=lambda: np.ones(3), **GRADIENT),
    "derivations.derivative": new(
        derivations, "derivative", rest=halves, at=lambda: normal(3), cotangent=lambda: normal(3)
    ),
    "derivations.same": new(
        derivations, "same", name="a", found=lambda: normal(3), expected=lambda: normal(3), limit=1.0
    ),
    "derivations.vanishes": new(derivations, "vanishes", name="a", found=lambda: np.zeros(3), beside=1.0),
    "derivations.mistake": new(
        derivations, "mistake", name="a", wrong=lambda: np.full(3, 1.5), right=lambda: np.ones(3), off=0.5
    ),
    "catalogue.Entry": new(catalogue, "Entry", name="a", room="ops", checks=len),
}


def judged(recipe: Recipe) -> Recipe:
    """A check of a page, which may find that what is checked is wrong."""
    return lambda: recipe()._replace(also=(AssertionError,))


CHECKS = ("check", "same", "vanishes", "mistake")
DERIVATIONS |= {f"derivations.{name}": judged(DERIVATIONS[f"derivations.{name}"]) for name in CHECKS}
