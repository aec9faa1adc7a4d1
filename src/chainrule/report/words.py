"""The sentences of a report: how good the model is, and compared with what.

>>> from chainrule.report.content import Report, ScoreRow
>>> report = Report(
...     "penguins", "classification", "species", "accuracy",
...     [ScoreRow("network", test=0.985), ScoreRow("guess", test=0.441, role="baseline")],
... )
>>> import re; re.sub("<[^>]*>", "", verdict(report)).replace("\u202f", " ")
'Predicts species right for 98.5 % of the rows it never saw; always guessing the commonest class
is right for 44.1 %.'
"""

import math

from chainrule.report.content import Report, ScoreRow
from chainrule.report.markup import Markup, element, join, name
from chainrule.report.scale import percent, score

# What a score is measured on, the most telling first.
PARTS = {
    "test": "the rows it never saw",
    "validation": "the validation rows, which also chose its best epoch",
    "train": "the rows it was trained on, which says little about new rows",
}


def verdict(report: Report) -> Markup:
    """Say in one sentence how well the model predicts, and what simpler models reach.

    A second sentence warns when a simpler model does as well.
    """
    model = _row(report, "model")
    part = next((part for part in PARTS if model and _value(model, part) is not None), None)
    if model is None or part is None:
        return Markup()
    ours = _known(model, part)
    others = [(row, _value(row, part)) for row in (_row(report, "baseline"), _row(report, "linear"))
              if row is not None]
    parts = [_sentence(report, ours, part)]
    for row, value in others:
        if value is not None:
            parts.append(_comparison(report, row, value, first=len(parts) == 1))
    parts.append(".")
    warning = _warning(report, ours, {row.role: value for row, value in others})
    if warning:
        parts.append(element("span", " ", warning, class_="warning"))
    return join(*parts)


def best_row(report: Report) -> ScoreRow | None:
    """Find the row of the model that the report is about."""
    return _row(report, "model")
