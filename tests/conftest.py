import gc
import os
from collections.abc import Iterator

# Before NumPy is loaded: every test process keeps to one core, as pytest-xdist runs one process per core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings

import tests.annotations

# Before the package is loaded: the shapes in its annotations are checked at run time.
tests.annotations.check_annotations("scratchformer")

# CPython keeps frames in blocks of 16 KiB, and maps a new one each time that a call reaches over the end of the last.
# At an unlucky depth every call of a loop does, which took a third of the time of some tests. With one large frame
# below every test, the block that holds it has room for all others.
runtestprotocol.__code__ = runtestprotocol.__code__.replace(co_stacksize=2**16)

settings.register_profile(
    "default",
    deadline=None,
    max_examples=20,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# Where a failure is all that is wanted, and not the smallest example of it.
settings.register_profile("unshrunk", settings.get_profile("default"), phases=[Phase.explicit, Phase.generate])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# The half a million objects that imports and collection make live until the end. A search for garbage that goes through
# all of them takes a third of a second, and a run of an experiment ends with one; so they are left out of it.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Switches the run-time check of annotations off, for tests of what a user without it is told."""
    with tests.annotations.unchecked():
        yield
