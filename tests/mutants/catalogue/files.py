"""Bugs in how files are written, extended and started from: what is durable, and what a run takes over."""

from tests.mutants.mutant import mutant

REPLACING = "replacing.py"
EXTENDING = "tests/experiments/test_extending.py"

FILES = [
    mutant(
        "file: its content is not flushed to the disk",
        REPLACING,
        "            file.flush()\n            os.fsync(file.fileno())\n",
        "",
        "tests/test_replacing.py",
    ),
    mutant(
        "file: flushed to the disk before the last bytes were handed over",
        REPLACING,
        "            file.flush()\n",
        "",
        "tests/test_replacing.py",
    ),
    mutant("file: its new name is not flushed to the disk", REPLACING, "    _flush_folder(path.parent)\n", "", "tests/test_replacing.py"),
    mutant(
        "file: written over the old one",
        REPLACING,
        "        partial.replace(path)\n",
        "        path.write_bytes(partial.read_bytes())\n        partial.unlink()\n",
        "tests/test_replacing.py",
    ),
    mutant(
        "file: two that write it at once write to one place",
        REPLACING,
        'f".{token_hex(8)}{PARTIAL}"',
        'f".{path.name}{PARTIAL}"',
        "tests/training/test_checkpoint.py",
    ),
    mutant(
        "file: JSON is written in place",
        "runs/folder.py",
        "            return replace_file(self.path / name, [content])\n",
        "            (self.path / name).write_bytes(content)\n            return self.path / name\n",
        "tests/runs/test_folder.py",
    ),
    mutant(
        "table: its rows are not flushed to the disk with a checkpoint",
        "runs/files.py",
        "        os.fsync(self._file.fileno())\n",
        "",
        "tests/runs/test_files.py",
    ),
    mutant("table: a row waits in memory", "runs/files.py", "            self._file.flush()\n", "", "tests/runs/test_files.py"),
    mutant(
        "table: rows after a mark are kept",
        "runs/files.py",
        "            self._file.truncate(len(kept))\n",
        "",
        "tests/runs/test_files.py",
    ),
    mutant(
        "--extend: tables of the new folder are not flushed to the disk",
        "runs/extending.py",
        'replace_file(folder / f"{name}.csv", [read_utf8(table.path).encode()])',
        '(folder / f"{name}.csv").write_bytes(read_utf8(table.path).encode())',
        EXTENDING,
    ),
    mutant(
        "--extend: the old schedule goes on",
        "runs/extending.py",
        "    recorder.training.trainer.schedule = schedule\n",
        "",
        EXTENDING,
    ),
    mutant(
        "--extend: the best loss so far is forgotten",
        "runs/extending.py",
        '"best_validation_loss": recorder.lowest_loss',
        '"best_validation_loss": None',
        EXTENDING,
    ),
    mutant(
        "--extend: the ends before the last are forgotten",
        "recipes/character_model.py",
        "return [*ends, earlier.steps]",
        "return [earlier.steps]",
        EXTENDING,
    ),
    mutant(
        "--init-from: the weights are random",
        "recipes/language_model.py",
        "        model.values[...] = weights\n",
        "        model.values[...] = model.values\n",
        EXTENDING,
    ),
    mutant(
        "--init-from: the characters of the text in place of the known ones",
        "recipes/character_model.py",
        "            self.tokenizer = initial.tokenizer\n",
        "            self.tokenizer = CharacterTokenizer.from_text(corpus.text)\n",
        EXTENDING,
    ),
]
