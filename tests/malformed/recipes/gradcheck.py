"""Valid calls of what `scratchformer.gradcheck` has."""

from typing import Any

import numpy as np

from scratchformer import gradcheck, layers, ops
from tests.malformed.recipes.call import Recipe, generator, new, normal


def sum_of_squares(x: np.ndarray) -> Any:
    return (x * x).sum()


def doubled(x: np.ndarray) -> np.ndarray:
    return 2 * x


def finding() -> gradcheck.Finding:
    return gradcheck.check_op(ops.softmax, normal(2, 2)).findings[0]


class Dense:
    def __init__(self) -> None:
        self.w = normal(2, 2)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x @ self.w

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.dw = self.x.T @ dy
        return dy @ self.w.T


CHECKED = {"seed": 0, "zero": dict, "contract": "advice", "effort": "sample"}
GRADCHECK: dict[str, Recipe] = {
    "gradcheck.check_op": new(
        gradcheck, "check_op", op=ops.softmax, name="softmax", **CHECKED, **{"*arguments": lambda: [normal(2, 2)]}
    ),
    "gradcheck.check_layer": new(
        gradcheck,
        "check_layer",
        layer=lambda: layers.Linear(2, 2, generator=generator()),
        call=None,
        split=lambda: {"weight": 2},
        name="Linear",
        **CHECKED,
        **{"*arguments": lambda: [normal(2, 2)]},
    ),
    "gradcheck.check_object": new(
        gradcheck,
        "check_object",
        owner=Dense,
        forward="forward",
        backward="backward",
        gradients=lambda: {"w": "dw"},
        learning_rate="",
        name="Dense",
        **CHECKED,
        **{"*arguments": lambda: [normal(2, 2)]},
    ),
    "gradcheck.for_shapes": new(gradcheck, "for_shapes", max_examples=2, regimes=["ordinary"]),
    "gradcheck.check_gradient": new(
        gradcheck,
        "check_gradient",
        function=sum_of_squares,
        gradient=doubled,
        seed=0,
        zero=dict,
        effort="sample",
        **{"*arrays": lambda: [normal(2)]},
    ),
    "gradcheck.Finding": new(
        gradcheck, "Finding", tensor="a", verdict="right", errors=lambda: finding().errors, message="a"
    ),
    "gradcheck.Report": new(
        gradcheck,
        "Report",
        name="a",
        findings=lambda: [finding()],
        broken_promises=["a"],
        example="a",
        subject=None,
        contract="advice",
    ),
}
