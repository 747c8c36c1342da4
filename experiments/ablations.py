"""Which parts of a Transformer does it learn by: positions, the place of the norms, warm-up, gates, heads?

The GPT of char_lm.py learns the embedded corpus for 600 steps, and one thing at a time is changed:

- Positions are learned, sinusoidal, rotary, ALiBi's, or none. Without any, the causal mask still tells the order, and
  such a model falls behind, but not far (Haviv et al., "Transformer Language Models without Positional Encodings Still
  Learn Positional Information", 2022). Rotary positions learn faster than added ones (Su et al., "RoFormer", 2021).
  Sinusoidal positions are added to embeddings that are scaled by sqrt(d_model), as by Vaswani et al. Without the
  scale they drown the embeddings, and a model learns hardly more than how often each character occurs.
- Norms stand before or after each branch. The linear warm-up takes a third of the steps, or is left out. Post-norm
  needs a long warm-up, pre-norm can do without (Xiong et al., "On Layer Normalization in the Transformer Architecture",
  2020). Here pre-norm loses without it with every seed, 0.24 nats in the mean of three. Post-norm loses 1.2 with seed
  0 and, at this size, next to nothing with seeds 1 and 2.
- SwiGLU replaces GELU, with the same number of parameters to half a percent. It is a little better (Shazeer, "GLU
  Variants Improve Transformer", 2020). Here it is by 0.15.
- 1, 2, 4 or 8 heads share the same width. One head is worse (Vaswani et al., "Attention Is All You Need", 2017,
  table 3). Here it is by 0.02, which is less than the seeds differ.

The learning rate is 0.002, twice that of char_lm.py: at this rate post-norm trains without a warm-up, too. Every run is
one of char_lm.py, in a process of its own, whose command is printed.

Expected, in nats per character: without its warm-up post-norm ends at least 0.1 higher, in the mean of three seeds or
with seed 0. Learned positions, and none, end no lower than rotary ones. The preset `quick` has post-norm alone with
seed 0, and takes a minute on two cores. `paper` has everything with three seeds, and takes a third of an hour. `smoke`
takes a few seconds.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scratchformer.plots import Panel
from scratchformer.recipes.char_lm_arms import Arm, ArmOptions, ArmsExperiment
from scratchformer.recipes.experiment import run_experiment
from scratchformer.recipes.options import Probability
from scratchformer.runs import About, Result

ABOUT = About(
    script=__file__,
    description=__doc__,
    source="Xiong et al., 2020; Su et al., 2021; Haviv et al., 2022; Shazeer, 2020; Vaswani et al., 2017",
    published="post-norm needs warm-up; rotary positions, SwiGLU and several heads help",
    picture="ablations.png",
)
BASELINE = "baseline"
RATE: dict[str, Any] = {"learning_rate": 2e-3, "final_learning_rate": 2e-4}
CHANGES: dict[str, dict[str, Any]] = {
    BASELINE: {},
    "none": {"positions": "none"},
    "sinusoidal": {"positions": "sinusoidal"},
    "rotary": {"positions": "rotary"},
    "alibi": {"positions": "alibi"},
    "post-norm": {"norm_first": False},
    "post-norm-at-once": {"norm_first": False, "warmup": 0},
    "pre-norm-at-once": {"warmup": 0},
    "swiglu": {"activation": "swiglu"},
    "heads-1": {"heads": 1},
    "heads-2": {"heads": 2},
    "heads-8": {"heads": 8},
}
ARMS = {name: RATE | change for name, change in CHANGES.items()}
PANELS = {
    "positions": {
        BASELINE: "learned",
        "none": "none",
        "sinusoidal": "sinusoidal",
        "rotary": "rotary",
        "alibi": "ALiBi",
    },
    "norms": {
        BASELINE: "pre-norm",
        "pre-norm-at-once": "pre-norm, no warm-up",
        "post-norm": "post-norm",
        "post-norm-at-once": "post-norm, no warm-up",
    },
    "feed-forward maps": {BASELINE: "GELU", "swiglu": "SwiGLU"},
    "heads": {BASELINE: "4 heads", "heads-1": "1 head", "heads-2": "2 heads", "heads-8": "8 heads"},
}
"""The panels of the figure, and what each calls its arms. The baseline is drawn in black."""


@dataclass(frozen=True)
class Options(ArmOptions):
    """The options of the sweep."""

    warmup_share: Probability = 1 / 3
    """Share of the steps over which the learning rate rises, in [0, 1), but for the arms without a warm-up."""


WARM_UP = ("post-norm", "post-norm-at-once")
PRESETS = {
    "quick": Options(seeds=1, arms=WARM_UP),
    "paper": Options(preset="paper"),
    "smoke": Options(preset="smoke", seeds=1, arms=WARM_UP, steps=20, evaluate_every=10, layers=1, width=16),
}


class Ablations(ArmsExperiment):
    """Runs of the character model, each with one thing changed."""

    about, presets, arms = ABOUT, PRESETS, ARMS
    title = "The character model with one part changed"

    def compare(self, arms: Mapping[str, Arm]) -> list[Result]:
        """How much higher the loss ends without what helps, in nats per character, for the arms that were run."""
        is_judged = self.options.seed == 0 and self.is_preset("quick", "paper")
        compared = {
            "post_norm_loses_without_warm_up": ("post-norm-at-once", "post-norm", 0.1),
            "pre_norm_loses_without_warm_up": ("pre-norm-at-once", BASELINE, None),
            "no_positions_above_rotary": ("none", "rotary", 0.0),
            "learned_above_rotary": (BASELINE, "rotary", 0.0),
            "gelu_above_swiglu": (BASELINE, "swiglu", None),
            "one_head_above_four": ("heads-1", BASELINE, None),
        }
        return [
            Result(f"{name}_nats", arms[worse].final - arms[better].final, target if is_judged else None, "higher")
            for name, (worse, better, target) in compared.items()
            if {worse, better} <= arms.keys()
        ]

    @classmethod
    def panels(cls, arms: Mapping[str, Arm], reference: Mapping[str, Arm]) -> list[Panel]:
        """Every arm by step, beside those that it is compared with."""
        panels = []
        for title, labels in PANELS.items():
            if not any(name in arms for name in labels if name != BASELINE):
                continue
            lines = [reference[name].mean("reference run", "behind") for name in labels if name in reference]
            for name, label in labels.items():
                if name == BASELINE and name in arms:
                    lines.append(arms[name].mean(label, "reference"))
                elif name in arms:
                    lines += arms[name].lines(label)
            panels.append(Panel(title, "training step", "validation loss, nats per character", lines))
        return panels


if __name__ == "__main__":
    run_experiment(Ablations)
