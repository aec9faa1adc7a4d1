"""Stop random trainings at random, start them again, and compare them with ones never stopped.

python -m tools.trust.resume --draws 1000

Each draw is a net, rows, a loss, an optimizer and a plan, or an estimator, and one to three stops:
Ctrl-C, SIGTERM or SIGKILL at a random step; or SIGKILL before a random call of the system by which
a checkpoint is written. After some, the newest checkpoint is cut off or has a bit flipped. Weights,
buffers, optimizer state, averages, best weights, history and reason have to be the same bytes as
those of the training that nobody stopped. A draw that fails is repeated by `--first N --draws 1`.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import atomic
from tools.trust.trainings import Run, draw

SIGNALS = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
INTERVALS = ["1 step", "3 steps", "1 epoch", "0.002 seconds", "1 minute"]
CALLS = [(atomic, "open"), (os, "fsync"), (os, "replace"), (os, "unlink")]
ENDS = (0, 128 + signal.SIGTERM, -signal.SIGKILL)
"""How a training that was stopped may end: Ctrl-C gives what was learned, SIGTERM 143."""

Result = dict[str, str]


@dataclass(frozen=True)
class Stop:
    """How a training is stopped: by what, at which step or call, and what happens to its file."""

    how: str
    at: int
    damage: str

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Stop":
        """Draw one."""
        how = str(rng.choice(["Ctrl-C", "SIGTERM", "SIGKILL", "SIGKILL in a save"]))
        damage = str(rng.choice(["", "", "", "cut", "bit"]))
        return cls(how, 1 + int(rng.exponential(12)), damage)


class SignalAt(cr.Callback):
    """Sends a signal to its own process after a number of steps."""

    def __init__(self, number: int, steps: int) -> None:
        self.number, self.left = number, steps

    def on_step_end(self, event: Any) -> None:
        """Count, and send."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)


def kill_before(calls: int) -> None:
    """Let this process be killed before a number of calls by which files are written."""
    left = [calls]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **settings: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **settings)

        return counting

    for module, name in CALLS:
        setattr(module, name, counted(getattr(module, name, open)))


def in_child(work: Callable[[], Result]) -> tuple[Result | None, int]:
    """Do work in a process of its own; give its result, if it lived, and how it ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            warnings.simplefilter("ignore")
            signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
            os.write(writer, json.dumps(work()).encode())
            code = 0
        except SystemExit as error:
            code = int(error.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as file:
        said = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return (json.loads(said) if code == 0 else None), code


def stopped(run: Run, checkpoint: cr.Checkpoint, stop: Stop) -> int:
    """Run a training that is stopped; give how its process ended."""

    def work() -> Result:
        if stop.how in SIGNALS:
            return run.begin(checkpoint, SignalAt(SIGNALS[stop.how], stop.at))
        kill_before(stop.at)
        return run.begin(checkpoint, None)

    return in_child(work)[1]


def damage(folder: Path, how: str, rng: np.random.Generator) -> None:
    """Damage the newest checkpoint, if there is another one to go on from."""
    files = sorted(folder.glob("step-*"), key=lambda path: int(path.stem.removeprefix("step-")))
    if len(files) < 2 or not how:
        return
    data = bytearray(files[-1].read_bytes())
    place = int(rng.integers(len(data)))
    if how == "bit":
        data[place] ^= 1 << int(rng.integers(8))
    files[-1].write_bytes(data[:place] if how == "cut" else data)


def check(seed: int, machine: bool = False) -> tuple[str, list[Stop]]:
    """Do one draw; give what went wrong, if anything, and how it was stopped."""
    run, rng = draw(seed, machine), np.random.default_rng([seed, 4])
    every, keep = INTERVALS[int(rng.integers(len(INTERVALS)))], int(rng.integers(1, 4))
    stops = [Stop.drawn(rng) for _ in range(int(rng.integers(1, 4)))]
    where = f"{run.words}, every={every!r}, keep={keep}, {stops}"
    expected, _ = in_child(lambda: run.begin(None, None))
    if expected is None:
        return f"{where}: the training failed without any stop", stops
    folder = Path(tempfile.mkdtemp(prefix="resume-"))
    checkpoint = cr.Checkpoint(folder, every=every, keep=keep)
    try:
        for stop in stops:
            code = stopped(run, checkpoint, stop)
            if code not in ENDS:
                return f"{where}: the exit code was {code}", stops
            damage(folder, stop.damage, rng)
        found, _ = in_child(lambda: run.begin(checkpoint, None))
        left = sorted(path.name for path in folder.iterdir())
    finally:
        shutil.rmtree(folder)
    if found is None:
        return f"{where}: it did not go on", stops
    wrong = [name for name in expected if expected[name] != found[name]]
    if wrong:
        return f"{where}: other {', '.join(wrong)}", stops
    least = 0 if "error" in expected else 1
    if not least <= len(left) <= keep or not all(name.endswith(".checkpoint") for name in left):
        return f"{where}: {left} are left", stops
    return "", stops


def main() -> int:
    """Do draws, and say which ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first")
    parser.add_argument("--machine", action="store_true", help="compile some by Numba")
    options = parser.parse_args()
    began, failed = time.perf_counter(), 0
    stops: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.draws):
        problem, done = check(seed, options.machine)
        stops.update(stop.how for stop in done)
        if problem:
            failed += 1
            print(f"draw {seed}: {problem}", flush=True)
    listed = ", ".join(f"{n} by {how}" for how, n in sorted(stops.items()))
    print(
        f"{options.draws} trainings, {stops.total()} stops ({listed}): {failed} ended otherwise; "
        f"{time.perf_counter() - began:.0f} s"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
