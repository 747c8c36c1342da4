"""The training loop, data-parallel over threads, and checkpoints to go on from."""

from scratchformer.allocator import keep_freed_memory
from scratchformer.training.checkpoint import (
    Checkpoint,
    as_safetensors,
    read_checkpoint,
    write_checkpoint,
)
from scratchformer.training.descriptions import first_difference
from scratchformer.training.divergence import Divergence
from scratchformer.training.loop import Progress, train
from scratchformer.training.losses import next_token_loss
from scratchformer.training.resuming import restore, training_checkpoint
from scratchformer.training.saving import BEST, LAST, load, model_checkpoint, save, trained_checkpoint
from scratchformer.training.shards import Batch
from scratchformer.training.sharing import are_better_forked, are_better_sharing, workers_and_blas_threads
from scratchformer.training.tokenizers import load_tokenizer
from scratchformer.training.trainer import StepMetrics, Trainer

__all__ = [
    "BEST",
    "LAST",
    "Batch",
    "Checkpoint",
    "Divergence",
    "Progress",
    "StepMetrics",
    "Trainer",
    "are_better_forked",
    "are_better_sharing",
    "as_safetensors",
    "first_difference",
    "keep_freed_memory",
    "load",
    "load_tokenizer",
    "model_checkpoint",
    "next_token_loss",
    "read_checkpoint",
    "restore",
    "save",
    "train",
    "trained_checkpoint",
    "training_checkpoint",
    "workers_and_blas_threads",
    "write_checkpoint",
]
