"""A valid call of every public callable: what a malformed call differs from."""

from tests.malformed.recipes.analysis import ANALYSIS
from tests.malformed.recipes.call import Recipe
from tests.malformed.recipes.derivations import DERIVATIONS
from tests.malformed.recipes.generation import GENERATION
from tests.malformed.recipes.gradcheck import GRADCHECK
from tests.malformed.recipes.layers import LAYERS
from tests.malformed.recipes.models import MODELS
from tests.malformed.recipes.ops import OPS
from tests.malformed.recipes.optim import OPTIM
from tests.malformed.recipes.plots import PLOTS
from tests.malformed.recipes.pretrained import PRETRAINED
from tests.malformed.recipes.recipes import OF_RECIPES
from tests.malformed.recipes.runs import RUNS
from tests.malformed.recipes.text import TEXT
from tests.malformed.recipes.training import TRAINING

OPTIONS = "options of a program: its command line checks them"
DRAWN = "draws a finished run of a program again; what it reads and draws with is tried"
ADDED = "called by a backward with what it has computed, for every parameter of a step"

UNTRIED = {
    "ops.op": "takes the source of an op, not data",
    "layers.Parameter.add": ADDED,
    "layers.Parameter.add_product": ADDED,
    "layers.Parameter.share": "called by the trainer",
    "layers.TiedLinear.add_product": ADDED,
    "optim.Optimizer": "abstract; tried as its subclasses",
    "runs.ReferenceRun.of_json": "reads what a file holds; its caller names the file",
    "runs.Range.check": "names an option as it is typed on a command line",
    "generation.GenerationSettings.from_json": "reads what a file holds, and names the key of the file",
    "generation.stream_text": "takes what `generate` yields, one token after the other",
    "analysis.of_weights": "a decorator of measures, which are tried",
    "runs.run_script": "ends the process; takes the main function of a program",
    "pretrained.StoredTensor": "made by what reads files, after it has checked them",
    "pretrained.TensorFile": "made by what reads files, after it has checked them",
    "recipes.PairOptions": OPTIONS,
    "recipes.LanguageModelOptions": OPTIONS,
    "recipes.PromptedOptions": OPTIONS,
    "recipes.draw_pairs": DRAWN,
    "recipes.draw_answers": DRAWN,
}


RECIPES: dict[str, Recipe] = {
    **OPS,
    **LAYERS,
    **MODELS,
    **OPTIM,
    **TEXT,
    **GENERATION,
    **TRAINING,
    **ANALYSIS,
    **PLOTS,
    **GRADCHECK,
    **DERIVATIONS,
    **RUNS,
    **PRETRAINED,
    **OF_RECIPES,
}
