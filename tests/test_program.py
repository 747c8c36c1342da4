import scratchformer.program

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals between processes")
@pytest.mark.parametrize("script", ["char_lm.py", "attention_walkthrough.py", "sample.py"])
def test_ctrl_c_during_the_imports_of_a_script_leaves_no_traceback(script: str, tmp_path: Path) -> None:
    (tmp_path / "tyro.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, ROOT / "experiments" / script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_what_is_no_script_keeps_its_handling_of_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGINT)
    importlib.reload(scratchformer.program)
    assert signal.getsignal(signal.SIGINT) is before
