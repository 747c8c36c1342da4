import pytest

from scratchformer.derivations import Page, PageError, describe_wrong, run_page
from scratchformer.derivations.reader.running import lines_of

TEXT = """# Doubling

```python
import numpy as np

from scratchformer.derivations import check

x, dy = np.array([1.0, 2.0]), np.array([3.0, 1.0])
```

```math
y = 2 x
```

```text
x = not run
```

```python
dx = 1 * dy
dx = (
    dx
    + dy
)
check("dx", dx, lambda x: 2 * x, x, dy)
```
"""


def page(text: str) -> Page:
    return Page("doubling", "Doubling", "What does a factor do?", text)


def test_fences_share_a_namespace_and_their_lines_are_those_of_the_page() -> None:
    doubling = page(TEXT)
    assert [fence.language for fence in doubling.fences] == ["python", "math", "text", "python"]
    (result,) = run_page(doubling)
    assert (result.name, result.claim, result.is_right, result.line) == ("dx", "gradient", True, 25)
    assert lines_of(doubling, result) == range(21, 25)


def test_what_is_wrong_is_said_of_the_line_that_assigns_it() -> None:
    wrong = page(TEXT.replace("    + dy\n", ""))
    (result,) = run_page(wrong)
    assert describe_wrong(wrong, result) == "doubling.md, line 21: dx is wrong, its gradient is off by 0.5"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dx = 1 * dy", "dx = 1 * dz", r"^doubling\.md, line 20: NameError: name 'dz' is not defined$"),
        ("dx = 1 * dy", "dx = = dy", r"^doubling\.md, line 20: invalid syntax$"),
        ("lambda x: 2 * x", "lambda x: 2 @ x", r"^doubling\.md, line 25: ValueError: "),
    ],
)
def test_code_that_does_not_run_is_named_by_its_line(old: str, new: str, message: str) -> None:
    with pytest.raises(PageError, match=message):
        run_page(page(TEXT.replace(old, new)))


def test_what_is_wrong_is_told_before_what_it_leads_to() -> None:
    wrong = page(TEXT.replace("    + dy\n", "") + "\n```python\nassert dx[0] == 6\n```\n")
    assert [result.is_right for result in run_page(wrong)] == [False]
    with pytest.raises(PageError, match=r"line 29: AssertionError"):
        run_page(page(TEXT + "\n```python\nassert dx[0] == 7\n```\n"))
