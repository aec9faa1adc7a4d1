"""Tables: rows of text, the confusion matrix as a heat map, scores per class.

>>> "43" in confusion_table(["Adelie", "Gentoo"], [[43, 1], [0, 34]])
True
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.markup import Markup, element, join, name
from chainrule.report.content import ClassRow
from chainrule.report.scale import number, percent, score

MOST_CLASSES = 20  # in a heat map or a table
MOST_CONFUSIONS = 15
SHARES_UP_TO = 8  # classes, for which a cell has room for a share below the count


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    about: str,
    numeric: Collection[int] = (),
    class_: str | None = None,
) -> Markup:
    """Build a table whose first column names the rows; it scrolls alone where it is too wide."""

    def side(column: int) -> str | None:
        return "number" if column in numeric else None

    heading = element(
        "tr", *(element("th", label, scope="col", class_=side(i)) for i, label in enumerate(head))
    )
    body = [
        element(
            "tr",
            element("th", row[0], scope="row", class_=side(0)),
            *(element("td", cell, class_=side(i)) for i, cell in enumerate(row[1:], start=1)),
        )
        for row in rows
    ]
    return scrolling(
        element("table", element("thead", heading), element("tbody", *body), class_=class_), about
    )


def scrolling(content: Markup, about: str) -> Markup:
    """Let a wide part scroll on a narrow screen, also from the keyboard."""
    return element("div", content, class_="scroll", role="group", aria_label=about, tabindex="0")


def more(hidden: int) -> Markup:
    """Say how many rows are not shown, if any.

    >>> more(3), more(-2)
    ('<p class="more">3 more.</p>', '')
    """
    return element("p", f"{hidden:,} more.", class_="more") if hidden > 0 else Markup()


def share_bar(share: float, class_: str = "share") -> Markup:
    """Draw a share of 0 to 1 as a small bar; it repeats a number and is hidden from ear."""
    width = 100 * min(max(share, 0.0), 1.0) if share == share else 0.0
    bar = element("span", style=f"width:{width:.1f}%")
    return element("span", bar, class_=class_, aria_hidden="true")


def confusion_table(classes: Sequence[object], counts: ArrayLike) -> Markup:
    """Heat map of counts and of shares of the true class."""
    cells, shares = _cells(counts)
    few = len(cells) <= SHARES_UP_TO
    labels = [name(label, longest=16) for label in classes]
    head = element(
        "tr",
        element("th", "true ↓", element("br"), "predicted →", scope="col", class_="corner"),
        *(element("th", element("span", label), scope="col") for label in labels),
    )
    body = [
        element(
            "tr",
            element("th", label, scope="row"),
            *(
                _cell(cells[row, column], shares[row, column], row == column, few)
                for column in range(len(cells))
            ),
        )
        for row, label in enumerate(labels)
    ]
    class_ = "confusion" if few else "confusion many"
    matrix = element("table", element("thead", head), element("tbody", *body), class_=class_)
    return scrolling(matrix, "Confusion matrix: rows by true class, columns by predicted class")


def top_confusions(
    classes: Sequence[object], counts: ArrayLike
) -> list[tuple[str, str, float, float]]:
    """List the most frequent errors: true class, predicted class, rows, share of the true class.

    >>> top_confusions(["a", "b"], [[8, 2], [0, 5]])
    [('a', 'b', 2.0, 0.2)]
    """
    cells, shares = _cells(counts)
    wrong = cells.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]
    pairs = [divmod(int(place), len(cells)) for place in order if wrong.flat[place] > 0]
    return [
        (
            str(classes[row]),
            str(classes[column]),
            float(cells[row, column]),
            float(shares[row, column]),
        )
        for row, column in pairs
    ]


def confusion_list(classes: Sequence[object], counts: ArrayLike) -> Markup:
    """Show the most frequent errors as a table, for more classes than a heat map can show."""
    rows = [
        (name(true), name(predicted), number(rows), join(percent(share), share_bar(share)))
        for true, predicted, rows, share in top_confusions(classes, counts)
    ]
    if not rows:
        return Markup()
    head = ("true class", "predicted as", "rows", "share of the true class")
    return table(head, rows, "Most frequent errors", numeric={2, 3})


def class_table(rows: Sequence[ClassRow]) -> Markup:
    """Precision, recall, F1 and rows per class; of many classes, those with the lowest F1."""
    if not rows:
        return Markup()
    shown = list(rows)
    if len(rows) > MOST_CLASSES:
        shown = sorted(rows, key=lambda row: (row.f1 == row.f1, row.f1))[:MOST_CLASSES]
    cells = [
        (
            name(row.name),
            score(row.precision),
            score(row.recall),
            join(score(row.f1), share_bar(row.f1)),
            number(row.support),
        )
        for row in shown
    ]
    head = ("class", "precision", "recall", "F1", "rows")
    return table(head, cells, "Scores per class", numeric={1, 2, 3, 4})


def _cells(counts: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Convert the counts and compute their shares of the row, zero in an empty row."""
    cells = np.asarray(counts, dtype=np.float64)
    total = cells.sum(axis=1, keepdims=True)
    return cells, cells / np.where(total > 0, total, 1.0)


def _cell(count: float, share: float, right: bool, few: bool) -> Markup:
    if count == 0:
        return element("td", "0", class_="none")
    shade = max(float(share), 0.08)
    parts = [number(float(count))]
    if few:
        parts.append(element("small", percent(float(share))))
    class_ = "right" if right else "wrong"
    return element("td", *parts, class_=class_, style=f"--share:{shade:.2f}")
