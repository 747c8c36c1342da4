import subprocess
import sys

import pytest


@pytest.mark.long
def test_no_right_gradient_is_called_wrong_and_no_wrong_one_right() -> None:
    """Functions by regimes by mistakes; what is counted, and why, is said by the program itself."""
    run = subprocess.run([sys.executable, "-m", "tests.gradcheck.table.run"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
