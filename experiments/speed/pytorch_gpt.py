"""The GPT of `scratchformer.models` as one writes it in PyTorch, and its optimizer: what ours is compared with."""

import sys

if __name__ == "__main__":
    sys.exit("pytorch_gpt.py is no script; run python -m experiments.speed")

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchformer.models import GPTConfig


class Attention(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=config.bias)
        self.output = nn.Linear(config.d_model, config.d_model, bias=config.bias)

    def forward(self, x: Tensor, cache: Tensor | None = None, start: int = 0) -> Tensor:
        """Attends to x, and to what the cache (2, b, heads, T, d_head) holds before `start`."""
        b, t, d = x.shape
        query, key, value = (
            part.view(b, t, self.num_heads, d // self.num_heads).transpose(1, 2) for part in self.qkv(x).split(d, dim=2)
        )
        if cache is not None:
            cache[0, :, :, start : start + t], cache[1, :, :, start : start + t] = key, value
            key, value = cache[0, :, :, : start + t], cache[1, :, :, : start + t]
        heads = F.scaled_dot_product_attention(query, key, value, is_causal=t > 1)
        return self.output(heads.transpose(1, 2).contiguous().view(b, t, d))


class FeedForward(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.d_model, 4 * config.d_model, bias=config.bias)
        self.down = nn.Linear(4 * config.d_model, config.d_model, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.d_model, bias=config.bias)
        self.attention = Attention(config)
        self.feed_forward_norm = nn.LayerNorm(config.d_model, bias=config.bias)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, cache: Tensor | None = None, start: int = 0) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cache, start)
        return x + self.feed_forward(self.feed_forward_norm(x))


class GPT(nn.Module):
    """Without dropout; the head is tied. Matrices and tables start normal with standard deviation 0.02."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary_size, config.d_model)
        self.position_embedding = nn.Embedding(config.context_length, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.d_model, bias=config.bias)
        self.head = nn.Linear(config.d_model, config.vocabulary_size, bias=False)
        self.head.weight = self.token_embedding.weight
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def decode(self, ids: Tensor, caches: list[Tensor], start: int) -> Tensor:
        """Logits of the last of new tokens, which stand at `start` and are added to the cache of every block."""
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(start, start + ids.shape[1]))
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, cache, start)
        return self.head(self.norm(x[:, -1:]))

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self(ids).flatten(0, 1), targets.flatten())


def make_optimizer(
    model: nn.Module, *, learning_rate: float, betas: tuple[float, float], weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW in its fastest form, with decay on matrices and tables only."""
    parameters = list(model.parameters())
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=True)
