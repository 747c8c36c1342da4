"""Bugs in how files are written, extended and started from: what is durable, and what a run takes over."""

from tests.mutants.mutant import mutant

EXTENDED = "tests/experiments/test_extending.py::"
FOLDERS = "tests/runs/test_folder.py::"
REPLACED = "tests/test_replacing.py::"
TABLES = "tests/runs/test_files.py::"
REPLACING = "replacing.py"

FILES = [
    mutant(
        "file: its content is not flushed to the disk",
        REPLACING,
        "            file.flush()\n            os.fsync(file.fileno())\n",
        "",
        "tests/training/test_checkpoint.py::"
        "test_the_content_reaches_the_disk_before_the_name_and_the_name_before_the_return",
    ),
    mutant(
        "file: flushed to the disk before the last bytes were handed over",
        REPLACING,
        "            file.flush()\n",
        "",
        "tests/training/test_checkpoint.py::"
        "test_the_content_reaches_the_disk_before_the_name_and_the_name_before_the_return",
    ),
    mutant(
        "file: its new name is not flushed to the disk",
        REPLACING,
        "    _flush_folder(path.parent)\n",
        "",
        "tests/training/test_checkpoint.py::"
        "test_the_content_reaches_the_disk_before_the_name_and_the_name_before_the_return",
    ),
    mutant(
        "file: written over the old one",
        REPLACING,
        "        partial.replace(path)\n",
        "        path.write_bytes(partial.read_bytes())\n        partial.unlink()\n",
        REPLACED + "test_a_file_is_whole_at_every_moment[file]",
    ),
    mutant(
        "file: two that write it at once write to one place",
        REPLACING,
        'f".{token_hex(8)}{PARTIAL}"',
        'f".{path.name}{PARTIAL}"',
        "tests/training/test_checkpoint.py::test_whoever_reads_while_two_write_finds_one_of_both",
    ),
    mutant(
        "file: JSON is written in place",
        "runs/folder.py",
        "            return replace_file(self.path / name, [content])\n",
        "            (self.path / name).write_bytes(content)\n            return self.path / name\n",
        FOLDERS + "test_a_write_that_fails_names_the_file_and_leaves_the_one_before",
    ),
    mutant(
        "table: its rows are not flushed to the disk with a checkpoint",
        "runs/files.py",
        "        os.fsync(self._file.fileno())\n",
        "",
        TABLES + "test_a_mark_is_made_when_all_rows_are_on_the_disk",
    ),
    mutant(
        "table: a row waits in memory",
        "runs/files.py",
        "            self._file.flush()\n",
        "",
        TABLES + "test_each_row_is_in_the_file_once_it_was_added",
    ),
    mutant(
        "table: rows after a mark are kept",
        "runs/files.py",
        "            self._file.truncate(len(kept))\n",
        "",
        TABLES + "test_a_table_goes_on_from_a_mark_and_drops_what_came_after_it",
    ),
    mutant(
        "--extend: tables of the new folder are not flushed to the disk",
        "runs/extending.py",
        'replace_file(folder / f"{name}.csv", [read_utf8(table.path).encode()])',
        '(folder / f"{name}.csv").write_bytes(read_utf8(table.path).encode())',
        EXTENDED + "test_what_an_extension_takes_over_is_on_the_disk_before_it_trains",
    ),
    mutant(
        "--extend: the old schedule goes on",
        "runs/extending.py",
        "    recorder.training.trainer.schedule = schedule\n",
        "",
        EXTENDED + "test_an_extended_run_goes_on_under_a_new_schedule_and_leaves_the_old_one_alone",
    ),
    mutant(
        "--extend: the best loss so far is forgotten",
        "runs/extending.py",
        '"best_validation_loss": recorder.lowest_loss',
        '"best_validation_loss": None',
        EXTENDED + "test_an_extended_run_goes_on_under_a_new_schedule_and_leaves_the_old_one_alone",
    ),
    mutant(
        "--extend: the ends before the last are forgotten",
        "recipes/character_model.py",
        "return [*ends, earlier.steps]",
        "return [earlier.steps]",
        EXTENDED + "test_a_run_can_be_extended_again_and_knows_where_it_ended_before",
    ),
    mutant(
        "--init-from: the weights are random",
        "recipes/language_model.py",
        "        model.values[...] = weights\n",
        "        model.values[...] = model.values\n",
        EXTENDED + "test_without_a_step_of_its_own_a_run_is_as_good_as_the_one_it_starts_from",
    ),
    mutant(
        "--init-from: the characters of the text in place of the known ones",
        "recipes/character_model.py",
        "            self.tokenizer = initial.tokenizer\n",
        "            self.tokenizer = CharacterTokenizer.from_text(corpus.text)\n",
        EXTENDED + "test_a_run_starts_from_the_weights_and_the_characters_of_another",
    ),
    mutant(
        "table: its mark forgets the rows from before a run was resumed",
        "runs/files.py",
        "        self._digest.update(kept)\n        self._num_bytes = len(kept)",
        "        self._num_bytes = len(kept)",
        TABLES + "test_a_table_goes_on_from_a_mark_and_drops_what_came_after_it",
    ),
    mutant(
        "file: arrays in Fortran's order are written as they lie",
        "training/checkpoint.py",
        'np.asarray(array, order="C")',
        "np.asarray(array)",
        FOLDERS + "test_arrays_are_written_as_safetensors",
    ),
    mutant(
        "file: tensors of GGUF begin where an alignment of 32 puts them",
        "pretrained/gguf.py",
        "reader.tensors(num_tensors, alignment)",
        "reader.tensors(num_tensors, ALIGNMENT)",
        "tests/pretrained/test_gguf.py::test_a_file_of_the_judge_is_read",
    ),
    mutant(
        "file: tensors of GGUF may overlap at their ends",
        "pretrained/gguf.py",
        "if num_bytes and start < last_stop:",
        "if num_bytes and start + num_bytes < last_stop:",
        "tests/pretrained/test_gguf.py::test_a_file_that_contradicts_itself_is_refused",
    ),
    mutant(
        "table: norms of layers begin with the second step",
        "runs/training_run.py",
        "if loss is not None or num_steps == 1:",
        "if loss is not None or num_steps == 2:",
        "tests/runs/test_training_run.py::test_a_run_folder_holds_tables_and_checkpoints",
    ),
    mutant(
        "table: measures of the last weights, not of their average",
        "runs/training_run.py",
        "            with training.trainer.evaluated():\n                figures = training.measure()",
        "            figures = training.measure()",
        "tests/runs/test_training_run.py::test_a_run_folder_holds_tables_and_checkpoints",
    ),
]
