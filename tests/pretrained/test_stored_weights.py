"""Models whose matrices stay in fewer bits compute what wide models with the rounded weights compute."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import quantize
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.generation import generate, greedy
from scratchformer.models import LlamaConfig
from scratchformer.models.decoder_only import DecoderOnly
from scratchformer.optim import AdamW
from scratchformer.pretrained import load, save, stored_matrix
from scratchformer.pretrained.quantized import narrow_q8_0
from scratchformer.pretrained.saving import stored_tensors
from scratchformer.pretrained.stored_layers import StoredEmbedding, StoredLinear
from scratchformer.pretrained.stored_matrix import StoredMatrix, narrowed
from scratchformer.pretrained.tensors import WIDEN, narrow_bf16
from scratchformer.training import save as save_run
from tests.closeness import assert_close
from tests.pretrained.small_models import Model, family_of, gguf_metadata, in_gguf, model_of, random_model, write_gguf
from tests.strategies import seeds

CONFIG = LlamaConfig(
    vocabulary_size=300,
    context_length=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    d_model=32,
    d_hidden=64,
    d_head=16,
    rotary_base=10_000.0,
    tied_head=True,
)


@given(seed=seeds, rows=st.integers(1, 5), columns=st.integers(1, 40))
def test_bfloat16_is_rounded_as_ggml_does(seed: int, rows: int, columns: int):
    wide = np.random.default_rng(seed).standard_normal((rows, columns), dtype=np.float32)
    ties = wide.view(np.uint32) & 0xFFFF0000 | 0x8000
    for numbers in (wide, ties.view(np.float32)):
        numbers.flags.writeable = False
        np.testing.assert_array_equal(narrow_bf16(numbers), quantize(numbers, GGMLQuantizationType.BF16))


@given(seed=seeds, rows=st.integers(1, 5), blocks=st.integers(1, 4), size=st.sampled_from([0, 1e-6, 1.0, 1e6]))
def test_blocks_of_8_bits_are_off_by_half_a_code_at_most(seed: int, rows: int, blocks: int, size: float):
    wide = size * np.random.default_rng(seed).standard_normal((rows, 32 * blocks), dtype=np.float32)
    wide.flags.writeable = False
    again = WIDEN["Q8_0"](narrow_q8_0(wide))
    largest = np.abs(wide.reshape(rows, blocks, 32)).max(axis=-1, keepdims=True)
    # Half a code, and the scale's own rounding to float16, which is coarser for tiny numbers.
    bound = largest / 127 / 2 + np.maximum(largest * 2.0**-11, 127 * 2.0**-25)
    assert (np.abs(again - wide).reshape(rows, blocks, 32) <= 1.001 * bound).all()


@pytest.mark.parametrize(("columns", "value"), [(33, 1.0), (32, 1e7)])
def test_blocks_of_8_bits_refuse_what_does_not_fit(columns: int, value: float):
    with pytest.raises(ValueError, match=r"narrow_q8_0: rows has .*"):
        narrow_q8_0(np.full((2, columns), value, np.float32))


def rounded(model: Model, weights: str) -> Model:
    """The model with its linear maps and its table of tokens rounded, and the rest as it is."""
    for name, parameter in model.parameters().items():
        is_table = name == "token_embedding.table"
        if weights != "file" and parameter.value.ndim == 2 and (is_table or name.endswith("weight")):
            rows = parameter.value if is_table else parameter.value.T
            rows[...] = narrowed(np.ascontiguousarray(rows), weights).parts[0].widened(slice(None))
    return model


def assert_same_outputs(small: Model, wide: Model) -> None:
    assert isinstance(small, DecoderOnly)
    assert isinstance(wide, DecoderOnly)
    ids = np.random.default_rng(0).integers(small.token_embedding.num_ids, size=(2, 7))
    assert_close(small(ids)[0], wide(ids)[0], 1e-5)
    answers = [list(generate(model, ids, 5, context_length=16, choose=greedy)) for model in (small, wide)]
    np.testing.assert_array_equal(*answers)


@given(seed=seeds, sizes=st.lists(st.integers(1, 6), min_size=2, max_size=3))
def test_rows_are_taken_from_parts_of_any_sizes(seed: int, sizes: list[int]):
    generator = np.random.default_rng(seed)
    pieces = [generator.standard_normal((n, 32), dtype=np.float32) for n in sizes]
    kinds = generator.choice(["bfloat16", "int8"], len(sizes))
    parts = [narrowed(piece, kind) for piece, kind in zip(pieces, kinds, strict=True)]
    whole = StoredMatrix(tuple(row for part in parts for row in part.parts), 32)
    ids = generator.integers(sum(sizes), size=9)
    expected = np.concatenate([part.take(np.arange(part.n)) for part in parts])
    np.testing.assert_array_equal(whole.take(ids), expected[ids])


@given(seed=seeds, t=st.integers(1, 6), weights=st.sampled_from(["bfloat16", "int8"]), num_cores=st.integers(1, 3))
def test_tiles_that_threads_share_give_the_same_bits(seed: int, t: int, weights: str, num_cores: int):
    generator = np.random.default_rng(seed)
    x, rows = (generator.standard_normal((n, 64), dtype=np.float32) for n in (t, 50))
    matrix = narrowed(rows, weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_matrix, "TILE_VALUES", 64 * 8)
        patch.setattr(stored_matrix, "_num_cores", lambda: 1)
        alone = matrix.product(x)
        patch.setattr(stored_matrix, "_num_cores", lambda: num_cores)
        np.testing.assert_array_equal(matrix.product(x), alone)
    assert_close(alone, x @ matrix.take(np.arange(50)).T, 1e-6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_process_has_threads_of_its_own():
    matrix = narrowed(np.ones((64, 4096), np.float32), "int8")
    x = np.ones((1, 4096), np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_matrix, "_num_cores", lambda: 2)
        expected = matrix.product(x)
        if not (child := os.fork()):
            signal.alarm(20)  # ends a child that waits for threads that it has not
            os._exit(int(not np.array_equal(matrix.product(x), expected)))
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gpt2"])
@settings(max_examples=5)
@given(seed=seeds)
def test_a_folder_gives_a_small_model(name: str, seed: int, tmp_path_factory: pytest.TempPathFactory):
    model = random_model(name, seed)
    folder = save(model, tmp_path_factory.mktemp("model"))
    assert_same_outputs(load(folder, weights="bfloat16"), rounded(load(folder), "bfloat16"))
    if name == "gpt2":
        with pytest.raises(
            ValueError, match=r"^load: weights is 'file', expected another form .* a row for each input"
        ):
            load(folder, weights="file")
    else:
        assert_same_outputs(load(folder, weights="file"), load(folder))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    model = model_of(CONFIG, np.random.default_rng(0))
    tensors = in_gguf("llama", stored_tensors(family_of("llama"), model), CONFIG)
    return write_gguf(tmp_path / "model.gguf", "llama", gguf_metadata(CONFIG), tensors)


@pytest.mark.parametrize("weights", ["bfloat16", "int8", "file"])
def test_a_gguf_file_gives_a_small_model(path: Path, weights: str):
    assert_same_outputs(load(path, weights=weights), rounded(load(path), weights))  # type: ignore[arg-type]


@pytest.mark.parametrize(("weights", "nbytes"), [("bfloat16", 2), ("int8", 34 / 32), ("file", 4)])
def test_weights_take_the_bytes_of_their_form(path: Path, weights: str, nbytes: float):
    model = load(path, weights=weights)  # type: ignore[arg-type]
    up = model.blocks[0].feed_forward.up
    assert isinstance(up, StoredLinear)
    assert up.matrix.nbytes == nbytes * 32 * 128
    assert isinstance(model, DecoderOnly)
    assert repr(model) == f"{type(model).__name__}: a read-only store of weights"
    assert isinstance(model.head, StoredLinear)
    assert isinstance(model.token_embedding, StoredEmbedding)
    assert model.head.matrix is model.token_embedding.matrix


@pytest.mark.parametrize(
    "use",
    [
        lambda model, folder: model.loss(np.zeros((1, 2), int), np.zeros((1, 2), int))[1](),
        lambda model, folder: model.pack(),
        lambda model, folder: model.astype(np.float64),
        lambda model, folder: AdamW(model),
        lambda model, folder: save(model, folder),
    ],
    ids=["backward", "pack", "astype", "AdamW", "save"],
)
def test_a_small_model_is_a_read_only_store(path: Path, use: Callable[[Model, Path], object]):
    with pytest.raises(TypeError, match=r"read-only store|ParameterVector"):
        use(load(path, weights="int8"), path.parent / "again")


@pytest.mark.parametrize("use", [lambda model: model.replica(), lambda model: save_run("model", model)])
def test_a_small_model_has_no_packed_values(path: Path, use: Callable[[Model], object]):
    with pytest.raises(ValueError, match=r"pack\(\)"):
        use(load(path, weights="int8"))


@pytest.mark.parametrize(("name", "dtype"), [("bert", np.float32), ("llama", np.float64)])
def test_only_language_models_in_float32_stay_small(name: str, dtype: type, tmp_path: Path):
    folder = save(random_model(name, 0), tmp_path / "model")
    with pytest.raises(ValueError, match=r"load: weights is 'bfloat16', expected 'wide' for a .* in float.*"):
        load(folder, dtype, weights="bfloat16")


def test_rows_that_are_not_whole_blocks_are_refused(tmp_path: Path):
    folder = save(model_of(replace(CONFIG, d_hidden=48), np.random.default_rng(0)), tmp_path / "model")
    with pytest.raises(
        ValueError,
        match=r"^load: weights is 'int8', .*down_proj.* does not fit: .* has 48 columns, expected a multiple of 32$",
    ):
        load(folder, weights="int8")


@pytest.mark.parametrize("weights", ["wide", "bfloat16", "file"])
def test_nan_is_refused_in_every_form(weights: str, tmp_path: Path):
    model = random_model("llama", 0)
    model.blocks[0].feed_forward.up.weight.value[0, 0] = np.nan
    tensors = stored_tensors(family_of("llama"), model)
    folder = save(random_model("llama", 0), tmp_path / "model")
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"1 of .* values of the tensor .* are NaN or infinite"):
        load(folder, weights=weights)  # type: ignore[arg-type]


def test_stored_layers_refuse_what_does_not_fit():
    matrix: StoredMatrix = narrowed(np.ones((3, 4), np.float32), "bfloat16")
    with pytest.raises(TypeError, match="StoredLinear: x must be float32, got float64"):
        StoredLinear(matrix)(np.ones((2, 4)))
    with pytest.raises(ValueError, match="StoredLinear: x has 5 features, expected 4"):
        StoredLinear(matrix)(np.ones((2, 5), np.float32))
    with pytest.raises(ValueError, match="StoredEmbedding: ids holds 3, expected 0 to 2"):
        StoredEmbedding(matrix)(np.array([3]))
