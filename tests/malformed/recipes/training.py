"""Valid calls of what `scratchformer.training` has."""

from pathlib import Path
from typing import Any

from scratchformer import layers, optim, text, training
from scratchformer.training.world import World
from tests.malformed.recipes.call import Call, Recipe, generator, method, new, normal, writing
from tests.malformed.recipes.models import gpt
from tests.malformed.recipes.text import token_batch


def trainer(**options: Any) -> training.Trainer:
    model = gpt()
    loss: Any = training.next_token_loss
    return training.Trainer(model, optim.AdamW(model), optim.Constant(0.1), loss, **options)


def trainer_arguments() -> Call:
    model = gpt()
    arguments = {"model": model, "optimizer": optim.AdamW(model), "average": optim.WeightAverage(model, 0.9)}
    arguments |= {"schedule": optim.Constant(0.1), "loss": training.next_token_loss}
    return Call(training.Trainer, {**arguments, "max_norm": 1.0, "num_workers": 1, "seed": 0})


def batches() -> list[text.TokenBatch]:
    return [token_batch(), token_batch()]


def checkpoint() -> training.Checkpoint:
    return training.model_checkpoint(gpt(), note="a")


TRAINING: dict[str, Recipe] = {
    "training.Trainer": trainer_arguments,
    "training.Trainer.share_products": method(trainer, "share_products", blas_threads=2),
    "training.Trainer.share_gradient": method(trainer, "share_gradient", in_parts=True),
    "training.workers_and_blas_threads": new(training, "workers_and_blas_threads", num_threads=2, num_sequences=3),
    "training.are_better_sharing": new(training, "are_better_sharing", num_parameters=10, num_tokens=3),
    "training.are_better_forked": new(training, "are_better_forked", num_parameters=10),
    "training.Trainer.join": method(trainer, "join", world=World, num_shards=1),
    "training.Trainer.step": method(trainer, "step", micro_batches=lambda: batches()),
    "training.Trainer.gradient": method(trainer, "gradient", micro_batches=lambda: batches()),
    "training.Trainer.evaluate": method(trainer, "evaluate", batches=lambda: batches()),
    "training.Trainer.first_non_finite": method(trainer, "first_non_finite", batches=lambda: batches()),
    "training.train": new(
        training,
        "train",
        trainer=lambda: trainer(),
        batches=lambda index: [token_batch()],
        num_steps=2,
        evaluation_batches=lambda: batches(),
        evaluate_every=1,
    ),
    "training.next_token_loss": new(
        training,
        "next_token_loss",
        model=lambda: gpt(),
        batch=lambda: token_batch(),
        generator=lambda: generator(),
        trace=lambda: layers.Trace(),
    ),
    "training.Progress": new(
        training, "Progress", num_steps=1, step=training.StepMetrics(1.0, 1.0, 0.1), validation_loss=1.0
    ),
    "training.StepMetrics": new(training, "StepMetrics", loss=1.0, gradient_norm=1.0, learning_rate=0.1),
    "training.Divergence": new(training, "Divergence", message="a", shard=None),
    "training.Checkpoint": new(training, "Checkpoint", tensors=lambda: {"a": normal(3)}, description=lambda: {"a": 1}),
    "training.first_difference": new(
        training, "first_difference", stored=lambda: {"a": 1}, current=lambda: {"a": 2}, name="b"
    ),
    "training.as_safetensors": new(
        training, "as_safetensors", arrays=lambda: {"a": normal(3)}, metadata=lambda: {"a": "b"}
    ),
    "training.read_checkpoint": new(training, "read_checkpoint", path=Path("model.safetensors")),
    "training.write_checkpoint": new(
        training, "write_checkpoint", path=Path("written.safetensors"), checkpoint=lambda: checkpoint()
    ),
    "training.model_checkpoint": new(training, "model_checkpoint", model=lambda: gpt(), note="a"),
    "training.trained_checkpoint": new(training, "trained_checkpoint", path=Path("model.safetensors")),
    "training.training_checkpoint": new(training, "training_checkpoint", trainer=lambda: trainer(), note="a"),
    "training.restore": lambda: Call(
        training.restore, {"trainer": trainer(), "checkpoint": training.training_checkpoint(trainer())}
    ),
    "training.save": new(training, "save", path=Path("saved.safetensors"), model=lambda: gpt(), note="a"),
    "training.load_tokenizer": new(training, "load_tokenizer", path=Path("model.safetensors")),
    "training.load": new(training, "load", path=Path("model.safetensors"), model=lambda: gpt()),
}
for name in ("save", "write_checkpoint"):
    TRAINING[f"training.{name}"] = writing(TRAINING[f"training.{name}"])
