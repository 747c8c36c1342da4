"""Imported first by a script: Ctrl-C while it imports the rest ends it as it ends other programs, without a traceback.

If a launcher of MPI has started it, its supervisor is started here, before all else.

What imports other files of `experiments/` has to be started with `python -m`; started as a file, it says so and ends.
Nothing changes where the importing module is not the program, as in a test or a notebook. `run_script` takes Ctrl-C
over once the program has begun.
"""

import signal
import sys
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

MODULES = ("__main__.py", "collect.py", "against.py", "curves.py")

_main = sys.modules["__main__"]
_file = Path(getattr(_main, "__file__", None) or "").resolve()
if EXPERIMENTS in _file.parents:
    _spec = getattr(_main, "__spec__", None)
    if _file.name in MODULES and (_spec is None or _spec.name == "__main__"):  # that is the name where a folder is run
        _module = ".".join(_file.relative_to(EXPERIMENTS.parent).with_suffix("").parts).removesuffix(".__main__")
        sys.exit(f"this is no script; run python -m {_module}")
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from scratchformer.launched import watched

    watched()
