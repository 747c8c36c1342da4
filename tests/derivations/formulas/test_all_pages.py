"""Nearly all formulas of all pages are evaluated; what is not is counted, with its reason."""



from scratchformer.derivations import pages
from scratchformer.derivations.reader.notes import notes_of
from scratchformer.derivations.reader.running import run_with_formulas
from tests.annotations import unchecked

PAGES = pages()


def test_at_most_five_percent_of_all_members_are_not_evaluated_and_all_have_notes() -> None:
    every = []
    for page in PAGES:
        with unchecked():
            run = run_with_formulas(page)
        every += run.members
        notes = notes_of(page, run.results)
        assert notes.keys() == {fence.line for fence in page.fences if fence.language == "math"}
        assert all("evaluated" in note for note in notes.values())
    assert len(every) >= 776, "count here what is deleted"
    assert all(member.is_right for member in every if not member.is_marked)
    marked = [member for member in every if member.is_marked]
    assert len(marked) <= 0.05 * len(every)
    assert all(member.reason for member in marked)



