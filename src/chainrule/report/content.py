"""What a report shows, as plain data.

>>> report = Report(
...     title="penguins", task="classification", target="species", score_name="accuracy",
...     scores=[ScoreRow("neural network", train=0.99, validation=0.98, test=0.985)],
... )
>>> report.scores[0].test
0.985
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ShapeError

Numbers = Sequence[float] | NDArray[np.floating]


@dataclass(frozen=True)
class ScoreRow:
    """Scores of one model; None for one that was not measured.

    ``role`` says what the row is for: the model of the report, the linear model or the baseline
    that it is compared with, or another model.
    """

    name: str
    train: float | None = None
    validation: float | None = None
    test: float | None = None
    note: str = ""
    role: Literal["model", "linear", "baseline", "other"] = "model"


@dataclass(frozen=True)
class ClassRow:
    """Scores of one class; support is the number of its rows."""

    name: str
    precision: float
    recall: float
    f1: float
    support: float


@dataclass(frozen=True, eq=False)
class Report:
    """A fit, as ``render`` shows it. A part that is left out has no section on the page.

    ``history`` has one mapping per epoch: ``loss``, ``validation_loss``, ``train_score``,
    ``validation_score``, ``learning_rate`` and ``gradient_norm`` are drawn, ``epoch`` counts from 1
    if absent.
    ``columns`` has ``name``, ``kind``, ``encoding`` and ``missing`` (a share). ``importance`` is
    (column, mean drop in score, standard deviation). ``confusion`` counts rows by true (row) and
    predicted (column) class, in the order of ``classes``. ``actual`` and ``predicted`` are the
    targets of a regression. ``calibration`` is (mean confidence, share that was right, rows) of
    each bin. ``drawing`` is SVG of the net, ``explained`` markup that derives one prediction.
    ``command`` and ``snippet`` show how to use the model, in a shell and in Python.
    """

    title: str
    task: Literal["classification", "regression"]
    target: str
    score_name: str
    scores: Sequence[ScoreRow]
    greater_is_better: bool = True
    data: Sequence[tuple[str, str]] = ()
    history: Sequence[Mapping[str, float]] = ()
    best_epoch: int | None = None
    choices: Sequence[tuple[str, str, str]] = ()
    columns: Sequence[Mapping[str, object]] = ()
    summary: str = ""
    drawing: str = ""
    importance: Sequence[tuple[str, float, float]] = ()
    classes: Sequence[object] = ()
    confusion: Sequence[Sequence[float]] | NDArray[np.generic] | None = None
    per_class: Sequence[ClassRow] = ()
    actual: Numbers = ()
    predicted: Numbers = ()
    calibration: Sequence[tuple[float, float, float]] = ()
    explained: str = ""
    notes: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    snippet: str = ""

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        truth, guess = np.shape(self.actual), np.shape(self.predicted)
        if truth != guess or len(truth) != 1:
            message = f"actual has shape {truth} and predicted {guess}: expected both (rows,)"
            raise ShapeError(message)
        expected = (len(self.classes), len(self.classes))
        if self.confusion is not None and np.shape(self.confusion) != expected:
            message = (
                f"confusion has shape {np.shape(self.confusion)}: expected {expected}, one row and "
                "one column per entry of classes"
            )
            raise ShapeError(message)
