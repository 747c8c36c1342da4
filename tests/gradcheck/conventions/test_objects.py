"""What is found in an object, and what is said if it is not found."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_object, check_op
from tests.gradcheck.conventions.functions import B, W, X
from tests.strategies import normal

pytestmark = pytest.mark.usefixtures("unchecked")


class Logistic:
    """A bias that is a number, and whatever `keep` does with the gradients."""

    def __init__(self, keep: Callable[[Any, Any, Any], None], **attributes: Any) -> None:
        self.w, self.b, self.keep = X[0].copy(), 0.25, keep
        self.__dict__ |= attributes

    def forward(self, x: Any) -> Any:
        self.x = x
        self.y = 1 / (1 + np.exp(-(x @ self.w + self.b)))
        return self.y

    def backward(self, dy: Any) -> Any:
        dz = dy * self.y * (1 - self.y)
        dx = np.outer(dz, self.w)
        self.keep(self, self.x.T @ dz, dz.sum())
        return dx


def named(self: Any, dw: Any, db: Any) -> None:
    self.dw, self.db = dw, db


def stepping(self: Any, dw: Any, db: Any) -> None:
    self.w -= self.learning_rate * dw
    self.b -= self.learning_rate * db


def elsewhere(self: Any, dw: Any, db: Any) -> None:
    self.slope, self.db = dw, db


def shaped(self: Any, dw: Any, db: Any) -> None:
    self.dw, self.db = dw[:2], db


def test_a_bias_that_is_a_number_is_a_parameter() -> None:
    for layer in (Logistic(named), Logistic(named, momentum=0.9), Logistic(stepping, learning_rate=0.1)):
        report = check_object(layer, X)
        assert [finding.tensor for finding in report.findings] == ["x", "w", "b"]
        report.assert_right()
        assert layer.b == 0.25


def test_a_gradient_that_is_not_found_is_said_and_can_be_named() -> None:
    report = check_object(Logistic(elsewhere), X)
    assert [finding.tensor for finding in report.findings] == ["x", "b"]
    (said,) = report.remarks
    assert said.startswith("not differentiated: w, no gradient of it was found; say where it is kept")
    assert "right of x, b alone; 1 not differentiated, said below" in report.headline
    report = check_object(Logistic(elsewhere), X, gradients={"w": "slope"})
    assert report.remarks == []
    assert [finding.tensor for finding in report.findings] == ["x", "w", "b"]
    with pytest.raises(TypeError, match=r"Logistic: gradients names 'slop', there are 'w', .*'slope'"):
        check_object(Logistic(elsewhere), X, gradients={"w": "slop"})


def test_a_gradient_of_another_shape_is_wrong() -> None:
    report = check_object(Logistic(shaped), X)
    assert [(finding.tensor, finding.verdict) for finding in report.findings] == [
        ("x", "right"),
        ("w", "wrong"),
        ("b", "right"),
    ]
    assert "the gradient of w must be an array of shape (4,), got shape (2,)" in str(report)


def test_one_array_under_two_names_is_one_parameter() -> None:
    layer = Logistic(named)
    layer.params = {"weight": layer.w}
    assert [finding.tensor for finding in check_object(layer, X).findings] == ["x", "w", "b"]


@pytest.mark.parametrize("factor", [1, 1.01])
def test_an_object_that_computes_in_float32_is_judged_at_that(factor: float) -> None:
    class Single:
        def __init__(self) -> None:
            self.W = W.astype(np.float32)

        def forward(self, x: Any) -> Any:
            self.x = x.astype(np.float32)
            return self.x @ self.W

        def backward(self, dy: Any) -> Any:
            self.dW = factor * (self.x.T @ dy)
            return dy @ self.W.T

    verdicts = [finding.verdict for finding in check_object(Single(), X).findings]
    assert verdicts == ["right to float32", "right to float32" if factor == 1 else "wrong"]


def test_an_object_without_a_forward_or_that_cannot_be_copied_is_refused() -> None:
    with pytest.raises(TypeError, match=r'none of the methods \'forward\', .* give the name, forward="..."'):
        check_object(3, X)
    with pytest.raises(TypeError, match=r"Logistic: an object needs the method back\(\), Logistic has none"):
        check_object(Logistic(named), X, backward="back")
    without: Any = Logistic(named)
    without.__class__ = type("Forward", (), {"forward": Logistic.forward})
    with pytest.raises(
        TypeError, match=r'Forward: it has none of the methods .*backward="...", unless forward returns'
    ):
        check_object(without, X)
    with pytest.raises(TypeError, match="Logistic: an object is copied for each call, and this one cannot be"):
        check_object(Logistic(named, loop=(i for i in [1])), X)


def test_a_gradient_with_fewer_axes_of_1_is_right_but_said() -> None:
    def shifted(x: Any, b: Any) -> Any:
        return x @ W + b, lambda dy: (dy @ W.T, dy.sum(axis=0))

    report = check_op(shifted, X, B[None])
    assert report
    assert "the gradient of b has shape (3,), not (1, 3) (promised: a gradient has the shape of its tensor)" in str(
        report
    )
    assert not check_op(lambda x: (2 * x, lambda dy: 2 * dy[:, None]), X[0])


def test_an_op_gets_the_seed_that_it_takes() -> None:
    seeds = set()

    def noisy(x: Any, seed: int = 0) -> Any:
        seeds.add(seed)
        return seed * x, lambda dy: 2 * seed * dy

    report = check_op(noisy, X[0], seed=3, contract=False)
    assert seeds == {3}
    assert report.example.endswith("]), seed=3, contract=False)")


class Heads:
    """Its parameters have names that elsewhere say what holds a parameter."""

    def __init__(self, transposed: bool = False) -> None:
        self.value, self.theta, self.transposed = normal(1, (4, 4))[0], {"M": normal(2, (4, 4))[0]}, transposed

    def forward(self, x: ndarray) -> ndarray:
        self.x = x
        self.y = x @ self.value
        return self.y @ self.theta["M"]

    def backward(self, dy: ndarray) -> ndarray:
        dm = self.y.T @ dy
        self.delta = {"M": dm.T if self.transposed else dm}
        dy = dy @ self.theta["M"].T
        self.dvalue = self.x.T @ dy
        return dy @ self.value.T


def test_a_parameter_called_value_has_its_gradient_and_a_name_stands_for_what_it_holds() -> None:
    (x,) = normal(0, (3, 4))
    right, wrong = (check_object(Heads(bad), x, gradients={"theta": "delta"}) for bad in (False, True))
    assert right.passed
    assert not right.remarks, right
    assert {finding.tensor for finding in right.findings} == {"x", "value", "theta['M']"}
    assert [finding.tensor for finding in wrong.findings if finding.verdict == "wrong"] == ["theta['M']"]


class Power:
    """x to the power of p, where x is chosen by ids. What is not above 0 is outside of its domain."""

    def __init__(self, dtype: type = np.float64) -> None:
        self.p = np.array([1.5, 2.5, 0.5], dtype)

    def forward(self, ids: ndarray, x: ndarray) -> ndarray:
        if x.dtype != self.p.dtype or (self.p <= 0).any() or (self.p > 4).any():
            raise ValueError("outside of the domain")
        self.ids, self.x = ids, x
        return x[ids] ** self.p

    def backward(self, dy: ndarray) -> Any:
        dx = np.zeros_like(self.x)
        np.add.at(dx, self.ids, dy * self.p * self.x[self.ids] ** (self.p - 1))
        self.dp = dy * self.x[self.ids] ** self.p * np.log(self.x[self.ids])
        return None, dx


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_object_with_a_domain_and_with_ids_is_judged(dtype: type) -> None:
    report = check_object(Power(dtype), np.array([1, 1, 0]), np.array([0.5, 2.0]), contract=False)
    assert {finding.tensor: finding.verdict for finding in report.findings} == {"x": "right", "p": "right"}


def test_a_forward_that_returns_its_backward_is_referred_to_the_other_checks() -> None:
    class Closure:
        def forward(self, x: ndarray) -> Any:
            return 2 * x, lambda dy: 2 * dy

    with pytest.raises(TypeError, match="Closure: forward returns its backward; check_layer or check_op takes that"):
        check_object(Closure(), X)
