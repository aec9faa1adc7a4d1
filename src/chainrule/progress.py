"""A progress bar for training, which becomes plain lines when nobody watches a terminal.

>>> import io
>>> out = io.StringIO()
>>> bar = Progress(out)
>>> bar.on_train_start(TrainStart(None, epochs=2, steps_per_epoch=4, rows=128, first_epoch=1))
>>> bar.on_epoch_end(EpochEnd(1, {"epoch": 1, "loss": 0.5, "seconds": 0.01}, False, None))
>>> bar.on_train_end(TrainEnd("early stopping", 1, None))
>>> print(out.getvalue().replace("  12,800 rows/s", ""), end="")
epoch 1/2  loss 0.5000
stopped: early stopping; best epoch 1
"""

import sys
from collections.abc import Mapping
from typing import Any, TextIO

from chainrule.errors import need
from chainrule.events import Callback, EpochEnd, TrainEnd, TrainStart

_LINES = 20  # at most about this many plain lines for a training


def bar(out: TextIO, unit: str, field: str) -> Any:
    """Make a progress bar that counts units and shows a field beside them."""
    progress = need("rich.progress", extra="all", why="to draw a progress bar")
    console = need("rich.console", extra="all", why="to draw a progress bar").Console(file=out)
    return progress.Progress(
        progress.TextColumn(f"{unit} {{task.completed}}/{{task.total}}"),
        progress.BarColumn(bar_width=20),
        progress.TextColumn(f"{{task.fields[{field}]}}"),
        progress.TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )


class Progress(Callback):
    """Shows loss, validation score, speed and time left."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream
        self.bar: Any = None
        self.row: dict[str, float] = {}  # the last value of each number: not every epoch has all

    def on_train_start(self, event: TrainStart) -> None:
        """Draw the bar, or prepare to print lines."""
        out = self.stream or sys.stderr
        self.out, self.epochs, self.rows, self.row = out, event.epochs, event.rows, {}
        if not out.isatty():
            return
        self.bar = bar(out, "epoch", "numbers")
        self.task = self.bar.add_task(
            "", total=event.epochs, completed=event.first_epoch - 1, numbers=""
        )
        self.bar.start()

    def on_epoch_end(self, event: EpochEnd) -> None:
        """Show the numbers of the epoch."""
        self.row |= event.row
        numbers = _numbers(self.row, self.rows)
        if self.bar is not None:
            self.bar.update(self.task, completed=event.epoch, numbers=numbers)
        elif event.epoch == 1 or event.epoch % max(self.epochs // _LINES, 1) == 0:
            print(f"epoch {event.epoch}/{self.epochs}  {numbers}", file=self.out, flush=True)

    def on_train_end(self, event: TrainEnd) -> None:
        """Remove the bar and say why training stopped."""
        if self.bar is not None:
            self.bar.stop()
        best = f"; best epoch {event.best_epoch}" if event.best_epoch else ""
        print(f"stopped: {event.reason}{best}", file=self.out, flush=True)


def _numbers(row: Mapping[str, float], rows: int) -> str:
    parts = [f"loss {row['loss']:.4f}"]
    if "validation_loss" in row:
        parts.append(f"validation {row['validation_loss']:.4f}")
    if "validation_score" in row:
        parts.append(f"score {row['validation_score']:.4f}")
    parts.append(f"{rows / max(row['seconds'], 1e-9):,.0f} rows/s")
    return "  ".join(parts)
