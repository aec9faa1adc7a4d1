"""Ctrl-C and SIGTERM ask a training to end, and are heard between two steps.

>>> interruption = Interruption()
>>> with interruption.heard():
...     signal.raise_signal(signal.SIGINT)
>>> interruption.asked, interruption.terminated
(True, False)
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TERMINATED = 128 + signal.SIGTERM
"""The exit code of a process that SIGTERM has ended: 143."""


class Interruption:
    """Whether somebody wants the training to end: with `terminated`, the whole process."""

    def __init__(self) -> None:
        self._heard: set[int] = set()

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return bool(self._heard)

    @property
    def terminated(self) -> bool:
        """Whether it was SIGTERM."""
        return signal.SIGTERM in self._heard

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Note the first signal of a kind, and obey the second at once.

        A SIGTERM that came after anybody looked ends the process when the block does. A signal that
        is ignored stays ignored, and SIGTERM is left to a program that handles it itself. Only the
        main thread of a process can hear; elsewhere nothing changes.
        """
        before: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():
            now = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            if now[signal.SIGINT] not in (signal.SIG_IGN, None):
                before[signal.SIGINT] = now[signal.SIGINT]
            if now[signal.SIGTERM] is signal.SIG_DFL:
                before[signal.SIGTERM] = now[signal.SIGTERM]
        try:
            for number in before:
                signal.signal(number, self._hear)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.terminated:
            raise SystemExit(TERMINATED)

    def _hear(self, number: int, frame: Any) -> None:
        if number in self._heard:
            raise SystemExit(TERMINATED) if number == signal.SIGTERM else KeyboardInterrupt
        self._heard.add(number)
