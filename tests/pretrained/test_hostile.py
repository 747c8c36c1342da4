import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pretrained.hostile import campaign


def test_a_slice_of_the_campaign_of_hostile_files(tmp_path: Path) -> None:
    outcomes = campaign(range(300), tmp_path)
    assert sum(outcomes.values()) == 300
    assert {"any.gguf read", "any.safetensors read", "lying.gguf refused", "deep.json refused"} <= outcomes.keys()


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the address space is limited as Linux does it")
def test_10_000_hostile_files_are_refused_in_a_sentence_or_read_rightly(tmp_path: Path) -> None:
    """In a process of its own, which has little address space, and ends when a file makes it run or open anything."""
    command = [sys.executable, "-m", "tests.pretrained.hostile", "0", "10000", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert sum(json.loads(ended.stdout).values()) == 10_000
