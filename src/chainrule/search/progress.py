"""Shows a search while it runs: a bar in a terminal, a line per trial elsewhere.

>>> import sys
>>> shown = TrialProgress(False, 2, 0, stream=sys.stdout)
>>> shown.start()
>>> shown.tell(0, "finished", 0.75, {"seconds": 1.25})
trial 0 (1/2)  finished  0.7500  1.2 s  best 0.7500 of trial 0
>>> shown.tell(1, "failed", None, {"error": "ConfigError: lr=-1"})
trial 1 (2/2)  failed: ConfigError: lr=-1  best 0.7500 of trial 0
>>> shown.stop()
"""

import sys
from collections.abc import Mapping
from typing import Any, TextIO

from chainrule.progress import bar


class TrialProgress:
    """Shows how many trials are done, and the best score."""

    def __init__(
        self,
        falling: bool,
        total: int,
        done: int,
        *,
        sign: int = 1,
        stream: TextIO | None = None,
    ) -> None:
        self.falling, self.total, self.done, self.sign = falling, total, done, sign
        self.out = stream or sys.stderr
        self.best: tuple[float, int] | None = None
        self.states: dict[str, int] = {}
        self.bar: Any = None

    def start(self) -> None:
        """Draw the bar, if there is a terminal."""
        if not self.out.isatty():
            return
        self.bar = bar(self.out, "trial", "words")
        self.task = self.bar.add_task("", total=self.total, completed=self.done, words=self._best())
        self.bar.start()

    def know(self, number: int, score: float) -> None:
        """Take in the score of an earlier trial."""
        score *= self.sign
        key = (score if self.falling else -score, number)
        if self.best is None or key < self.best:
            self.best = key

    def tell(self, number: int, state: str, score: float | None, facts: Mapping[str, Any]) -> None:
        """Show that a trial has ended."""
        self.done += 1
        self.states[state] = self.states.get(state, 0) + 1
        if score is not None:
            self.know(number, score)
        if self.bar is not None:
            others = [f"{n} {name}" for name, n in self.states.items() if name != "finished"]
            self.bar.update(
                self.task, completed=self.done, words="  ".join([self._best(), *others])
            )
            return
        words = state + (f": {facts['error']}" if "error" in facts else "")
        parts = [f"trial {number} ({self.done}/{self.total})", words]
        parts += [] if score is None else [f"{self.sign * score:.4f}"]
        parts += [f"{facts['seconds']:.1f} s"] if "seconds" in facts else []
        print("  ".join([*parts, self._best()]).rstrip(), file=self.out, flush=True)

    def stop(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.stop()

    def _best(self) -> str:
        if self.best is None:
            return ""
        score = self.best[0] if self.falling else -self.best[0]
        return f"best {score:.4f} of trial {self.best[1]}"
