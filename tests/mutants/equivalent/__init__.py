"""Automatic mutants that no test can kill, each with the reason why it changes nothing that is promised."""

import re

from tests.mutants.equivalent import attention, everywhere, layers, ops, optim

EQUIVALENT = everywhere.EQUIVALENT + ops.EQUIVALENT + attention.EQUIVALENT + layers.EQUIVALENT + optim.EQUIVALENT


def reason_for(name: str, old: str, new: str) -> str | None:
    """Why the change is equivalent, None if nothing here says so."""
    for equivalent in EQUIVALENT:
        if (
            re.search(equivalent.where, name)
            and re.fullmatch(equivalent.old, old)
            and re.fullmatch(equivalent.new, new)
        ):
            return equivalent.reason
    return None
