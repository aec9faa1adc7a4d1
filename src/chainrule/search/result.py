"""`Result`: the trials of a search, the best of them, and a table.

>>> rows = [{"number": 0, "state": "finished", "score": 0.7, "lr": 0.01},
...         {"number": 1, "state": "finished", "score": 0.8, "lr": 0.1}]
>>> result = Result(rows, {1: {"lr": 0.1}, 0: {"lr": 0.01}}, "maximize")
>>> result.best_params, result.best_score
({'lr': 0.1}, 0.8)
>>> print(result)
number  state     score    lr
     1  finished    0.8   0.1
     0  finished    0.7  0.01
"""

from collections.abc import Iterator, Mapping
from typing import Any

from chainrule.errors import ConfigError, need
from chainrule.search.space import word

SHOWN = 10
"""Trials in the printed table."""


class Result:
    """What a search found.

    `trials` are records: number, state ("finished", "pruned", "diverged", "failed"), score (of a
    pruned one the last before its end), what was drawn, seconds, and, by cross-validation, the
    scores of the folds, or the error.
    `best` is the record with the best score, `best_params` its settings, `best_score` its score;
    `best_estimator()` is the estimator with these settings, to be fitted. `interrupted` says
    whether Ctrl-C ended the search. `baseline` is the record of the estimator as it was given, if
    that was asked for. `print(result)` shows the ten best trials.
    """

    def __init__(
        self,
        trials: list[dict[str, Any]],
        params: Mapping[int, dict[str, Any]],
        direction: str,
        *,
        estimator: Any = None,
        interrupted: bool = False,
        baseline: dict[str, Any] | None = None,
    ) -> None:
        self.trials = trials
        self.direction = direction
        self.interrupted = interrupted
        self.baseline = baseline
        self._params = params
        self._estimator = estimator

    def ranked(self) -> list[dict[str, Any]]:
        """Give the finished trials, best first; of equal ones the earlier."""
        finished = [row for row in self.trials if row["state"] == "finished"]
        sign = -1 if self.direction == "maximize" else 1
        return sorted(finished, key=lambda row: (sign * row["score"], row["number"]))

    @property
    def best(self) -> dict[str, Any]:
        """The record of the best trial."""
        ranked = self.ranked()
        if not ranked:
            raise ConfigError("no trial has finished, so none is the best")
        return ranked[0]

    @property
    def best_score(self) -> float:
        """The score of the best trial."""
        return float(self.best["score"])

    @property
    def best_params(self) -> dict[str, Any]:
        """The settings of the best trial."""
        return dict(self._params[self.best["number"]])

    def best_estimator(self) -> Any:
        """Give the estimator with the best settings, not yet fitted."""
        if self._estimator is None:
            raise ConfigError("this search was of a function: there is no estimator")
        clone = need("sklearn.base", extra="tune", why="to search for settings").clone
        return clone(self._estimator).set_params(**self.best_params)

    def columns(self) -> list[str]:
        """Names of all columns of the records."""
        return list(dict.fromkeys(name for row in self.trials for name in row))

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.trials)

    def __repr__(self) -> str:
        ranked = self.ranked()
        best = f", best score {ranked[0]['score']:.6g}" if ranked else ""
        return f"<Result of {len(self)} trials{best}>"

    def __str__(self) -> str:
        names, body = self.table(SHOWN)
        if not body:
            return repr(self)
        widths = [max(len(cell) for cell in column) for column in zip(names, *body, strict=True)]
        lines = [_line(line, widths) for line in [names, *body]]
        left_out = len(self) - len(body)
        return "\n".join([*lines, *([f"and {left_out} more trials"] if left_out else [])])

    def table(self, most: int, hidden: tuple[str, ...] = ("scores", "seconds", "error")) -> Any:
        """Give the head and the rows of a table of the best trials, as text."""
        rows = self.ranked()[:most]
        names = [n for n in self.columns() if n not in hidden and any(n in row for row in rows)]
        return names, [[_text(row[n]) if n in row else "" for n in names] for row in rows]

    def to_frame(self) -> Any:
        """Give the records as a pandas data frame."""
        pandas = need("pandas", extra="all", why="to give the trials as a data frame")
        return pandas.DataFrame(self.trials, columns=self.columns())


def _line(cells: list[str], widths: list[int]) -> str:
    places = [cell.rjust(w) for cell, w in zip(cells, widths, strict=True)]
    places[1] = cells[1].ljust(widths[1])
    return "  ".join(places).rstrip()


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else word(value)
