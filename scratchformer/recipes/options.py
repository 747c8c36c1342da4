from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class RunOptions:
    """The options that every experiment has which trains into a run folder."""

    preset: Literal["quick", "paper", "smoke"] = "quick"
    """Where the other options start from: some minutes, all that the published figure takes, or a few seconds."""
    out: Path | None = None
    """Folder for the results, new or empty; without one, the next free one in runs/ with the experiment's name."""
    resume: Path | None = None
    """Run folder to go on with, bit for bit, from its last checkpoint; its own options apply."""
    plot_only: Path | None = None
    """Run folder whose figures are drawn anew; all other options are then ignored."""
    seed: int = 0
    """Seed of all that is drawn at random."""
    threads: int = 2
    """Worker threads; each takes a share of every batch."""
