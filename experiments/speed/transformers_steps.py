"""The steps of transformers with the same weights: prefill, decoding and training."""

import sys

if __name__ == "__main__":
    sys.exit("transformers_steps.py is no script; run python -m experiments.speed")

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from transformers import DynamicCache, LlamaForCausalLM

from experiments.speed.pretrained_steps import LEARNING_RATE, keys_and_values, make_ids
from experiments.speed.pytorch_gpt import make_optimizer
from experiments.speed.pytorch_steps import prepare
from experiments.speed.steps import BETAS, MAX_NORM, WEIGHT_DECAY, Results, Step
from experiments.speed.tasks import PretrainedSettings


@contextmanager
def transformers_pretrained(settings: PretrainedSettings, threads: int) -> Iterator[Step]:
    """Steps as its own `generate` and a user's loop do them, with PyTorch's fused attention and fused AdamW."""
    prepare(threads)
    model = LlamaForCausalLM.from_pretrained(settings.folder, dtype=torch.float32)
    if settings.kind == "training":
        yield training_step(model.train(), settings)
    else:
        with torch.inference_mode():
            yield forward_step(model.eval(), settings)


def forward_step(model: LlamaForCausalLM, settings: PretrainedSettings) -> Callable[[int], Results]:
    cache = DynamicCache(config=model.config)
    for i, arrays in enumerate(keys_and_values(settings)):
        cache.update(*map(torch.from_numpy, arrays), i)

    def step(index: int) -> Results:
        seen = cache if settings.kind == "decoding" else DynamicCache(config=model.config)
        ids = torch.from_numpy(make_ids(settings, index))
        return [(model(ids, cache=seen, use_cache=True, logits_to_keep=1).logits,)]

    return step


def training_step(model: LlamaForCausalLM, settings: PretrainedSettings) -> Callable[[int], Results]:
    optimizer = make_optimizer(model, learning_rate=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY)

    def step(index: int) -> Results:
        tokens = torch.from_numpy(make_ids(settings, index))
        optimizer.zero_grad()
        logits = model(tokens[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        return [(loss.item(),)]

    return step
