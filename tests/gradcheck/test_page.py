"""The page for users runs, and its report is what the checker says."""

import re
from pathlib import Path
from typing import Any

import pytest

from scratchformer import gradcheck

PAGE = (Path(gradcheck.__file__).parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("unchecked")
def test_all_code_on_the_page_runs() -> None:
    space: dict[str, Any] = {"__name__": "page"}
    for found in re.finditer(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        line = PAGE.count("\n", 0, found.start(1))
        exec(compile("\n" * line + found[1], "README.md", "exec"), space)
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    report = [re.sub(r"(right|wrong)  .*", r"\1", line) for line in str(space["report"]).splitlines()]
    assert shown.splitlines() == [line for line in report if not re.match("    worst|  again|  contract", line)]


def test_every_call_of_the_checker_is_on_the_page() -> None:
    calls = [name for name in gradcheck.__all__ if name.islower()]
    assert [name for name in calls if f"{name}(" not in PAGE] == []
