"""Our steps: training a GPT, decoding by one, and attention alone."""

import sys

if __name__ == "__main__":
    sys.exit("steps.py is no script; run python -m experiments.speed")

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray
from safetensors.numpy import load_file
from threadpoolctl import threadpool_limits

from experiments.speed.tasks import AttentionSettings, DecodingSettings, Task, TrainingSettings
from scratchformer.generation.blas_threads import one_blas_thread_for
from scratchformer.layers import multi_head_attention
from scratchformer.layers.cache import KeyValueCache
from scratchformer.models import GPT, GPTConfig
from scratchformer.ops import blockwise_attention, scaled_dot_product_attention
from scratchformer.optim import AdamW, Constant
from scratchformer.text import TokenBatch
from scratchformer.training import (
    Trainer,
    as_safetensors,
    keep_freed_memory,
    next_token_loss,
)

LEARNING_RATE, BETAS, WEIGHT_DECAY, MAX_NORM = 1e-3, (0.9, 0.99), 0.1, 1.0

Results = Sequence[Sequence[object]]
"""What one step computed, numbers or arrays, by thread."""
Step = Callable[[int], Results]
"""Does the step of this index, counted from 0 with the warm-up; the index chooses the batch."""


@contextmanager
def our_training(settings: TrainingSettings, task: Task, threads: int, weights: Path | None) -> Iterator[Step]:
    """Steps of our trainer; from the weights in a file, or from newly initialised ones."""
    model = make_model(settings.model, weights)
    workers, blas_threads = shared_out(threads, model.values.size, task)
    new_trainer = partial(
        Trainer,
        model,
        AdamW(model, betas=BETAS, weight_decay=WEIGHT_DECAY),
        Constant(LEARNING_RATE),
        next_token_loss,
        max_norm=MAX_NORM,
        num_workers=workers,
    )
    try:
        trainer = new_trainer(seed=None)  # no model that is timed has dropout
    except TypeError:  # in packages of earlier commits, which `against` times, a seed is always needed
        trainer = new_trainer()
    if blas_threads > 1:
        trainer.share_products(blas_threads)
    if is_better_sharing(model.values.size, task.tokens):
        try:
            trainer.share_gradient(in_parts=True)
        except TypeError:  # in packages of earlier commits there was one vector
            trainer.share_gradient()
    if is_better_forked(model.values.size):
        trainer.fork_workers()
    batches = make_batches(settings, task)

    def step(index: int) -> Results:
        done = trainer.step([batches[index]])
        return [(done.loss, done.gradient_norm)]

    with trainer:
        yield step


def shared_out(threads: int, num_parameters: int, task: Task) -> tuple[int, int]:
    """How our trainer shares threads out: workers, and BLAS threads in each."""
    try:
        from scratchformer.training import workers_and_blas_threads
    except ImportError:  # `against` times packages of earlier commits, which had workers alone
        return threads, 1
    try:
        return workers_and_blas_threads(threads, task.shares)
    except TypeError:  # of later ones, which had one worker with many parameters for each token
        return workers_and_blas_threads(threads, num_parameters, task.tokens)  # type: ignore[call-arg]


def is_better_sharing(num_parameters: int, num_tokens: int) -> bool:
    """Whether the workers of our trainer share a gradient."""
    try:
        from scratchformer.training import are_better_sharing
    except ImportError:  # as above
        return False
    return are_better_sharing(num_parameters, num_tokens)


def is_better_forked(num_parameters: int) -> bool:
    """Whether the workers of our trainer are processes."""
    try:
        from scratchformer.training import are_better_forked
    except ImportError:  # as above
        return False
    return are_better_forked(num_parameters)


@contextmanager
def our_decoding(settings: DecodingSettings, task: Task, threads: int, weights: Path | None) -> Iterator[Step]:
    """Steps as `generate` does them: each gives the logits of the next token."""
    keep_freed_memory()
    model = make_model(settings.model, weights)
    ids, cache = make_prompt(settings, task), KeyValueCache(settings.model.context_length)

    def logits_of(new: ndarray) -> ndarray:
        with one_blas_thread_for(new.size):
            return model(new, cache=cache, last_only=True)[0]

    with threadpool_limits(threads, user_api="blas"):
        logits_of(ids[:, : settings.num_cached])
        yield lambda index: [(logits_of(ids[:, settings.num_cached + index, None]),)]


def make_model(config: GPTConfig, weights: Path | None) -> GPT:
    """A GPT with the weights of a file, or with newly initialised ones."""
    model = GPT(config, generator=np.random.default_rng(0))
    if weights is not None:
        tensors = load_file(weights)
        for name, parameter in model.parameters().items():
            parameter.value[...] = tensors[name]
    return model


@contextmanager
def our_attention(settings: AttentionSettings, threads: int) -> Iterator[Step]:
    """Each thread takes a share of the heads, as each thread of the trainer takes a share of the batch.

    Attention is dense or blockwise, as `MultiHeadAttention` chooses.
    """
    keep_freed_memory()
    shards = np.array_split(attention_inputs(settings), threads, axis=2)
    # `against` times packages of earlier commits, which had one number for all.
    least = getattr(multi_head_attention, "CAUSAL_BLOCKWISE_FROM", multi_head_attention.BLOCKWISE_FROM)
    attend = blockwise_attention if settings.length >= least else scaled_dot_product_attention

    def work(shard: ndarray) -> Sequence[ndarray]:
        query, key, value, dy = shard
        y, backward = attend(query, key, value, is_causal=True)
        dquery, dkey, dvalue, _ = backward(dy)
        return y, dquery, dkey, dvalue

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        yield lambda index: list(pool.map(work, shards))


def make_batches(settings: TrainingSettings, task: Task) -> list[TokenBatch]:
    """Random tokens for every step, those of the warm-up included."""
    model = settings.model
    shape = (task.warmup + task.steps, settings.batch, model.context_length + 1)
    ids = np.random.default_rng(0).integers(model.vocabulary_size, size=shape)
    return [TokenBatch(tokens[:, :-1], tokens[:, 1:]) for tokens in ids]


def make_prompt(settings: DecodingSettings, task: Task) -> Integer[ndarray, "1 t"]:
    """Random tokens: the prompt, and one for each step."""
    length = settings.num_cached + task.warmup + task.steps
    return np.random.default_rng(0).integers(settings.model.vocabulary_size, size=(1, length))


def attention_inputs(settings: AttentionSettings) -> Float[ndarray, "4 1 heads t d"]:
    """Query, key, value and the gradient of the output, of one sequence."""
    shape = (4, 1, settings.heads, settings.length, settings.features)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def write_weights(config: GPTConfig, path: Path) -> None:
    """Writes weights that both sides start from.

    They are away from those that training starts from, the gains of norms too.
    """
    generator = np.random.default_rng(1)
    model = GPT(config, generator=generator)
    tensors = {
        name: parameter.value + np.float32(0.05) * generator.standard_normal(parameter.value.shape, dtype=np.float32)
        for name, parameter in model.parameters().items()
    }
    path.write_bytes(as_safetensors(tensors))
