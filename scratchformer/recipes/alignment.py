"""Where a decoder looks in its source while it writes: the weights of its cross-attention, and what they fall on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from scratchformer.layers import Trace
from scratchformer.models import Transformer
from scratchformer.runs.files import read_table
from scratchformer.runs.folder import RunFolder
from scratchformer.runs.summary import Result
from scratchformer.text import PairBatch

COLUMNS = ("sought", "layer", "head", "share", "uniform")
TABLE = "attention.csv"


@dataclass(frozen=True)
class Alignment:
    """The share of its cross-attention that each head gives to what is sought, by the name of that.

    Args:
        shares: (layers, heads) each, from 0 to 1.
        uniform: the share that a head has which attends to all of the source alike.
    """

    shares: Mapping[str, Float[ndarray, "layers heads"]]
    uniform: Mapping[str, float]

    @property
    def best_head(self) -> tuple[int, int]:
        """Layer and head, from 0, of the largest share, in the mean over all that is sought; the first of equals."""
        mean = np.mean(list(self.shares.values()), axis=0)
        layer, head = np.unravel_index(mean.argmax(), mean.shape)
        return int(layer), int(head)

    def results(self) -> list[Result]:
        """The share of the best head, of all heads in the mean, and of uniform attention, for all that is sought."""
        return [
            Result(f"attention_on_{name}_{of}", float(value), None, "higher")
            for name, shares in self.shares.items()
            for of, value in (
                ("best_head", shares[self.best_head]),
                ("mean_of_heads", shares.mean()),
                ("if_uniform", self.uniform[name]),
            )
        ]

    def write(self, folder: RunFolder) -> None:
        """Writes attention.csv; layers and heads count from 1."""
        with folder.table(TABLE.removesuffix(".csv"), *COLUMNS) as table:
            for name, shares in self.shares.items():
                for (layer, head), share in np.ndenumerate(shares):
                    table.add(name, layer + 1, head + 1, round(float(share), 6), round(self.uniform[name], 6))


def has_alignment(path: Path) -> bool:
    """Whether `write` wrote into a run folder; a run does so at its end."""
    return (path / TABLE).exists()


def read_alignment(path: Path) -> Alignment:
    """What `write` wrote into a run folder. Raises ValueError when it cannot be read."""
    table = read_table(path / TABLE)
    try:
        names = list(dict.fromkeys(table["sought"]))
        shape = (len(names), int(table["layer"][-1]), int(table["head"][-1]))
        shares = np.array(table["share"], float).reshape(shape)
        uniform = np.array(table["uniform"], float).reshape(shape)[:, 0, 0].tolist()
    except (KeyError, IndexError, ValueError):
        raise ValueError(f"{path / TABLE} does not hold the attention of heads") from None
    return Alignment(dict(zip(names, shares, strict=True)), dict(zip(names, uniform, strict=True)))


def cross_attention(model: Transformer, batch: PairBatch) -> Float[ndarray, "b layers heads t s"]:
    """The weights with which the decoder attends to the source when it writes each token of the targets.

    Row i of the (T, S) is where target token i is written, that is, after the tokens before it were read.
    """
    trace = Trace("decoder.*.cross_attention.weights")
    with np.errstate(all="ignore"):
        model(batch.source, batch.target_ids, source_lengths=batch.source_lengths, trace=trace)
    return np.stack(list(trace.values()), axis=1)


def measure_alignment(model: Transformer, batch: PairBatch, sought: Mapping[str, Bool[ndarray, "b t s"]]) -> Alignment:
    """How much of the attention of target tokens, while they are written, falls on those source tokens that they seek.

    A share is the mean, over all target tokens that seek some source token, of the attention on those.

    Args:
        model: whose cross-attention is measured.
        batch: its targets are taken as written.
        sought: by name, True where target token t seeks source token s.

    Raises ValueError where no target token seeks anything.
    """
    weights = cross_attention(model, batch)
    shares, uniform = {}, {}
    for name, pairs in sought.items():
        row, token = np.nonzero(pairs.any(axis=2))
        if not len(row):
            raise ValueError(f"measure_alignment: no target token seeks {name!r}")
        counted = pairs[row, token]
        shares[name] = (weights[row, :, :, token] * counted[:, None, None]).sum(axis=-1).mean(axis=0, dtype=np.float64)
        uniform[name] = float((counted.sum(axis=1) / batch.source_lengths[row]).mean())
    return Alignment(shares, uniform)
