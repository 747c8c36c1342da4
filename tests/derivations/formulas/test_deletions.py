"""Without any one term of its code or its formulas, a page is wrong."""

import numpy as np
import pytest

from scratchformer.derivations import find_page, pages
from tests.derivations.deletions import Deletion, code_deletions, latex_deletions, verdict_of

NAMES = [page.name for page in pages()]
SHORT = ("softmax", "linear", "mean_squared_error", "rms_norm", "dropout", "embedding", "clipping", "adam", "sgd")
"""Pages that run in a tenth of a second."""
ZERO = {}
"""Deletions that change nothing."""


def not_at_its_line(deletions: list[Deletion]) -> list[str]:
    verdicts = {deletion.what: verdict_of(deletion) for deletion in deletions}
    return [f"{what}: {verdict}" for what, verdict in verdicts.items() if verdict != "at its line" and what not in ZERO]
