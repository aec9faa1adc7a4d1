import datetime
import sys
import warnings
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from chainrule.errors import ChainruleError, DataError, DtypeError, ShapeError
from chainrule.frames import read_frame, read_targets

NAN = float("nan")


def numbers(table: object, position: int = 0) -> list[float]:
    return read_frame(table).column(position).numbers().tolist()


COLUMNS = [
    # values, maker of a table with column "a"
    (
        [1, None, 2**53 + 1],
        {
            "pandas Int64": lambda v: pd.DataFrame({"a": pd.array(v, dtype="Int64")}),
            "pandas arrow": lambda v: pd.DataFrame({"a": pd.array(v, dtype="int64[pyarrow]")}),
            "pandas object": lambda v: pd.DataFrame({"a": pd.Series(v, dtype=object)}),
            "polars": lambda v: pl.DataFrame({"a": v}),
            "polars UInt64": lambda v: pl.DataFrame({"a": pl.Series(v, dtype=pl.UInt64)}),
            "pyarrow": lambda v: pa.table({"a": v}),
            "dictionary": lambda v: {"a": v},
        },
    ),
    (
        [True, None, False],
        {
            "pandas boolean": lambda v: pd.DataFrame({"a": pd.array(v, dtype="boolean")}),
            "pandas arrow": lambda v: pd.DataFrame({"a": pd.array(v, dtype="bool[pyarrow]")}),
            "pandas object": lambda v: pd.DataFrame({"a": v}),
            "polars": lambda v: pl.DataFrame({"a": v}),
            "pyarrow": lambda v: pa.table({"a": v}),
        },
    ),
    (
        ["x", None, "y"],
        {
            "pandas": lambda v: pd.DataFrame({"a": v}),
            "pandas object": lambda v: pd.DataFrame({"a": pd.Series(v, dtype=object)}),
            "pandas string": lambda v: pd.DataFrame({"a": pd.array(v, dtype="string")}),
            "pandas category": lambda v: pd.DataFrame({"a": pd.Categorical(v)}),
            "pandas arrow": lambda v: pd.DataFrame({"a": pd.array(v, dtype="string[pyarrow]")}),
            "polars": lambda v: pl.DataFrame({"a": v}),
            "polars Categorical": lambda v: pl.DataFrame({"a": pl.Series(v, dtype=pl.Categorical)}),
            "polars Enum": lambda v: pl.DataFrame({"a": pl.Series(v, dtype=pl.Enum(["y", "x"]))}),
            "pyarrow": lambda v: pa.table({"a": v}),
            "pyarrow dictionary": lambda v: pa.table({"a": pa.array(v).dictionary_encode()}),
            "pyarrow large": lambda v: pa.table({"a": pa.array(v, pa.large_string())}),
            "pyarrow view": lambda v: pa.table({"a": pa.array(v, pa.string_view())}),
            "list of rows": lambda v: [[value] for value in v],
        },
    ),
]
FLAT = [
    pytest.param(values, make, id=f"{type(values[0]).__name__} {name}")
    for values, makers in COLUMNS
    for name, make in makers.items()
]


@pytest.mark.parametrize(("values", "make"), FLAT)
def test_values_and_missing_of_every_library(values: list, make: Callable) -> None:
    cells = read_frame(make(values)).column(0)
    found, codes = cells.distinct()
    assert [None if code < 0 else found[code] for code in codes] == values
    assert cells.missing.tolist() == [False, True, False]
    expected = {int: "number", bool: "boolean", str: "category"}[type(values[0])]
    assert cells.kind == expected


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": pd.array([1.5, None, 2], dtype="Float64")}),
        pd.DataFrame({"a": [1.5, None, 2]}),
        pd.DataFrame({"a": np.array([1.5, NAN, 2], dtype=np.float16)}),
        pd.DataFrame({"a": pd.arrays.SparseArray([1.5, NAN, 2])}),
        pd.DataFrame({"a": [Decimal("1.5"), None, Decimal("2.0")]}),
        pl.DataFrame({"a": [1.5, NAN, 2]}),
        pl.DataFrame({"a": [1.5, None, 2]}),
        pl.DataFrame({"a": [Decimal("1.5"), None, Decimal("2.0")]}),
        pa.table({"a": [1.5, None, 2]}),
        pa.table({"a": [1.5, NAN, 2]}),
        pa.table({"a": [Decimal("1.5"), None, Decimal("2.0")]}),
        [[1.5], [None], [2]],
        np.array([[1.5], [NAN], [2]], dtype=np.float32),
    ],
    ids=lambda table: type(table).__module__,
)
def test_fractions_of_every_library(table: object) -> None:
    np.testing.assert_array_equal(numbers(table), [1.5, NAN, 2])


def test_integers_of_128_bits() -> None:
    table = pl.DataFrame({"a": pl.Series([2**100, None], dtype=pl.Int128)})
    np.testing.assert_array_equal(numbers(table), [2.0**100, NAN])


def test_categories_that_are_numbers_are_categories() -> None:
    cells = read_frame(pd.DataFrame({"a": pd.Categorical([3, 5, 3])})).column(0)
    assert cells.kind == "category"
    assert cells.distinct()[0] == [3, 5]


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": [None, None]}),
        pd.DataFrame({"a": [NAN, NAN]}),
        pl.DataFrame({"a": [None, None]}),
        pa.table({"a": pa.nulls(2)}),
        [[None], [None]],
    ],
)
def test_columns_without_values(table: object) -> None:
    cells = read_frame(table).column(0)
    assert cells.missing.all()
    assert cells.distinct()[0] == []
    assert np.isnan(cells.numbers()).all()


DAY = datetime.date(2024, 2, 29)


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"when": pd.to_datetime(["2024-02-29"])}),
        pd.DataFrame({"when": pd.period_range("2024", periods=1)}),
        pd.DataFrame({"when": [DAY]}),
        pl.DataFrame({"when": [DAY]}),
        pl.DataFrame({"when": [datetime.time(1)]}),
        pl.DataFrame({"when": [datetime.timedelta(1)]}),
        pl.DataFrame({"when": [[1, 2]]}),
        pl.DataFrame({"when": [{"year": 2024}]}),
        pl.DataFrame({"when": [b"now"]}),
        pa.table({"when": [DAY]}),
        pa.table({"when": [datetime.time(1)]}),
        pa.table({"when": [[1]]}),
        pd.DataFrame({"when": [1j]}),
    ],
)
def test_columns_of_other_types_are_refused_by_name(table: object) -> None:
    with pytest.raises(DtypeError, match="column 'when'"):
        read_frame(table).column(0)


@pytest.mark.parametrize(
    ("table", "error", "text"),
    [
        (np.ones(5), ShapeError, r"shape \(5,\)\. Reshape your data: table.reshape\(-1, 1\) if"),
        (np.ones((2, 3, 4)), ShapeError, r"Reshape your data: table.reshape\(len\(table\), -1\)"),
        (np.zeros(3, dtype=[("a", "f4")]), ShapeError, r"shape \(3,\)"),
        (np.ma.zeros((2, 2)), DtypeError, r"masked array .* table.filled\(np.nan\)"),
        ([[1, 2], [3]], ShapeError, "rows of a table have to be equally long"),
        ([1, 2], ShapeError, r"shape \(2,\)"),
        (scipy.sparse.csr_matrix(np.eye(3)), DtypeError, r"sparse matrix .* table.toarray\(\)"),
        (scipy.sparse.coo_array(np.eye(3)), DtypeError, r"sparse matrix .* table.toarray\(\)"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), DataError, "have the same name"),
        (pa.table([[1], [2]], names=["a", "a"]), DataError, "have the same name"),
        (pd.DataFrame([[1, 2]], columns=["a", 1]), DataError, "'a' is text, 1 is of type int"),
        ({"a": [1], 2: [3]}, DataError, "'a' is text, 2 is of type int"),
        (pd.Series([1]), ShapeError, r"table.to_frame\(\)"),
        (pl.Series([1]), ShapeError, r"table.to_frame\(\)"),
        (pl.LazyFrame({"a": [1]}), DtypeError, "object of type LazyFrame .* collected"),
        (3, DtypeError, "object of type int"),
        (None, DtypeError, "object of type NoneType"),
        ("people.csv", DtypeError, "object of type str"),
        ({"a": [1, 2], "b": [1]}, ShapeError, r"one length, not {'a': \(2,\), 'b': \(1,\)}"),
        ({"a": [[1]]}, ShapeError, "one dimension"),
    ],
    ids=str,
)
def test_tables_that_are_none_are_refused(
    table: object, error: type[ChainruleError], text: str
) -> None:
    with pytest.raises(error, match=text):
        read_frame(table)


def test_numbers_beside_text_in_a_list_stay_numbers() -> None:
    assert numbers([[1, "a"], [2, "b"]]) == [1, 2]
    assert read_frame([[1], [2**63]]).column(0).distinct()[0] == [1, 2**63]


def test_names() -> None:
    assert read_frame(np.ones((1, 3))).names == ["x0", "x1", "x2"]
    assert not read_frame(np.ones((1, 3))).named
    assert not read_frame(pd.DataFrame(np.ones((1, 3)))).named
    assert read_frame(pl.DataFrame({"": [1], "b": [2]})).names == ["", "b"]
    assert read_frame(pl.DataFrame({"b": [2]})).named


def array_variants() -> dict[str, np.ndarray]:
    base = np.array([[1.5, -2.0], [0.25, 4.0], [8.0, 0.1]])
    swapped = base.astype(base.dtype.newbyteorder())
    read_only = base.copy()
    read_only.flags.writeable = False
    return {
        "Fortran order": np.asfortranarray(base),
        "negative strides": base[::-1].copy()[::-1],
        "every other": np.repeat(base, 2, axis=0)[::2],
        "big-endian": swapped,
        "read-only": read_only,
        "object": base.astype(object),
        "matrix": np.asmatrix(base),
        "long double": base.astype(np.longdouble),
    }


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("name", list(array_variants()))
def test_the_layout_of_an_array_does_not_matter(name: str) -> None:
    array = array_variants()[name]
    expected = np.ascontiguousarray(np.asarray(array), dtype=np.float64)
    before = array.tobytes()
    for position in range(2):
        np.testing.assert_array_equal(numbers(array, position), expected[:, position])
    assert array.tobytes() == before


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", ">i4", "f2", ">f4", "g"])
def test_every_number_type_is_read_as_float64(dtype: str) -> None:
    array = np.array([[0], [1], [1]]).astype(dtype)
    assert numbers(array) == [0, 1, 1]


def test_a_memory_map_is_read(tmp_path) -> None:
    mapped = np.memmap(tmp_path / "data", dtype=np.float32, mode="w+", shape=(4, 2))
    mapped[:] = np.arange(8).reshape(4, 2)
    assert numbers(mapped, 1) == [1, 3, 5, 7]


@pytest.mark.parametrize(
    "targets",
    [
        ["x", "y"],
        ("x", "y"),
        np.array(["x", "y"]),
        pd.Series(["x", "y"]),
        pl.Series(["x", "y"]),
        pa.chunked_array([["x", "y"]]),
        pa.array(["x", "y"]),
    ],
    ids=lambda targets: type(targets).__name__,
)
def test_targets_of_one_dimension(targets: object) -> None:
    columns, one_vector = read_targets(targets)
    assert one_vector
    assert [cells.distinct()[0] for cells in columns] == [["x", "y"]]


@pytest.mark.parametrize(
    "targets",
    [np.ones((3, 1)), [[1], [1], [1]], pd.DataFrame({"y": [1, 1, 1]}), {"y": [1, 1, 1]}],
    ids=lambda targets: type(targets).__name__,
)
def test_targets_of_one_column_are_a_vector_with_a_warning(targets: object) -> None:
    with pytest.warns(UserWarning, match=r"targets of shape \(3, 1\) .* pass y.ravel\(\)"):
        columns, one_vector = read_targets(targets)
    assert one_vector
    assert columns[0].numbers().tolist() == [1, 1, 1]


def test_targets_of_several_columns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        columns, one_vector = read_targets(pl.DataFrame({"a": [1, 2], "b": [3, 4]}))
    assert not one_vector
    assert [cells.numbers().tolist() for cells in columns] == [[1, 2], [3, 4]]


def test_data_frames_need_narwhals_and_arrays_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "narwhals", None)
    for read in (read_frame, read_targets):
        with pytest.raises(ImportError, match=r'narwhals is needed .*: pip install "chainrule\['):
            read(pd.DataFrame({"a": [1]}))
    assert numbers({"a": [1, 2]}) == [1, 2]
    assert read_targets([1, 2])[1]
