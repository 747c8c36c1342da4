"""Does a GPT, or a Llama, whose every gradient was derived by hand learn English as fast, and as well, as PyTorch's?

Source: nanoGPT's CPU example for character-level Shakespeare (https://github.com/karpathy/nanoGPT, README): 4 layers,
4 heads, width 128, context 64, batch 12, 2,000 steps, AdamW. It reports a validation loss of 1.88 nats per character.

Unlike in the source, batches go through the whole text before any part of it is repeated, and a moving average of the
weights is evaluated (`--average 0` for the last weights).

`--model llama` trains a Llama of the same sizes, with no more parameters: RMS norms, rotary positions, SwiGLU. Options
give a GPT other positions, norms and activations than GPT-2's, and another optimizer than AdamW; optimizers.py and
ablations.py compare such runs.

Expected: at most 1.90 on that text; at most 1.62 on the embedded corpus, where counting trigrams reaches 1.82. The
preset `quick` takes one to two minutes on two cores, `paper` is the same, `smoke` takes a few seconds.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

from scratchformer.recipes.character_model import PRESETS, CharacterModel, CharacterModelOptions
from scratchformer.recipes.experiment import run_experiment
from scratchformer.recipes.options import is_as
from scratchformer.runs import About, ReferenceRun, reference_run
from scratchformer.text import Corpus

ABOUT = About(
    script=__file__,
    description=__doc__,
    source="nanoGPT's CPU example, https://github.com/karpathy/nanoGPT",
    published="1.88 nats per character of Shakespeare",
    picture="loss.png",
)
TINY_SHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


class ComparedCharacterModel(CharacterModel):
    """The character model of `scratchformer/recipes/character_model.py`, beside what was published and reached."""

    about = ABOUT

    def known_targets(self) -> tuple[float | None, dict[str, float]]:
        return known_targets(self.options, self.corpus)

    def reference(self) -> ReferenceRun | None:
        is_comparable = self.corpus.name == "pydoc" and is_published(self.options)
        return reference_run(__file__, self.options.preset, self.corpus.sha256) if is_comparable else None


def is_published(options: CharacterModelOptions) -> bool:
    """Whether the run trains and is evaluated as the preset quick, whose results are known; the seed may differ."""
    presented = "save_every", "evaluate_every", "sample", "temperature", "top_k", "attention_text", "figures"
    return options.init_from is None and is_as(options, PRESETS["quick"], *presented)


def known_targets(options: CharacterModelOptions, corpus: Corpus) -> tuple[float | None, dict[str, float]]:
    """The loss that a run should reach on a text, and what others reached there."""
    if not is_published(options):
        return None, {}
    if corpus.name == "pydoc":
        return 1.62, {}
    if corpus.sha256 == TINY_SHAKESPEARE:
        return 1.90, {"nanoGPT": 1.88}
    return None, {}


if __name__ == "__main__":
    run_experiment(ComparedCharacterModel)
