"""What is seen of a net while it learns: how long gradients and updates are, and who is dead.

>>> import numpy as np
>>> from chainrule import nn, train
>>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(-1, 1)
>>> model = nn.mlp([1, 4, 1], "relu", seed=0)
>>> _ = model.load_state_dict(model.state_dict() | {"0.bias": np.array([0.0, -100, 0, 0])})
>>> history = train(model, "mse", x, x**2, epochs=3, seed=0, statistics=True)
>>> last = history.statistics[-1]
>>> last.dead["1"].tolist(), last.update_ratio["0.weight"] < 0.01
([1], True)
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import need
from chainrule.graph import Array

SATURATED = 0.05
"""Share of its largest slope below which the mean slope of a unit counts as saturation."""

_COLUMNS = ("layer", "gradient", "weight", "update/weight", "units", "dead", "saturated")


class Norms:
    """Euclidean norms of gradient, weights and update of each parameter, by its name.

    The gradient is that before `clip_norm`, the weights are those before the update. The update is
    W(t+1) - W(t), whatever optimizer, clipping and penalty made of the gradient.
    """

    def __init__(self, parameters: Sequence[str], squares: Array) -> None:
        self.parameters = tuple(parameters)
        self.squares = np.asarray(squares).reshape(-1, 3)

    def _column(self, k: int) -> dict[str, float]:
        lengths = np.sqrt(self.squares[:, k]).tolist()
        return dict(zip(self.parameters, lengths, strict=True))

    @property
    def gradient_norm(self) -> dict[str, float]:
        """Norm of the gradient."""
        return self._column(0)

    @property
    def weight_norm(self) -> dict[str, float]:
        """Norm of the weights."""
        return self._column(1)

    @property
    def update_norm(self) -> dict[str, float]:
        """Norm of the update."""
        return self._column(2)

    @property
    def update_ratio(self) -> dict[str, float]:
        """Norm of the update by that of the weights: infinite for weights that are all 0."""
        return dict(zip(self.parameters, _ratio(self.squares).tolist(), strict=True))


class EpochStatistics(Norms):
    """What was seen in the steps of an epoch that were looked at.

    Norms are root mean squares over these `steps`, which took so many `rows`. `slopes` has for each
    activation, by its name, the mean absolute slope of each unit over all these rows, as a share of
    the largest that the activation has for inputs from -1 to 1.
    """

    def __init__(
        self,
        parameters: Sequence[str],
        squares: Array,
        slopes: Mapping[str, Array],
        epoch: int,
        steps: int,
        rows: int,
    ) -> None:
        super().__init__(parameters, squares)
        self.slopes = dict(slopes)
        self.epoch, self.steps, self.rows = epoch, steps, rows

    @property
    def dead(self) -> dict[str, Array]:
        """Numbers of the units of each activation that had slope 0 in every row."""
        return {name: np.flatnonzero(x == 0) for name, x in self.slopes.items()}

    @property
    def saturated(self) -> dict[str, Array]:
        """Numbers of the units with less than 5 % of the largest slope, the dead ones included."""
        return {name: np.flatnonzero(x < SATURATED) for name, x in self.slopes.items()}

    def table(self) -> list[dict[str, Any]]:
        """Give a row for each layer: all its parameters together, or its units."""
        rows: dict[str, dict[str, Any]] = {}
        for name in self.parameters:
            rows.setdefault(name.rpartition(".")[0], {})
        for layer, row in rows.items():
            own = [name.rpartition(".")[0] == layer for name in self.parameters]
            squares = self.squares[own].sum(axis=0)
            gradient, weight, _ = np.sqrt(squares).tolist()
            row |= {"gradient": gradient, "weight": weight,
                    "update/weight": float(_ratio(squares))}  # fmt: skip
        for layer, slopes in self.slopes.items():
            rows[layer] = rows.get(layer, {}) | {
                "units": len(slopes), "dead": len(self.dead[layer]),
                "saturated": len(self.saturated[layer]),
            }  # fmt: skip
        return [{"layer": layer, **rows[layer]} for layer in sorted(rows, key=_as_numbers)]

    def __str__(self) -> str:
        cells = [[_text(row.get(name)) for name in _COLUMNS] for row in self.table()]
        widths = [max(map(len, column)) for column in zip(_COLUMNS, *cells, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if k else cell.ljust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in [_COLUMNS, *cells]
        ]
        return "\n".join(lines)


class Statistics:
    """The statistics of the epochs of a training; printed, those of the last one.

    `statistics[-1]` is an `EpochStatistics`. Epochs in which no step was looked at have none.
    """

    def __init__(self) -> None:
        self.epochs: list[EpochStatistics] = []

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[EpochStatistics]:
        return iter(self.epochs)

    def __getitem__(self, i: int) -> EpochStatistics:
        return self.epochs[i]

    def __repr__(self) -> str:
        return f"<Statistics of {len(self)} epochs>"

    def __str__(self) -> str:
        if not self.epochs:
            return "no step was looked at"
        last = self.epochs[-1]
        return f"epoch {last.epoch}, {last.steps} steps of {last.rows} rows\n{last}"

    def to_frame(self) -> Any:
        """Give a pandas data frame with a row for each layer and epoch."""
        pandas = need("pandas", extra="all", why="to give the statistics as a data frame")
        rows = [{"epoch": each.epoch, **row} for each in self.epochs for row in each.table()]
        return pandas.DataFrame(rows, columns=["epoch", *_COLUMNS])


def _ratio(squares: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(squares[..., 2] / squares[..., 1])


def _as_numbers(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in name.split(".")]


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
