"""All that was measured, what the model is fitted to, and what it predicts."""

import sys

if __name__ == "__main__":
    sys.exit("measured.py is no script; run python -m experiments.scaling_out")

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from experiments.scaling_out.alpha_beta import (
    AlphaBeta,
    Traffic,
    Work,
    added_up,
    collected,
    fitted,
    gathered,
    of_a_step,
)
from experiments.scaling_out.measure import Computed, Exchange, Gradient, Joint, Message
from experiments.scaling_out.ranks import WAYS, Way
from scratchformer.runs.files import is_finite_number, read_json

RecordT = TypeVar("RecordT", Message, Exchange, Computed, Gradient, Joint)


@dataclass(frozen=True)
class Measured:
    """What a run has measured of this machine.

    Args:
        cores: that the ranks could use.
        messages, exchanges: by the way that they went.
        computed, gradients: in one process.
        joint: in several ranks, through shared memory.
    """

    cores: int
    messages: Mapping[Way, Sequence[Message]]
    exchanges: Mapping[Way, Sequence[Exchange]]
    computed: Sequence[Computed]
    gradients: Sequence[Gradient]
    joint: Sequence[Joint]

    def of_messages(self, way: Way) -> AlphaBeta:
        """The model of MPI's own messages."""
        sent = self.messages[way]
        return AlphaBeta.fit([Traffic(1, one.bytes) for one in sent], [one.seconds for one in sent])

    def of_exchanges(self, way: Way) -> AlphaBeta:
        """The model of what the world does: messages, copies and sums. Of ranks that have a core each, if there are."""
        used = self.fitted_exchanges(way)
        return AlphaBeta.fit([traffic_of(one) for one in used], [one.seconds for one in used])

    def fitted_exchanges(self, way: Way) -> list[Exchange]:
        fewest = min(one.ranks for one in self.exchanges[way])
        return [one for one in self.exchanges[way] if one.ranks <= max(self.cores, fewest)]

    def predicted(self, joint: Joint) -> float:
        """Seconds of a step of several ranks: what they compute, and by the model what they exchange.

        Where several ranks share a core, they share its time.
        """
        crowd = max(1.0, joint.ranks / self.cores)
        traffic = of_a_step(self.values_of(joint.model), joint.ranks)
        return joint.silent + crowd * self.of_exchanges("shared memory").seconds(traffic)

    def values_of(self, model: str) -> int:
        """The number of parameters of a model."""
        return next(one.values for one in self.computed if one.model == model)

    def works(self) -> list[Work]:
        """What each model computes."""
        return [self._work(one) for one in self.computed]

    def _work(self, one: Computed) -> Work:
        parts = [part for part in self.gradients if part.model == one.model]
        fixed, each = fitted([(1, part.sequences) for part in parts], [part.seconds for part in parts])
        gradient = fixed + each * one.batch
        backward = max(0.0, 1 - one.forward / gradient)
        update = max(0.0, one.step - gradient)
        return Work(one.model, one.values, one.tables, one.batch, fixed, each, backward, update)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def traffic_of(exchange: Exchange) -> Traffic:
    if exchange.operation == "collect":
        return collected(exchange.ranks)
    return {"add_up": added_up, "gather": gathered}[exchange.operation](exchange.values, exchange.ranks)


def read_measured(path: Path) -> Measured:
    """What an earlier run has written. Raises ValueError where a file holds something else."""
    try:
        found = read_json(path)["measured"]
        measured = Measured(
            found["cores"],
            {way: records(Message, found["messages"][way]) for way in WAYS},
            {way: records(Exchange, found["exchanges"][way]) for way in WAYS},
            records(Computed, found["computed"]),
            records(Gradient, found["gradients"]),
            records(Joint, found["joint"]),
        )
        for joint in measured.joint:
            measured.predicted(joint)
        measured.works()
    except (TypeError, KeyError, ValueError, ArithmeticError, StopIteration) as error:
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path} does not hold the measurements of a run") from None
    return measured


def records(kind: type[RecordT], entries: Sequence[Mapping[str, Any]]) -> list[RecordT]:
    """Raises TypeError or KeyError for what is no list of such records, ValueError for numbers below 0."""
    for entry in entries:
        for field in fields(kind):
            is_text = field.name in ("model", "operation")
            if isinstance(entry[field.name], str) != is_text:
                raise TypeError
            if not is_text and not (is_finite_number(entry[field.name]) and entry[field.name] >= 0):
                raise ValueError
    return [kind(**entry) for entry in entries]
