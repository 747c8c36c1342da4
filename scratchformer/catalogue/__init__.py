"""Everything that is checked: each op, layer, model and optimizer, and how its inputs are drawn."""

from scratchformer.catalogue.entry import Check, Entry
from scratchformer.catalogue.layers import LAYERS
from scratchformer.catalogue.models import MODELS
from scratchformer.catalogue.ops import OPS
from scratchformer.catalogue.optimizers import OPTIMIZERS

CATALOGUE: list[Entry] = [*OPS, *LAYERS, *MODELS, *OPTIMIZERS]

__all__ = ["CATALOGUE", "LAYERS", "MODELS", "OPS", "OPTIMIZERS", "Check", "Entry"]
