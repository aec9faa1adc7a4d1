import pytest

from chainrule.errors import FormatError
from chainrule.plain import entry, items, only, scalars


@pytest.mark.parametrize(
    ("state", "kind", "text"),
    [
        ([1], float, "expected a dictionary with 'a'"),
        ({}, float, "entry 'a' is missing"),
        ({"a": 1}, float, "should be of type float, it is the int 1"),
        ({"a": True}, int, "should be of type int, it is the bool True"),
        ({"a": float("nan")}, float, "should be finite"),
        ({"a": float("inf")}, float, "should be finite"),
        ({"a": "x" * 1000}, int, r"x\.\.\.$"),
    ],
)
def test_entry_refuses(state: object, kind: type, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        entry(state, "a", kind)


def test_items_names_the_item_that_is_wrong() -> None:
    with pytest.raises(FormatError, match=r"entry 'a\[1\]' should be of type str, it is the int 3"):
        items({"a": ["x", 3]}, "a", str)


@pytest.mark.parametrize("values", [[None], [[]], [{}], [float("nan")], [float("inf")], [1, True]])
def test_scalars_refuses(values: list[object]) -> None:
    with pytest.raises(FormatError, match="entry 'a' "):
        scalars({"a": values}, "a")


def test_scalars_keeps_types() -> None:
    values = scalars({"a": ["1", 1, 0.5, False]}, "a")
    assert list(map(type, values)) == [str, int, float, bool]


@pytest.mark.parametrize("state", [[], "a", None, {"a": 1, "c": 2}])
def test_only_refuses(state: object) -> None:
    with pytest.raises(FormatError, match=r"expected a dictionary|unknown entries \['c'\]"):
        only(state, ["a", "b"])
