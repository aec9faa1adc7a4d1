import json
import math

import numpy as np
import pytest

from chainrule.cells import Cells, cells_of_array
from chainrule.columns import (
    CategoryColumn,
    Column,
    DroppedColumn,
    NumberColumn,
    column_from_state,
    fit_column,
)
from chainrule.errors import DataError, FormatError
from chainrule.table import TableEncoder

NAN = float("nan")


def cells(*values: object) -> Cells:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return cells_of_array("a", array)


def fit(*values: object, kind: str | None = None, one_hot: int = 8) -> Column:
    return fit_column(cells(*values), kind, one_hot, clip=3.0)


def encode(column: Column, *values: object) -> list[list[float]]:
    return column.encode(cells(*values)).tolist()


def clipped(z: float) -> float:
    return z / math.sqrt(1 + (z / 3) ** 2)


# ---- numbers


@pytest.mark.parametrize(
    ("values", "median", "spread"),
    [
        ([0.0, 1.0, 2.0, 3.0, 4.0], 2, 2),
        ([4.0, NAN, 0.0, 3.0, 1.0, 2.0], 2, 2),
        ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10.0], 0, 5),  # quartiles equal: half the range
        ([7.0, NAN, 7.0], 7, 0),
        ([7.0], 7, 0),
        ([1e300, -1e300, 0.0], 0, 1e300),
        ([1.7e308, -1.7e308, 0.0, 1.7e308, -1.7e308], 0, np.finfo(np.float64).max),
        ([0.0, 1e-300, 2e-300], 1e-300, 1e-300),
        ([2**60, 2**60 + 2**20, 2**60 - 2**20], 2**60, 2**20),
    ],
)
def test_median_and_spread(values: list[float], median: float, spread: float) -> None:
    column = fit(*values)
    assert isinstance(column, NumberColumn)
    assert (column.median, column.spread) == pytest.approx((median, spread), rel=1e-15, abs=0)


def test_numbers_are_scaled_and_clipped() -> None:
    column = fit(0.0, 1.0, 2.0, 3.0, 4.0)
    (row,) = encode(column, 2, 4.0, -1, 1e300, -1e308, NAN, None)
    expected = [0, clipped(1), clipped(-1.5), 3, -3, 0, 0]
    np.testing.assert_allclose(row, expected, rtol=1e-15)
    assert column.number_names == ["a"]


def test_extreme_numbers_meet_no_overflow() -> None:
    column = fit(1.7e308, -1.7e308, 0.0, 1.7e308, -1.7e308)
    with np.errstate(all="raise", under="ignore"):
        (row,) = encode(column, 1.7e308, -1.7e308, 0.0)
    np.testing.assert_allclose(row, [clipped(1.7 / 1.797693), -clipped(1.7 / 1.797693), 0], 1e-6)
    tiny = fit(0.0, 1e-300, 2e-300)
    assert encode(tiny, 1e308, -1e308) == [[3, -3]]


def test_missing_numbers_become_the_median_and_an_indicator() -> None:
    column = fit(0.0, 1.0, 2.0, 3.0, 4.0, None)
    assert column.number_names == ["a", "a is missing"]
    assert column.missing == pytest.approx(1 / 6)
    assert encode(column, None, 2.0) == [[0, 0], [1, 0]]


def test_numbers_without_spread_become_zero() -> None:
    column = fit(7.0, None, 7.0)
    assert encode(column, 7.0, 9.0, None) == [[0, 0, 0], [0, 0, 1]]
    assert column.how == "0, as training had only 7, and a column tells where it is missing"


def test_text_in_a_column_of_numbers_is_refused() -> None:
    column = fit(1, 2, 3)
    with pytest.raises(DataError, match=r"column 'a', row 1 \(counted from 0\): 'two' is not a"):
        encode(column, 1, "two")


def test_numbers_as_text_on_request() -> None:
    column = fit("1", "2", "3", None, kind="number")
    assert isinstance(column, NumberColumn)
    assert (column.median, column.from_text) == (2, True)
    assert encode(column, "2", 2) == [[0, 0], [0, 0]]
    with pytest.raises(DataError, match="the text 'x' is not a number"):
        fit("1", "x", kind="number")


# ---- categories


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (("b", "a", "b"), "a", "b"),
        (("b", "a", None), "a", "b"),
        ((True, False), False, True),
        ((True, None), False, True),
    ],
)
def test_two_categories_are_minus_one_and_one(values: tuple, low: object, high: object) -> None:
    column = fit(*values)
    assert encode(column, low, high, None) == [[-1, 1, 0]]
    assert column.number_names == [f"a = {high}"]
    assert column.cardinality is None


def test_an_unknown_category_beside_two_is_zero() -> None:
    assert encode(fit("a", "b"), "c") == [[0]]


def test_few_categories_are_one_hot() -> None:
    column = fit("c", "a", "b", "a")
    assert column.number_names == ["a = a", "a = b", "a = c"]
    assert encode(column, "b", "a", "unknown", None) == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_missing_in_training_has_a_column_of_its_own() -> None:
    column = fit("c", "a", "b", None)
    assert column.number_names == ["a = a", "a = b", "a = c", "a is missing"]
    assert encode(column, None, "x", "c") == [[0, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]


def test_one_category_and_missing_are_told_apart() -> None:
    column = fit("a", None)
    assert encode(column, "a", None, "b") == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(("count", "embedded"), [(2, False), (4, False), (5, True)])
def test_many_categories_get_codes(count: int, embedded: bool) -> None:
    values = [f"v{i}" for i in range(count)]
    column = fit(*values, *values, one_hot=4)
    assert isinstance(column, CategoryColumn)
    assert column.embedded == embedded
    assert column.cardinality == (count + 2 if embedded else None)


def test_two_categories_need_no_codes() -> None:
    assert encode(fit("a", "b", "a", one_hot=0), "a", "b") == [[-1, 1]]


def test_codes() -> None:
    column = fit("d", "c", "b", "a", "a", one_hot=2)
    assert isinstance(column, CategoryColumn)
    assert column.codes(cells("d", None, "a", "x")).tolist() == [5, 1, 2, 0]
    assert column.number_names == []
    assert column.encode(cells("d", None)).shape == (0, 2)


def test_the_order_of_rows_does_not_matter() -> None:
    values = ["b", 2, "a", True, 1.0, 1, "10"]
    columns = [fit(*values, None), fit(None, *values[::-1]), fit(*values[3:], None, *values[:3])]
    assert columns[0] == columns[1] == columns[2]
    assert isinstance(columns[0], CategoryColumn)
    assert columns[0].values == (True, 2, "10", "a", "b")


def test_numbers_as_categories_on_request() -> None:
    column = fit(3, 1, 2, None, kind="category")
    assert column.number_names == ["a = 1", "a = 2", "a = 3", "a is missing"]
    assert encode(column, 3.0) == [[0], [0], [1], [0]]


@pytest.mark.parametrize(
    ("values", "kind", "new", "text"),
    [
        (("x", "y"), None, ("x", 3), "row 1 .* found 3 of type int .* like 'x'"),
        ((1, 2), "category", (1, 2, "3"), "row 2 .* found '3' of type str .* like 1"),
        ((True, False), None, (True, 2), "row 1 .* found 2 of type int .* like True or False"),
        ((True, False), None, ("yes",), "row 0 .* found 'yes' of type str .* True or False"),
    ],
)
def test_values_of_another_kind_are_refused(
    values: tuple, kind: str | None, new: tuple, text: str
) -> None:
    column = fit(*values, kind=kind)
    with pytest.raises(DataError, match=rf"column 'a', {text}"):
        encode(column, *new)


def test_zero_and_one_are_booleans_on_request() -> None:
    column = fit(0, 1, 1, kind="boolean")
    assert encode(column, 1, False, 1.0) == [[1, -1, 1]]
    with pytest.raises(DataError, match="found 'yes' of type str in a column of kind 'boolean'"):
        fit("yes", "no", kind="boolean")


# ---- dropped


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((None, NAN), "it has no value in any row"),
        ((3, 3.0), "it is 3 in every row"),
        (("x", "x"), "it is 'x' in every row"),
        ((False, False), "it is False in every row"),
        ([f"id{i}" for i in range(9)], "its 9 values are all different, as of an identifier"),
    ],
)
def test_columns_that_tell_nothing_are_dropped(values: tuple, reason: str) -> None:
    column = fit(*values)
    assert column == DroppedColumn("a", reason)
    assert column.how == f"left out: {reason}"
    assert column.number_names == []


def test_text_that_is_numbers_gets_a_note() -> None:
    note = "its text is numbers, kinds={'a': 'number'} reads it so"
    assert fit("10", "20", "30").how == f"one column of 0 and 1 for each category; {note}"
    assert fit(*map(str, range(20))).how.endswith(note)


@pytest.mark.parametrize(
    "values",
    [(3.5,), ("x",), (True,), tuple("abcdefgh")],
    ids=["number", "text", "boolean", "eight rows"],
)
def test_few_rows_are_no_reason_to_drop(values: tuple) -> None:
    assert fit(*values).kind != "drop"


@pytest.mark.parametrize(("values", "kind"), [((3, 3), "number"), (("x", "x"), "category")])
def test_nothing_is_dropped_that_was_asked_for(values: tuple, kind: str) -> None:
    assert fit(*values, kind=kind).kind == kind


@pytest.mark.parametrize("kind", ["number", "boolean", "category"])
def test_a_kind_needs_a_value(kind: str) -> None:
    with pytest.raises(DataError, match=rf"no value .* kind '{kind}' .* kinds={{'a': 'drop'}}"):
        fit(None, None, kind=kind)


# ---- state

EXAMPLES = {
    "number": fit(0.1, 1 / 3, 5e-324, None),
    "text": fit("1", "2", "3", kind="number"),
    "category": fit("x", 1, 0.1, None, True, '"\n\udc80é'),
    "embedded": fit(*[f"v{i % 20}" for i in range(40)]),
    "boolean": fit(True, False, None),
    "drop": fit(None, None),
}


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_state_goes_through_json_exactly(name: str) -> None:
    column = EXAMPLES[name]
    back = column_from_state(json.loads(json.dumps(column.state, allow_nan=False)))
    assert back == column
    if isinstance(column, CategoryColumn) and isinstance(back, CategoryColumn):
        assert list(map(type, back.values)) == list(map(type, column.values))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("number", {"kind": "formula"}),
        ("number", {"median": "0"}),
        ("number", {"median": NAN}),
        ("number", {"spread": -1.0}),
        ("number", {"clip": 0.0}),
        ("number", {"missing": 2.0}),
        ("number", {"from_text": 1}),
        ("number", {"more": 1}),
        ("number", {"name": 3}),
        ("category", {"values": []}),
        ("category", {"values": ["a", "a"]}),
        ("category", {"values": [None]}),
        ("category", {"values": "ab"}),
        ("category", {"kind": "drop"}),
        ("boolean", {"values": [0, 1, 2]}),
        ("boolean", {"embedded": True}),
        ("drop", {"reason": None}),
    ],
    ids=str,
)
def test_a_state_that_is_wrong_is_refused(name: str, change: dict[str, object]) -> None:
    state = EXAMPLES[name].state | change
    with pytest.raises(FormatError):
        column_from_state(state)


@pytest.mark.parametrize("state", [None, [], "number", 3])
def test_a_state_that_is_no_dictionary_is_refused(state: object) -> None:
    with pytest.raises(FormatError, match="expected a dictionary"):
        column_from_state(state)


def test_a_column_tells_where_numbers_are_missing_if_enough_are() -> None:
    rare = [float(i) for i in range(99)] + [None]
    often = [float(i) for i in range(90)] + [None] * 10
    assert TableEncoder().fit({"x": rare}).number_names == ["x"]
    assert TableEncoder().fit({"x": often}).number_names == ["x", "x is missing"]
    # Where all numbers are equal, whether there is one is all that the column can tell.
    assert TableEncoder().fit({"x": [1.0] * 99 + [None]}).number_names == ["x", "x is missing"]
