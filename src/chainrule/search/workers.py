"""Worker processes: each is started once, gets estimator and rows once, and does trial after trial.

So what it costs to import libraries and to load compiled steps is paid once per worker. A worker
only computes; the process that started it draws the settings, decides on pruning and keeps the
study, so nothing is shared and nothing is locked.

>>> min_threads({"OMP_NUM_THREADS": "3"}, jobs=2)
3
"""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import connection, get_context, resource_tracker
from typing import Any, NamedTuple

from chainrule.errors import ChainruleError, ConfigError
from chainrule.search.scoring import Outcome, attempt
from chainrule.search.space import Flat, Space

_GUARD = (
    "a worker process ended before its first trial. In a script, the call belongs under `if "
    '__name__ == "__main__":`, since every worker imports the script; jobs=1 needs no workers'
)


_PATIENCE = 10.0
"""Seconds that a process has to end when it is asked to."""


class Message(NamedTuple):
    """From a worker: "ready", "report" with step and score, "done" with the outcome, or "gone"."""

    worker: "Worker"
    kind: str
    content: Any


class Worker:
    """A process that does trials."""

    def __init__(self, task: Any, space: Mapping[str, Space]) -> None:
        context = get_context("spawn")  # a forked process may not use threads that were started
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, task, space), daemon=True)
        self.number: int | None = None
        self.started = False
        try:
            with _deaf_to_ctrl_c():
                self.process.start()
        except Exception as error:
            # Python raises any of these for what it cannot pickle.
            if type(error).__name__ not in ("PicklingError", "AttributeError", "TypeError"):
                raise
            raise ConfigError(
                f"jobs: what is searched cannot be sent to another process ({error}): functions "
                "have to stand at the top level of a module. jobs=1 needs no other process"
            ) from error
        finally:
            other.close()

    def begin(self, number: int, flat: Flat) -> None:
        """Let it do a trial."""
        self.number = number
        self.pipe.send(flat)

    def answer(self, prune: bool) -> None:
        """Tell it whether to give the trial up."""
        self.pipe.send(prune)

    def receive(self) -> Message:
        """Take what it says."""
        try:
            kind, content = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            if not self.started:
                raise ChainruleError(_GUARD) from None
            error = f"the worker process ended with exit code {self.process.exitcode}"
            return Message(self, "gone", Outcome("failed", facts={"error": error}))
        self.started = True
        return Message(self, kind, content)

    def end(self) -> None:
        """End the process, whatever it does."""
        self.process.terminate()
        self.process.join(_PATIENCE)
        if self.process.is_alive():  # it does not hear
            self.process.kill()
            self.process.join()
        self.pipe.close()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Let a process that starts meanwhile never hear Ctrl-C: it takes the mask over."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its start would end the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def team(task: Any, space: Mapping[str, Space], jobs: int) -> Iterator[list[Worker]]:
    """Start workers, which end with the block; each uses its share of the cores."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(min_threads(os.environ, jobs))
    workers: list[Worker] = []
    try:
        for _ in range(jobs):
            workers.append(Worker(task, space))  # noqa: PERF401 (those that started are to end)
        yield workers
    finally:
        for worker in workers:
            worker.end()
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def wait(workers: list[Worker]) -> list[Message]:
    """Wait until at least one worker says something."""
    by_pipe = {worker.pipe: worker for worker in workers}
    return [by_pipe[pipe].receive() for pipe in connection.wait(list(by_pipe))]  # type: ignore[index]


def min_threads(environment: Mapping[str, str], jobs: int) -> int:
    """Give the threads that a worker may use: its share, unless the environment says."""
    given = environment.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(given) if given.isdigit() else max((os.cpu_count() or 1) // jobs, 1)


def _work(pipe: Any, task: Any, space: Mapping[str, Space]) -> None:
    """Do trials until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one

    def report(step: int, value: float) -> bool:
        pipe.send(("report", (step, value)))
        return bool(pipe.recv())

    try:
        pipe.send(("ready", None))
        while True:
            pipe.send(("done", attempt(task, space, pipe.recv(), report)))
    except (EOFError, OSError, KeyboardInterrupt):
        return  # the search is over
