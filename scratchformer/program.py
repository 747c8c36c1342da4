"""Imported first by a script: Ctrl-C while it imports the rest ends it as it ends other programs, without a traceback.

Nothing changes where the importing module is not the program, as in a test or a notebook. `run_script` takes Ctrl-C
over once the program has begun.
"""

import signal
import sys
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

_main = getattr(sys.modules["__main__"], "__file__", None)
if _main and EXPERIMENTS in Path(_main).resolve().parents and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
