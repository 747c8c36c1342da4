"""Bugs that people make. Each must be killed by the tests that it names."""

from tests.mutants.catalogue.aliasing import ALIASING
from tests.mutants.catalogue.attention import ATTENTION
from tests.mutants.catalogue.checker import CHECKER
from tests.mutants.catalogue.figures import FIGURES
from tests.mutants.catalogue.files import FILES
from tests.mutants.catalogue.layers import LAYERS
from tests.mutants.catalogue.losses import LOSSES
from tests.mutants.catalogue.ops import OPS
from tests.mutants.catalogue.optimizers import OPTIMIZERS
from tests.mutants.catalogue.options import OPTIONS
from tests.mutants.catalogue.traces import TRACES
from tests.mutants.catalogue.workers import WORKERS
from tests.mutants.mutant import Mutant

CATALOGUE: list[Mutant] = [
    *OPS,
    *LAYERS,
    *OPTIMIZERS,
    *ATTENTION,
    *LOSSES,
    *TRACES,
    *WORKERS,
    *ALIASING,
    *FILES,
    *FIGURES,
    *OPTIONS,
    *CHECKER,
]
