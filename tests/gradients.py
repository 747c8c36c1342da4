"""How the tests hold a gradient to the toolkit: nothing is wrong, and the complex step was not left out."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scratchformer import gradcheck
from scratchformer.gradcheck import Report
from scratchformer.layers import Layer
from tests.annotations import unchecked

SHIFT = "it shifts whole rows of scores, which leaves softmax unchanged"


def check_op(
    op: Callable[..., Any],
    *arguments: Any,
    seed: int,
    is_analytic: bool = True,
    zero: Mapping[str, str] | None = None,
) -> None:
    """Every gradient of `op(*arguments)`, and the op contract. An example drawn at random may prove nothing."""
    with unchecked():
        report = gradcheck.check_op(op, *arguments, seed=seed, zero=zero, contract="required")
    _assert_none_wrong(report, is_analytic)


def check_layer(
    layer: Layer,
    *inputs: Any,
    seed: int,
    is_analytic: bool = True,
    scale: float = 1.0,
    key_bias: str | None = None,
    **options: Any,
) -> None:
    """Every gradient of a layer with random parameters, and the layer contract.

    `key_bias` names the biases that hold those of keys in their first half, by how the names end.
    """
    layer = with_random_values(layer, seed, scale)
    biases = [name for name in layer.parameters() if key_bias and name.endswith(key_bias)]
    with unchecked():
        report = gradcheck.check_layer(
            layer,
            *inputs,
            seed=seed,
            split=dict.fromkeys(biases, 2),
            zero={f"{name}, part 1 of 2": SHIFT for name in biases},
            contract="required",
            **options,
        )
    _assert_none_wrong(report, is_analytic)
    for name, parameter in layer.parameters().items():
        assert np.shares_memory(parameter.grad, layer.grads), f"{name}: its gradient left the vector of all gradients"


def with_random_values(layer: Layer, seed: int, scale: float = 1.0) -> Layer:
    """A float64 copy with random parameters: a weight of 1 or a bias of 0 hides what is multiplied or added by it."""
    layer = layer.astype(np.float64)
    layer.values[...] = scale * np.random.default_rng([seed, 2]).normal(size=layer.values.shape)
    return layer


def _assert_none_wrong(report: Report, is_analytic: bool) -> None:
    assert not report.broken_promises, report
    for finding in report.findings:
        assert finding.verdict != "wrong", report
        # Of what is zero the complex step, too, gives rounding alone.
        proves_nothing = finding.verdict in ("zero", "vacuous")
        assert "complex step" in finding.errors.by_oracle or not is_analytic or proves_nothing, report
