"""What must become of each damaged and hostile file: it is refused in one sentence, or read rightly.

`python -m tests.pretrained.hostile START STOP FOLDER` goes through a range of numbers with little address space, and
ends at once when a file makes it run a program, load a module or open another file.
"""

import json
import os
import sys
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors import deserialize

from scratchformer.pretrained import TensorFile, open_weights
from scratchformer.pretrained.json_files import read_json
from tests.pretrained.hostile_files import make

MOST_MEMORY = 2**20
"""Bytes that may be allocated for a file of some kilobytes, other than for reading JSON."""
ADDRESS_SPACE = 2**28
"""Bytes besides what the interpreter and its modules have taken."""


def judge(path: Path) -> str:
    """Opens a file and reads its tensors. Returns what became of it; raises AssertionError when that is not right."""
    may_take = MOST_MEMORY + (30 * path.stat().st_size if path.suffix != ".gguf" else 0)
    try:
        with memory_below(may_take, path):
            if path.suffix == ".json" and not path.name.endswith(".index.json"):
                content = read_json(path)
                assert content == json.loads(path.read_bytes())
                return "read"
            file = open_weights(path)
            values = {name: tensor.read(np.float64) for name, tensor in file.tensors.items() if tensor.is_readable}
    except ValueError as error:
        assert_is_a_sentence(error, path.parent.name)
        return "refused"
    _compare(file, values)
    return "read"


@contextmanager
def memory_below(most: int, path: Path) -> Iterator[None]:
    """Asserts that what runs within it allocates fewer bytes, also where it fails."""
    tracemalloc.start()
    try:
        yield
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most, f"{path} took {peak:,} bytes"


def assert_is_a_sentence(error: ValueError, name: str) -> None:
    """Asserts that the message names this, and can be printed in a few lines."""
    message = str(error)
    assert name in message, message
    assert message.isprintable(), message
    assert len(message) < 600, message


def _compare(file: TensorFile, values: dict[str, np.ndarray]) -> None:
    """Asserts that the packages of the formats find the same tensors."""
    if file.format == "safetensors":
        paths = {file.path, *(tensor.path for tensor in file.tensors.values())}
        held = [tensor for path in paths if path.is_file() for tensor in deserialize(path.read_bytes())]
        assert sorted(name for name, _ in held) == sorted(file.tensors)
        for name, found in held:
            tensor = file.tensors[name]
            assert (found["dtype"], tuple(found["shape"])) == (tensor.kind, tensor.shape)
            assert bytes(found["data"]) == tensor.raw.tobytes()
        return
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = {tensor.name: tensor for tensor in GGUFReader(file.path).tensors}
        assert expected.keys() == file.tensors.keys()
        for name, found in expected.items():
            tensor = file.tensors[name]
            assert (found.tensor_type.name, tuple(found.shape)[::-1]) == (tensor.kind, tensor.shape)
            if name in values and tensor.size:  # the judge cannot read blocks of nothing
                numbers = found.data if tensor.kind == "F64" else dequantize(found.data, found.tensor_type)
                np.testing.assert_array_equal(values[name], numbers.astype(np.float64), err_msg=name)


def campaign(numbers: range, folder: Path) -> Counter[str]:
    """How many files of each name were read and refused."""
    outcomes: Counter[str] = Counter()
    for number in numbers:
        path = make(number, folder)
        try:
            outcomes[f"{path.name} {judge(path)}"] += 1
        except BaseException as error:
            error.add_note(f"file {number}")
            raise
    return outcomes


def _forbid(folder: Path) -> None:
    """From now on, running programs, loading modules, and opening files outside of the folder end the process."""
    forbidden = ("exec", "compile", "import", "os.system", "os.exec", "subprocess.Popen", "socket.connect", "pickle")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        is_elsewhere = event == "open" and isinstance(arguments[0], str) and not arguments[0].startswith(str(folder))
        if event.startswith(forbidden) or is_elsewhere:
            print(f"a file led to {event} {arguments!r:.300}", file=sys.stderr, flush=True)
            os._exit(3)

    sys.addaudithook(hook)


def main(start: int, stop: int, folder: Path) -> None:
    import resource

    campaign(range(-40, 0), folder)  # loads whatever is loaded late
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ADDRESS_SPACE, taken + ADDRESS_SPACE))
    _forbid(folder)
    try:
        print(json.dumps(campaign(range(start, stop), folder)))
    except Exception as error:  # a traceback would open source files
        sys.exit(f"{type(error).__name__}: {error}: {error.__notes__}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
