"""The files that recipes read."""

from pathlib import Path

from scratchformer import runs, training
from tests.malformed.recipes.models import gpt
from tests.malformed.recipes.pretrained import write_models
from tests.malformed.recipes.recipes import write_runs
from tests.malformed.recipes.runs import RUN, Options


def write_files() -> None:
    """Writes the files that recipes read into the working folder."""
    Path("text.txt").write_text("abc")
    training.save("model.safetensors", gpt())
    options = runs.options_of(Options())
    made = runs.begin_run(Options(out=RUN), "a", {"options": options, "corpus": {"sha256": "0"}})
    made.write_text(
        "metrics.csv", "step,training_loss,validation_loss,gradient_norm,learning_rate\n1,1.0,1.0,1.0,0.1\n"
    )
    made.write_text("norms.csv", "step,quantity,layer,norm\n1,gradient,blocks.0,1.0\n")
    made.close()
    write_models()
    write_runs()
