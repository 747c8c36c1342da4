"""How many forward passes a check may take, and how long they will last."""

import sys
import time
from dataclasses import dataclass, field
from typing import Literal

Effort = Literal["directions", "sample", "everything"]
PASSES = {"directions": 60, "sample": 400}
"""For two tensors. For more, the number grows as the root of theirs."""
LONG = 5.0
"""A check that takes more seconds than this says so beforehand, and how far it is."""


@dataclass
class Budget:
    """Counts forward passes.

    Attributes:
        effort: "directions" probes no single elements, "sample" some of a large tensor, "everything" all.
        total: how many passes there may be; more than the largest tensor needs for "everything".
        name: of what is checked, for the progress line.
        seconds: that one pass takes.
    """

    effort: Effort
    total: int
    name: str = ""
    seconds: float = 0.0
    spent: int = 0
    told: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> int:
        return self.total - self.spent

    def spend(self) -> None:
        self.spent += 1
        if self.is_long and (now := time.monotonic()) - self.told > 1:
            self.told = now
            print(f"\r{self.name}: {self.spent} of up to {self.total} forward passes", end="", file=sys.stderr, flush=True)

    @property
    def is_long(self) -> bool:
        return self.seconds * self.total > LONG

    def begin(self, seconds: float) -> None:
        """Takes in how long a pass lasts, and says how long the check may take, if that is long."""
        self.seconds, self.spent = seconds, self.spent + 4
        if self.is_long:
            less = "" if self.effort == "directions" else ', effort="directions" takes fewer'
            print(
                f"{self.name}: up to {self.total} forward passes of {self.seconds:.2g} s, "
                f"{self.seconds * self.total:.0f} s in all{less}",
                file=sys.stderr,
            )

    def end(self) -> None:
        if self.is_long:
            print(f"\r{self.name}: {self.spent} forward passes{' ' * 30}", file=sys.stderr)


def budget_for(name: str, sizes: list[int], effort: Effort) -> Budget:
    """The budget of a check of tensors of these sizes."""
    if effort == "everything":
        return Budget(effort, PASSES["sample"] + 20 * sum(sizes), name)
    return Budget(effort, round(PASSES[effort] * max(1.0, (len(sizes) / 2) ** 0.5)), name)
