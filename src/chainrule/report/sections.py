"""The sections of a report, in reading order; a section without content is left out.

>>> from chainrule.report.content import Report
>>> notes = Report("Penguins", "classification", "species", "accuracy", [], notes=["seed 0"])
>>> [(section.title, section.body) for section in sections(notes)]
[('Notes', '<ul><li>seed 0</li></ul>')]
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.markup import Markup, element, join, name, shorten
from chainrule.report.charts import (
    MOST_BARS,
    MOST_POINTS,
    Series,
    bar_chart,
    calibration_chart,
    line_chart,
    outliers,
    residual_chart,
    scatter_chart,
)
from chainrule.report.content import Report
from chainrule.report.scale import number, percent
from chainrule.report.tables import (
    MOST_CLASSES,
    class_table,
    confusion_list,
    confusion_table,
    more,
    scrolling,
    table,
    top_confusions,
)
from chainrule.report.words import calibration_words, confusion_words, curve_words, residual_words

HALF_WIDTH_CLASSES = 10  # in a heat map that leaves room for a figure beside it
MOST_COLUMNS = 60
MOST_ROWS = 24  # of scores, facts, choices and notes
MOST_LINES = 80  # of the model's summary, of code
TEXT = 200  # characters of a sentence
LINE = 120  # characters of a line of code
LOG_FROM = 50  # ratio of the largest to the smallest value that makes an axis logarithmic

Floats = NDArray[np.float64]


class Section(NamedTuple):
    """A section of the page; `key` is its anchor."""

    key: str
    title: str
    body: Markup


def sections(report: Report) -> list[Section]:
    """List the sections that have something to show."""
    every = [
        Section("learning", "How it learned", _learning(report)),
        Section("errors", "Where it errs", _errors(report)),
        _inside(report),
        Section("choices", "What was chosen, and why", _choices(report)),
        Section("columns", "Columns", _columns(report)),
        Section("model", "Model", _model(report)),
        Section("explained", "One prediction, every number", Markup(report.explained)),
        Section("use", "How to use it", _use(report)),
        Section("notes", "Notes", _notes(report)),
    ]
    return [section for section in every if section.body]


def _learning(report: Report) -> Markup:
    """Curves of the loss, the score and a learning rate that changes, over two epochs or more."""
    if len(report.history) < 2:
        return Markup()
    figures = [
        _curve(report, "Loss", "loss", "validation_loss"),
        _curve(report, report.score_name, "train_score", "validation_score"),
    ]
    rates = _history(report, "learning_rate")
    if len(np.unique(rates[np.isfinite(rates)])) > 1:
        figures.append(_curve(report, "Learning rate", "learning_rate", ""))
    if np.isfinite(_history(report, "gradient_norm")).any():
        figures.append(_curve(report, "Gradient norm", "gradient_norm", ""))
    best = "" if report.best_epoch is None else f"; the best was epoch {report.best_epoch:,}"
    return _figures(figures, f"{len(report.history):,} epochs{best}.")


def _curve(report: Report, title: str, train: str, validation: str) -> Markup:
    epochs = _history(report, "epoch")
    epochs = np.where(np.isfinite(epochs), epochs, np.arange(1.0, len(epochs) + 1))
    # An epoch after which nobody looked is no gap; one that gave nan is.
    looked = np.array([row.get(validation) is not None for row in report.history])
    ours, theirs = _history(report, train), _history(report, validation)[looked]
    series = [
        Series("train", epochs, ours),
        Series("validation", epochs[looked], theirs, "validation"),
    ]
    if not validation:
        series = [Series(title.split()[-1], epochs, ours, "other")]
    log = validation != "validation_score" and _wide_range(np.concatenate([ours, theirs]))
    about = curve_words(title, ours.tolist(), theirs.tolist())
    return _figure(
        _scaled(_capital(title), log), line_chart(series, about, mark=report.best_epoch, log=log)
    )


def _wide_range(values: Floats) -> bool:
    """Tell whether a logarithmic axis shows the values better: all positive, and far apart."""
    finite = values[np.isfinite(values)]
    return len(finite) > 0 and bool(1e-290 < LOG_FROM * finite.min() < finite.max())


def _scaled(title: str, log: bool) -> str:
    return title + (", logarithmic" if log else "")


def _history(report: Report, key: str) -> Floats:
    """Read one number per epoch, nan where it is missing."""
    found = (row.get(key) for row in report.history)
    return np.array([np.nan if value is None else value for value in found], dtype=np.float64)


def _errors(report: Report) -> Markup:
    return _residuals(report) if report.task == "regression" else _confusions(report)


def _residuals(report: Report) -> Markup:
    truth, guess = np.asarray(report.actual), np.asarray(report.predicted)
    words = residual_words(truth, guess)
    if not words:
        return Markup()
    log = _wide_range(np.concatenate([truth, guess]).astype(np.float64))
    shown = min(len(truth), MOST_POINTS)
    note = "" if shown == len(truth) else f"{shown:,} of {len(truth):,} rows are drawn."
    left_out = outliers(truth, guess)
    about = f"Predicted against true {shorten(report.target, 40)}"
    figures = [
        _figure(_scaled("Predicted and true", log), scatter_chart(truth, guess, about, log), note),
        _figure(
            "Errors",
            residual_chart(truth, guess, "Histogram of the errors. " + words),
            f"{left_out:,} larger errors are not drawn." if left_out else "",
        ),
    ]
    return _figures(figures, words)


def _confusions(report: Report) -> Markup:
    figures = []
    if report.confusion is not None and len(report.classes):
        count = len(report.classes)
        words = confusion_words(top_confusions(report.classes, report.confusion))
        many = count > MOST_CLASSES
        draw = confusion_list if many else confusion_table
        title = "Most frequent errors" if many else "Confusion matrix"
        class_ = "wide" if HALF_WIDTH_CLASSES < count <= MOST_CLASSES else None
        figures.append(_figure(title, draw(report.classes, report.confusion), words, class_))
    hidden = len(report.per_class) - MOST_CLASSES
    note = f"The {MOST_CLASSES} lowest F1; {hidden:,} more classes." if hidden > 0 else ""
    figures.append(_figure("Classes", class_table(report.per_class), note))
    return _figures(figures)


def _inside(report: Report) -> Section:
    """Set importance and calibration side by side, under a title of those that are there."""
    importance, calibration = _importance(report), _calibration(report)
    titles = [
        title
        for title, figure in (("what it relies on", importance), ("how sure it is", calibration))
        if figure
    ]
    title = _capital(", and ".join(titles))
    return Section("inside", title, _figures([importance, calibration]))


def _importance(report: Report) -> Markup:
    drawn = bar_chart(report.importance, "Importance of the columns, largest first")
    hidden = len(report.importance) - MOST_BARS
    note = (
        f"Drop in {report.score_name} when the values of a column are shuffled among the rows, "
        "with one standard deviation to both sides."
        + (f" {hidden:,} columns that matter less are not drawn." if hidden > 0 else "")
    )
    return _figure("Permutation importance", drawn, note)


def _calibration(report: Report) -> Markup:
    words = calibration_words(report.calibration)
    drawn = calibration_chart(report.calibration, "Share of right rows by confidence. " + words)
    note = f"{words} On the line, a confidence of 80\u202f% is right for 80\u202f% of the rows."
    return _figure("Calibration", drawn, note)


def _choices(report: Report) -> Markup:
    rows = [
        (shorten(what, 60), element("strong", shorten(chosen, 60)), shorten(reason, TEXT))
        for what, chosen, reason in report.choices[:MOST_ROWS]
    ]
    if not rows:
        return Markup()
    shown = table(("what", "chosen", "why"), rows, "Choices")
    return join(shown, more(len(report.choices) - MOST_ROWS))


def _columns(report: Report) -> Markup:
    rows = [
        (
            name(column.get("name", "")),
            shorten(str(column.get("kind", "")), 20),
            shorten(str(column.get("encoding", "")), 80),
            _missing(column.get("missing")),
        )
        for column in report.columns[:MOST_COLUMNS]
    ]
    if not rows:
        return Markup()
    shown = table(("column", "kind", "encoding", "missing"), rows, "Columns", numeric={3})
    return join(shown, more(len(report.columns) - MOST_COLUMNS))


def _missing(share: object) -> str:
    return percent(share) if isinstance(share, (int, float)) else number(None)


def _model(report: Report) -> Markup:
    weights = _code(report.summary, "Summary of the model")
    if not report.drawing:
        return weights
    return _figures([_figure("The net", Markup(report.drawing)), _figure("Weights", weights)])


def _use(report: Report) -> Markup:
    return _figures(
        [
            _figure(title, _code(code, title))
            for title, code in (("In a shell", report.command), ("In Python", report.snippet))
            if code
        ]
    )


def _notes(report: Report) -> Markup:
    items = [element("li", shorten(note, TEXT)) for note in report.notes[:MOST_ROWS]]
    if not items:
        return Markup()
    return join(element("ul", *items), more(len(report.notes) - MOST_ROWS))


def _code(code: str, about: str) -> Markup:
    lines = [shorten(line, LINE) for line in code.rstrip().split("\n")]
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"… {len(lines) - MOST_LINES:,} more lines"]
    if not code.strip():
        return Markup()
    return scrolling(element("pre", element("code", "\n".join(lines))), about)


def _figure(title: str, content: Markup, note: str = "", class_: str | None = None) -> Markup:
    if not content:
        return Markup()
    caption = element("figcaption", note) if note else ""
    return element("figure", element("h3", title), content, caption, class_=class_)


def _figures(figures: Sequence[Markup], words: str = "") -> Markup:
    """Lay figures side by side where there is room; nothing at all if there is none."""
    if not any(figures):
        return Markup()
    said = element("p", words) if words else ""
    return join(said, element("div", *figures, class_="figures"))


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]
