"""Settings of the tabular estimators that follow from the number of rows.

>>> defaults(250).lr
0.002
"""

from dataclasses import dataclass

import numpy as np

SMALL = 700  # rows, up to which the settings stay those of a small table


@dataclass(frozen=True)
class Defaults:
    """What depends on the number of rows, where the user leaves it open.

    Few rows are learned by heart, so they get a low rate. SELU did best on small tables with
    classes, Mish on larger ones, which need fewer epochs, and on numbers. No table between 569 and
    1,797 rows was tried, so the limit in between is a guess.

    >>> defaults(150)
    Defaults(activation='selu', epochs=100, lr=0.0012)
    >>> defaults(4000)
    Defaults(activation='mish', epochs=25, lr=0.0025)
    """

    activation: str
    epochs: int
    lr: float


def defaults(rows: int, regression: bool = False) -> Defaults:
    """Give the settings for a table of this many rows."""
    rate = float(np.clip(rows / 125_000, 0.001, 0.0025))
    return Defaults(
        activation="selu" if rows <= SMALL and not regression else "mish",
        epochs=int(np.clip(100_000 // max(rows, 1), 10, 100)),
        lr=0.001 if regression and rows <= SMALL else rate,
    )
