"""Bugs that people make in hand-written backward passes. Each must be killed by the tests that it names."""

from tests.mutants.catalogue.layers import LAYERS
from tests.mutants.catalogue.ops import OPS
from tests.mutants.catalogue.optimizers import OPTIMIZERS
from tests.mutants.mutant import Mutant

CATALOGUE: list[Mutant] = [*OPS, *LAYERS, *OPTIMIZERS]
