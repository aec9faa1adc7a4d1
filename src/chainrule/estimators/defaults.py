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

    Few rows are learned by heart, so they get a low rate. SELU did best on tables of up to 700
    rows, Mish on larger ones, which need fewer epochs.

    >>> defaults(150)
    Defaults(activation='selu', epochs=100, lr=0.0012)
    >>> defaults(4000)
    Defaults(activation='mish', epochs=25, lr=0.0025)
    """

    activation: str
    epochs: int
    lr: float


def defaults(rows: int) -> Defaults:
    """Give the settings for a table of this many rows."""
    return Defaults(
        activation="selu" if rows <= SMALL else "mish",
        epochs=int(np.clip(100_000 // max(rows, 1), 10, 100)),
        lr=float(np.clip(rows / 125_000, 0.001, 0.0025)),
    )
