import os
import platform

import numpy as np

import scratchformer


def describe_environment() -> dict[str, str | int | None]:
    """What a run depends on beside its configuration: versions and machine."""
    return {
        "scratchformer": scratchformer.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
    }
