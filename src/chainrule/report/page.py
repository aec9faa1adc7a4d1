"""The HTML page of a fit: one file, no script, no network, for screen, phone and print.

>>> from chainrule.report.content import Report, ScoreRow
>>> report = Report("Penguins", "classification", "species", "accuracy", [ScoreRow("network")])
>>> render(report)[:15]
'<!DOCTYPE html>'
"""

import importlib.resources
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chainrule.atomic import atomic_write
from chainrule.report.charts import (
    MOST_BARS,
    MOST_POINTS,
    Series,
    bar_chart,
    calibration_chart,
    line_chart,
    residual_chart,
    scatter_chart,
)
from chainrule.report.content import Report, ScoreRow
from chainrule.report.markup import Markup, element, join, name, shorten
from chainrule.report.scale import number, percent, score
from chainrule.report.tables import (
    MOST_CLASSES,
    class_table,
    confusion_list,
    confusion_table,
    scrolling,
    share_bar,
    table,
    top_confusions,
)
from chainrule.report.words import (
    calibration_words,
    confusion_words,
    curve_words,
    residual_words,
    value,
    verdict,
)

HALF_WIDTH_CLASSES = 10  # in a heat map that leaves room for a figure beside it
MOST_COLUMNS = 60
MOST_ROWS = 24  # of scores, facts, choices and notes
MOST_LINES = 80  # of the model's summary, of code
TEXT = 200  # characters of a sentence
LINE = 120  # characters of a line of code
LOG_FROM = 50  # ratio of the largest to the smallest value that makes an axis logarithmic

# The page may show itself and load nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

Floats = NDArray[np.float64]


def render(report: Report) -> str:
    """Render the report as an HTML page that needs no other file, below 300 KB."""
    sections = [
        ("learning", "How it learned", _learning(report)),
        ("errors", "Where it errs", _errors(report)),
        ("inside", *_inside(report)),
        ("choices", "What was chosen, and why", _choices(report)),
        ("columns", "Columns", _columns(report)),
        ("model", "Model", _code(report.summary, "Summary of the model")),
        ("use", "How to use it", _use(report)),
        ("notes", "Notes", _notes(report)),
    ]
    shown = [(key, title, body) for key, title, body in sections if body]
    style = (importlib.resources.files("chainrule.report") / "style.css").read_text("utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"/>'),
        element("title", shorten(report.title, 100)),
        element("style", Markup(style)),
    )
    body = element(
        "body",
        _first_screen(report, shown),
        element("main", *(_section(*section) for section in shown)),
        _footer(report),
    )
    return "<!DOCTYPE html>\n" + element("html", head, "\n", body, lang="en") + "\n"


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Write the page of ``render`` to a file, whole or not at all."""
    page = render(report).encode()
    with atomic_write(path) as file:
        file.write(page)


# ---------------------------------------------------------------- the first screen


def _first_screen(report: Report, sections: Sequence[tuple[str, str, Markup]]) -> Markup:
    sentence = verdict(report)
    links = [element("a", title, href=f"#{key}") for key, title, _ in sections]
    return element(
        "header",
        element("p", f"{report.task} of ", name(report.target, "code"), class_="kind"),
        element("h1", shorten(report.title, 100)),
        element("p", sentence, class_="verdict") if sentence else "",
        element("div", _scores(report), _facts(report), class_="first"),
        element("nav", *links, aria_label="Sections") if links else "",
    )


def _scores(report: Report) -> Markup:
    """Scores of the model and of simpler ones; a column without any score is left out."""
    if not report.scores:
        return Markup()
    parts = [
        part
        for part in ("test", "validation", "train")
        if any(value(row, part) is not None for row in report.scores)
    ]
    finite = [abs(value(row, part) or 0.0) for row in report.scores for part in parts]
    largest = max([*finite, 1.0 if report.greater_is_better else 0.0]) or 1.0
    rows = [
        [_score_name(row), *(_score(row, part, part == parts[0], largest) for part in parts)]
        for row in report.scores[:MOST_ROWS]
    ]
    head = [report.score_name, *parts]
    about = f"{report.score_name} of the model and of simpler ones"
    return element(
        "section",
        table(head, rows, about, numeric=range(1, 4), class_="scores"),
        aria_label="Scores",
    )


def _score_name(row: ScoreRow) -> Markup:
    tag = "strong" if row.role == "model" else "span"
    note = element("small", shorten(row.note, TEXT)) if row.note else ""
    return join(name(row.name, tag), note)


def _score(row: ScoreRow, part: str, with_bar: bool, largest: float) -> Markup:
    reached = value(row, part)
    class_ = "share ours" if row.role == "model" else "share"
    bar = share_bar((reached or 0.0) / largest, class_) if with_bar else ""
    return join(score(reached), bar)


def _facts(report: Report) -> Markup:
    if not report.data:
        return Markup()
    pairs = [
        element("div", element("dt", shorten(key, 40)), element("dd", name(fact, longest=60)))
        for key, fact in report.data[:MOST_ROWS]
    ]
    return element("dl", *pairs, class_="facts")


# ---------------------------------------------------------------- sections


def _section(key: str, title: str, body: Markup) -> Markup:
    heading = element("h2", title, id=f"{key}-title")
    return element("section", heading, body, id=key, aria_labelledby=f"{key}-title")


def _learning(report: Report) -> Markup:
    epochs = _history(report, "epoch")
    counted = np.arange(1.0, len(epochs) + 1)
    epochs = np.where(np.isfinite(epochs), epochs, counted)
    figures = []
    for title, train, validation in (
        ("Loss", "loss", "validation_loss"),
        (report.score_name, "train_score", "validation_score"),
        ("Learning rate", "learning_rate", ""),
    ):
        ours, theirs = _history(report, train), _history(report, validation)
        finite = np.concatenate([ours, theirs])
        finite = finite[np.isfinite(finite)]
        if not len(finite) or (train == "learning_rate" and finite.min() == finite.max()):
            continue
        series = [Series("train", epochs, ours), Series("validation", epochs, theirs, "validation")]
        if train == "learning_rate":
            series = [Series("rate", epochs, ours, "other")]
        log = train != "train_score" and bool(0 < LOG_FROM * finite.min() < finite.max())
        about = curve_words(title, ours.tolist(), theirs.tolist())
        drawn = line_chart(series, about, mark=report.best_epoch, log=log)
        figures.append(_figure(_capital(title) + (", logarithmic" if log else ""), drawn))
    return _figures(figures, _epochs(report))


def _epochs(report: Report) -> str:
    count = len(report.history)
    if report.best_epoch is None:
        return f"{count:,} epochs."
    return f"{count:,} epochs; the best was epoch {report.best_epoch:,}."


def _history(report: Report, key: str) -> Floats:
    """Read one number per epoch, nan where it is missing."""
    return np.array([float(row.get(key, np.nan)) for row in report.history], dtype=np.float64)


def _errors(report: Report) -> Markup:
    if report.task == "regression":
        truth, guess = report.actual, report.predicted
        words = residual_words(truth, guess)
        shown = min(len(truth), MOST_POINTS)
        note = "" if shown == len(truth) else f"{shown:,} of {len(truth):,} rows are drawn."
        about = f"Predicted against true {shorten(report.target, 40)}"
        return _figures(
            [
                _figure("Predicted and true", scatter_chart(truth, guess, about), note),
                _figure(
                    "Errors", residual_chart(truth, guess, "Histogram of the errors. " + words)
                ),
            ],
            words,
        )
    parts = []
    if report.confusion is not None and len(report.classes):
        words = confusion_words(top_confusions(report.classes, report.confusion))
        many = len(report.classes) > MOST_CLASSES
        draw = confusion_list if many else confusion_table
        title = "Most frequent errors" if many else "Confusion matrix"
        class_ = "wide" if len(report.classes) > HALF_WIDTH_CLASSES else None
        parts.append(_figure(title, draw(report.classes, report.confusion), words, class_))
    rows = class_table(report.per_class)
    if rows:
        hidden = len(report.per_class) - MOST_CLASSES
        note = f"The {MOST_CLASSES} lowest F1; {hidden:,} more classes." if hidden > 0 else ""
        parts.append(_figure("Classes", rows, note))
    return _figures(parts)


def _inside(report: Report) -> tuple[str, Markup]:
    """Set importance and calibration side by side, under a title of those that are there."""
    importance, calibration = _importance(report), _calibration(report)
    titles = [
        title
        for title, figure in (("what it relies on", importance), ("how sure it is", calibration))
        if figure
    ]
    return _capital(", and ".join(titles)), _figures([importance, calibration])


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
    return join(shown, _more(len(report.choices) - MOST_ROWS))


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
    return join(shown, _more(len(report.columns) - MOST_COLUMNS))


def _missing(share: object) -> str:
    return percent(share) if isinstance(share, (int, float)) else number(None)


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
    return join(element("ul", *items), _more(len(report.notes) - MOST_ROWS))


def _more(hidden: int) -> Markup:
    return element("p", f"{hidden:,} more.", class_="more") if hidden > 0 else Markup()


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


def _footer(report: Report) -> Markup:
    versions = [
        f"{shorten(package, 40)} {shorten(version, 40)}"
        for package, version in list(report.versions.items())[:MOST_ROWS]
    ]
    written = "Written with " + ", ".join(versions) + "." if versions else "Written with chainrule."
    return element("footer", element("p", written, " This page loads nothing from the network."))
