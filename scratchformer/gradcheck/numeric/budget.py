"""How many forward passes a check may take, and how long they will last."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Effort = Literal["directions", "sample", "everything"]
PASSES = {"directions": 60, "sample": 400}
"""For two tensors. For more, the number grows as the root of theirs."""
PASSES_OF_AN_ELEMENT = 20
LONG = 5.0
"""A check that takes more seconds than this says so beforehand, and how far it is."""


@dataclass
class Budget:
    """Counts forward passes.

    Attributes:
        name: of what is checked, for the progress line.
        seconds: that one pass takes.
        spent: passes so far.
        effort: "directions" probes no single elements, "sample" some of a large tensor, "everything" all.
        total: how many passes there may be, once `begin` was called.
    """

    name: str
    seconds: float
    spent: int
    effort: Effort = "sample"
    total: int = 0
    told: float = field(default_factory=time.monotonic)

    def begin(self, effort: Effort, sizes: Sequence[int]) -> None:
        """Sets how many passes tensors of these sizes may take, and says how long that will be, if it is long."""
        self.effort = effort
        if effort == "everything":
            self.total = PASSES["sample"] + PASSES_OF_AN_ELEMENT * sum(sizes)
        else:
            self.total = round(PASSES[effort] * max(1.0, (len(sizes) / 2) ** 0.5))
        if self.is_long:
            less = "" if effort == "directions" else ', effort="directions" takes fewer'
            print(
                f"{self.name}: up to {self.total} forward passes of {self.seconds:.2g} s, "
                f"{self.seconds * self.total:.0f} s in all{less}",
                file=sys.stderr,
            )

    @property
    def left(self) -> int:
        return self.total - self.spent

    @property
    def is_long(self) -> bool:
        return self.seconds * self.total > LONG

    def spend(self) -> None:
        self.spent += 1
        if self.is_long and (now := time.monotonic()) - self.told > 1:
            self.told = now
            print(
                f"\r{self.name}: {self.spent} of up to {self.total} forward passes", end="", file=sys.stderr, flush=True
            )

    def end(self) -> None:
        if self.is_long:
            print(f"\r{self.name}: {self.spent} forward passes{' ' * 30}", file=sys.stderr)
