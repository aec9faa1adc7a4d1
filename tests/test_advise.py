"""The eight rows of the recommendation table, the number of independent features, and the task."""

import numpy as np
import pytest

from chainrule import functional, losses, nn, optim
from chainrule.advise import (
    LARGE_ROWS,
    MANY_FEATURES,
    MOST_CLASSES,
    MOST_DEAD,
    ROWS_PER_CLASS,
    SCENARIOS,
    effective_rank,
    infer_task,
    numerical_rank,
    rank_of,
    recommend,
    repeated_columns,
)
from chainrule.errors import ConfigError, DataError, ShapeError
from chainrule.table import TableEncoder
from chainrule.training import train

ADAPTIVE, SIMPLE = ("adam", "rmsprop"), ("adam", "sgd")
CROSS_ENTROPIES = ("binary_cross_entropy_with_logits", "cross_entropy")


# fmt: off
ROWS = [
    ("regression", 100,            MANY_FEATURES,     "none",    "mse",              ADAPTIVE),
    ("regression", LARGE_ROWS,     MANY_FEATURES - 1, "none",    "mse",              SIMPLE),
    ("binary",     LARGE_ROWS,     2,                 "sigmoid", CROSS_ENTROPIES[0], ADAPTIVE),
    ("binary",     LARGE_ROWS - 1, 500,               "sigmoid", CROSS_ENTROPIES[0], SIMPLE),
    ("multiclass", 100,            MANY_FEATURES,     "softmax", CROSS_ENTROPIES[1], ADAPTIVE),
    ("multiclass", LARGE_ROWS,     MANY_FEATURES - 1, "softmax", CROSS_ENTROPIES[1], SIMPLE),
]
# fmt: on


# The eight rows of the study notes: task, kind, whether many or large; then their words.
# fmt: off
NOTES = [
    ("regression", "table",    True,  "None / ReLU", "MSE",                       "Adam / RMSprop"),
    ("regression", "table",    False, "None / ReLU", "MSE",                       "Adam / SGD"),
    ("binary",     "table",    True,  "Sigmoid",     "BCE",                       "Adam / RMSprop"),
    ("binary",     "table",    False, "Sigmoid",     "BCE",                       "Adam / SGD"),
    ("multiclass", "table",    True,  "Softmax",     "Categorical cross-entropy", "Adam / RMSprop"),
    ("multiclass", "table",    False, "Softmax",     "Categorical cross-entropy", "Adam / SGD"),
    ("multiclass", "image",    True,  "ReLU",        "Cross-entropy",             "Adam / RMSprop"),
    ("multiclass", "sequence", False, "ReLU",        "Cross-entropy",             "Adam / SGD"),
]
LOSS_NAMES = {"MSE": "mse", "BCE": "binary_cross_entropy_with_logits",
              "Categorical cross-entropy": "cross_entropy", "Cross-entropy": "cross_entropy"}
# fmt: on


@pytest.mark.parametrize(("task", "kind", "big", "activation", "loss", "optimizers"), NOTES)
def test_the_eight_rows_of_the_notes(task, kind, big, activation, loss, optimizers):
    rows, columns = (LARGE_ROWS, MANY_FEATURES) if big else (LARGE_ROWS - 1, MANY_FEATURES - 1)
    advice = recommend(task, rows, columns, kind=kind)
    row = SCENARIOS[advice.scenario]
    assert (row.activation, row.loss, row.optimizers) == (activation, loss, optimizers)
    assert advice.loss == LOSS_NAMES[loss]
    assert advice.optimizers == tuple(optimizers.lower().split(" / "))
    # The notes have one column for two activations: theirs is one of the two, or both.
    named = activation.lower().split(" / ")
    assert set(named) <= {advice.output_activation, advice.hidden_activation}


def test_every_row_is_reached():
    reached = {
        recommend(task, rows, columns, kind=kind).scenario
        for task in ("regression", "binary", "multiclass")
        for kind in ("table", "image", "sequence")
        for rows in (LARGE_ROWS - 1, LARGE_ROWS)
        for columns in (MANY_FEATURES - 1, MANY_FEATURES)
    }
    assert reached == set(SCENARIOS)
    assert len(SCENARIOS) == 8


@pytest.mark.parametrize(
    ("task", "kind", "words"),
    [
        ("regression", "table", "an output behind a ReLU is never negative"),
        ("multiclass", "image", "'ReLU' is for the hidden layers; the output is softmax"),
        ("binary", "sequence", "in the cell of an RNN tanh"),
        ("regression", "image", "'Cross-entropy' is for classes; numbers take mse"),
        ("binary", "table", "some clearly beat sgd"),
    ],
)
def test_where_a_row_is_unsound_it_says_so(task, kind, words):
    caveats = recommend(task, 100, 5, kind=kind).caveats
    assert any(words in caveat for caveat in caveats)
    sound = recommend("binary", LARGE_ROWS, 5).caveats
    assert len(sound) == 1
    assert "clearly beat either" in sound[0]


@pytest.mark.parametrize(("nonlinearity", "stays"), [("tanh", True), ("relu", False)])
def test_why_the_cell_of_a_recurrent_net_has_tanh(nonlinearity, stays):
    net = nn.RNN(1, 4, nonlinearity=nonlinearity)
    weights = {name: np.zeros(p.shape) for name, p in net.named_parameters()}
    weights["weight_hh_l0"], weights["weight_ih_l0"] = 1.2 * np.eye(4), np.ones((4, 1))
    net.load_state_dict(weights)
    states, _ = net(np.ones((100, 1, 1), np.float32))
    assert (np.abs(states.detach().numpy()).max() <= 1) == stays


@pytest.mark.parametrize(("task", "rows", "features", "output", "loss", "optimizers"), ROWS)
def test_tables(task, rows, features, output, loss, optimizers):
    advice = recommend(task, rows, 1000, independent_features=features)
    assert advice.output_activation == output
    assert advice.hidden_activation == "relu"
    assert advice.loss == loss
    assert advice.optimizers == optimizers


@pytest.mark.parametrize("kind", ["image", "sequence"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize(("rows", "optimizers"), [(LARGE_ROWS, ADAPTIVE), (100, SIMPLE)])
def test_images_and_sequences(kind, task, rows, optimizers):
    advice = recommend(task, rows, 784, independent_features=500, kind=kind)
    assert advice.hidden_activation == "relu"
    assert advice.loss in CROSS_ENTROPIES
    assert advice.optimizers == optimizers


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("kind", ["table", "image", "sequence"])
def test_every_name_exists_and_has_a_reason(task, kind):
    advice = recommend(task, 50, 4, kind=kind, dead_units=0.5)
    assert advice.hidden_activation in functional.ACTIVATIONS
    assert advice.output_activation in {"none", *functional.ACTIVATIONS}
    assert advice.loss in losses.LOSSES
    assert set(advice.optimizers) <= set(optim.OPTIMIZERS)
    fields = {"output_activation", "hidden_activation", "loss", "optimizers"}
    assert set(advice.reasons) == fields
    assert all(reason and "\n" not in reason for reason in advice.reasons.values())


def test_without_a_rank_all_columns_count():
    assert recommend("regression", 100, MANY_FEATURES).optimizers == ADAPTIVE
    assert recommend("regression", 100, MANY_FEATURES - 1).optimizers == SIMPLE


def test_dead_units_get_a_slope():
    assert recommend("binary", 10, 2, dead_units=MOST_DEAD).hidden_activation == "relu"
    advice = recommend("binary", 10, 2, dead_units=MOST_DEAD + 0.01)
    assert advice.hidden_activation == "leaky_relu"
    assert "21% of the units never fire" in advice.reasons["hidden_activation"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"task": "ranking"}, "task='ranking': expected one of regression, binary, multiclass"),
        ({"kind": "audio"}, "kind='audio': expected 'table', 'image' or 'sequence'"),
        ({"rows": 0}, "rows=0, columns=5: expected at least 1 of both"),
        ({"dead_units": 2}, "dead_units=2: expected a share between 0 and 1"),
    ],
)
def test_wrong_questions(arguments, text):
    with pytest.raises(ConfigError, match=text):
        recommend(**{"task": "binary", "rows": 10, "columns": 5} | arguments)


@pytest.mark.parametrize(("activation", "floor"), [("relu", 5 / 3), ("identity", 0.0)])
def test_why_a_regression_has_no_relu_at_its_end(activation, floor):
    x, y = np.eye(3, dtype=np.float32), np.array([[-1.0], [-2.0], [1.0]], np.float32)
    model = nn.Sequential(nn.Linear(3, 1), nn.Activation(activation))
    model.load_state_dict({"0.weight": np.full((1, 3), 0.5), "0.bias": np.zeros(1)})
    train(model, "mse", x, y, optimizer=optim.Adam(0.1), epochs=400, batch_size=None, seed=0)
    assert np.mean((model.predict(x) - y) ** 2) == pytest.approx(floor, abs=1e-4)


# ---------------------------------------------------------------- independent features

COLUMNS = np.linalg.qr(np.random.default_rng(0).normal(size=(50, 5)))[0]
CENTERED = np.linalg.qr(COLUMNS - COLUMNS.mean(axis=0))[0]  # uncorrelated


def test_uncorrelated_columns_all_count():
    assert effective_rank(CENTERED) == pytest.approx(5)
    assert effective_rank(CENTERED[:, :1]) == pytest.approx(1)


@pytest.mark.parametrize("copies", [1, 2, 10])
def test_copies_do_not_count(copies):
    repeated = np.column_stack([CENTERED[:, 0]] * (copies + 1))
    assert effective_rank(repeated) == pytest.approx(1)
    doubled = np.column_stack([CENTERED] * (copies + 1))
    assert effective_rank(doubled) == pytest.approx(5)


def test_scale_shift_and_constants_do_not_matter():
    changed = np.array(CENTERED * [1e200, 1e-200, -3, 7, 1] + [5e200, 0, 1, 0, 1])
    with_constant = np.column_stack([changed, np.full(50, 0.1)])
    assert effective_rank(with_constant) == pytest.approx(5)
    assert effective_rank(np.full((4, 3), 0.1)) == 0


def test_wide_and_tall_tables_agree():
    wide = np.random.default_rng(1).normal(size=(6, 40))
    assert 1 < effective_rank(wide) <= 5  # 6 centered rows span at most 5 directions


def test_missing_numbers_count_as_the_mean():
    holed, filled = CENTERED.copy(), CENTERED.copy()
    holed[3, 2] = np.nan
    filled[3, 2] = np.delete(CENTERED[:, 2], 3).mean()
    assert effective_rank(holed) == pytest.approx(effective_rank(filled))
    assert effective_rank(np.full((3, 2), np.nan)) == 0


def test_what_has_no_rank():
    with pytest.raises(ShapeError, match=r"X has shape \(3,\): expected \(rows, columns\)"):
        effective_rank(np.ones(3))
    with pytest.raises(DataError, match="X is inf in row 1, column 0"):
        effective_rank([[1.0], [np.inf]])


def test_effective_rank_is_that_of_roy_and_vetterli():
    """Two correlated columns: singular values are the roots of 1 + r and 1 - r."""
    r = 0.6
    mixed = CENTERED[:, :2] @ np.array([[1, r], [0, np.sqrt(1 - r**2)]])
    share = np.sqrt([1 + r, 1 - r]) / np.sqrt([1 + r, 1 - r]).sum()
    assert effective_rank(mixed) == pytest.approx(np.exp(-np.sum(share * np.log(share))))


def test_numerical_rank_counts_directions():
    total = CENTERED[:, :3].sum(axis=1)
    X = np.column_stack([CENTERED, CENTERED[:, 0], 5 - 3 * CENTERED[:, 1], total, np.ones(50)])
    assert numerical_rank(X) == 5
    assert numerical_rank(np.full((4, 3), 0.1)) == 0
    nearly = np.column_stack([CENTERED[:, 0], CENTERED[:, 0] + 1e-4 * CENTERED[:, 1]])
    assert numerical_rank(nearly) == 2
    assert numerical_rank(nearly, rtol=1e-3) == 1
    with pytest.raises(ConfigError, match="rtol=1: expected a number from 0 up to 1"):
        numerical_rank(X, rtol=1)


def test_a_category_counts_one_less_than_it_has_values():
    one_hot = np.eye(4)[np.random.default_rng(0).integers(4, size=200)]
    assert numerical_rank(one_hot) == 3
    assert effective_rank(one_hot) == pytest.approx(3, abs=0.05)
    table = {
        "a": CENTERED[:, 0],
        "b": CENTERED[:, 1],
        "sum": CENTERED[:, 0] + CENTERED[:, 1],
        "c": ["x", "y", "z", "x", "y"] * 10,
        "many": [f"v{i % 20}" for i in range(50)],
    }
    rank = rank_of(TableEncoder().fit(table), table)
    assert (rank.columns, rank.inputs, rank.numerical) == (5, 7, 5)  # a, b, 2 of c, 1 of many
    assert 4 < rank.effective < 6


def test_repeated_columns_are_found_up_to_unit_and_shift():
    a, b = CENTERED[:, 0], CENTERED[:, 1]
    assert repeated_columns(np.column_stack([a, b, 2 * a + 1, -b, a + 0.01 * b])) == [
        (0, 2),
        (1, 3),
    ]
    assert repeated_columns(CENTERED) == []
    assert repeated_columns(np.ones((5, 3))) == []


# ---------------------------------------------------------------- the task


@pytest.mark.parametrize(
    ("target", "task", "reason"),
    [
        (["a", "b", "a"], "binary", "text with 2 different values"),
        (["a", "b", "c", None], "multiclass", "text with 3 different values"),
        ([True, False], "binary", "true and false"),
        ([0, 1], "binary", "whole numbers with 2 different values"),
        ([7.0, 8.0, np.nan], "binary", "whole numbers with 2 different values"),
        ([0.5, 1.0], "regression", "numbers with fractions"),
        (np.array([1.5, np.nan, 2.0]), "regression", "numbers with fractions"),
        ([1, 2, 3], "regression", "whole numbers with 3 different values"),
        ([1, 2, 3] * ROWS_PER_CLASS, "multiclass", "on average in 5 rows each"),
        (list(range(MOST_CLASSES)) * ROWS_PER_CLASS, "multiclass", "20 different values"),
        (list(range(MOST_CLASSES + 1)) * 100, "regression", "21 different values"),
        (["1", "2", "3"], "multiclass", "text with 3 different values"),
    ],
)
def test_tasks(target, task, reason):
    found, why = infer_task(target)
    assert found == task
    assert reason in why


def test_columns_of_data_frames(subtests):
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    values = ["a", "b", None, "a"]
    for column in (
        pandas.Series(values),
        pandas.Series(values, dtype="category"),
        pyarrow.chunked_array([values]),
        pyarrow.chunked_array([values]).dictionary_encode(),
    ):
        with subtests.test(type=type(column).__name__):
            assert infer_task(column)[0] == "binary"
    assert infer_task(pandas.Series([1, None, 2], dtype="Int64"))[0] == "binary"


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (["a", "a"], "the target has only the value 'a': there is nothing to tell apart"),
        ([None, None], "the target has no value in any row"),
        ([3, 3, None], "the target has only the value 3"),
    ],
)
def test_nothing_to_tell_apart(target, text):
    with pytest.raises(DataError, match=text):
        infer_task(target)
