"""What llama.cpp takes with the same file: a figure beside the table, since its weights stay as the file has them."""

import sys

if __name__ == "__main__":
    sys.exit("llama_cpp.py is no script; run python -m experiments.speed")

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

NUM_NEW = 32
"""Tokens over which decoding is timed."""


def llama_cpp_milliseconds(
    path: Path, threads: int, lengths: tuple[int, ...], vocabulary_size: int
) -> dict[str, float]:
    """Milliseconds of a prefill of so many tokens, and of each token that is decoded after it."""
    xllamacpp = import_module("xllamacpp")  # not installed everywhere
    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.n_ctx, settings.n_parallel = max(lengths) + 2 * NUM_NEW, 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(settings)
    found: dict[str, float] = {}
    for length in lengths:
        ids = np.random.default_rng(length).integers(vocabulary_size, size=length)
        asked = {"prompt": ids.tolist(), "n_predict": NUM_NEW, "ignore_eos": True, "cache_prompt": False}
        answer: Any = server.handle_completions(asked)
        timings = (json.loads(answer) if isinstance(answer, str | bytes) else answer)["timings"]
        found[f"prefill {length}"] = timings["prompt_ms"]
        found[f"decoding {length}"] = timings["predicted_per_token_ms"]
    return found
