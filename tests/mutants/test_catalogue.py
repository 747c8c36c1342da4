"""Every bug can still be put into the library, and the tests that must notice it are there."""

from pathlib import Path

from scratchformer.catalogue import CATALOGUE as ENTRIES
from tests.mutants.catalogue import CATALOGUE
from tests.mutants.kept import KeptResults
from tests.mutants.killing import ROOT, misfit_of


def test_every_bug_fits_its_file_and_names_tests_that_are_there() -> None:
    assert [misfit for bug in CATALOGUE if (misfit := misfit_of(bug))] == []
    assert len({bug.name for bug in CATALOGUE}) == len(CATALOGUE)
    entries = {entry.name for entry in ENTRIES}
    for killer in {killer for bug in CATALOGUE for killer in bug.killers} - entries:
        path, _, test = killer.partition("::")
        assert f"def {test.partition('[')[0]}(" in (ROOT / path).read_text(), killer


def test_results_are_kept_as_they_come(tmp_path: Path) -> None:
    first, second, *_ = CATALOGUE
    KeptResults(tmp_path / "results").add(first, True, "nobody noticed")
    kept = KeptResults(tmp_path / "results")
    assert kept[first] == (True, "nobody noticed")
    assert second not in kept
