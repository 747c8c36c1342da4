"""Results in a file, which are added as they come."""

import hashlib
import json
from functools import cache
from pathlib import Path

from tests.mutants.killing import ROOT
from tests.mutants.mutant import Mutant

Result = tuple[bool, str]
"""Whether a bug survives, and what is said of it."""


class KeptResults:
    """The results of one state of library and tests, in a file if there is a path."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.found: dict[str, Result] = {}
        for line in path.read_text().splitlines() if path is not None and path.exists() else []:
            key, survives, said = json.loads(line)
            self.found[key] = survives, said

    def __contains__(self, bug: Mutant) -> bool:
        return key_of(bug) in self.found

    def __getitem__(self, bug: Mutant) -> Result:
        return self.found[key_of(bug)]

    def add(self, bug: Mutant, survives: bool, said: str) -> None:
        self.found[key_of(bug)] = survives, said
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps([key_of(bug), survives, said]) + "\n")


def key_of(bug: Mutant) -> str:
    """Another one for every bug, and for every state of library and tests."""
    return hashlib.sha256(f"{state_of_the_code()} {bug}".encode()).hexdigest()


@cache
def state_of_the_code() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for room in ("scratchformer", "tests", "experiments") for path in (ROOT / room).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and "mutants" not in path.parts:
            digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()
