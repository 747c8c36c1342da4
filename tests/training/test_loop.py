import numpy as np
import pytest

from scratchformer.text.batches import TokenBatch
from scratchformer.training import Trainer, train
from tests.training.setting import ragged_batches, tiny_gpt, tiny_trainer


class CountingTrainer(Trainer):
    num_evaluations = 0

    def evaluate(self, batches: list[TokenBatch]) -> float:
        self.num_evaluations += 1
        return super().evaluate(batches)


@pytest.mark.parametrize(
    ("num_steps", "evaluate_every", "evaluated"),
    [(5, 2, [2, 4, 5]), (6, 3, [3, 6]), (3, 1, [1, 2, 3]), (2, 10, [2]), (1, 1, [1])],
)
def test_it_yields_every_step_and_evaluates_in_time_and_at_the_end(
    num_steps: int, evaluate_every: int, evaluated: list[int]
) -> None:
    model, reference = tiny_gpt(), tiny_gpt()
    validation, asked = ragged_batches(99, 2), []

    def batches(done: int) -> list[TokenBatch]:
        asked.append(done)
        return ragged_batches(done, 2)

    plain = tiny_trainer(reference)
    template = tiny_trainer(model)
    trainer = CountingTrainer(model, template.optimizer, template.schedule, template.loss)
    with trainer, plain:
        run = train(
            trainer,
            batches,
            num_steps=num_steps,
            evaluation_batches=validation,
            evaluate_every=evaluate_every,
        )
        for number, progress in enumerate(run, start=1):
            assert progress.num_steps == number
            assert progress.step == plain.step(ragged_batches(number - 1, 2))
            if number in evaluated:
                assert progress.validation_loss == plain.evaluate(validation)
            else:
                assert progress.validation_loss is None
    assert number == num_steps
    assert asked == list(range(num_steps))
    assert trainer.num_evaluations == len(evaluated)
    np.testing.assert_array_equal(model.values, reference.values)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    options = {"num_steps": 1, "evaluation_batches": [], "evaluate_every": 1}
    with tiny_trainer(tiny_gpt()) as trainer:
        for name in ("num_steps", "evaluate_every"):
            with pytest.raises(ValueError, match=f"train: {name} must be at least 1, got 0"):
                train(trainer, lambda done: ragged_batches(done, 1), **options | {name: 0})
        assert trainer.optimizer.num_steps == 0
