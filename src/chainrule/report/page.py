"""The HTML page of a fit: one file, no script, no network, for screen, phone and print.

>>> from chainrule.report.content import Report, ScoreRow
>>> report = Report("Penguins", "classification", "species", "accuracy", [ScoreRow("network")])
>>> render(report)[:15]
'<!DOCTYPE html>'
"""

import importlib.resources
import os
from collections.abc import Sequence

from chainrule.atomic import atomic_write
from chainrule.markup import Markup, element, join, name, shorten
from chainrule.report.content import Report, ScoreRow
from chainrule.report.scale import score
from chainrule.report.sections import MOST_ROWS, TEXT, Section, sections
from chainrule.report.tables import more, share_bar, table
from chainrule.report.words import value, verdict

# The page may show itself and load nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render(report: Report) -> str:
    """Render the report as an HTML page that needs no other file, below 300 KB."""
    shown = sections(report)
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
        element("main", *(_section(section) for section in shown)),
        _footer(report),
    )
    return "<!DOCTYPE html>\n" + element("html", head, "\n", body, lang="en") + "\n"


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Write the page of ``render`` to a file, whole or not at all."""
    page = render(report).encode()
    with atomic_write(path) as file:
        file.write(page)


# ---------------------------------------------------------------- the first screen


def _first_screen(report: Report, shown: Sequence[Section]) -> Markup:
    sentence = verdict(report)
    links = [element("a", section.title, href=f"#{section.key}") for section in shown]
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
        more(len(report.scores) - MOST_ROWS),
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
    facts = element("dl", *pairs, class_="facts")
    return element("div", facts, more(len(report.data) - MOST_ROWS))


def _section(section: Section) -> Markup:
    title = f"{section.key}-title"
    heading = element("h2", section.title, id=title)
    return element("section", heading, section.body, id=section.key, aria_labelledby=title)


def _footer(report: Report) -> Markup:
    versions = [
        f"{shorten(package, 40)} {shorten(version, 40)}"
        for package, version in list(report.versions.items())[:MOST_ROWS]
    ]
    written = "Written with " + ", ".join(versions) + "." if versions else "Written with chainrule."
    return element("footer", element("p", written, " This page loads nothing from the network."))
