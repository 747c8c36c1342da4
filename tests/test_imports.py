import subprocess
import sys

import pytest

from scratchformer.__main__ import COMMANDS


def modules_after(*statements: str) -> set[str]:
    """The names of all modules that a fresh interpreter has loaded after the statements."""
    program = "\n".join([*statements, "import sys", "print(*sys.modules)"])
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules} - sys.stdlib_module_names


def test_importing_the_numerical_rooms_loads_no_third_party_package_but_numpy_and_jaxtyping() -> None:
    allowed = packages(modules_after("import jaxtyping, numpy.random"))
    assert {"numpy", "jaxtyping"} <= allowed
    assert not allowed & {"scipy", "matplotlib", "tqdm", "hypothesis"}
    loaded = modules_after(*[f"import scratchformer.{room}" for room in ("ops", "layers", "models", "optim")])
    assert "scratchformer.models.gpt" in loaded
    assert packages(loaded) - allowed == {"scratchformer"}


def test_exact_gelu_alone_loads_scipy_when_it_is_first_called() -> None:
    start = ("import numpy as np", "from scratchformer.ops import gelu")
    assert "scipy" not in packages(modules_after(*start, "gelu(np.ones(1), approximate='tanh')"))
    assert "scipy.special" in modules_after(*start, "gelu(np.ones(1))")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_loads_matplotlib_or_scipy_before_it_needs_them(command: str) -> None:
    loaded = packages(modules_after("import scratchformer.runs.stopping", f"import scratchformer.commands.{command}"))
    assert not loaded & {"matplotlib", "scipy", "mpi4py"}
