import json
import warnings
from importlib.resources import files

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from chainrule.columns import CategoryColumn
from chainrule.errors import (
    ChainruleError,
    ConfigError,
    DataError,
    DtypeError,
    FormatError,
    NotFittedError,
    ShapeError,
)
from chainrule.files import read_table
from chainrule.table import TableEncoder

PENGUINS = str(files("palmerpenguins") / "data" / "penguins.csv")


@pytest.fixture(scope="module")
def penguins() -> pd.DataFrame:
    return pd.read_csv(PENGUINS)


def assert_same(a: TableEncoder, b: TableEncoder, table_a: object, table_b: object) -> None:
    one, two = a.transform(table_a), b.transform(table_b)
    np.testing.assert_array_equal(one.numbers, two.numbers)
    np.testing.assert_array_equal(one.categories, two.categories)


def test_penguins(penguins: pd.DataFrame) -> None:
    encoder = TableEncoder().fit(penguins)
    encoded = encoder.transform(penguins)
    assert encoder.feature_names == list(penguins.columns)
    assert encoder.number_names == [
        "species = Adelie",
        "species = Chinstrap",
        "species = Gentoo",
        "island = Biscoe",
        "island = Dream",
        "island = Torgersen",
        "bill_length_mm",  # 2 of 344 are missing: too few for a column that tells where
        "bill_depth_mm",
        "flipper_length_mm",
        "body_mass_g",
        "sex = male",
        "year",
    ]
    assert encoded.numbers.shape == (344, 12)
    assert encoded.numbers.dtype == np.float32
    assert encoded.categories.shape == (344, 0)
    assert encoded.categories.dtype == np.int32
    assert np.abs(encoded.numbers).max() <= 3
    one_hot = encoded.numbers[:, :3]
    np.testing.assert_array_equal(one_hot, pd.get_dummies(penguins["species"]).to_numpy())
    mass = penguins["body_mass_g"]
    z = (mass - mass.median()) / (mass.quantile(0.75) - mass.quantile(0.25))
    expected = (z / np.sqrt(1 + (z / 3) ** 2)).fillna(0)
    np.testing.assert_allclose(encoded.numbers[:, 9], expected, atol=1e-7)
    sex = penguins["sex"].map({"male": 1, "female": -1}).fillna(0)
    np.testing.assert_array_equal(encoded.numbers[:, 10], sex)


def test_the_same_table_of_every_library_is_encoded_alike(penguins: pd.DataFrame) -> None:
    encoder = TableEncoder().fit(penguins)
    for table in (
        read_table(PENGUINS),
        pl.read_csv(PENGUINS, null_values="NA"),
        penguins.convert_dtypes(),
        penguins.astype({"species": "category", "sex": "category"}),
        penguins.astype(object),
        penguins.convert_dtypes(dtype_backend="pyarrow"),
        {name: column.to_list() for name, column in penguins.items()},
    ):
        assert_same(encoder, TableEncoder().fit(table), penguins, table)


def test_describe(penguins: pd.DataFrame) -> None:
    reports = TableEncoder(kinds={"year": "drop"}, one_hot=2).fit(penguins).describe()
    rows = {row.name: (row.kind, row.categories, row.how) for row in reports}
    assert rows["island"] == ("category", 3, "codes 2 to 4, 0 unknown, 1 missing")
    assert rows["sex"] == ("category", 2, "-1 is 'female', +1 is 'male', 0 is missing or unknown")
    assert rows["year"] == ("drop", None, "left out: kinds={'year': 'drop'}")
    assert rows["body_mass_g"] == (
        "number",
        None,
        "(x - 4050) / 1200, clipped to ±3",
    )
    missing = {row.name: row.missing for row in reports}
    assert missing["sex"] == pytest.approx(11 / 344)
    assert missing["island"] == 0
    assert missing["year"] is None


def test_only_training_rows_are_learned_from(penguins: pd.DataFrame) -> None:
    train, test = penguins.iloc[:150], penguins.iloc[150:]
    encoder = TableEncoder().fit(train)
    before = encoder.to_state()
    encoder.transform(test)
    assert encoder.to_state() == before
    shifted = test.assign(body_mass_g=1e6)
    np.testing.assert_array_equal(
        encoder.transform(pd.concat([train, shifted])).numbers[:150],
        encoder.transform(train).numbers,
    )
    assert "species = Gentoo" not in encoder.number_names


@pytest.mark.parametrize("scaling", ["standard", "range"])
def test_other_scalings_learn_from_training_rows_alone(scaling: str) -> None:
    rng = np.random.default_rng(0)
    train, test = rng.normal(5.0, 3.0, (50, 2)), rng.normal(50.0, 3.0, (50, 2))
    train[3, 1] = np.nan
    encoder = TableEncoder(scaling=scaling).fit(train)
    numbers = encoder.transform(train).numbers[:, :2].astype(float)
    numbers[3, 1] = np.nan
    if scaling == "standard":
        np.testing.assert_allclose(np.nanmean(numbers, axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(np.nanstd(numbers, axis=0), 1, rtol=1e-6)
    else:
        np.testing.assert_allclose(np.nanmin(numbers, axis=0), -1, rtol=1e-6)
        np.testing.assert_allclose(np.nanmax(numbers, axis=0), 1, rtol=1e-6)
    assert encoder.transform(test).numbers[:, 0].min() > 3  # no limit, and nothing learned of them
    again = TableEncoder.from_state(json.loads(json.dumps(encoder.to_state())))
    assert again.scaling == scaling
    np.testing.assert_array_equal(again.transform(test).numbers, encoder.transform(test).numbers)
    assert "clipped" not in encoder.describe()[0].how
    with pytest.raises(ConfigError, match="expected one of robust, standard, range"):
        TableEncoder(scaling="max")


def test_scaling_does_not_overflow() -> None:
    table = np.array([[-1e308], [1e308], [0.0], [1e300]])
    for scaling in ("standard", "range"):
        assert np.isfinite(TableEncoder(scaling=scaling).fit(table).transform(table).numbers).all()


def test_many_categories_become_codes() -> None:
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "town": rng.choice([f"t{i:02}" for i in range(20)], 400),
            "size": rng.normal(size=400),
            "street": rng.choice([f"s{i:02}" for i in range(30)], 400),
        }
    )
    encoder = TableEncoder().fit(table)
    assert encoder.cardinalities == [22, 32]
    assert encoder.number_names == ["size"]
    new = pl.DataFrame({"town": ["t00", None, "t99"], "size": 0.0, "street": ["s29", "s00", None]})
    encoded = encoder.transform(new)
    np.testing.assert_array_equal(encoded.categories, [[2, 31], [1, 2], [0, 1]])
    encoded = encoder.transform(table)
    town = [int(name[1:]) + 2 for name in table["town"]]
    np.testing.assert_array_equal(encoded.categories[:, 0], town)
    assert (encoded.categories < encoder.cardinalities).all()


def test_zero_rows() -> None:
    table = pd.DataFrame({"n": [1, 2, None, 3], "c": list("abca"), "b": [True, False] * 2})
    encoder = TableEncoder(one_hot=2).fit(table)
    encoded = encoder.transform(table.iloc[:0])
    assert encoded.numbers.shape == (0, 3)
    assert encoded.categories.shape == (0, 1)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (np.ones((0, 3)), r"0 sample\(s\) \(shape=\(0, 3\)\)"),
        (pd.DataFrame({"a": []}), r"0 sample\(s\) \(shape=\(0, 1\)\)"),
        (np.ones((3, 0)), r"0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1 is required"),
        ({}, r"0 sample\(s\)"),
        (
            pd.DataFrame({"a": [1, 1], "b": [None, None]}),
            "no column is left .* 'a': left out: it is 1 in every row; 'b': left out: it has no v",
        ),
        (np.array([[1.0], [np.inf]]), r"column 'x0', row 1 \(counted from 0\): inf is not finite"),
    ],
    ids=["0 rows", "0 rows named", "0 columns", "empty", "nothing left", "inf"],
)
def test_fit_refuses(table: object, text: str) -> None:
    with pytest.raises(DataError, match=text):
        TableEncoder().fit(table)


def test_a_column_of_dates_is_refused_with_the_remedy() -> None:
    table = pd.DataFrame({"when": pd.to_datetime(["2024-01-01", "2024-01-02"]), "a": [1, 2]})
    with pytest.raises(DtypeError, match=r"'when' holds dates.* leave .* kinds={'when': 'drop'}"):
        TableEncoder().fit(table)
    encoder = TableEncoder(kinds={"when": "drop"}).fit(table)
    assert encoder.number_names == ["a"]
    assert encoder.transform(table).numbers.shape == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"kinds": {"a": "ordinal"}}, r"kinds\['a'\] is 'ordinal', possible are \['number', 'boo"),
        ({"one_hot": -1}, "one_hot is a number of categories"),
        ({"one_hot": 2.5}, "one_hot is a number of categories"),
        ({"one_hot": True}, "one_hot is a number of categories"),
        ({"clip": 0}, "clip is a positive finite number"),
        ({"clip": float("inf")}, "clip is a positive finite number"),
        ({"clip": float("nan")}, "clip is a positive finite number"),
        ({"clip": "3"}, "clip is a positive finite number"),
    ],
)
def test_parameters_are_checked(arguments: dict, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        TableEncoder(**arguments)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("boddy_mass", "did you mean 'body_mass_g'"), ("qqq", r"it has \['species', 'island'")],
)
def test_kinds_of_a_column_that_is_not_there(penguins: pd.DataFrame, name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"kinds names a column '{name}'.*{hint}"):
        TableEncoder(kinds={name: "drop"}).fit(penguins)


def test_kinds_overrule_what_is_inferred() -> None:
    table = {"zip": [1010, 2020, 1010], "flag": [0, 1, 1], "text": ["1", "2", "4"]}
    kinds = {"zip": "category", "flag": "boolean", "text": "number"}
    encoder = TableEncoder(kinds=kinds).fit(table)
    assert [column.kind for column in encoder.columns] == ["category", "boolean", "number"]
    numbers = encoder.transform(table).numbers
    np.testing.assert_array_equal(numbers[:, 0], [-1, 1, -1])
    np.testing.assert_array_equal(numbers[:, 1], [-1, 1, 1])
    assert numbers[1, 2] == 0


@pytest.mark.parametrize("clip", [0.5, 3, 1000.0])
def test_clip_bounds_numbers(clip: float) -> None:
    encoder = TableEncoder(clip=clip).fit([[0.0], [1.0], [2.0]])
    numbers = encoder.transform([[1e30], [-1e30], [1.0]]).numbers[:, 0]
    np.testing.assert_allclose(numbers[:2], [clip, -clip], rtol=1e-6)
    assert numbers[2] == 0


# ---- columns at transform

FITTED = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "x"], "c": [0.5, 0.1, 0.2]})


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (FITTED[["b", "a", "c"]], r"in another order: pass table\[\['a', 'b', 'c'\]\]"),
        (FITTED[["a", "b"]], r"lacks columns \['c'\]: add or rename them"),
        (FITTED.assign(d=1), r"has columns \['d'\] that training had not: pass table\[\['a', 'b'"),
        (
            FITTED.rename(columns={"a": "A"}),
            r"lacks columns \['a'\] and has columns \['A'\] .*: add or",
        ),
        (
            pa.Table.from_pandas(FITTED[["b", "a", "c"]]),
            r"another order: pass table.select\(\['a', 'b', 'c'\]\)",
        ),
        (
            {"c": [1], "b": ["x"], "a": [1]},
            r"another order: pass {name: table\[name\] for name in \['a', 'b', 'c'\]}",
        ),
    ],
    ids=["order", "missing", "extra", "renamed", "order pyarrow", "order dictionary"],
)
def test_other_columns_than_in_training_are_refused(table: object, text: str) -> None:
    with pytest.raises(DataError, match=text):
        TableEncoder().fit(FITTED).transform(table)


def test_the_remedy_for_many_columns_is_short() -> None:
    table = pd.DataFrame({f"c{i}": [i, i + 1] for i in range(20)})
    encoder = TableEncoder().fit(table)
    with pytest.raises(DataError, match=r"pass table\[encoder.feature_names\]"):
        encoder.transform(table[table.columns[::-1]])
    with pytest.raises(DataError, match=r"lacks columns \['c5', .*'c14'\] and 5 more: add"):
        encoder.transform(table[table.columns[:5]])


def test_names_on_one_side_only_warn() -> None:
    rows = [[1, "x", 0.5], [2, "y", 0.1]]
    table = pd.DataFrame(rows, columns=["a", "b", "c"])
    named, unnamed = TableEncoder().fit(table), TableEncoder().fit(rows)
    with pytest.warns(UserWarning, match="by position: .* had names, this one has none"):
        by_position = named.transform(rows)
    with pytest.warns(UserWarning, match="by position: the table of training had no names"):
        unnamed.transform(table)
    np.testing.assert_array_equal(by_position.numbers, named.transform(table).numbers)


def test_no_warning_without_names_on_both_sides() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TableEncoder().fit(np.eye(3)).transform(pd.DataFrame(np.eye(3)))


@pytest.mark.parametrize("columns", [1, 4])
def test_another_number_of_columns_is_refused(columns: int) -> None:
    text = f"X has {columns} features, but TableEncoder is expecting 3 features as input"
    with pytest.raises(ShapeError, match=text):
        TableEncoder().fit(np.eye(3)).transform(np.ones((2, columns)))


def test_a_column_that_changes_its_kind_is_refused() -> None:
    encoder = TableEncoder().fit(FITTED)
    for column, new, text in [
        ("a", [1, 2, "three"], r"column 'a', row 2 \(counted from 0\): 'three' is not a number"),
        ("b", ["x", 5, "y"], r"column 'b', row 1 \(counted from 0\): found 5 of type int"),
    ]:
        table = FITTED.assign(**{column: pd.Series(new, dtype=object)})
        with pytest.raises(DataError, match=text):
            encoder.transform(table)


def test_not_fitted() -> None:
    with pytest.raises(NotFittedError, match=r"call fit\(table\) first"):
        TableEncoder().transform([[1]])
    with pytest.raises(NotFittedError):
        TableEncoder().to_state()


def test_a_failed_fit_leaves_the_encoder_as_it_was() -> None:
    encoder = TableEncoder().fit(FITTED)
    before = encoder.to_state()
    with pytest.raises(ChainruleError):
        encoder.fit([[np.inf]])
    assert encoder.to_state() == before


# ---- state


def test_state_goes_through_json_exactly(penguins: pd.DataFrame) -> None:
    kinds = {"year": "category", "species": "drop"}
    encoder = TableEncoder(kinds=kinds, one_hot=2, clip=2).fit(penguins)
    text = json.dumps(encoder.to_state(), allow_nan=False)
    back = TableEncoder.from_state(json.loads(text))
    assert back.columns == encoder.columns
    assert (back.kinds, back.one_hot, back.clip) == (kinds, 2, 2.0)
    assert json.dumps(back.to_state()) == text
    assert_same(encoder, back, penguins, penguins)
    assert_same(
        TableEncoder(kinds=kinds, one_hot=2, clip=2).fit(penguins[:99]),
        back.fit(penguins[:99]),
        penguins,
        penguins,
    )


def test_state_remembers_whether_there_were_names() -> None:
    encoder = TableEncoder().fit(np.eye(2))
    back = TableEncoder.from_state(encoder.to_state())
    with pytest.warns(UserWarning, match="training had no names"):
        back.transform(pd.DataFrame({"a": [1.0], "b": [2.0]}))


@pytest.mark.parametrize(
    "change",
    [
        {"columns": []},
        {"columns": [1]},
        {"columns": "none"},
        {"kinds": {"a": "formula"}},
        {"kinds": {"a": 1}},
        {"one_hot": -1},
        {"one_hot": 2.0},
        {"clip": 3},
        {"clip": -3.0},
        {"named": None},
        {"pickle": "gASV"},
    ],
    ids=str,
)
def test_a_state_that_is_wrong_is_refused(change: dict) -> None:
    state = TableEncoder().fit(FITTED).to_state() | change
    with pytest.raises(FormatError):
        TableEncoder.from_state(state)


def test_a_state_with_a_column_twice_is_refused() -> None:
    state = TableEncoder().fit(FITTED).to_state()
    state["columns"] = state["columns"][:1] * 2
    with pytest.raises(FormatError, match="each another one"):
        TableEncoder.from_state(state)


# ---- arrays


def test_arrays_of_any_layout_give_the_same_bits() -> None:
    base = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32).astype(np.float64)
    base[3, 2] = np.nan
    expected = TableEncoder().fit(base).transform(base).numbers
    read_only = base.copy()
    read_only.flags.writeable = False
    for array in (
        np.asfortranarray(base),
        base[::-1].copy()[::-1],
        base.astype(">f8"),
        base.astype("f4"),
        base.astype("g"),
        base.astype(object),
        base.tolist(),
        read_only,
    ):
        encoded = TableEncoder().fit(array).transform(array).numbers
        assert encoded.tobytes() == expected.tobytes()


def test_a_column_of_objects_is_a_column_of_python_values() -> None:
    array = np.array([[1, "a", True], [2.5, "b", None], [None, "c", False]], dtype=object)
    encoder = TableEncoder().fit(array)
    assert [column.kind for column in encoder.columns] == ["number", "category", "boolean"]
    assert isinstance(encoder.columns[1], CategoryColumn)
    assert encoder.columns[1].values == ("a", "b", "c")
