"""What a fresh process measures of a language model whose weights have one form."""

import sys

if __name__ == "__main__":
    sys.exit("measure.py is no script; run python -m experiments.weights")

import math
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy import ndarray
from threadpoolctl import threadpool_limits

from experiments.speed.measure import memory
from scratchformer.commands.model_files import load_decoder
from scratchformer.generation import generate, greedy
from scratchformer.models.decoder_only import DecoderOnly
from scratchformer.ops import cross_entropy
from scratchformer.pretrained.loading import Weights

WINDOW, PROMPT = 512, 16


@dataclass(frozen=True)
class Figures:
    """What one process measured: perplexity, tokens a second, bytes of memory, seconds of loading."""

    perplexity: float
    tokens_per_second: float
    memory: int
    seconds: float


def measure(path: Path, form: Weights, ids: ndarray, num_new: int) -> Figures:
    """Measures one form in this process."""
    before, start = memory("VmRSS"), time.perf_counter()
    model = load_decoder(path, form)
    seconds, held = time.perf_counter() - start, memory("VmRSS") - before
    with threadpool_limits(1, user_api="blas"):
        return Figures(perplexity(model, ids), tokens_per_second(model, num_new), held, seconds)


def perplexity(model: DecoderOnly, ids: ndarray) -> float:
    """exp of the mean loss in nats, each window predicting all its tokens but the first one of the text."""
    length = min(WINDOW, model.context_length)
    total = 0.0
    for start in range(0, len(ids) - 1, length):
        window = ids[start : start + length + 1]
        logits, _ = model(window[None, :-1])
        total += float(cross_entropy(logits.astype(np.float64), window[None, 1:])[0]) * (len(window) - 1)
    return math.exp(total / (len(ids) - 1))


def tokens_per_second(model: DecoderOnly, num_new: int) -> float:
    """One through the median time between two tokens."""
    prompt = np.ones((1, min(PROMPT, model.context_length)), np.int64)
    times = [time.perf_counter()]
    for _ in generate(model, prompt, num_new + 1, context_length=model.context_length, choose=greedy):
        times.append(time.perf_counter())
    return 1 / median(np.diff(times[1:]))
