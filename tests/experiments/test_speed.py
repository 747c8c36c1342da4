import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import experiments.speed.__main__ as speed
from experiments.speed import agreement, tasks
from experiments.speed.fresh_process import Failure, ask
from experiments.speed.measure import Figures, compute, measure
from experiments.speed.pretrained_steps import make_ids
from experiments.speed.profiling import by_part
from experiments.speed.steps import make_model, make_prompt
from experiments.speed.table import row_of
from scratchformer.models import GPT, GPTConfig, Llama, LlamaConfig
from scratchformer.pretrained import load, save
from tests.experiments.running import EXPERIMENTS, refusal

TINY = GPTConfig(vocabulary_size=5, context_length=3, num_layers=2, num_heads=2, d_model=4, bias=False)


def test_the_flops_of_a_step_are_those_of_its_matrix_products() -> None:
    rows = 2 * 3  # sequences times positions
    projections = 2 * rows * 4 * 4 * (1 + 2 + 1)  # query, key and value, output
    feed_forward = 2 * rows * 4 * 16 * 2
    scores = weighted_values = 2 * (2 * 2) * 3 * 3 * 2  # sequences times heads of 2 features
    head = 2 * rows * 4 * 5
    forward = 2 * (projections + feed_forward + scores + weighted_values) + head
    assert tasks.training("tiny", TINY, batch=2, warmup=0, steps=1).flops == 3 * forward
    assert tasks.attention(3, heads=2, features=2).flops == 3 * 2 * (2 * 2 * 3 * 3 * 2)


def test_the_flops_of_a_llamas_steps_are_those_of_its_matrix_products() -> None:
    llama = LlamaConfig(5, context_length=64, num_layers=2, num_heads=4, num_kv_heads=2, d_model=8, d_hidden=12)
    prefill, short, long, training = tasks.pretrained_tasks(Path("folder"), llama, is_tiny=True)
    projections = 2 * 8 * (8 + 4 + 4 + 8)  # query, key, value, output
    token, head = 2 * (projections + 2 * 8 * 12 * 3), 2 * 8 * 5
    of_score_and_value = 2 * 4 * (2 * 2 * 2)  # layers, heads of 2 features
    assert prefill.flops == 8 * token + head + 8 * 8 * of_score_and_value
    assert (short.flops, long.flops) == tuple(token + head + t * of_score_and_value for t in (8, 16))
    assert training.flops == 3 * 8 * (token + head + 4 * of_score_and_value)
    assert [task.name for task in tasks.pretrained_tasks(Path("folder"), replace(llama, context_length=300))] == [
        "prefill 256",
        "decoding 256",
        "training 2 x 128",
    ]


def test_the_models_have_the_sizes_that_the_help_states() -> None:
    for name, millions in (("small", 0.8), ("medium", 10.6)):
        model = GPT(tasks.MODELS[name].settings.model, generator=np.random.default_rng(0))
        assert round((model.values.size - model.position_embedding.table.value.size) / 1e6, 1) == millions


def test_converted_weights_give_pytorchs_linear_map() -> None:
    pytorch_weights = pytest.importorskip("experiments.speed.pytorch_steps").pytorch_weights
    model = GPT(TINY, generator=np.random.default_rng(0))
    tensors = {name: parameter.value for name, parameter in model.parameters().items()}
    converted = pytorch_weights(tensors)
    x = np.random.default_rng(1).standard_normal((3, 4), dtype=np.float32)
    query, key_value = (tensors[f"blocks.1.attention.{name}.weight"] for name in ("query", "key_value"))
    expected = np.concatenate([x @ query, x @ key_value], axis=1)
    np.testing.assert_allclose(x @ converted["blocks.1.attention.qkv.weight"].T, expected, rtol=1e-5)
    up = "blocks.0.feed_forward.up.weight"
    np.testing.assert_array_equal(converted[up], tensors[up].T)
    np.testing.assert_array_equal(converted["norm.weight"], tensors["norm.weight"])
    assert converted["head.weight"] is converted["token_embedding.weight"] is tensors["token_embedding.table"]
    blocks = [name.removeprefix("blocks.0.") for name in converted if name.startswith("blocks.0.")]
    assert sorted(blocks) == [
        "attention.output.weight",
        "attention.qkv.weight",
        "attention_norm.weight",
        "feed_forward.down.weight",
        "feed_forward.up.weight",
        "feed_forward_norm.weight",
    ]
    assert len(converted) == 2 * len(blocks) + 4


def test_a_profile_is_grouped_by_file_and_direction() -> None:
    def function(file: str, name: str) -> tuple[str, int, str]:
        return f"/somewhere/scratchformer/{file}.py", 1, name

    def stat(own: float, **callers: Any) -> tuple:
        total = {names[key]: (1, 1, 0.0, seconds) for key, seconds in callers.items()}
        return 1, 1, own, own, total

    names = {
        "step": function("training/trainer", "step"),
        "linear": function("ops/linear", "linear"),
        "backward": function("ops/linear", "backward"),
        "row_sum": function("ops/rows", "row_sum"),
        "numpy": ("/python/numpy/fromnumeric.py", 7, "sum"),
        "loop": ("/python/circle.py", 8, "loop"),
    }
    stats = {
        names["step"]: stat(1.0),
        names["linear"]: stat(2.0, step=2.0),
        names["backward"]: stat(4.0, step=4.0),
        names["row_sum"]: stat(8.0, linear=6.0, backward=2.0),
        names["numpy"]: stat(16.0, row_sum=12.0, step=4.0),
        names["loop"]: stat(32.0, loop=32.0),
    }
    assert by_part(stats) == {
        "other": 32.0,
        "ops/rows forward": 6.0 + 9.0,
        "ops/rows backward": 2.0 + 3.0,
        "training/trainer": 1.0 + 4.0,
        "ops/linear backward": 4.0,
        "ops/linear forward": 2.0,
    }


def test_both_kinds_of_step_give_the_same_in_one_thread_and_in_two() -> None:
    for task in (tasks.TINY["small"], tasks.attention(9)):
        few = replace(task, warmup=0, steps=2)
        one, two = (compute(few, "ours", threads, None) for threads in (1, 2))
        np.testing.assert_allclose(one, two, rtol=1e-5)


def test_the_smoke_preset_prints_the_table_and_writes_every_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "version_of", lambda package: None)
    file = tmp_path / "speed.json"
    speed.main(["--preset", "smoke", "--pairs", "2", "--json", str(file)])
    printed = capsys.readouterr().out
    assert "PyTorch is not installed in this Python and is not timed" in printed
    header, *lines = printed.split("\n\n")[1].splitlines()
    assert header.split("  ")[-1] == "ratio"
    assert [line.split("  ")[0] for line in lines] == ["small", "decoding small", "attention 64"]
    assert "decoding small reads ours" in printed
    assert "this took" in printed
    report = json.loads(file.read_text())
    assert report["environment"]["torch"] is None
    assert report["options"]["pairs"] == 2
    assert report["peak_flops_per_second"] > 0
    for row in report["rows"]:
        assert len(row["ours"]["processes"]) == 2
        assert 0 < row["ours"]["least"] <= row["ours"]["median"] <= row["ours"]["most"]
        assert row["ours"]["peak_memory"] > 2**20
        assert 0 <= row["ours"]["working_memory"] < row["ours"]["peak_memory"]
        assert row["ours"]["working_memory"] > 0 or row["task"]["kind"] == "decoding"


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = LlamaConfig(32, context_length=64, num_layers=2, num_heads=4, num_kv_heads=2, d_model=16, tied_head=True)
    return save(Llama(config, generator=np.random.default_rng(0)), tmp_path_factory.mktemp("llama"))


def test_decoding_looks_at_the_keys_in_the_cache(llama_folder: Path) -> None:
    model = load(llama_folder)
    decoding = replace(tasks.pretrained_tasks(llama_folder, model.config, is_tiny=True)[1], warmup=0, steps=1)
    settings = decoding.settings
    behind, alone = (
        compute(replace(decoding, settings=replace(settings, num_cached=num)), "ours", 2, None) for num in (8, 0)
    )
    logits, _ = model(make_ids(settings, 0))
    np.testing.assert_allclose(alone, [[np.linalg.norm(logits.astype(np.float64))]], rtol=1e-5)
    assert abs(np.divide(behind, alone) - 1) > 1e-3


def test_decoding_gives_the_logits_of_the_next_tokens() -> None:
    task = replace(tasks.TINY_DECODING["small"], warmup=0, steps=3)
    ids = make_prompt(task.settings, task)
    logits, _ = make_model(task.settings.model, None)(ids)
    expected = np.linalg.norm(logits[0, task.settings.num_cached :].astype(np.float64), axis=-1)
    np.testing.assert_allclose(compute(task, "ours", 1, None), expected[:, None], rtol=1e-5)


def test_pytorch_decodes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(agreement, "ask", lambda call, what: call())
    assert agreement.largest_difference(tasks.TINY_DECODING["small"], ["ours", "pytorch"], 1) < 1e-5


def test_a_real_model_is_timed_and_what_is_missing_is_said(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "is_installed", lambda package: False)
    monkeypatch.setattr(speed, "ask", lambda call, what: call())  # fresh processes would take seconds
    speed.main(["--preset", "smoke", "--models", "--decoding", "--no-attention", "--pretrained", str(llama_folder)])
    said, table, last, _ = capsys.readouterr().out.split("\n\n")
    assert said.startswith("PyTorch is not installed in this Python and is not timed")
    names = [line.split("  ")[0] for line in table.splitlines()[1:]]
    assert names == ["prefill 8", "decoding 8", "decoding 16", "training 2 x 4"]
    assert last == "llama.cpp is not timed: it reads GGUF files alone"
    speed.print_llama_cpp(Path("a.gguf"), speed.PRESETS["smoke"], LlamaConfig(32))
    assert "llama.cpp is not timed: the package xllamacpp is not installed" in capsys.readouterr().out


def test_jax_trains_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax", reason="JAX is not installed; pip install -e '.[jax]'")
    monkeypatch.setattr(agreement, "ask", lambda call, what: call())
    assert agreement.largest_difference(tasks.TINY["small"], ["ours", "jax"], 1) < 1e-5


def test_transformers_computes_the_same(llama_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    monkeypatch.setattr(agreement, "ask", lambda call, what: call())
    for task in tasks.pretrained_tasks(llama_folder, load(llama_folder).config, is_tiny=True):
        assert agreement.largest_difference(task, ["ours", "pytorch"], 1) < 1e-5


def test_the_profile_says_where_the_time_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speed.main(["--preset", "smoke", "--profile", "--json", str(tmp_path / "profile.json")])
    (row,) = json.loads((tmp_path / "profile.json").read_text())["rows"]
    parts = row["milliseconds"]
    plain = {"layers/plain_blocks forward", "layers/plain_blocks backward"}
    assert plain | {"ops/activations backward", "optim/adam"} <= parts.keys()
    assert list(parts.values()) == sorted(parts.values(), reverse=True)
    assert "layers/plain_blocks backward" in capsys.readouterr().out


def test_the_table_compares_the_medians_and_every_pair() -> None:
    def process(milliseconds: float, memory: int) -> Figures:
        return Figures(milliseconds, 1.0, 9.0, memory * 2**20, 0)

    processes = {
        "ours": [process(2.0, 10), process(3.0, 20), process(2.0, 30)],
        "pytorch": [process(4.0, 40), process(2.0, 40), process(4.0, 40)],
    }
    row = row_of(tasks.attention(100), processes, 61.44e9, None)
    expected = ("attention 100", "2.0 (2.0-3.0)", "4.0 (2.0-4.0)", "-", "-", "0.50 (0.50-1.50)")
    assert row.cells() == (*expected, "50,000 / 25,000", "50% / 25%", "20 / 40", "0.50")
    processes |= {"compiled": [process(2.5, 160)] * 3, "jax": [process(1.0, 10)] * 3}
    row = row_of(tasks.attention(100), processes, 61.44e9, None)
    assert row.cells()[4:] == (
        "1.0 (1.0-1.0)",
        "0.80 (0.80-1.20)",
        "50,000 / 25,000 / 40,000 / 100,000",
        "50% / 25% / 40% / 100%",
        "20 / 40 / 160 / 10",
        "0.50",
    )
    assert row.as_json()["jax_ratio"] == {"median": 2.0, "least": 2.0, "most": 3.0}


def test_sides_that_differ_are_not_timed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(speed, "is_installed", lambda package: True)
    monkeypatch.setattr(speed, "which", lambda program: None)
    answers = iter([None, [[4.0, 2.0]], [[4.0, 2.0]], [[4.0, 2.001]]])
    monkeypatch.setattr(agreement, "ask", lambda call, what: next(answers))
    with pytest.raises(SystemExit, match="1"):
        speed.main(["--preset", "smoke"])
    assert capsys.readouterr().err == (
        f"{speed.PROG}: error: small is not the same on all sides: what they compute differs by 5.0e-04\n"
    )


def test_a_process_that_fails_is_named_with_its_reason() -> None:
    said = "the process that was to measure ours failed: ValueError: workers_and_blas_threads: num_threads must"
    with pytest.raises(Failure, match=said):
        ask(partial(measure, tasks.TINY["small"], "ours", 0), "measure ours")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pairs", "0"], "--pairs must be at least 1, got 0"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--threads", "5"], "--threads 5 is more than decoding small can keep busy, 4"),
        (
            ["--models", "small", "--decoding", "--threads", "9"],
            "--threads 9 is more than attention 256 can keep busy, 8",
        ),
        (["--lengths", "64", "0"], "--lengths must be at least 1, got 0"),
        (
            ["--models", "--decoding", "--no-attention"],
            "there is nothing to time: no --models, no --decoding, and no --attention with --lengths",
        ),
        (["--pretrained", "no.gguf"], "--pretrained no.gguf does not exist"),
        (["--pair", "1"], "unknown option --pair; did you mean --pairs?"),
        (["--json", "missing/speed.json"], "--json missing/speed.json cannot be written: No such file or directory"),
    ],
)
def test_bad_options_are_one_clear_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    assert refusal("speed", *arguments, cwd=tmp_path) == said


def test_it_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "experiments.speed", "--preset", "smoke", "--profile"]
    result = subprocess.run(command, cwd=EXPERIMENTS.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "ops/linear backward" in result.stdout
