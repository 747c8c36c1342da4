"""The figure: efficiency by ranks, and below it what a step's time is spent on."""

import sys

if __name__ == "__main__":
    sys.exit("figure.py is no script; run python -m experiments.scaling_out")

from collections.abc import Sequence

import numpy as np

from experiments.scaling_out.alpha_beta import RANKS, SEQUENCES, SPEEDS, AlphaBeta, Network, Work
from scratchformer.plots import Figure, Line, Panel, line_panels

EXPLAINED = 10
"""Gbit/s of the links whose steps are broken down."""


def scaling_figure(works: Sequence[Work], own: AlphaBeta) -> Figure:
    """Two panels for each model.

    Args:
        works: what the models compute.
        own: what messages and bytes cost inside of a machine.
    """
    panels = [efficiency_panel(work, own) for work in works] + [time_panel(work, own) for work in works]
    title = f"One step of {SEQUENCES:,} sequences, shared by up to {RANKS[-1]:,} ranks, as the model predicts"
    return line_panels(panels, columns=len(works), title=title)


def efficiency_panel(work: Work, own: AlphaBeta) -> Panel:
    x = np.array(RANKS)
    lines = [Line("", np.ones(1), np.zeros(1), "reference")]  # so that the axis begins at 0
    for gigabits in SPEEDS:
        network = Network(own, gigabits)
        plain, hidden = (
            np.array([network.efficiency(work, ranks, overlaps=overlaps) for ranks in RANKS])
            for overlaps in (False, True)
        )
        lines += [Line(f"{gigabits} Gbit/s", x, plain, "marked"), Line("overlap", x, hidden, "reference")]
    title = f"{work.name}, {work.size / 1e6:.1f} M parameters"
    return Panel(title, "ranks", "efficiency", lines, log_x=True, levels={"a half": 0.5})


def time_panel(work: Work, own: AlphaBeta) -> Panel:
    steps = [Network(own, EXPLAINED).step(work, ranks, overlaps=False) for ranks in RANKS[1:]]
    x = np.array(RANKS[1:])
    lines = [
        Line(name, x, np.array([getattr(step, part) for step in steps]), "marked")
        for name, part in (
            ("computing", "computing"),
            ("link", "link"),
            ("copies, sums", "copying"),
            ("messages", "messages"),
        )
    ]
    return Panel(f"{work.name} at {EXPLAINED} Gbit/s", "ranks", "seconds of a step", lines, log_x=True, log_y=True)
