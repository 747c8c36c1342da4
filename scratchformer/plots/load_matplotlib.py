"""Loads matplotlib, also where the user's settings would keep it from loading: figures need none of them.

Notebooks hand their MPLBACKEND down to every program that they start, and the backend that it names may not be
installed there. A matplotlibrc may be in another encoding than UTF-8.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Sets environment variables inside its `with` block."""
    before = os.environ.copy()
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
            if name in before:
                os.environ[name] = before[name]


if "matplotlib" not in sys.modules:
    try:
        with environment(MPLBACKEND=""):
            import matplotlib as mpl
    except UnicodeDecodeError:
        for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
            del sys.modules[name]  # what was loaded before the error
        with environment(MPLBACKEND="", MATPLOTLIBRC=os.devnull):
            import matplotlib as mpl
    if backend := os.environ.get("MPLBACKEND"):
        with suppress(ValueError):
            mpl.rcParams["backend"] = backend  # one that is installed serves the figures of the user's own
