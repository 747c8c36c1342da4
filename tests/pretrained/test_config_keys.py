import numpy as np
import pytest

from scratchformer.pretrained.config_keys import Keys, shortest


def keys(**values: object) -> Keys:
    return Keys({f"a.{key}": value for key, value in values.items()} | {"b.other": 1}, "file", "a.", most_layers=3)


def test_keys_are_taken_passed_over_or_refused_by_name():
    found = keys(size=3, rate=2, is_on=True, kind="x", words=["w"], group={"in": 1}, harmless=1, off=None)
    assert found.integer("size") == 3
    assert found.number("rate") == 2.0
    assert found.flag("is_on")
    assert found.choice("kind", {"x": "y"}) == "y"
    assert found.words("words") == ["w"]
    assert found.group("group") == {"in": 1}
    found.must_be({"off": (None,)})
    with pytest.raises(ValueError, match=r"^load: file: the key a.harmless is not supported, its value is 1$"):
        found.finish()
    found.pass_over(["harmless"])
    found.finish()


def test_what_is_absent_or_null_is_what_the_caller_says():
    found = keys(null=None)
    assert found.integer("size", 5) == 5
    assert found.integer("null", 5, null=None) is None
    with pytest.raises(ValueError, match=r"^load: file: a.size is missing, expected a whole number of at least 1$"):
        found.integer("size")
    with pytest.raises(ValueError, match=r"^load: file: a.null is None, expected a number$"):
        keys(null=None).number("null", 1.0)


def test_one_value_for_every_layer_is_one_value():
    assert keys(size=np.array([4, 4])).integer("size") == 4
    with pytest.raises(ValueError, match=r"a.size is array.*expected a whole number"):
        keys(size=np.array([4, 2])).integer("size")


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("integer", True),
        ("integer", 0),
        ("integer", 2.0),
        ("integer", 2**31),
        ("number", "1"),
        ("number", False),
        ("flag", 1),
        ("words", "w"),
        ("group", []),
        ("layers", 4),
    ],
)
def test_values_of_another_type_or_out_of_range_are_refused(method: str, value: object):
    with pytest.raises(ValueError, match=r"^load: file: a.key is .*, expected "):
        getattr(keys(key=value), method)("key")


def test_true_is_not_one():
    with pytest.raises(ValueError, match=r"a.key is True, expected 1: nothing else is supported"):
        keys(key=True).must_be({"key": (1,)})


def test_a_number_in_32_bits_is_the_decimal_that_was_written():
    assert shortest(float(np.float32(1e-5))) == 1e-5
    assert shortest(500_000.0) == 500_000.0
    assert shortest(1e300) == float("inf")
