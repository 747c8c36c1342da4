"""The list of all experiments, in the order in which they are run and shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """How a script of this folder is run together with the others.

    Args:
        name: of the script, without `.py`.
        can_resume: whether the script has `--resume`.
        has_own_seeds: whether a single run of the script trains with several seeds.
        looks_into: another experiment; the script measures its run of the same seed.
        shown: the measures that later runs show in grey; if it is empty, they show all.
    """

    name: str
    can_resume: bool = True
    has_own_seeds: bool = False
    looks_into: str | None = None
    shown: tuple[str, ...] = ()


EXPERIMENTS = (
    Experiment("attention_walkthrough", can_resume=False),
    Experiment("scaling", can_resume=False),
    Experiment("sort", shown=("held out", "validation_loss")),
    Experiment("addition", shown=("held out", "validation_loss")),
    Experiment("reverse"),
    Experiment("dates"),
    Experiment("grokking", shown=("decay_test_accuracy", "decay_test_loss")),
    Experiment("in_context_markov"),
    Experiment("char_lm"),
    Experiment("masked_lm"),
    Experiment("attention_heads", can_resume=False, looks_into="char_lm"),
    Experiment("optimizers", has_own_seeds=True),
    Experiment("ablations", has_own_seeds=True),
)
