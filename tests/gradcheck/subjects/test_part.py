"""A large subject is seen through few numbers, and judged as a small one is."""

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_op
from scratchformer.gradcheck.numeric import points
from scratchformer.gradcheck.subjects import part

X = np.random.default_rng(0).standard_normal((40, 75))


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets 3,000 elements be large."""
    for module in (part, points):
        monkeypatch.setattr(module, "LARGE", 2000)
    monkeypatch.setattr(part, "FEW", 20)


def cube(x: ndarray) -> tuple:
    return x**3, lambda dy: 3 * x**2 * dy


def mean(x: ndarray) -> tuple:
    return x.mean(), lambda dy: np.full(x.shape, dy / x.size)


def rows(x: ndarray) -> tuple:
    return (x**2).sum(-1), lambda dy: 2 * x * dy[:, None]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("op", [cube, mean, rows])
def test_a_right_gradient_is_right_and_one_that_is_half_of_it_wrong(op, order) -> None:
    x = np.array(X, order=order)
    assert [finding.verdict for finding in check_op(op, x, contract=False).findings] == ["right"]

    def halved(x: ndarray) -> tuple:
        y, backward = op(x)
        return y, lambda dy: backward(dy) / 2

    (finding,) = check_op(halved, x, contract=False).findings
    assert finding.verdict == "wrong"
    assert "the ratio is 0.5 everywhere" in finding.message


@pytest.mark.parametrize("place", [(0, 0), (17, 3), (39, 74)])
def test_a_single_wrong_element_is_noticed_wherever_it_is(place: tuple[int, int]) -> None:
    def spoiled(x: ndarray) -> tuple:
        y, backward = cube(x)

        def wrong(dy: ndarray) -> ndarray:
            dx = backward(dy)
            dx[place] *= 1.5
            return dx

        return y, wrong

    (finding,) = check_op(spoiled, X, contract=False).findings
    assert finding.verdict == "wrong"


@pytest.mark.parametrize("wrong", ["x", "scale"])
def test_a_small_tensor_beside_a_large_one_is_judged_as_well(wrong: str) -> None:
    def scaled(x: ndarray, scale: ndarray) -> tuple:
        def backward(dy: ndarray) -> tuple:
            dx, dscale = dy * scale, (dy * x).sum(axis=0)
            return (dx, 2 * dscale) if wrong == "scale" else (2 * dx, dscale)

        return scale * x, backward

    report = check_op(scaled, X, X[0], contract=False)
    assert {finding.tensor: finding.verdict == "wrong" for finding in report.findings} == {
        name: name == wrong for name in ("x", "scale")
    }


def test_a_mistake_between_the_elements_that_move_alone_is_placed_in_the_whole_tensor(monkeypatch) -> None:
    """Of three numbers that move, the last stands for all other elements."""
    monkeypatch.setattr(part, "FEW", 2)
    half = np.where(np.arange(75) < 30, 1.0, 0.5)
    (finding,) = check_op(lambda x: (x**3, lambda dy: 3 * x**2 * dy * half), X, contract=False).findings
    assert finding.verdict == "wrong"
    assert "axis 1" in finding.message
