"""Ops of other frameworks, where these are installed."""

from typing import Any

import numpy as np
import pytest

from scratchformer.gradcheck import Report, check_op
from tests.gradcheck.conventions.functions import X


def verdicts(report: Report) -> list[str]:
    return [finding.verdict for finding in report.findings]


@pytest.mark.parametrize("factor", [1, 2])
def test_a_function_of_pytorch(factor: int) -> None:
    torch: Any = pytest.importorskip("torch")

    class Power(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y, exponent):
            ctx.save_for_backward(x, y)
            ctx.exponent = exponent
            return x**exponent * y, x + y

        @staticmethod
        def backward(ctx, dpower, dsum):
            x, y = ctx.saved_tensors
            dx = dpower * ctx.exponent * x ** (ctx.exponent - 1) * y + dsum
            return dx, factor * (dpower * x**ctx.exponent + dsum), None

    for op in (Power, Power.apply):
        report = check_op(op, X, X + 1, 3)
        assert report.name == "Power"
        assert verdicts(report) == ["right", "right" if factor == 1 else "wrong"]


@pytest.mark.parametrize("factor", [1, 2])
def test_a_custom_vjp_of_jax(factor: int) -> None:
    jax: Any = pytest.importorskip("jax")

    @jax.custom_vjp
    def wave(x, y):
        return jax.numpy.sin(x) * y

    def backward(kept, dy):
        x, y = kept
        return dy * jax.numpy.cos(x) * y, factor * dy * jax.numpy.sin(x)

    wave.defvjp(lambda x, y: (wave(x, y), (x, y)), backward)
    in_float32 = check_op(wave, X, X + 1)
    assert verdicts(in_float32) == ["right to float32", "right to float32" if factor == 1 else "wrong"]
    assert "jax_enable_x64" in str(in_float32)
    with jax.enable_x64(True):
        assert verdicts(check_op(wave, X, X + 1)) == ["right", "right" if factor == 1 else "wrong"]


@pytest.mark.parametrize("factor", [1, 2])
def test_an_operation_of_mygrad(factor: int) -> None:
    pytest.importorskip("mygrad")
    from mygrad.operation_base import Operation

    class Scaled(Operation):
        def __call__(self, x, y, scale):
            self.variables, self.scale = (x, y), scale
            return scale * x.data**2 * y.data

        def backward_var(self, grad, index, **kwargs):
            x, y = self.variables
            of_x, of_y = 2 * x.data * y.data, factor * x.data**2
            return grad * self.scale * (of_y if index else of_x)

    report = check_op(Scaled, X, X + 1, scale=3.0)
    assert verdicts(report) == ["right", "right" if factor == 1 else "wrong"]


def test_whatever_numpy_reads_as_an_array_is_a_gradient() -> None:
    torch: Any = pytest.importorskip("torch")
    assert check_op(lambda x: (2 * x, lambda dy: torch.tensor(2 * dy)), X)
    assert check_op(lambda x: (float((x**2).sum()), lambda dy: (2 * dy * x).tolist()), np.ones(3))


def test_integers_of_pytorch_are_no_inputs_and_an_output_that_depends_on_none_is_told() -> None:
    torch: Any = pytest.importorskip("torch")

    class Chosen(torch.autograd.Function):
        @staticmethod
        def forward(ctx, table, ids):
            ctx.save_for_backward(ids)
            ctx.shape = table.shape
            return table[ids]

        @staticmethod
        def backward(ctx, dy):
            return torch.zeros(ctx.shape, dtype=dy.dtype).index_add(0, ctx.saved_tensors[0], dy), None

    assert check_op(Chosen, X, np.array([0, 2, 2]))

    class Detached(Chosen):
        @staticmethod
        def forward(ctx, table, ids):
            y = table[ids]
            ctx.mark_non_differentiable(y)
            return y

    with pytest.raises(ValueError, match="its output depends on no input, as far as PyTorch knows"):
        check_op(Detached, X, np.array([0, 2, 2]))
