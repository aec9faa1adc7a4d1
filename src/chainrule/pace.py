"""How many steps of a program to run at a time, decided by what they take.

>>> pace = Pace()
>>> pace.next(100)  # nothing is known yet
(1, 1)
>>> pace.tell(0.001)
>>> pace.next(100)
(10, 1)
"""


class Pace:
    """How many steps to run at a time, and with how many threads: what is faster just now.

    A turn takes about `turn` seconds. All threads are used while they take less than `_GAIN` of
    the time of one. When they do not, since the net is small or another process wants the core,
    one goes on alone, and the others are tried again later and later. Results do not depend on it.

    A `large` net begins with all threads. One is tried alone when a step takes `_SLOWED` times as
    long as it did, since another process may have come, or after a hundred turns.

    >>> pace = Pace(most=2)
    >>> for _ in range(5):  # a step costs 1 ms, with two threads 2 ms
    ...     steps, threads = pace.next(1000)
    ...     pace.tell(steps * threads * 1e-3)
    >>> pace.next(1000)
    (10, 1)
    """

    _GAIN = 0.9
    _SLOWED = 1.25
    _LONGEST = 640

    def __init__(self, most: int = 1, turn: float = 0.01, *, large: bool = False) -> None:
        self.most, self.turn = most, turn
        self.alone: float | None = None
        self.together: float | None = None
        self._threads = most if large else 1
        self._wait, self._pause = 100 if large else 2, 4
        self._best = float("inf")
        self._last = (1, 1)

    def next(self, left: int) -> tuple[int, int]:
        """Give the number of steps and of threads of the next turn."""
        trying = self.most > 1 and self._wait <= 0 and (self._threads == 1 or self.alone is None)
        threads = self._threads
        if trying:
            threads = self.most + 1 - self._threads
        guess = self.together if threads > 1 and self.together else self.alone or self.together
        steps = 1 if guess is None else int(self.turn / guess)
        self._last = min(max(steps, 1), left), threads
        return self._last

    def tell(self, seconds: float) -> None:
        """Say how long the turn took."""
        steps, threads = self._last
        cost = max(seconds / steps, 1e-9)
        self._wait -= 1
        if threads == 1:
            self.alone = cost
        elif self.alone is None or cost < self._GAIN * self.alone:
            self._threads, self._pause, self.together = threads, 4, cost
            self._best = min(self._best, cost)
            if self.alone is None and cost > self._SLOWED * self._best:
                self._wait = 0
        else:
            self._threads, self._wait = 1, self._pause
            self._pause = min(2 * self._pause, self._LONGEST)
