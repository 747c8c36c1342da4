"""Which parts of a Transformer does it learn by: positions, the place of the norms, warm-up, gates, heads?

One thing at a time is changed in the GPT of char_lm.py, which learns the embedded corpus for 600 steps:

- positions: learned, sinusoidal, rotary, ALiBi, or none. Without any, the causal mask still tells of the order, and
  such a model falls behind, but not far (Haviv et al., "Transformer Language Models without Positional Encodings Still
  Learn Positional Information", 2022). Rotary positions learn faster than added ones (Su et al., "RoFormer", 2021).
  Sinusoidal ones learn hardly more here than how often each character occurs: they are added as they are, with a mean
  square of 1/2, to embeddings that start with a deviation of 0.02, where Vaswani et al. scale embeddings up.
- norms before or after each branch, with a linear warm-up over a third of the steps or at the full learning rate at
  once: post-norm needs a long warm-up, pre-norm can do without (Xiong et al., "On Layer Normalization in the
  Transformer Architecture", 2020). Here both lose 0.2 nats without it in the mean of three seeds. Pre-norm always
  loses; post-norm loses 0.64 with seed 0 and, at this size, next to nothing with seeds 1 and 2.
- SwiGLU in place of GELU, with as many parameters but for half a percent: a little better (Shazeer, "GLU Variants
  Improve Transformer", 2020). Here by 0.15.
- 1, 2, 4 or 8 heads in the same width: one is worse (Vaswani et al., "Attention Is All You Need", 2017, table 3). Here
  by 0.02, which is less than the seeds differ.

The learning rate is 0.002, twice that of char_lm.py: there post-norm trains without a warm-up, too. Every run is one of
char_lm.py, in a process of its own, whose command is printed.

Expected, in nats per character: without its warm-up post-norm ends at least 0.1 higher, in the mean of three seeds or
with seed 0; learned positions, and none, end no lower than rotary ones. The preset `quick` has post-norm alone with
seed 0, in a minute on two cores, `paper` everything with three seeds, in a third of an hour, `smoke` takes a few
seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from scratchformer.plots import Line, Panel, line_panels, save_figure
from scratchformer.recipes.char_lm_arms import (
    Arm,
    ArmOptions,
    collect,
    describe_diverged,
    print_table,
    read_arms,
    reference_arms,
)
from scratchformer.recipes.options import is_as
from scratchformer.runs import (
    About,
    Result,
    begin_run,
    conclude,
    one_sentence_errors,
    options_of,
    parse,
    read_measures,
    read_run,
    run_script,
)
from scratchformer.runs.sweep import run_sweep

PROG = "ablations.py"
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
"""In the figure, what each arm is called, the baseline being drawn in black."""


@dataclass(frozen=True)
class Config(ArmOptions):
    """Options of the sweep."""

    warmup_share: float = 1 / 3
    """Share of the steps over which the learning rate rises, in [0, 1), but for the arms without a warm-up."""


WARM_UP = ("post-norm", "post-norm-at-once")
PRESETS = {
    "quick": Config(seeds=1, arms=WARM_UP),
    "paper": Config(preset="paper"),
    "smoke": Config(preset="smoke", seeds=1, arms=WARM_UP, steps=20, evaluate_every=10, layers=1, width=16),
}


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        config = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
        if config.plot_only is not None:
            print("figures:", draw(config.plot_only))
            return
        config.check()
        runs = config.runs(ARMS)
        folder = begin_run(config, ABOUT.name, {"options": options_of(config), "runs": runs})

    start = perf_counter()
    run_sweep(folder, Path(__file__).with_name("char_lm.py"), runs, at_once=config.threads)
    seconds = perf_counter() - start

    with one_sentence_errors(PROG):
        arms = collect(folder, config, list(runs))
        print_table(arms)
        conclude(folder, ABOUT, config, judge(config, arms), seconds if config.resume is None else None)
        print("figures:", draw(folder.path))


def judge(config: Config, arms: Mapping[str, Arm]) -> list[Result]:
    """How much higher, in nats per character, the loss ends without what helps; of the arms that were run."""
    is_judged = config.seed == 0 and any(is_as(config, PRESETS[name]) for name in ("quick", "paper"))
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


def draw(path: Path) -> Path:
    """Draws every arm by step, beside those that it is compared with, before those of the reference run."""
    options = read_run(path, "options", "runs", experiment=ABOUT.name)["options"]
    arms = read_arms(read_measures(path / "measures.csv"))
    reference = reference_arms(__file__, options, PRESETS["paper"])
    panels = []
    for title, labels in PANELS.items():
        shown = [name for name in labels if name in arms]
        if set(shown) <= {BASELINE}:
            continue
        lines = [
            Line("reference run", reference[name].steps, reference[name].losses.mean(axis=0), "behind")
            for name in labels
            if name in reference
        ]
        for name in shown:
            if name == BASELINE:
                lines.append(Line(labels[name], arms[name].steps, arms[name].losses.mean(axis=0), "reference"))
            else:
                lines += arms[name].lines(labels[name])
        panels.append(Panel(title, "training step", "validation loss, nats", lines))
    figure = line_panels(panels, columns=min(2, len(panels)), title=describe_diverged(arms))
    return save_figure(figure, path / "ablations")


if __name__ == "__main__":
    run_script(main, PROG)
