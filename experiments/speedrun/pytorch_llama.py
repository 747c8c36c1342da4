"""The Llama of `scratchformer.models` as one writes it in PyTorch, with norms of queries and keys."""

import sys

if __name__ == "__main__":
    sys.exit("pytorch_llama.py is no script; run python -m experiments.speedrun")

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratchformer.models import LlamaConfig


class Attention(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.query_norm = nn.RMSNorm(config.head_width, eps=config.eps)
        self.key_norm = nn.RMSNorm(config.head_width, eps=config.eps)
        self.output = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        b, t, d = x.shape
        query, key, value = self.qkv(x).view(b, t, 3, self.num_heads, d // self.num_heads).permute(2, 0, 3, 1, 4)
        query, key = turned(self.query_norm(query), cos, sin), turned(self.key_norm(key), cos, sin)
        heads = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.output(heads.transpose(1, 2).reshape(b, t, d))


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: feature i and i + d / 2 are a pair; `sin` is negative for the first of it."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((second, first), dim=-1) * sin


class FeedForward(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.d_model, 2 * config.hidden_width, bias=False)
        self.down = nn.Linear(config.hidden_width, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, values = self.up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * values)


class Block(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.d_model, eps=config.eps)
        self.attention = Attention(config)
        self.feed_forward_norm = nn.RMSNorm(config.d_model, eps=config.eps)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Llama(nn.Module):
    """Without dropout; the head is tied. Matrices and tables start as ours do."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary_size, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.RMSNorm(config.d_model, eps=config.eps)
        self.head = nn.Linear(config.d_model, config.vocabulary_size, bias=False)
        self.head.weight = self.token_embedding.weight
        half = torch.arange(config.head_width // 2, dtype=torch.float64)
        frequencies = config.rotary_base ** (-2 * half / config.head_width)
        angles = torch.arange(config.context_length, dtype=torch.float64)[:, None] * frequencies
        self.cos = torch.cat((angles.cos(), angles.cos()), dim=-1).float()
        self.sin = torch.cat((-angles.sin(), angles.sin()), dim=-1).float()
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                is_on_residual = name.endswith(("output.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.num_layers) if is_on_residual else 0.02)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.token_embedding(ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.head(self.norm(x))

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self(ids).flatten(0, 1), targets.flatten())
