"""Loads matplotlib, also where MPLBACKEND names a backend that is not installed: figures are drawn without any.

Notebooks hand their MPLBACKEND down to every program that they start, in whatever environment that runs.
"""

import os
import sys
from contextlib import suppress

if "matplotlib" not in sys.modules:
    backend = os.environ.pop("MPLBACKEND", "")
    try:
        import matplotlib as mpl
    finally:
        if backend:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):
            mpl.rcParams["backend"] = backend  # one that is installed serves the figures of the user's own
