"""Each hint is planted in generated data and found, and not found in data without it."""

import datetime
import json
import warnings

import numpy as np
import pytest

from chainrule.advise import (
    class_hints,
    compare,
    examine,
    leaks,
    rows_per_input,
    table_hints,
    trials,
)
from chainrule.advise.hints import FEW_ROWS, IMBALANCE
from chainrule.errors import ConfigError, DataError, ShapeError

N = 120


def clean(seed: int = 0) -> dict[str, object]:
    """A table of which nothing is to be said."""
    rng = np.random.default_rng(seed)
    return {
        "height": rng.normal(170, 10, N),
        "rooms": rng.integers(1, 9, N),
        "city": rng.choice(["Oslo", "Rome", "Lima"], N),
        "member": rng.random(N) < 0.5,
    }


def names(hints) -> list[str]:
    return [hint.name for hint in hints]


def days(form: str) -> list[str]:
    first = datetime.date(2021, 1, 25)
    return [(first + datetime.timedelta(i // 2)).strftime(form) for i in range(N)]


ROW_NUMBERS = np.random.default_rng(5).permutation(N)
HALF_GONE = np.where(np.arange(N) % 5 < 3, np.nan, np.random.default_rng(6).normal(size=N))

# Name of the hint, and the column that plants it.
# fmt: off
PLANTED = [
    ("identifier", np.arange(1, N + 1)),                           # counts up
    ("identifier", ROW_NUMBERS),                                   # the same, shuffled
    ("identifier", ROW_NUMBERS.astype(float) + 7000),
    ("identifier", [f"customer {i}" for i in range(N)]),
    ("many-categories", [f"street {i // 5 * 4 + min(i % 5, 3)}" for i in range(N)]),
    ("dates", days("%Y-%m-%d")),
    ("dates", days("%d.%m.%Y")),
    ("dates", days("%m/%d/%Y")),
    ("dates", [f"{day}T12:30:00" for day in days("%Y-%m-%d")]),
    ("dates", [int(day) for day in days("%Y%m%d")]),
    ("dates", np.array(days("%Y-%m-%d"), dtype="datetime64[D]")),
    ("dates", [datetime.date(2020, 1, 1 + i % 28) for i in range(N)]),
    ("constant", np.full(N, 7.5)),
    ("constant", ["same"] * N),
    ("constant", [None] * N),
    ("missing", HALF_GONE),
    ("unreadable", np.array([b"x", b"y"] * (N // 2))),
]
# fmt: on


def test_nothing_is_said_of_a_clean_table():
    for seed in range(10):
        table = clean(seed)
        assert table_hints(table, np.tile(["a", "b"], N // 2)) == []


@pytest.mark.parametrize(("name", "column"), PLANTED)
def test_a_bad_column_is_found(name, column):
    table = clean() | {"bad": column}
    found = table_hints(table)
    assert [(hint.name, hint.columns) for hint in found] == [(name, ("bad",))]
    assert "'bad'" in found[0].text
    assert "{'bad': 'drop'}" in found[0].remedy
    assert table_hints(table, kinds={"bad": "drop"}) == []


@pytest.mark.parametrize(
    "column",
    [
        np.random.default_rng(0).integers(10**6, size=N),  # amounts, all different, with gaps
        np.random.default_rng(77).normal(size=N),
        np.arange(N) / 2,  # not whole
        [20, 30] * (N // 2),
        ["2021", "2022"] * (N // 2),  # years are groups
        ["1.5.2", "1.5.3"] * (N // 2),  # versions
        np.where(np.arange(N) % 3 == 0, np.nan, 1.0) * np.random.default_rng(1).normal(size=N),
        np.random.default_rng(1).integers(19_999_999, 99_999_999, N),
    ],
)
def test_a_good_column_is_not(column):
    assert table_hints(clean() | {"good": column}) == []


@pytest.mark.parametrize(
    "copy",
    [
        lambda t: t["height"] / 2.54,
        lambda t: 5 - t["height"],
        lambda t: np.array(["a", "b", "c"])[np.unique(t["city"], return_inverse=True)[1]],
        lambda t: np.where(t["member"], "yes", "no"),
    ],
)
def test_columns_that_repeat_are_found(copy):
    table = clean()
    table["again"] = copy(table)
    (hint,) = table_hints(table)
    assert hint.name == "repeats"
    assert hint.columns[1] == "again"


def test_columns_that_nearly_repeat_are_not():
    table = clean()
    table["near"] = table["height"] + np.random.default_rng(9).normal(size=N)
    town = np.array(table["city"], dtype=object)
    town[0] = "Rome" if town[0] != "Rome" else "Oslo"
    table["town"] = town
    gaps = np.array(table["height"])
    gaps[:5] = np.nan  # the same, where both are known
    table["with gaps"] = gaps
    assert table_hints(table) == []


def test_rare_classes_and_imbalance():
    assert class_hints(["a"] * 100 + ["b"] * FEW_ROWS)[0].name == "imbalance"
    assert class_hints(["a"] * (IMBALANCE * 20 - 1) + ["b"] * 20) == []
    (hint,) = class_hints(["a"] * (IMBALANCE * 20) + ["b"] * 20)
    assert (hint.name, hint.figures) == ("imbalance", {"ratio": 10.0})
    assert "class_weight='balanced'" in hint.remedy
    few = class_hints(["a"] * 20 + ["b"] * (FEW_ROWS - 1))
    assert names(few) == ["few-rows"]
    many = class_hints([f"c{i}" for i in range(8)] * 2)
    assert len(many) == 6
    assert many[-1].text == "3 more classes have fewer than 10 rows"
    assert names(table_hints(clean(), np.arange(N) < 3)) == ["few-rows", "imbalance"]
    assert table_hints(clean(), np.arange(N) < 3, classes=False) == []


def test_rows_per_input():
    assert rows_per_input(100, 10) == []
    assert names(rows_per_input(99, 10)) == ["rows-per-input"]


# ---------------------------------------------------------------- trials

RNG = np.random.default_rng(3)
X = RNG.normal(size=(300, 4))
NOISE = RNG.normal(size=300)

# fmt: off
VERDICTS = [
    ("linear",    X[:, 0] - 2 * X[:, 1] + NOISE,        False),
    ("nonlinear", X[:, 0] * X[:, 1] + NOISE / 4,        False),
    ("nothing",   NOISE,                                False),
    ("linear",    X[:, 0] - X[:, 1] + NOISE / 2 > 0,    True),
    ("nonlinear", X[:, 0] * X[:, 1] > 0,                True),
    ("nothing",   NOISE > 0,                            True),
    ("nonlinear", np.abs(X[:, 0]) > 2.1,                True),   # rare: balanced accuracy
]
# fmt: on


@pytest.mark.slow
@pytest.mark.parametrize(("verdict", "y", "classes"), VERDICTS)
def test_the_verdict_is_that_of_the_data(verdict, y, classes):
    found = compare(X, y, classes=classes)
    assert found.verdict == verdict == found.hint.name
    if verdict != "nothing":
        score = next(s for s in found.scores if s.model == found.linear)
        shown = f"{found.linear} {found.score} {score.mean:.3f} ± {score.margin:.3f}"
        assert shown in found.hint.text
    assert found.rows == 300


@pytest.mark.slow
def test_gains_that_may_be_chance_are_undecided():
    x = X[:60]
    y = x[:, 0] + 0.6 * x[:, 1] ** 2 + 0.6 * NOISE[:60]
    found = compare(x, y, classes=False)
    assert found.verdict == "undecided"
    assert trials.MARGIN < found.gain.mean <= found.gain.margin
    assert "cannot be told from 60 rows" in found.hint.text


@pytest.mark.slow
def test_trials_are_repeatable_sampled_and_balanced_where_classes_are_rare():
    y = np.abs(X[:, 0]) > 2.1
    first, second = (compare(X, y, classes=True, seed=1) for _ in range(2))
    assert first == second
    assert first.score == "balanced accuracy"
    assert first.scores[0].mean == pytest.approx(0.5, abs=0.01)


def test_trials_take_few_rows_of_large_tables():
    assert len(trials.sampled(10**6, 5, seed=0)) == trials.MOST_ROWS
    assert len(trials.sampled(10**6, 200, seed=0)) == trials.MOST_CELLS // 200
    assert trials.sampled(30, 5, seed=0).tolist() == list(range(30))


def test_what_cannot_be_compared():
    with pytest.raises(DataError, match="19 rows are too few to compare models on: 20 at least"):
        compare(X[:19], NOISE[:19], classes=False)
    with pytest.raises(DataError, match=r"the target is 1.0 in every row"):
        compare(X, np.ones(300), classes=False)
    with pytest.raises(ShapeError, match=r"X has shape \(300, 4\), y has 3 rows"):
        compare(X, [1.0, 2.0, 3.0], classes=False)


@pytest.mark.parametrize("classes", [False, True])
def test_a_leak_is_found_and_a_good_column_is_not(classes):
    y = NOISE > 0 if classes else NOISE
    blocks = {
        "leak": np.where(y, 5.0, 0.0)[:, None] if classes else 100 * y[:, None] + 3,
        "good": y[:, None] + RNG.normal(size=(300, 1)),
        "noise": X,
    }
    assert list(leaks(blocks, y, classes=classes)) == ["leak"]
    assert leaks({}, y, classes=classes) == {}
    assert leaks({"few": X[:5]}, y[:5], classes=classes) == {}
    assert leaks({"x": X}, np.ones(300), classes=classes) == {}


@pytest.mark.slow
def test_a_lasso_is_tried_where_few_of_many_inputs_matter():
    wide = np.random.default_rng(0).normal(size=(200, 150))
    found = compare(wide, wide[:, 0] + 0.5 * wide[:, 1] + NOISE[:200] / 2, classes=False)
    assert (found.verdict, found.linear) == ("linear", "lasso")
    bent = compare(wide, np.where(np.abs(wide[:, 0]) > 1, 3, 0) + NOISE[:200] / 4, classes=False)
    assert "is not linear, or on few of the 150 inputs: " in bent.hint.text


# ---------------------------------------------------------------- a whole table


@pytest.mark.slow
def test_examine_finds_what_was_planted_and_leaves_it_out():
    table = clean()
    y = (table["height"] > 170).astype(int)
    noisy = np.where(np.random.default_rng(1).random(N) < 0.2, 1 - y, y)
    table |= {"id": np.arange(N), "result": np.where(noisy, "won", "lost"), "flat": [1] * N}
    found = examine(table, noisy)
    assert (found.task, found.rows, found.rank.columns) == ("binary", N, 4)
    assert found.left_out == ("id", "result", "flat")
    assert names(found.hints)[:3] == ["identifier", "constant", "leak"]
    assert found.comparison.scores[-1].mean < 0.95  # the leak had no part
    assert json.loads(json.dumps(found.to_dict()))["hints"][2]["columns"] == ["result"]


@pytest.mark.slow
def test_examine_passes_over_rows_without_target_and_takes_any_table():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    y = 0.3 * X[:, 0] + NOISE
    y[:7] = np.nan
    plain = examine(X, y)
    assert plain.rows == 293
    columns = {f"x{i}": X[:, i] for i in range(4)}
    for table in (pandas.DataFrame(columns), polars.DataFrame(columns), columns):
        assert examine(table, y) == plain


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3, 30])
def test_many_classes_and_many_categories(classes):
    rng = np.random.default_rng(0)
    y = [f"c{i}" for i in rng.integers(classes, size=400)]
    table = {"street": [f"s{i}" for i in rng.integers(60, size=400)], "x": rng.normal(size=400)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = examine(table, y)
    assert found.comparison.verdict == "nothing"
    assert found.rank.numerical == 2


def test_a_table_of_few_rows_is_not_compared():
    found = examine(X[:12], NOISE[:12])
    assert found.comparison is None
    assert "12 rows are too few to compare models on" in [hint.text for hint in found.hints]
    assert "rows-per-input" in names(found.hints)


@pytest.mark.parametrize(
    ("table", "y", "settings", "error", "text"),
    [
        (X, np.ones(300), {}, DataError, "the target has only the value 1.0"),
        (X, [None] * 300, {}, DataError, "the target has no value in any row"),
        (X[:1], [1.0], {}, DataError, "the target has only the value 1.0"),
        (X[:0], [], {}, DataError, "0 rows"),
        (X[:, :0], NOISE, {}, DataError, "0 columns"),
        (X, NOISE[:5], {}, ShapeError, "X has 300 rows, y has 5"),
        (X, np.ones((300, 2)), {}, ShapeError, "a target is one column, this has 2"),
        (X, [f"t{i}" for i in range(300)], {}, DataError, "300 different classes in 300 rows"),
        (X, NOISE, {"task": "guess"}, ConfigError, "task='guess': expected 'auto'"),
        (X, NOISE, {"task": "classification"}, ConfigError, "numbers with fractions, not classes"),
        (X, ["a", "b"] * 150, {"task": "regression"}, DataError, "is not a number"),
        ({"id": range(30)}, ["a", "b"] * 15, {}, DataError, "no column is left to learn from"),
        (X, NOISE, {"kinds": {"nope": "drop"}}, ConfigError, "'nope', which the table lacks"),
    ],
)  # fmt: skip
def test_what_cannot_be_examined(table, y, settings, error, text):
    if isinstance(table, dict):
        table = {name: np.array(values) for name, values in table.items()}
    with pytest.raises(error, match=text):
        examine(table, y, **settings)
