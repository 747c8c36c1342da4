from scratchformer.training import first_difference


def test_differences_are_named_by_their_path() -> None:
    assert first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}) is None
    assert first_difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == "a.c is 3 now and was 2 then"
    assert first_difference({"a": 1}, {"a": 1, "b": 2}, "run") == "run.b is 2 now and was None then"
    assert first_difference({"a": {}}, {"a": 5}) == "a is 5 now and was {} then"
