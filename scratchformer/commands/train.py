"""Trains a GPT or a Llama that predicts the next character of a text.

Without `--text FILE` it learns the language reference inside Python. The run folder (runs/char_lm-001, or `--out`)
holds the best model, a checkpoint to resume from, every step's metrics, figures and a sample. `--preset smoke` takes
seconds, the default one to two minutes on two cores.

`--resume FOLDER` goes on with a run that was stopped, bit for bit. `--resume FOLDER --extend STEPS` trains one that has
ended further, `--init-from FOLDER --text FILE` fine-tunes its weights on another text. `sample FOLDER` continues a
prompt with the model.
"""

from collections.abc import Sequence

from scratchformer.recipes.character_model import CharacterModel
from scratchformer.runs.summary import About


class TrainedCharacterModel(CharacterModel):
    """The run of the command. Its folder is like one of experiments/char_lm.py, and either program resumes it."""

    about = About(
        script="char_lm.py",
        description=__doc__,
        source="nanoGPT's CPU example, https://github.com/karpathy/nanoGPT",
        published="1.88 nats per character of Shakespeare",
        picture="loss.png",
        command="python -m scratchformer train",
    )


def main(arguments: Sequence[str]) -> None:
    TrainedCharacterModel.main(arguments)
