from scratchformer.recipes.head_maps import thinned


def test_many_heads_are_drawn_with_names_that_do_not_overlap() -> None:
    assert thinned(["1", "2", "3", "4", "5"], 0.15) == ["1", "2", "3", "4", "5"]
    assert thinned(["1", "2", "3", "4", "5"], 0.1) == ["1", "", "3", "", "5"]
    assert thinned(["1", "2", "3", "4", "5"], 0.05) == ["", "2", "", "", "5"]
