"""How well can a Transformer whose every gradient was derived by hand learn English in a minute on two cores?

Source: nanoGPT's CPU example for character-level Shakespeare (https://github.com/karpathy/nanoGPT, README): a GPT of 4
layers, 4 heads, width 128 and context 64 trains for 2,000 steps of 12 sequences with AdamW. It reports a validation
loss of 1.88 nats per character. `--preset nanogpt` is that recipe.

The default is the best recipe that we know for the same time and no more parameters: a Llama with norms of queries and
keys, a context of 128, and Muon in place of AdamW. recipes.md says what each change brought, alone and together.

Unlike in the source, batches go through the whole text before any part of it is repeated, and a moving average of the
weights is evaluated (`--average 0` for the last weights). `--model gpt` trains a GPT, to which options give other
positions, norms and activations than GPT-2's; optimizers.py and ablations.py compare such runs.

Expected: at most 1.60 on that text, and 1.90 with `--preset nanogpt`; at most 1.25 on the embedded corpus, and 1.50
with `--preset nanogpt`, where counting trigrams reaches 1.82. The preset `quick` takes a minute and a quarter on two
cores, `paper` is the same, `smoke` takes a few seconds.
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
        is_comparable = self.corpus.name == "pydoc" and published_preset(self.options) == "quick"
        return reference_run(__file__, self.options.preset, self.corpus.sha256) if is_comparable else None


def published_preset(options: CharacterModelOptions) -> str | None:
    """The preset whose results are known, and as which the run trains and is evaluated; the seed may differ."""
    presented = "save_every", "evaluate_every", "sample", "temperature", "top_k", "attention_text", "figures"
    same = (name for name in ("quick", "nanogpt") if is_as(options, PRESETS[name], *presented))
    return None if options.init_from is not None else next(same, None)


def known_targets(options: CharacterModelOptions, corpus: Corpus) -> tuple[float | None, dict[str, float]]:
    """The loss that a run should reach on a text, and what others reached there."""
    preset = published_preset(options)
    if preset is not None and corpus.name == "pydoc":
        return {"quick": 1.25, "nanogpt": 1.50}[preset], {}
    if preset is not None and corpus.sha256 == TINY_SHAKESPEARE:
        return {"quick": 1.60, "nanogpt": 1.90}[preset], {"nanoGPT": 1.88}
    return None, {}


if __name__ == "__main__":
    run_experiment(ComparedCharacterModel)
