"""Let every system call of a save fail, and be killed at every one: nothing may be lost or left.

python -m tools.trust.saves

Two saves run under strace: a model over an older one, and a checkpoint beside two older ones. Each
call in them, one after the other, fails with an error of the disk, or is where the process is
killed. Afterwards the older file, or the new one, has to be whole; an error has to name the file;
nothing else may be in the folder, after a kill nothing else once another save is done.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from chainrule.checkpoint import Checkpoint, Keeper, newest
from chainrule.save import read_model, write_model

BEGIN, END = "/chainrule-save-begins", "/chainrule-save-ends"
HARMLESS = {"brk", "mmap", "munmap", "madvise", "mremap", "getrandom", "futex", "access",
            "rt_sigaction", "rt_sigprocmask", "getpid", "gettid", "clock_gettime"}  # fmt: skip
ERRORS = {"write": "ENOSPC", "openat": "ENOSPC", "flock": "ENOLCK"}  # others: EIO
OLD, NEW = 2, 3


def arrays(number: int) -> dict[str, np.ndarray]:
    """Give the arrays of a version of the model."""
    return {"w": np.full(3000, float(number)), "b": np.arange(10.0)}


def save_model(folder: Path, number: int) -> None:
    """Write a version of a model."""
    write_model(folder / "model.chainrule", "Tiny", {"number": number}, arrays(number))


def model_number(folder: Path) -> int:
    """Read the version of the model that is there, whole or not at all."""
    file = read_model(folder / "model.chainrule")
    assert (file.arrays["w"] == file.config["number"]).all()
    return int(file.config["number"])


def save_checkpoint(folder: Path, number: int) -> None:
    """Write a checkpoint, as a training does at a step of this number."""
    keeper = Keeper(Checkpoint(folder, keep=2))
    try:
        keeper.write(number, {"number": number}, arrays(number))
    finally:
        keeper.close()


def checkpoint_number(folder: Path) -> int:
    """Read the number of the newest checkpoint; every one that is there has to be whole."""
    for path in folder.glob("step-*"):
        assert (read_model(path).arrays["w"] == int(path.stem[5:])).all()
    found = newest(folder)
    assert found is not None
    return int(found[1].config["number"])


JOBS = {
    "model": (save_model, model_number, {"model.chainrule"}),
    "checkpoint": (save_checkpoint, checkpoint_number, {"step-3.checkpoint", "step-4.checkpoint"}),
}


def work(job: str, folder: Path) -> int:
    """Save in this process, which is watched; an error is told by the name of its file."""
    save = JOBS[job][0]
    with tempfile.TemporaryDirectory() as other:
        save(Path(other), 1)  # loads what is loaded at the first save
    os.access(BEGIN, 0)
    try:
        save(folder, NEW)
    except OSError as error:
        print(error.filename)
        return 1
    os.access(END, 0)
    return 0


def watched(job: str, folder: Path, *settings: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run a save under strace; give how it ended, and the calls that it made."""
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as log:
        command = ["strace", "-o", log.name, *settings, sys.executable, "-m", "tools.trust.saves"]
        ended = subprocess.run(
            [*command, "--worker", job, str(folder)],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return ended, log.read()


def prepared(job: str) -> Path:
    """Make a folder that holds what an earlier save has left."""
    folder = Path(tempfile.mkdtemp(prefix="saves-"))
    for number in range(1, NEW):
        JOBS[job][0](folder, number)
    return folder


def calls(job: str) -> list[tuple[str, int]]:
    """List the calls of a save that nothing disturbs, each with its number in the process."""
    folder = prepared(job)
    ended, log = watched(job, folder)
    shutil.rmtree(folder)
    assert ended.returncode == 0, ended.stderr
    counts: Counter[str] = Counter()
    found: list[tuple[str, int]] = []
    inside = False
    for line in log.splitlines():
        name = line.partition("(")[0]
        if BEGIN in line or END in line:
            inside = BEGIN in line
        elif re.fullmatch(r"\w+", name):
            counts[name] += 1
            if inside and name not in HARMLESS:
                found.append((name, counts[name]))
    return found


def disturbed(job: str, name: str, number: int, how: str) -> str:
    """Let one call of a save fail, or be where it is killed; say what is wrong afterwards."""
    save, version, expected = JOBS[job]
    folder = prepared(job)
    try:
        ended, _ = watched(job, folder, "-e", f"inject={name}:{how}:when={number}")
        killed = how == "signal=KILL"
        if killed == (ended.returncode in (0, 1)):
            return f"it ended with {ended.returncode}: {ended.stderr}"
        left = {path.name for path in folder.iterdir()}
        now = version(folder)
        if now not in (OLD, NEW) or (ended.returncode == 0 and now != NEW):
            return f"version {now} is there"
        if ended.returncode == 1 and str(folder) not in ended.stdout:
            return f"the error names {ended.stdout!r}"
        if not killed and any(file.endswith(".tmp") for file in left):
            return f"{left} are left"
        save(folder, NEW + 1)
        left = {path.name for path in folder.iterdir()}
        if version(folder) != NEW + 1 or not left <= expected | {"step-2.checkpoint"}:
            return f"after another save {left} are left"
        if "step-2.checkpoint" in left and now == NEW:
            return "the oldest checkpoint is left"
    except AssertionError as error:
        return f"a file is not whole: {error}"
    finally:
        shutil.rmtree(folder)
    return ""


def main() -> int:
    """Disturb every call of both saves, and say which did harm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", nargs=2, metavar=("JOB", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args().worker
    if given:
        return work(given[0], Path(given[1]))
    if shutil.which("strace") is None:
        print("strace is not here: nothing was checked")
        return 0
    failed = 0
    for job in JOBS:
        found = calls(job)
        for name, number in found:
            for how in (f"error={ERRORS.get(name, 'EIO')}", "signal=KILL"):
                problem = disturbed(job, name, number, how)
                if problem:
                    failed += 1
                    print(f"{job}: {name} number {number}, {how}: {problem}", flush=True)
        listed = ", ".join(f"{n} {name}" for name, n in Counter(n for n, _ in found).items())
        print(f"{job}: {2 * len(found)} faults in {len(found)} calls ({listed})")
    print(f"{failed} did harm")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
