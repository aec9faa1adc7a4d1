"""`History`: one row per epoch, which prints as a table and converts to a data frame.

>>> history = History()
>>> history.append({"epoch": 1, "loss": 0.7, "validation_loss": 0.71})
>>> history.append({"epoch": 2, "loss": 0.53, "validation_loss": 0.6})
>>> print(history)
epoch  loss  validation_loss
    1   0.7             0.71
    2  0.53              0.6
>>> history["loss"]
[0.7, 0.53]
"""

from collections.abc import Iterator, Mapping
from typing import Any, overload

from chainrule.errors import ConfigError, need
from chainrule.statistics import Statistics

Row = dict[str, float]


class History:
    """What training went through: rows of numbers, why it stopped, and the best epoch.

    `obstacle` says what kept the step from being compiled, so that it ran as written, or by NumPy.
    `statistics` are those of the layers, if they were asked for (`Plan.statistics`).
    """

    def __init__(self, rows: list[Row] | None = None) -> None:
        self.rows: list[Row] = list(rows or [])
        self.reason = ""
        self.best_epoch: int | None = None
        self.obstacle = ""
        self.statistics: Statistics | None = None

    def append(self, row: Mapping[str, float]) -> None:
        """Add the row of an epoch."""
        self.rows.append(dict(row))

    def columns(self) -> list[str]:
        """Names of all columns, in order of first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @overload
    def __getitem__(self, key: str) -> list[float]: ...
    @overload
    def __getitem__(self, key: int) -> Row: ...

    def __getitem__(self, key: str | int) -> list[float] | Row:
        if isinstance(key, int):
            return self.rows[key]
        if key not in self.columns():
            raise ConfigError(f"no column {key!r} in the history; there are {self.columns()}")
        return [row.get(key, float("nan")) for row in self.rows]

    def __repr__(self) -> str:
        return f"<History of {len(self)} epochs, stopped by: {self.reason or 'nothing yet'}>"

    def __str__(self) -> str:
        names = self.columns()
        body = [[_text(row.get(name)) for name in names] for row in self.rows]
        widths = [max(len(cell) for cell in column) for column in zip(names, *body, strict=True)]
        lines = [names, *body]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in lines
        )

    def to_frame(self) -> Any:
        """Give the rows as a pandas data frame."""
        pandas = need("pandas", extra="all", why="to give the history as a data frame")
        return pandas.DataFrame(self.rows, columns=self.columns())


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4g}"
