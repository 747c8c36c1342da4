"""A run of PyTorch: the same text, batches, schedule and evaluation as ours."""

import sys

if __name__ == "__main__":
    sys.exit("pytorch_run.py is no script; run python -m experiments.speedrun")

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments.speed.pytorch_gpt import GPT, make_optimizer
from experiments.speedrun.batches import read_ids
from experiments.speedrun.learning import Point, learn
from experiments.speedrun.pytorch_llama import Llama
from experiments.speedrun.pytorch_muon import Muon
from experiments.speedrun.recipe import Recipe
from scratchformer.models import GPTConfig, LlamaConfig
from scratchformer.optim import WarmupCosine
from scratchformer.text import TokenBatch


class PyTorchLearner:
    """A model of PyTorch and its training."""

    def __init__(self, recipe: Recipe, vocabulary_size: int) -> None:
        self.recipe, self.model = recipe, make_model(recipe, vocabulary_size)
        self.update = make_update(recipe, self.model)
        self.parameters = list(self.model.parameters())
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.schedule = WarmupCosine(recipe.learning_rate, recipe.final_learning_rate, recipe.warmup, recipe.steps)
        self.step = 0

    def learn(self, batch: TokenBatch) -> None:
        self.model.zero_grad()
        self.model.loss(*tensors(batch)).backward()
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.update(self.schedule(self.step))
        self.step += 1
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - self.recipe.average)

    @torch.no_grad()
    def evaluate(self, batches: list[TokenBatch]) -> float:
        kept = [parameter.detach().clone() for parameter in self.parameters]
        torch._foreach_copy_(self.parameters, self.average)
        loss = evaluate(self.model, batches)
        torch._foreach_copy_(self.parameters, kept)
        return loss


def pytorch_points(
    recipe: Recipe, text: Path | None, seed: int, threads: int, evaluated: Collection[int]
) -> Iterator[Point]:
    """Trains, and says where the run stands after these steps."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    ids = read_ids(text)
    learner = PyTorchLearner(recipe, ids.tokenizer.vocabulary_size)
    return learn(learner, recipe, ids, seed, evaluated)


def make_model(recipe: Recipe, vocabulary_size: int) -> GPT | Llama:
    sizes = (vocabulary_size, recipe.context, recipe.layers, recipe.heads)
    if recipe.model == "llama":
        return Llama(LlamaConfig(*sizes, d_model=recipe.width))
    return GPT(GPTConfig(*sizes, recipe.width, bias=False))


def make_update(recipe: Recipe, model: GPT | Llama, dtype: torch.dtype = torch.bfloat16) -> Callable[[float], None]:
    """What updates the weights at a learning rate: Muon for the blocks of a Llama, fused AdamW for all else."""
    matrices = muon_matrices(model) if recipe.model == "llama" else []
    taken = {parameter for parameter, _ in matrices}
    rest = nn.ParameterList(parameter for parameter in model.parameters() if parameter not in taken)
    muon = Muon(matrices, weight_decay=recipe.weight_decay, dtype=dtype)
    adamw = make_optimizer(
        rest, learning_rate=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
    )

    def update(learning_rate: float) -> None:
        for group in adamw.param_groups:
            group["lr"] = learning_rate
        adamw.step()
        if matrices:
            muon.step(learning_rate)

    return update


def muon_matrices(model: nn.Module) -> list[tuple[nn.Parameter, int]]:
    """The matrices of the blocks, each with how many stand in it."""
    counts = {"qkv.weight": 3, "up.weight": 2}
    return [
        (parameter, next((count for end, count in counts.items() if name.endswith(end)), 1))
        for name, parameter in model.named_parameters()
        if name.startswith("blocks.") and parameter.ndim == 2
    ]


@torch.inference_mode()
def evaluate(model: GPT | Llama, batches: list[TokenBatch]) -> float:
    """The mean loss over all windows."""
    losses = [(model.loss(*tensors(batch)).item(), batch.num_targets) for batch in batches]
    return sum(loss * num for loss, num in losses) / sum(num for _, num in losses)


def tensors(batch: TokenBatch) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(batch.ids).long(), torch.from_numpy(batch.targets).long()
