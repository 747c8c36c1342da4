"""The training loop, data-parallel over threads, and trained weights on disk."""

from scratchformer.training.allocator import keep_freed_memory
from scratchformer.training.loop import Progress, train
from scratchformer.training.trainer import Batch, Step, Trainer
from scratchformer.training.weights import load_weights, save_weights

__all__ = ["Batch", "Progress", "Step", "Trainer", "keep_freed_memory", "load_weights", "save_weights", "train"]
