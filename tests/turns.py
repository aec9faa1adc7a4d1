"""Threads whose order a test decides, to find meetings that a program forgot."""

import random
import threading

import numpy as np

from chainrule.transforms.compile import language


class Turns:
    """Runs threads one at a time; between two meetings each has its turn, in a random order."""

    def __init__(self, threads, seed):
        self.threads = threads
        self.random = random.Random(seed)
        self.changed = threading.Condition()
        self.local = threading.local()
        self.left, self.now, self.failed = [], None, []
        self.waiting = {}

    def run(self, source, table):
        """Run a plain program, its work shared out in pieces of one."""
        own = {"meet": self._meet, "share": thin_share}
        words = language.WORDS | own
        program = language.module_of(source, "chainrule_turns", "<program>", words).program
        self.alive = set(range(self.threads))
        started = [
            threading.Thread(target=self._work, args=(program, table, t)) for t in self.alive
        ]
        for thread in started:
            thread.start()
        with self.changed:
            self._next()
        for thread in started:
            thread.join()
        assert not self.failed

    def _work(self, program, table, thread):
        self.local.thread = thread
        with self.changed:
            self.changed.wait_for(lambda: self.now == thread)
        try:
            with np.errstate(all="ignore"):
                program(0, 1, -1, table, thread, self.threads)
        except Exception as error:
            self.failed.append(error)
        with self.changed:
            self.alive.discard(thread)
            self._next()

    def _next(self):
        """Give the turn to a thread that does not wait for others; all have one before the next."""
        free = self.alive.difference(*self.waiting.values())
        self.left = [thread for thread in self.left if thread in free]
        if not self.left:
            self.left = self.random.sample(sorted(free), len(free))
        self.now = self.left.pop() if self.left else None
        self.changed.notify_all()

    def _meet(self, meeting, threads):
        """Wait at a place until so many threads are there."""
        with self.changed:
            there = self.waiting.setdefault(meeting.ctypes.data, set())
            there.add(self.local.thread)
            if len(there) == threads:
                there.clear()
            self._next()
            self.changed.wait_for(lambda: self.now == self.local.thread)


def thin_share(n, thread, threads):
    return n if thread >= threads else n * thread // threads
