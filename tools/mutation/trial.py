"""A copy of the checkout, and tests that run in a fork of this process, on what the copy holds."""

import gc
import importlib.util
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tools.mutation.reach import OPTIONS

WARM = (
    "numpy", "numpy.testing", "hypothesis.extra.numpy", "safetensors.numpy", "click.testing",
    "rich.console", "numba", "mpmath", "onnx", "scipy.special",
)  # fmt: skip
MEMORY = 12 << 30


class Tree:
    """A copy of the checkout, whose files are changed, and whose tests run."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        shutil.rmtree(folder, ignore_errors=True)
        command = ["git", "ls-files", "-co", "--exclude-standard"]
        names = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        for name in names.stdout.splitlines():
            if (root / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name)

    def write(self, path: Path, code: str) -> None:
        """Write a file of the copy; compiled code of what it was before is not taken for it."""
        place = self.folder / path.relative_to(self.root)
        place.write_text(code, encoding="utf-8")
        Path(importlib.util.cache_from_source(str(place))).unlink(missing_ok=True)

    def tried(self, path: Path, code: str, tests: Sequence[str], limit: float) -> str:
        """Say what tests make of a changed file: it is killed, survived, or took too long."""
        self.write(path, code)
        try:
            return WORDS.get(self.run(lambda: _passes(tests), limit), "killed")
        finally:
            self.write(path, path.read_text(encoding="utf-8"))

    def run(self, what: Callable[[], int], limit: float) -> int:
        """Call something in a fork, in the copy, and give its exit status.

        The limit is one of processor time; of time on the clock it is more, for busy machines.
        """
        child = os.fork()
        if child == 0:
            status = 70
            try:
                self._enter(math.ceil(limit))
                status = what()
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        end = time.monotonic() + 5 * limit
        done, status, wait = 0, 0, 0.002
        while not done and time.monotonic() < end:
            time.sleep(wait)
            wait = min(2 * wait, 0.05)
            done, status = os.waitpid(child, os.WNOHANG)
        with suppress(ProcessLookupError):  # processes that tests left behind go, too
            os.killpg(child, signal.SIGKILL)
        if not done:
            _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)

    def _enter(self, limit: int) -> None:
        """Make this process one of the copy, with files and memory of its own."""
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        log = os.open(self.folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.chdir(self.folder)
        source = str(self.folder / "src")
        sys.path[:0] = [str(self.folder), source]
        os.environ["PYTHONPATH"] = source
        os.environ["CHAINRULE_CACHE"] = str(self.folder / "cache")  # no other has its programs
        for name in [x for x in sys.modules if x.partition(".")[0] in ("tools", "chainrule")]:
            del sys.modules[name]


WORDS = {0: "survived", 5: "survived", -signal.SIGKILL: "timeout", -signal.SIGXCPU: "timeout"}


def warm() -> None:
    """Import what all trials need, once; chainrule itself is imported in each fork."""
    for name in WARM:
        import_module(name)
    gc.freeze()
    assert not any(name.partition(".")[0] == "chainrule" for name in sys.modules)


class _Chosen:
    def __init__(self, tests: Sequence[str]) -> None:
        self.place = {test: i for i, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keep the chosen tests and those of chosen files, in the order in which these stand."""
        files = {item: item.nodeid.partition("::")[0] for item in items}
        place = {i: self.place.get(i.nodeid, self.place.get(file)) for i, file in files.items()}
        items[:] = sorted((i for i in items if place[i] is not None), key=place.__getitem__)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """End the process: what comes after the last test would only tidy up."""
        os._exit(exitstatus)


def _passes(tests: Sequence[str]) -> int:
    """Run tests to the first that fails; give the exit status of pytest."""
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    return int(pytest.main([*OPTIONS, "-x", "--tb=line", *files], plugins=[_Chosen(tests)]))
