"""How a change that alters nothing is described."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Equivalent:
    """Changes that are equivalent: where (a pattern of mutmut's names), from what, to what (patterns), and why."""

    where: str
    old: str
    new: str
    reason: str


def at(where: str, old: str, new: str, reason: str) -> Equivalent:
    """One change, given literally."""
    return Equivalent(where, re.escape(old), re.escape(new), reason)
