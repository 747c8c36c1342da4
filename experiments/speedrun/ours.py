"""A run of our side: from a text file to a validation loss."""

import sys

if __name__ == "__main__":
    sys.exit("ours.py is no script; run python -m experiments.speedrun")

from pathlib import Path

import numpy as np

from experiments.speedrun.batches import read_ids, training_batches, validation_batches
from experiments.speedrun.recipe import Recipe
from scratchformer.models import GPT, GPTConfig, Llama, LlamaConfig, block_matrices
from scratchformer.optim import AdamW, Muon, WarmupCosine, WeightAverage
from scratchformer.text import TokenBatch
from scratchformer.training import Trainer, next_token_loss


def our_loss(recipe: Recipe, text: Path | None, seed: int, threads: int) -> float:
    """Trains, and returns the validation loss at the end."""
    ids = read_ids(text)
    with make_trainer(recipe, ids.tokenizer.vocabulary_size, seed, threads) as trainer:
        for batch in training_batches(recipe, ids.training, seed):
            trainer.step([batch])
        return trainer.evaluate(validation_batches(recipe, ids.validation))


def make_trainer(recipe: Recipe, vocabulary_size: int, seed: int, threads: int) -> Trainer[GPT | Llama, TokenBatch]:
    """The model as it starts, and its training."""
    model = make_model(recipe, vocabulary_size, seed)
    optimizer = (
        Muon(model, block_matrices(model), betas=recipe.betas, weight_decay=recipe.weight_decay)
        if recipe.model == "llama"
        else AdamW(model, betas=recipe.betas, weight_decay=recipe.weight_decay)
    )
    return Trainer(
        model,
        optimizer,
        WarmupCosine(recipe.learning_rate, recipe.final_learning_rate, recipe.warmup, recipe.steps),
        next_token_loss,
        max_norm=recipe.clip,
        average=WeightAverage(model, recipe.average),
        num_workers=threads,
    )


def make_model(recipe: Recipe, vocabulary_size: int, seed: int) -> GPT | Llama:
    """The model with random weights and a tied head."""
    generator = np.random.default_rng(seed)
    sizes = (vocabulary_size, recipe.context, recipe.layers, recipe.heads)
    if recipe.model == "llama":
        llama = LlamaConfig(*sizes, d_model=recipe.width, tied_head=True, qk_norm=True)
        return Llama(llama, generator=generator)
    return GPT(GPTConfig(*sizes, recipe.width, bias=False, tied_head=True), generator=generator)
