"""The sentences of a report: how good the model is, and compared with what.

>>> from chainrule.report.content import Report, ScoreRow
>>> rows = [ScoreRow("network", test=0.985), ScoreRow("guess", test=0.441, role="baseline")]
>>> verdict(Report("penguins", "classification", "species", "accuracy", rows)).split(";")[1]
' always guessing the commonest class is right for 44.1\u202f%.'
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from chainrule.markup import Markup, element, join, name
from chainrule.report.content import Report, ScoreRow
from chainrule.report.scale import number, percent, score

_SHARES = ("accuracy", "R²", "r2")  # scores that are read as percent

# What a score is measured on, the most telling first.
_PARTS = {
    "test": "the rows it never saw",
    "validation": "the validation rows, which it also used to choose the best epoch",
    "train": "the rows it was trained on, which says little about new rows",
}


def verdict(report: Report) -> Markup:
    """Say how well the model predicts, what simpler models reach, and warn if that is no less."""
    rows = {row.role: row for row in reversed(report.scores)}
    model = rows.get("model")
    part = next((part for part in _PARTS if value(model, part) is not None), "test")
    ours = value(model, part)
    if ours is None:
        return Markup()
    baseline, linear = value(rows.get("baseline"), part), value(rows.get("linear"), part)
    sentence: list[str] = [_statement(report, ours, _PARTS[part])]
    if baseline is not None:
        sentence += ["; ", _baseline(report, rows["baseline"].name, baseline)]
    if linear is not None:
        sentence += ["; " if baseline is None else ", ", _linear(report, linear, baseline is None)]
    sentence.append(".")
    warning = _warning(report, ours, baseline, linear)
    if warning:
        sentence += [" ", element("span", warning, class_="warning")]
    return join(*sentence)


def value(row: ScoreRow | None, part: str) -> float | None:
    """Look up a score of a row: None where it is missing or not finite.

    >>> value(ScoreRow("network", test=0.5), "test"), value(None, "test")
    (0.5, None)
    """
    found = (
        {"train": row.train, "validation": row.validation, "test": row.test}[part] if row else None
    )
    return found if found is not None and math.isfinite(found) else None


def curve_words(what: str, train: Sequence[float], validation: Sequence[float]) -> str:
    """Describe a curve for those who do not see it.

    >>> curve_words("Loss", [1.1, 0.2], [1.2, 0.3])
    'Loss by epoch: train from 1.10 to .200, validation from 1.20 to .300'
    """
    parts = []
    for side, values in (("train", train), ("validation", validation)):
        finite = [number(value) for value in values if math.isfinite(value)]
        if finite:
            parts.append(f"{side} from {finite[0]} to {finite[-1]}")
    return f"{what} by epoch: {', '.join(parts)}"


def confusion_words(confusions: Sequence[tuple[str, str, float, float]]) -> Markup:
    """Name the most frequent error."""
    if not confusions:
        return Markup("No row is predicted wrong.")
    true, predicted, rows, share = confusions[0]
    return join(
        "Most frequent error: ",
        name(true, "b"),
        " taken for ",
        name(predicted, "b"),
        f", {number(rows)} {'row' if rows == 1 else 'rows'} ({percent(share)} of that class).",
    )


def residual_words(actual: ArrayLike, predicted: ArrayLike) -> str:
    """Say how large the errors are: half of them, and nine in ten.

    >>> residual_words([0.0, 0.0, 0.0], [1.0, -2.0, 3.0])
    'Half of the predictions are within ±2 of the truth, nine in ten within ±2.80.'
    """
    error = np.abs(np.asarray(predicted, dtype=np.float64) - np.asarray(actual, dtype=np.float64))
    error = error[np.isfinite(error)]
    if not len(error):
        return ""
    half, most = (number(float(part)) for part in np.quantile(error, [0.5, 0.9]))
    return f"Half of the predictions are within ±{half} of the truth, nine in ten within ±{most}."


def calibration_words(points: Sequence[tuple[float, float, float]]) -> str:
    """Say whether the model is too sure, by the mean distance from the diagonal.

    >>> calibration_words([(0.9, 0.8, 10)])
    'On average, confidence and share of right rows differ by 10.0\u202f%: too sure.'
    """
    used = np.array([point for point in points if np.isfinite(point).all() and point[2] > 0])
    if not len(used):
        return ""
    gap = used[:, 0] - used[:, 1]
    mean, lean = (float(np.average(g, weights=used[:, 2])) for g in (np.abs(gap), gap))
    tendency = ": too sure" if lean > mean / 2 else ": not sure enough" if lean < -mean / 2 else ""
    return f"On average, confidence and share of right rows differ by {percent(mean)}{tendency}."


def _statement(report: Report, ours: float, where: str) -> Markup:
    target = name(report.target, "code")
    if report.score_name == "accuracy":
        return join("Predicts ", target, " right for ", _strong(percent(ours)), f" of {where}")
    if report.score_name in _SHARES and ours >= 0:
        return join(
            "Explains ", _strong(percent(ours)), " of the variance of ", target, f" in {where}"
        )
    direction = "" if report.greater_is_better else " (lower is better)"
    return join(
        "Predicts ", target, " with ", report.score_name, direction, " ", _strong(score(ours)),
        f" on {where}",
    )  # fmt: skip


def _baseline(report: Report, label: str, reached: float) -> Markup:
    if report.score_name == "accuracy":
        return join("always guessing the commonest class is right for ", percent(reached))
    if report.score_name in _SHARES:
        return join("always predicting the mean explains ", percent(max(reached, 0.0)))
    return join(name(label), " reaches ", score(reached))


def _linear(report: Report, reached: float, alone: bool) -> str:
    """Continue the sentence about the baseline, or begin one."""
    shown = percent(reached) if report.score_name in _SHARES else score(reached)
    verb = {"accuracy": "is right for ", "R²": "explains ", "r2": "explains "}
    before = verb.get(report.score_name, "reaches ") if alone else ""
    if report.score_name == "accuracy" and not alone:
        before = "for "
    return f"the linear model {before}{shown}"


def _warning(report: Report, ours: float, baseline: float | None, linear: float | None) -> str:
    sign = 1.0 if report.greater_is_better else -1.0
    if baseline is not None and sign * ours <= sign * baseline:
        return "It is no better than this baseline: do not rely on it."
    if linear is not None and sign * ours <= sign * linear:
        return "The linear model does as well or better, and is simpler."
    return ""


def _strong(text: str) -> Markup:
    return element("strong", text)
