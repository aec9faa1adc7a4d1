from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from chainrule.cells import CodedCells, NumericCells, cells_of_array
from chainrule.errors import DataError, DtypeError

NAN = float("nan")


def objects(*values: object) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    ("values", "kind", "numbers"),
    [
        ((1, None, 3), "number", [1, NAN, 3]),
        ((1.5, NAN, np.float64(2)), "number", [1.5, NAN, 2]),
        ((np.int8(1), True, 2.5), "number", [1, 1, 2.5]),
        ((Decimal("1.25"), pd.NA, pd.NaT), "number", [1.25, NAN, NAN]),
        ((True, None, np.bool_(False)), "boolean", [1, NAN, 0]),
        ((2**64, 1), "number", [2.0**64, 1]),
    ],
)
def test_objects_that_are_numbers(values: tuple, kind: str, numbers: list[float]) -> None:
    cells = cells_of_array("a", objects(*values))
    assert cells.kind == kind
    np.testing.assert_array_equal(cells.numbers(), numbers)
    np.testing.assert_array_equal(cells.missing, np.isnan(numbers))


def test_objects_with_text_are_categories() -> None:
    cells = cells_of_array("a", objects("x", 1, None, "x", NAN, np.str_("y")))
    assert cells.kind == "category"
    values, codes = cells.distinct()
    assert values == ["x", 1, "y"]
    assert list(map(type, values)) == [str, int, str]
    assert codes.tolist() == [0, 1, -1, 0, -1, 2]


@pytest.mark.parametrize("dtype", [np.dtype("U3"), np.dtypes.StringDType(), object])
def test_text_of_every_array_type(dtype: object) -> None:
    values, codes = cells_of_array("a", np.array(["b", "a", "b"], dtype=dtype)).distinct()
    assert values == ["b", "a"]
    assert codes.tolist() == [0, 1, 0]


def test_distinct_integers_are_exact() -> None:
    cells = cells_of_array("a", np.array([2**63 + 1, 2**63, 0], dtype=np.uint64))
    assert cells.distinct()[0] == [0, 2**63, 2**63 + 1]


def test_equal_numbers_of_different_types_stay_apart_in_any_order() -> None:
    for values in [(1, True, 1.0), (1.0, 1, True)]:
        found = cells_of_array("a", objects(*values)).distinct()[0]
        assert {type(value) for value in found} == {int, bool, float}


def test_numbers_written_as_text_are_read_only_when_asked() -> None:
    cells = cells_of_array("a", objects("1.5", " 2 ", None, "nan"))
    np.testing.assert_array_equal(cells.numbers(text=True), [1.5, 2, NAN, NAN])
    with pytest.raises(DataError, match=r"column 'a', row 0 \(counted from 0\): '1.5' is not a"):
        cells.numbers()
    with pytest.raises(DataError, match=r"row 1 .*: the text 'two' is not a number"):
        cells_of_array("a", objects("1", "two")).numbers(text=True)


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.0, -np.inf]),
        np.array([1.0, -np.inf], dtype=np.float16),
        np.array([0, np.longdouble("-1e400")]),
        objects(1, -float("inf")),
    ],
    ids=["float64", "float16", "longdouble", "object"],
)
def test_infinities_are_refused_by_row(array: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"column 'a', row 1 \(counted from 0\): -inf is not fin"):
        cells_of_array("a", array).numbers()


def test_an_integer_beyond_float64_is_refused() -> None:
    with pytest.raises(DataError, match=r"row 1 .* an integer beyond float64"):
        cells_of_array("a", objects(1, 10**400)).numbers()


@pytest.mark.parametrize("array", [np.array([np.inf, 1.0]), objects("x", float("inf"))])
def test_infinities_are_no_categories(array: np.ndarray) -> None:
    with pytest.raises(DataError, match="inf is not finite"):
        cells_of_array("a", array).distinct()


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([1j]), "Complex data not supported, as in column 'a': pass real"),
        (np.array(["2024"], dtype="M8[D]"), "column 'a' holds dates"),
        (np.array([1], dtype="m8[s]"), "column 'a' holds durations"),
        (np.array([b"x"]), "column 'a' holds bytes"),
        (objects(1, [2]), "column 'a' holds an object of type list in row 1"),
        (objects("x", (1,)), "column 'a' holds an object of type tuple in row 1"),
        (objects(1j, 1), "column 'a' holds an object of type complex in row 0"),
        (objects(pd.Timestamp(0)), "column 'a' holds an object of type Timestamp in row 0"),
    ],
)
def test_what_cannot_be_encoded_is_refused(array: np.ndarray, text: str) -> None:
    with pytest.raises(DtypeError, match=text):
        cells_of_array("a", array)


def test_the_mask_marks_more_cells_as_missing() -> None:
    mask = np.array([True, False, False])
    numeric = cells_of_array("a", np.array([1.0, NAN, 3]), mask)
    coded = cells_of_array("a", objects("x", None, "y"), mask)
    assert isinstance(numeric, NumericCells)
    assert isinstance(coded, CodedCells)
    for cells in (numeric, coded):
        assert cells.missing.tolist() == [True, True, False]


def test_reading_writes_nothing() -> None:
    array = objects("x", 1.0, None)
    before = array.copy()
    cells_of_array("a", array, np.array([True, False, False])).distinct()
    assert all(new is old for new, old in zip(array, before, strict=True))
    numbers = np.array([1.0, NAN])
    numbers.flags.writeable = False
    cells_of_array("a", numbers).numbers()[:] = 0
    np.testing.assert_array_equal(numbers, [1, NAN])
