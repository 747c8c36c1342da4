"""What the tests of sweeps of char_lm.py share."""

import numpy as np

from scratchformer.recipes.char_lm_arms import Arm


def arm(name: str, *last: float) -> Arm:
    """An arm with these last losses, and the losses before them one higher."""
    return Arm(name, np.array([10, 20]), np.array([[loss + 1, loss] for loss in last]))
