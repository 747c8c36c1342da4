"""A run of our side: from a text file to validation losses, and to what the model writes on the way."""

import sys

if __name__ == "__main__":
    sys.exit("ours.py is no script; run python -m experiments.speedrun")

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.speedrun.batches import read_ids
from experiments.speedrun.learning import Point, learn
from experiments.speedrun.recipe import Recipe
from scratchformer.generation import Sampling, generate
from scratchformer.models import GPT, GPTConfig, Llama, LlamaConfig, block_matrices
from scratchformer.optim import AdamW, Muon, WarmupCosine, WeightAverage
from scratchformer.text import CharacterTokenizer, TokenBatch
from scratchformer.training import Trainer, are_better_forked, next_token_loss

SAMPLED = 240
"""Characters of a sample."""


class OurLearner:
    """A model of this package and its training."""

    def __init__(self, trainer: Trainer[GPT | Llama, TokenBatch]) -> None:
        self.trainer = trainer

    def learn(self, batch: TokenBatch) -> None:
        self.trainer.step([batch])

    def evaluate(self, batches: list[TokenBatch]) -> float:
        return self.trainer.evaluate(batches)

    def write(self, tokenizer: CharacterTokenizer) -> str:
        """What the averaged weights write, drawn as `scratchformer sample` does."""
        model, choose = self.trainer.model, Sampling(np.random.default_rng(0), temperature=0.8, top_k=50)
        prompt = tokenizer.encode(tokenizer.first_prompt)
        assert self.trainer.average is not None
        with self.trainer.average.applied():
            written = generate(model, prompt, SAMPLED, context_length=model.config.context_length, choose=choose)
            return "".join(tokenizer.decode(token[None]) for token in written)


def our_points(
    recipe: Recipe, text: Path | None, seed: int, threads: int, evaluated: Collection[int]
) -> Iterator[Point]:
    """Trains, and says where the run stands after these steps."""
    ids = read_ids(text)
    with make_trainer(recipe, ids.tokenizer.vocabulary_size, seed, threads) as trainer:
        yield from learn(OurLearner(trainer), recipe, ids, seed, evaluated)


def our_samples(
    recipe: Recipe, text: Path | None, seed: int, threads: int, evaluated: Collection[int], levels: Sequence[float]
) -> list[tuple[Point, str]]:
    """What the model writes where it first reaches each of these losses, the highest first, if it does."""
    ids, found = read_ids(text), list[tuple[Point, str]]()
    with make_trainer(recipe, ids.tokenizer.vocabulary_size, seed, threads) as trainer:
        learner = OurLearner(trainer)
        for point in learn(learner, recipe, ids, seed, evaluated):
            if len(found) < len(levels) and point.loss <= levels[len(found)]:
                found.append((point, learner.write(ids.tokenizer)))
    return found


def make_trainer(recipe: Recipe, vocabulary_size: int, seed: int, threads: int) -> Trainer[GPT | Llama, TokenBatch]:
    """The model as it starts, and its training."""
    model = make_model(recipe, vocabulary_size, seed)
    optimizer = (
        Muon(model, block_matrices(model), betas=recipe.betas, weight_decay=recipe.weight_decay)
        if recipe.model == "llama"
        else AdamW(model, betas=recipe.betas, weight_decay=recipe.weight_decay)
    )
    trainer = Trainer(
        model,
        optimizer,
        WarmupCosine(recipe.learning_rate, recipe.final_learning_rate, recipe.warmup, recipe.steps),
        next_token_loss,
        max_norm=recipe.clip,
        average=WeightAverage(model, recipe.average),
        num_workers=threads,
    )
    if are_better_forked(model.values.size):
        trainer.fork_workers()
    return trainer


def make_model(recipe: Recipe, vocabulary_size: int, seed: int) -> GPT | Llama:
    """The model with random weights and a tied head."""
    generator = np.random.default_rng(seed)
    sizes = (vocabulary_size, recipe.context, recipe.layers, recipe.heads)
    if recipe.model == "llama":
        llama = LlamaConfig(*sizes, d_model=recipe.width, tied_head=True, qk_norm=True)
        return Llama(llama, generator=generator)
    return GPT(GPTConfig(*sizes, recipe.width, bias=False, tied_head=True), generator=generator)
