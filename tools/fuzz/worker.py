"""The process that fuzzes one target with atheris until its time is over.

`python -m tools.fuzz` starts it. An exception that no target may raise is written to the folder of
findings, once for each place, and fuzzing goes on; a crash, a timeout and too much memory end it.
"""

import hashlib
import os
import random
import resource
import sys
import time
import traceback
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["chainrule"], exclude=["chainrule.transforms.compile"]  # Numba reads bytecode
):  # fmt: skip
    from tools.fuzz.targets import TARGETS

MEMORY = 1 << 30
"""Bytes above those of a process that has read all seeds."""


def main(name: str, findings: Path, seconds: float, arguments: list[str]) -> None:
    """Fuzz a target; `arguments` are those of libFuzzer."""
    target = TARGETS[name]
    seen: set[str] = set()
    tried = 0

    def one(data: bytes) -> None:
        nonlocal tried
        if time.monotonic() > end:
            print(f"TRIED {tried}", flush=True)
            os._exit(0)  # an exit in order waits for threads of pyarrow, which wait for Python
        tried += 1
        try:
            target.check(data)
        except Exception as error:
            where = _place(error)
            if where not in seen:
                seen.add(where)
                path = findings / hashlib.sha256(where.encode()).hexdigest()[:12]
                path.write_bytes(data)
                print(f"FOUND {path.name}: {where}", flush=True)
                path.with_suffix(".txt").write_text("".join(traceback.format_exception(error)))

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        changed = target.mutate(data, rng) if rng.random() < 0.85 else None
        if changed is None or len(changed) > most:
            return bytes(atheris.Mutate(data, most))
        return changed

    for data in target.seeds().values():
        target.check(data)
    _limit_memory()
    end = time.monotonic() + seconds
    atheris.Setup([sys.argv[0], *arguments], one, custom_mutator=mutate)
    atheris.Fuzz()


def _place(error: BaseException) -> str:
    """Say what was raised, and by which line of chainrule."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [x for x in frames if "chainrule" in x.filename] or frames
    last = own[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno} in {last.name}"


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
