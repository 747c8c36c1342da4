"""The same script under `mpiexec`: the same bytes, and an end for all ranks when one ends."""

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scratchformer.runs.stopping import shortest

ROOT = Path(__file__).parents[2]
MPIEXEC = Path(sys.executable).with_name("mpiexec")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or not MPIEXEC.exists(), reason="needs pip install -e '.[mpi]'"
)

TINY = ["--preset", "smoke", "--layers", "1", "--width", "16", "--context", "16", "--warmup", "1", "--no-figures"]
OPTIONS = [*TINY, "--dropout", "0.1", "--sample", "20", "--evaluate-every", "3", "--save-every", "2", "--shards", "4"]
WRITTEN = "metrics.csv", "norms.csv", "last.safetensors", "best.safetensors"


def command(ranks: int, *arguments: object) -> list[str]:
    return [str(MPIEXEC), "-n", str(ranks), sys.executable, "experiments/char_lm.py", *map(str, arguments)]


def run(ranks: int, *arguments: object) -> subprocess.CompletedProcess:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        command(ranks, *arguments), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


def hashes(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (*WRITTEN, "sample.txt")}


def test_one_two_and_four_ranks_write_the_same_bytes(tmp_path: Path) -> None:
    for ranks, threads in ((1, 4), (2, 2), (4, 1)):
        done = run(ranks, *OPTIONS, "--steps", 6, "--threads", threads, "--out", tmp_path / str(ranks))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("results in") == 1
    assert hashes(tmp_path / "1") == hashes(tmp_path / "2") == hashes(tmp_path / "4")


def start(folder: Path, steps: int) -> subprocess.Popen:
    """Two ranks that train, once their first checkpoint is there."""
    arguments = *OPTIONS, "--steps", steps, "--threads", 1, "--out", folder
    process = subprocess.Popen(
        command(2, *arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 30
    while not (folder / "last.safetensors").exists() and time.monotonic() < end:
        time.sleep(0.05)
    return process


@pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc")
@pytest.mark.parametrize(("number", "rank"), [(signal.SIGKILL, 1), (signal.SIGTERM, 1)])
def test_a_signal_to_one_rank_ends_all_and_the_run_goes_on_in_another_shape(
    number: signal.Signals, rank: int, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    job = start(folder, 100_000)
    os.kill(process_of(rank, folder), number)
    begin = time.monotonic()
    _, said = job.communicate(timeout=20)
    assert time.monotonic() - begin < 10
    killed = f"rank {rank} of 2 ended the job: it was killed"
    assert (killed if number == signal.SIGKILL else "SIGTERM stopped the run after step") in said
    assert f"mpiexec -n 2 {shortest(sys.executable)} experiments/char_lm.py --resume {folder}" in said
    steps = len((folder / "metrics.csv").read_text().splitlines())
    assert steps > 2
    alone = subprocess.Popen(
        [sys.executable, "experiments/char_lm.py", "--resume", str(folder), "--threads", "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert alone.stdout is not None
    assert any("it goes on after step" in line for line in alone.stdout)
    alone.terminate()
    alone.communicate()


def process_of(rank: int, folder: Path) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        is_ours = os.fsencode(folder) in arguments and arguments[1] == b"experiments/char_lm.py"
        if is_ours and f"PMI_RANK={rank}".encode() in environment:
            return int(process.name)
    raise LookupError(f"rank {rank} does not run")


def test_bad_use_gets_one_sentence(tmp_path: Path) -> None:
    refused = run(4, *TINY, "--threads", 1, "--shards", 2, "--out", tmp_path / "run")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.startswith("char_lm.py: error: --shards is 2, which 4 ranks of 1 threads cannot share")
    other = command(1, *TINY, "--threads", 1, "--out", tmp_path / "run")[1:]
    both = [str(MPIEXEC), *other, ":", *other, "--width", "32"]
    differing = subprocess.run(both, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert differing.returncode == 2
    assert "same options, but options.width is 32 on rank 1 and 16 on rank 0" in differing.stderr
    wrong = subprocess.run([*both[:-1], "15"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("char_lm.py: rank 1 of 2 ended the job: --heads 4 does not divide --width 15\n")
    assert "Traceback" not in wrong.stderr, "the other rank has nothing to say"
