"""The options that commands have for decoding, and what they and a model's files say together."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import tyro

from scratchformer.generation import GenerationSettings
from scratchformer.pretrained import TensorFile
from scratchformer.pretrained.loading import Weights
from scratchformer.pretrained.stored_settings import stored_settings
from scratchformer.runs.ranges import Range, check_ranges, option_name

UNSAID = {"do_sample": True, "temperature": 0.7, "top_k": 0, "top_p": 0.9}
"""How tokens are chosen where neither the options nor the model's files say it."""
SAID_BY_FILES = "(default: as the model's files say)"
Number = tyro.conf.arg(metavar="NUMBER", help_behavior_hint=SAID_BY_FILES)
Unsaid = tyro.conf.arg(metavar="NUMBER", help_behavior_hint="")
Text = tyro.conf.arg(metavar="TEXT", help_behavior_hint="")
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")]
OF_SAMPLING = "temperature", "top_k", "top_p", "min_p"


@dataclass(frozen=True)
class DecodingOptions:
    """How tokens are chosen. What is not given is as the model's files say."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]")] = "smollm2"
    """A GGUF file or a folder of Hugging Face's layout; or smollm2, which is downloaded when it is not here."""
    weights: Weights = "wide"
    """How weights lie in memory: wide is float32, file is as the file has them. Fewer bits take less memory and more
    time. SmolLM2 takes 519 MiB wide, for 38 tokens a second on two cores; in bfloat16 279 for 27, in int8 154 for 19,
    as in its file 101 for 10. Its perplexity of 15.27 grows by 0.01 in bfloat16 and by 0.03 in int8."""
    temperature: Annotated[Annotated[float, Range(at_least=0, below=math.inf)] | None, Number] = None
    """Below 1 prefers likely tokens; 0 always takes the likeliest."""
    top_k: Annotated[Annotated[int, Range(at_least=0)] | None, Number] = None
    """Choose among this many most likely tokens; 0 for all."""
    top_p: Annotated[Annotated[float, Range(above=0, at_most=1)] | None, Number] = None
    """Choose among the most likely tokens that together reach this probability."""
    min_p: Annotated[Annotated[float, Range(at_least=0, at_most=1)] | None, Number] = None
    """Choose among tokens with at least this share of the likeliest one's probability."""
    repetition_penalty: Annotated[Annotated[float, Range(above=0, below=math.inf)] | None, Number] = None
    """Above 1 makes tokens that came before less likely."""
    greedy: Flag = False
    """Always take the likeliest token."""
    stop: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")
    ] = ()
    """Text that ends the answer and is left out; can be given several times."""
    seed: Annotated[int, Range(at_least=0), tyro.conf.arg(metavar="NUMBER")] = 0
    """Seed of the sampling."""
    model_settings: bool = True
    """Follow the model's generation_config.json, or what its GGUF file says about sampling."""

    def check(self) -> None:
        """Raises ValueError for an option out of range, or one that --greedy leaves without effect."""
        check_ranges(self)
        typed = [name for name in OF_SAMPLING if getattr(self, name) is not None]
        if self.greedy and typed:
            raise ValueError(f"--greedy takes the likeliest token, so {option_name(typed[0])} would have no effect")
        if "" in self.stop:
            raise ValueError("--stop must not be empty")

    def settings(self, weights: TensorFile, eos: Collection[int]) -> GenerationSettings:
        """The settings that the options and the model's files make together.

        Args:
            weights: of the model.
            eos: tokens that end an answer, where the files name none.

        Raises ValueError for files that ask for what decoding here has not.
        """
        try:
            stored = stored_settings(weights) if self.model_settings else {}
            return GenerationSettings.from_json(self._over(stored), eos=eos)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{error}; --no-model-settings leaves out what the model's files say") from None

    def _over(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The stored settings with those of the options in their place."""
        settings = {**({} if "do_sample" in stored else UNSAID), **stored}
        names = (*OF_SAMPLING, "repetition_penalty")
        typed = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.greedy or self.temperature == 0:
            settings["do_sample"] = False
        elif typed.keys() & OF_SAMPLING:
            settings["do_sample"] = True
        if self.stop:
            said = settings.get("stop_strings") or ()
            settings["stop_strings"] = [*([said] if isinstance(said, str) else said), *self.stop]
        return settings | typed

    def generator(self) -> np.random.Generator:
        """What draws the tokens."""
        return np.random.default_rng(self.seed)


def describe(settings: GenerationSettings) -> str:
    """How tokens are chosen, in a few words."""
    words = [f"temperature {settings.temperature:g}"]
    words += [f"top-k {settings.top_k}"] * bool(settings.top_k)
    words += [f"top-p {settings.top_p:g}"] * (settings.top_p < 1)
    words += [f"min-p {settings.min_p:g}"] * (settings.min_p > 0)
    if not settings.do_sample:
        words = ["the likeliest token each time"]
    words += [f"repetition penalty {settings.repetition_penalty:g}"] * (settings.repetition_penalty != 1)
    return ", ".join(words)
