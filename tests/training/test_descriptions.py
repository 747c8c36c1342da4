import pytest

from scratchformer.training import first_difference


def test_differences_are_named_by_their_path() -> None:
    assert first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}) is None
    assert first_difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == "a.c is 3 now and was 2 then"
    assert first_difference({"a": 1}, {"a": 1, "b": 2}, "run") == "run.b is 2 now and was None then"
    assert first_difference({"a": {}}, {"a": 5}) == "a is 5 now and was {} then"


@pytest.mark.parametrize("within", [lambda value: value, lambda value: [value], lambda value: [{"b": value}]])
@pytest.mark.parametrize(("stored", "current"), [(1, True), (False, 0), (None, 0), ("1", 1), ([], {}), ([1], [1, 1])])
def test_values_that_python_may_take_for_each_other_differ(within, stored: object, current: object) -> None:
    assert first_difference({"a": within(stored)}, {"a": within(current)}) is not None
    assert first_difference({"a": within(stored)}, {"a": within(stored)}) is None
