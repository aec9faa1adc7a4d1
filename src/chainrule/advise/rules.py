"""Which activation, loss and optimizer to start with for a task, and why.

>>> advice = recommend("multiclass", rows=344, columns=7, independent_features=5)
>>> advice.output_activation, advice.hidden_activation, advice.loss, advice.optimizers
('softmax', 'relu', 'cross_entropy', ('adam', 'sgd'))
>>> print(advice.reasons["optimizers"])
5 independent features, less than 20: adam converges with little tuning, and sgd is able to as well

These are the eight rows of a table in the study notes that chainrule implements (`SCENARIOS`), with
hidden and output activation apart. It is a starting point by rules of thumb, not a result: measure
it against something else. `Advice.caveats` says where a row is unsound.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from chainrule.advise.target import Task
from chainrule.errors import ConfigError

Kind = Literal["table", "image", "sequence"]

MANY_FEATURES = 20
"""Independent features from which on there are "more" of them.

A squared or logistic loss of a linear net has one direction of curvature for each. Up to about 20
one step size that suits all is found by hand; beyond, steps of a size of their own for each weight
(Adam, RMSprop) are what needs no search.
"""

LARGE_ROWS = 10_000
"""Rows from which on a data set is "large".

Benchmarks of tables call 10,000 rows "medium-sized" (Grinsztajn et al., 2022), and a small net has
about as many weights: with fewer rows than weights the noise of single rows is what limits it, not
the speed of the optimizer.
"""

MOST_DEAD = 0.2
"""Share of units that never fire, from which on ReLU is replaced by one that cannot die."""


@dataclass(frozen=True)
class Scenario:
    """A row of the notes' table, in their words, and what was measured of its optimizers."""

    activation: str
    loss: str
    optimizers: str
    measured: str


_ONLY_ADAM = "measured, none of five optimizers clearly beat adam, but some clearly beat {}"
_BOTH = "measured, none of five optimizers clearly beat either"
_OPEN = "which optimizer is best was not measured for images and sequences"

SCENARIOS: Mapping[str, Scenario] = {
    "more independent features, regression": Scenario(
        "None / ReLU", "MSE", "Adam / RMSprop", _ONLY_ADAM.format("rmsprop")
    ),
    "less independent features, regression": Scenario(
        "None / ReLU", "MSE", "Adam / SGD", _ONLY_ADAM.format("sgd")
    ),
    "large data set, binary classification": Scenario("Sigmoid", "BCE", "Adam / RMSprop", _BOTH),
    "small data set, binary classification": Scenario(
        "Sigmoid", "BCE", "Adam / SGD", _ONLY_ADAM.format("sgd")
    ),
    "more independent features, multiclass classification": Scenario(
        "Softmax", "Categorical cross-entropy", "Adam / RMSprop", _BOTH
    ),
    "less independent features, multiclass classification": Scenario(
        "Softmax", "Categorical cross-entropy", "Adam / SGD", _ONLY_ADAM.format("sgd")
    ),
    "large data set, CNN or RNN": Scenario("ReLU", "Cross-entropy", "Adam / RMSprop", _OPEN),
    "small data set, CNN or RNN": Scenario("ReLU", "Cross-entropy", "Adam / SGD", _OPEN),
}
"""The eight rows of the study notes, as they stand there; "measured" sums up docs/claims.md."""


@dataclass(frozen=True)
class Advice:
    """What to start with; the names are those of `chainrule`'s registries.

    `output_activation` is what the outputs mean; a loss "from logits" has it inside, and the net
    ends in a linear layer. `reasons` has a line for each of these. `scenario` is the row of
    `SCENARIOS` that the advice is, `caveats` says where that row is unsound or untested.
    """

    output_activation: str
    hidden_activation: str
    loss: str
    optimizers: tuple[str, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    scenario: str = ""
    caveats: tuple[str, ...] = ()


_OUTPUTS = {
    "regression": (
        "none",
        "mse",
        "numbers of either sign and any size; a ReLU there could never be negative",
        "the mean squared error is least at the mean of what may happen",
    ),
    "binary": (
        "sigmoid",
        "binary_cross_entropy_with_logits",
        "one number becomes the probability of the second class",
        "the likelihood of the labels; it takes logits, the sigmoid is inside it",
    ),
    "multiclass": (
        "softmax",
        "cross_entropy",
        "the numbers become probabilities that add up to 1",
        "the likelihood of the labels; it takes logits, the softmax is inside it",
    ),
}


def recommend(
    task: Task,
    rows: int,
    columns: int,
    *,
    independent_features: float | None = None,
    kind: Kind = "table",
    dead_units: float = 0.0,
) -> Advice:
    """Give activations, loss and optimizers for a task, each with its reason.

    `rows` and `columns` count the training data. What makes a difference to the optimizers is the
    number of independent features (`effective_rank`; without it, all columns count) for a table
    with several classes or numbers as targets, and the number of rows for two classes, images and
    sequences: `MANY_FEATURES` and `LARGE_ROWS` are the limits. `dead_units` is the share of units
    of a first attempt that never fire.

    >>> recommend("binary", rows=50_000, columns=30).optimizers
    ('adam', 'rmsprop')
    >>> recommend("regression", rows=500, columns=10, dead_units=0.4).hidden_activation
    'leaky_relu'
    >>> recommend("multiclass", rows=60_000, columns=784, kind="image").scenario
    'large data set, CNN or RNN'
    """
    if task not in _OUTPUTS:
        raise ConfigError(f"task={task!r}: expected one of {', '.join(_OUTPUTS)}")
    if kind not in ("table", "image", "sequence"):
        raise ConfigError(f"kind={kind!r}: expected 'table', 'image' or 'sequence'")
    if rows < 1 or columns < 1:
        raise ConfigError(f"rows={rows}, columns={columns}: expected at least 1 of both")
    output, loss, why_output, why_loss = _OUTPUTS[task]
    hidden, why_hidden = _hidden(dead_units)
    if kind == "table" and task != "binary":
        n = float(columns if independent_features is None else independent_features)
        n = float(f"{n:.3g}")  # as it is shown
        optimizers, why_optimizers = _by(f"{n:g} independent features", n, MANY_FEATURES)
        size = f"{_size(n, MANY_FEATURES, 'more', 'less')} independent features"
    else:
        optimizers, why_optimizers = _by(f"{rows:,} rows", rows, LARGE_ROWS)
        size = f"{_size(rows, LARGE_ROWS, 'large', 'small')} data set"
    what = task if task == "regression" else f"{task} classification"
    scenario = f"{size}, {what if kind == 'table' else 'CNN or RNN'}"
    reasons = {
        "output_activation": why_output,
        "hidden_activation": why_hidden,
        "loss": why_loss,
        "optimizers": why_optimizers,
    }
    caveats = _caveats(scenario, task, kind)
    return Advice(output, hidden, loss, optimizers, reasons, scenario, caveats)


def _hidden(dead_units: float) -> tuple[str, str]:
    if not 0 <= dead_units <= 1:
        raise ConfigError(f"dead_units={dead_units}: expected a share between 0 and 1")
    if dead_units > MOST_DEAD:
        return "leaky_relu", f"{dead_units:.0%} of the units never fire; this one has a slope there"
    return "relu", "cheap, and its slope of 1 keeps gradients alive through many layers"


def _size(n: float, limit: int, above: str, below: str) -> str:
    return above if n >= limit else below


def _by(shown: str, n: float, limit: int) -> tuple[tuple[str, ...], str]:
    """Give the optimizers on either side of a limit."""
    if n >= limit:
        why = f"{shown}, {limit:,} or more: a step size of its own for each weight pays"
        return ("adam", "rmsprop"), why
    small = "adam converges with little tuning, and sgd is able to as well"
    return ("adam", "sgd"), f"{shown}, less than {limit:,}: {small}"


def _caveats(scenario: str, task: Task, kind: Kind) -> tuple[str, ...]:
    """Say where the row of the notes is unsound, and what was measured of it."""
    row, found = SCENARIOS[scenario], []
    if kind == "table" and task == "regression":
        found.append(
            f"the notes' {row.activation!r} is for the output none, for the hidden layers ReLU: an "
            "output behind a ReLU is never negative; targets -1, -2, 1 leave it an MSE of 5/3 or "
            "more"
        )
    elif kind != "table":
        output = _OUTPUTS[task][0]
        found.append(
            f"the notes' {row.activation!r} is for the hidden layers; the output is {output}"
        )
    if kind != "table" and task == "regression":
        found.append(f"the notes' {row.loss!r} is for classes; numbers take mse")
    if kind == "sequence":
        found.append(
            "between layers ReLU, but in the cell of an RNN tanh: a state that is multiplied by "
            "the same weights at each step stays within -1 and 1 with tanh, and may explode with "
            "ReLU"
        )
    return (*found, f"{row.measured} (docs/claims.md, Q10)")
