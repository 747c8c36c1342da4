"""Our steps of a Llama from files: prefill, decoding and training."""

import sys

if __name__ == "__main__":
    sys.exit("pretrained_steps.py is no script; run python -m experiments.speed")

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray
from threadpoolctl import threadpool_limits

from experiments.speed.fresh_process import Failure
from experiments.speed.steps import BETAS, MAX_NORM, WEIGHT_DECAY, Results, Step
from experiments.speed.tasks import PretrainedSettings, Task
from scratchformer.allocator import keep_freed_memory
from scratchformer.generation.blas_threads import one_blas_thread_for
from scratchformer.layers.cache import KeyValueCache
from scratchformer.models import Llama, LlamaConfig
from scratchformer.optim import AdamW, Constant
from scratchformer.pretrained import load, save
from scratchformer.text import TokenBatch
from scratchformer.training import Trainer, next_token_loss

LEARNING_RATE = 1e-5
"""So small that a trained model stays one."""
CACHED = np.float32(0.1)
"""Standard deviation of keys and values in the cache. With 1, scores are so large that rounding decides which keys are
looked at: behind 4,096 positions of SmolLM2 the logits of two sides differed by 1 %."""


def write_llama(path: Path, folder: Path) -> LlamaConfig:
    """Writes a model as a folder that both sides open, in float32. Raises Failure unless it is a Llama."""
    model = load(path)
    if not isinstance(model, Llama):
        raise Failure(f"{path} holds a {type(model).__name__}, only a Llama is timed")
    save(model, folder)
    return model.config


@contextmanager
def our_pretrained(settings: PretrainedSettings, task: Task, threads: int) -> Iterator[Step]:
    """Steps as `generate` and the trainer do them."""
    keep_freed_memory()
    model = load(settings.folder)
    assert isinstance(model, Llama)  # `write_llama` wrote it
    if settings.kind == "training":
        optimizer = AdamW(model, betas=BETAS, weight_decay=WEIGHT_DECAY)
        schedule = Constant(LEARNING_RATE)
        with Trainer(model, optimizer, schedule, next_token_loss, max_norm=MAX_NORM, num_workers=threads) as trainer:
            yield lambda index: [(trainer.step([token_batch(settings, index)]).loss,)]
    else:
        with threadpool_limits(threads, user_api="blas"):
            yield our_forward(model, settings, task)


def our_forward(model: Llama, settings: PretrainedSettings, task: Task) -> Callable[[int], Results]:
    """Steps that give the logits of the last position: decoding through one cache, prefill through one each."""
    room = settings.num_cached + (task.warmup + task.steps) * settings.num_tokens
    cache = KeyValueCache(room)
    for i, (key, value) in enumerate(keys_and_values(settings)):
        cache.within("blocks").within(f"{i}").within("attention").extend(key, value)

    def step(index: int) -> Results:
        ids = make_ids(settings, index)
        with one_blas_thread_for(ids.size):
            logits, _ = model(ids, cache=cache if settings.kind == "decoding" else KeyValueCache(room), last_only=True)
        return [(logits,)]

    return step


def token_batch(settings: PretrainedSettings, index: int) -> TokenBatch:
    tokens = make_ids(settings, index)
    return TokenBatch(tokens[:, :-1], tokens[:, 1:])


def make_ids(settings: PretrainedSettings, index: int) -> Integer[ndarray, "batch t"]:
    """Random tokens of a step. Those of training have one more, for the targets."""
    t = settings.num_tokens + (settings.kind == "training")
    return np.random.default_rng(index).integers(settings.vocabulary_size, size=(settings.batch, t))


def keys_and_values(settings: PretrainedSettings) -> Iterator[Float[ndarray, "2 1 heads t d"]]:
    """Random keys and values of every layer, where the cache is to hold some: no prefill takes time for them."""
    config, generator = settings.model, np.random.default_rng(0)
    shape = (2, 1, config.num_kv_heads or config.num_heads, settings.num_cached, config.head_width)
    for _ in range(config.num_layers if settings.num_cached else 0):
        yield CACHED * generator.standard_normal(shape, dtype=np.float32)
