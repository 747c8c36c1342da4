import numpy as np
import pytest

from scratchformer.analysis.norms import norms_by_layer
from scratchformer.optim import Constant
from scratchformer.training import Trainer
from scratchformer.training.world import World, threads_as_ranks
from tests.runs.setting import EVALUATION, trainer
from tests.training.setting import loss, ragged_batches


@pytest.mark.parametrize("max_norm", [None, 1e-3, 100.0])
def test_norms_are_those_of_each_layer_before_clipping(max_norm: float | None) -> None:
    template = trainer()
    model = template.model
    trained = Trainer(model, template.optimizer, Constant(0.0), loss, max_norm=max_norm, num_workers=2)
    with trained:
        trained.gradient(ragged_batches(0, 2))
        expected = {name: parameter.grad.copy() for name, parameter in model.parameters().items()}
        step = trained.step(ragged_batches(0, 2))
    rows = norms_by_layer(trained, step, EVALUATION[0])
    assert norms_by_layer(trained, step, EVALUATION[0]) == rows
    gradients = {layer: norm for quantity, layer, norm in rows if quantity == "gradient"}
    layers = ["token_embedding", "position_embedding", "blocks.0", "blocks.1", "norm"]
    assert list(gradients) == layers
    for layer, norm in gradients.items():
        parts = [part.ravel() for name, part in expected.items() if name.startswith(layer + ".")]
        assert norm == pytest.approx(np.linalg.norm(np.concatenate(parts)), rel=1e-5)
    assert np.linalg.norm(list(gradients.values())) == pytest.approx(step.gradient_norm, rel=1e-5)


def test_activations_are_root_mean_squares_of_the_residual_stream() -> None:
    trained = trainer()
    with trained:
        step = trained.step(ragged_batches(0, 2))
    rows = norms_by_layer(trained, step, EVALUATION[0])
    activations = {layer: norm for quantity, layer, norm in rows if quantity == "activation"}
    assert list(activations) == ["embedded", "blocks.0", "blocks.1"]
    model, ids = trained.model, EVALUATION[0].ids
    x = model.token_embedding.table.value[ids] + model.position_embedding.table.value[: ids.shape[1]]
    assert activations["embedded"] == pytest.approx(np.sqrt((x**2).mean()), rel=1e-5)
    for i, block in enumerate(model.blocks):
        x, _ = block(x, is_causal=True)
        assert activations[f"blocks.{i}"] == pytest.approx(np.sqrt((x**2).mean()), rel=1e-5)


def test_a_step_without_a_gradient_has_norms_of_zero() -> None:
    trained = trainer()
    batch = ragged_batches(0, 1)[0]
    batch.targets[...] = -100
    with trained:
        step = trained.step([batch])
    assert all(
        norm == 0 for quantity, _, norm in norms_by_layer(trained, step, EVALUATION[0]) if quantity == "gradient"
    )


def test_norms_are_the_same_in_one_rank_and_in_each_of_two() -> None:
    def work(world: World) -> list[tuple[str, str, float]]:
        trained = trainer()
        trained.join(world, 4)
        with trained:
            return norms_by_layer(trained, trained.step(ragged_batches(0, 2)), EVALUATION[0])

    (alone,), (first, second) = threads_as_ranks(1, work), threads_as_ranks(2, work)
    assert alone == first == second
