"""Optimizers, learning-rate schedules and gradient clipping, on plain vectors."""

from scratchformer.optim.adam import Adam, AdamW
from scratchformer.optim.averaging import WeightAverage
from scratchformer.optim.clipping import clip_global_norm, global_norm
from scratchformer.optim.muon import Muon, orthogonal
from scratchformer.optim.optimizer import Optimizer
from scratchformer.optim.schedules import Constant, WarmupCosine, WarmupInverseSquareRoot
from scratchformer.optim.sgd import SGD
from scratchformer.optim.spans import ParallelMap, ParameterVector

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Muon",
    "Optimizer",
    "ParallelMap",
    "ParameterVector",
    "WarmupCosine",
    "WarmupInverseSquareRoot",
    "WeightAverage",
    "clip_global_norm",
    "global_norm",
    "orthogonal",
]
