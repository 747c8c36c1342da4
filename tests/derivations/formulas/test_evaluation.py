"""Formulas mean what NumPy's `einsum` means; what a formula cannot mean is said in a sentence."""

import re
from dataclasses import replace

import numpy as np
import pytest

from scratchformer.derivations import Page, PageError, describe_wrong
from scratchformer.derivations.formulas.equations import equations
from scratchformer.derivations.formulas.parsing import parse
from scratchformer.derivations.reader.running import Run, run_with_formulas
from tests.annotations import unchecked

TABLE = """# Toy

## Conventions

| symbol | in code |
|---|---|
| `i` | `range(1, 3)` |
| `j`, `k` | `range(1, 4)`, `range(1, 4)` |
| `A_ij`, `B_jk`, `C_ik` | `A`, `B`, `C` |
| `y_i`, `x_j`, `J_ij` | `y`, `x`, `J` |
| `m`, `h` | `range(1, 7)`, `range(3)` |
| `u_m`, `S_ij` | `A.ravel()`, `A > 0` |
| `f(x)_i` | `lambda x: np.exp(A @ x)` |
| `t_i` | `np.array([3, 1])` |

## Forward

"""
CODE = """
```python
import numpy as np
A, B, x = np.random.default_rng(0).standard_normal((3, 3, 3))
A, x = A[:2], x[0]
C = A @ B
y = np.exp(A @ x)
J = y[:, None] * A
```
"""


def run(*formulas: str, mark: str = "") -> tuple[Page, Run]:
    text = TABLE + "".join(f"{mark}```math\n{formula}\n```\n" for formula in formulas) + CODE
    page = Page("toy", "Toy", "What is it?", text)
    with unchecked():
        return page, run_with_formulas(page)


@pytest.mark.parametrize(
    "formula",
    [
        r"C_{ik} = \sum_j A_{ij}\, B_{jk}",
        r"C = A B",
        r"C_{ij} = \sum_k A_{ik}\, B_{kj} = \sum_{k=1}^{3} B_{kj}\, A_{ik}",
        r"y_i = \exp \left( \sum_k A_{ik} x_k \right), \qquad J_{ij} = \frac{\partial y_i}{\partial x_j} = y_i A_{ij}",
        r"A_{i t_i} = \sum_j \delta_{j t_i} A_{ij}",
        r"x_j^2 - 1 = (x_j - 1)(x_j + 1)",
        r"A_{ij} = u_{3i - 3 + j}",
        r"\sum_m u_m^2 = \sum_{i,j} A_{ij}^2",
        r"\sum_{j \in S_i} A_{ij} = \sum_j \max(A_{ij}, 0) = \sum_{j : A_{ij} > 0} A_{ij}",
        r"\max_{j \in S_i} A_{ij} = \max_j A_{ij}",
        r"|x_j| \ge x_j < x_j + 1 = 1 + x_j",
        r"y_i = f(x)_i, \qquad \frac{\partial f(x)_i}{\partial x_j} = J_{ij}",
        r"\lfloor 5 / 2 \rfloor = \lceil 3 / 2 \rceil = 2",
        r"u_{h + 1} = A_{1, h + 1}",
        r"A_{ij} = \begin{cases} \min(A_{ij}, 0) & A_{ij} < 0 \\ \max(A_{ij}, 0) & \text{otherwise} \end{cases}",
        r"A_{ij} = \begin{cases} A_{ij} & A_{ij} < 9 \\ 0 & A_{ij} < 99 \\ 1 & \text{otherwise} \end{cases}",
    ],
)
def test_right_formulas_are_right(formula: str) -> None:
    _, found = run(formula)
    assert found.members
    assert all(member.is_right for member in found.members), found.members


@pytest.mark.parametrize("formula", [r"C_{ik} = 1.000001 \sum_j A_{ij} B_{jk}", r"A_{ij} < 0", r"y_i = \log(-y_i)"])
def test_what_is_off_a_little_holds_somewhere_or_is_no_number_is_wrong(formula: str) -> None:
    (member,) = run(formula)[1].members
    assert member.error is not None
    assert not member.is_right


def test_a_wrong_formula_is_wrong_at_its_line() -> None:
    page, found = run("C_{ik} = \\sum_j A_{ij} B_{jk}\n= \\sum_j A_{ij} B_{kj}")
    (wrong,) = [result for result in found.results if not result.is_right]
    line = page.text.split("\n").index(r"= \sum_j A_{ij} B_{kj}") + 1
    assert describe_wrong(page, wrong).startswith(f"toy.md, line {line}: C_ik is wrong, its formula is off by ")


def test_equations_in_prose_are_evaluated_in_every_section() -> None:
    prose = "In words `C = A B`,\nand `C_ik = sum_j A_ij B_kj`.\n"
    page, found = run("y_i = y_i")
    page = replace(page, text=page.text.replace("## Forward", f"## Exercises\n\n{prose}\n## Forward"))
    with unchecked():
        found = run_with_formulas(page)
    assert [member.is_right for member in found.members] == [True, False, True]
    line = page.text.split("\n").index("and `C_ik = sum_j A_ij B_kj`.") + 1
    assert found.results[1].line == line


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (r"C_{ik} = A_{ij} B_{jk}", "j is free on the right and not on the left"),
        (r"C_{ik} = \sum_j A_{ji} B_{jk}", "A has the index j in the place of i"),
        (r"C_{ik} = \sum_j A_{ij} Q_{jk}", "Q has no code in the table of conventions"),
        (r"C_{ik} = \sum_j A_i B_{jk}", "A has 1 subscripts, expected 2"),
        (r"C = B A", "do not fit"),
        (r"C_{ik} = \oint A_{ij}", r"cannot read '\\oint'"),
        (r"C_{ik} = \sum_{j=1}^{4} A_{ij} B_{jk}", "the sum over j leaves its range from 1 to 3"),
        (r"J_{ij} = \frac{\partial C_{ij}}{\partial x_j}", "C has no formula in the forward pass"),
        (
            r"x_j = x_j, \qquad 1 = \left.\frac{\partial x_k}{\partial x_j}\right|_x",
            "x is held, but it is what moves",
        ),
        (r"x_j = x_j, \qquad 1 = \left.\frac{\partial x_k}{\partial x_j}\right|_A", "A is held, but the formula"),
        (
            r"x_j = x_j, \qquad 1 = \left.\frac{\partial x_k}{\partial x_j}\right|_v",
            "v is held, but the formula of x does not have it",
        ),
        (r"C_{ik}", "it has no equals sign"),
        (r"A_{ij} = u_{3i + j}", "a subscript of u leaves its axis of size 6"),
        (r"y_i = f(x)", "f has 0 subscripts behind its brackets, expected 1"),
        (r"y_i = f(A)_i", "f cannot be applied: ValueError"),
    ],
)
def test_what_cannot_be_evaluated_is_said(formula: str, message: str) -> None:
    with pytest.raises(PageError, match=re.escape(message)):
        run(formula)


def test_a_mark_excuses_a_formula_and_is_counted() -> None:
    _, found = run(r"C = \oint A", mark="<!-- not evaluated: C because it is no formula of ours -->\n")
    (member,) = found.members
    assert (member.error, member.is_marked, member.reason) == (None, True, "it is no formula of ours")


def test_equations_keep_the_lines_of_their_members() -> None:
    first, second = equations("\\begin{aligned}\na &= b \\\\\n&= c \\\\\nd &= e\n\\end{aligned}\n", 10)
    assert (first.members, first.lines) == (("a", "b", "c"), (11, 11, 12))
    assert (second.members, second.lines) == (("d", "e"), (13, 13))


def test_powers_bind_closer_than_products_and_products_closer_than_sums() -> None:
    a, b = ("symbol", "a", ()), ("symbol", "b", ())
    assert parse("-a b^2 + a") == ("add", ("negative", ("multiply", a, ("power", b, ("number", 2.0)))), a)


def test_a_partial_derivative_holds_what_stands_beside_it() -> None:
    _, found = run(r"y_i = \exp(\sum_k A_{ik} x_k)", r"\frac{\partial y_i}{\partial x_j} = J_{ij}")
    assert np.allclose([member.error for member in found.members], 0, atol=1e-9)


def test_an_equation_in_the_prose_is_a_member() -> None:
    _, found = run("C = A B")
    text = TABLE + "As matrices it is `C = A B`, and `J = exp(A)` is wrong. `n = 3` is no formula.\n" + CODE
    with unchecked():
        results = run_with_formulas(Page("toy", "Toy", "What is it?", text)).results
    assert [(result.line, result.is_right) for result in results] == [(18, True), (18, False)]
    assert len(found.members) == 1


def test_a_comment_gives_a_name_other_code() -> None:
    _, found = run("y_i = 2 A_{i1}", mark="<!-- in code: y_i is 2 * A[:, 0]; t_i is np.zeros(2) -->\n")
    assert [member.is_right for member in found.members] == [True]


def test_a_partial_derivative_moves_every_stage_between_but_not_what_is_held() -> None:
    formulas = [
        r"y_i = \exp(\sum_k A_{ik} x_k)",
        r"t_i = y_i \sum_k x_k",
        r"\left.\frac{\partial t_i}{\partial x_j}\right|_y = y_i",
        r"\frac{\partial (t_i^2)}{\partial x_j} = 2 t_i (y_i + J_{ij} \sum_k x_k)",
    ]
    _, found = run(*formulas, mark="<!-- in code: t_i is y * x.sum() -->\n")
    assert len(found.members) == 4
    assert np.allclose([member.error for member in found.members], 0, atol=1e-9)
