"""Ctrl-C during a search: never in the middle of a line that is written to the journal.

>>> shield = Shield()
>>> try:
...     with listening(shield), shield:
...         signal.raise_signal(signal.SIGINT)
...         print("still here")
... except KeyboardInterrupt:
...     print("and out")
still here
and out
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self


class Shield:
    """A block that a Ctrl-C waits for."""

    def __init__(self) -> None:
        self.depth = 0
        self.waiting = False

    def __enter__(self) -> Self:
        self.depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        if self.waiting and not self.depth:
            self.waiting = False
            raise KeyboardInterrupt


@contextmanager
def listening(shield: Shield) -> Iterator[None]:
    """Let Ctrl-C wait for the shielded blocks inside this one; elsewhere it acts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def on_interrupt(number: int, frame: Any) -> None:
        if not shield.depth:
            raise KeyboardInterrupt
        shield.waiting = True

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
