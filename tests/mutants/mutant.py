from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A bug that somebody makes: lines of a file and what stands there instead, and the tests that must notice.

    `killers` are entries of the catalogue, run as `python -m scratchformer gradcheck ENTRY`, or, where a gradient
    cannot see the bug, tests of pytest. `seen_in` says where the bug was met, if it was in a public project.
    """

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    killers: tuple[str, ...]
    seen_in: str = ""


def mutant(name: str, file: str, old: str, new: str, *killers: str, seen_in: str = "") -> Mutant:
    """A mutant of one change."""
    return Mutant(name, file, ((old, new),), killers, seen_in)
