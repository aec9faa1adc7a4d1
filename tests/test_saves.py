"""Saves whose system calls fail, one after the other, and saves that are killed at each of them.

`make trust` does the same at the calls themselves, by strace (`tools/trust/saves.py`).
"""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from chainrule import atomic
from tools.trust.saves import JOBS, NEW, OLD, prepared

os_close = os.close
ROOT = Path(__file__).parents[1]
CALLS = [(atomic, "open"), (os, "open"), (os, "close"), (os, "fstat"), (os, "chmod"),
         (os, "fsync"), (os, "replace"), (os, "unlink")]  # fmt: skip


class Faults:
    """Counts calls, and lets one of them fail."""

    def __init__(self, monkeypatch, fails=0):
        self.count, self.fails = 0, fails
        for module, name in CALLS:
            call = getattr(module, name, open)
            monkeypatch.setattr(module, name, self.counted(call), raising=False)

    def counted(self, call):
        def counting(*arguments, **settings):
            self.count += 1
            if self.count == self.fails:
                if call is os_close:  # what fails in it is closed all the same
                    call(*arguments)
                named = [x for x in arguments[:1] if isinstance(x, str | Path)]
                raise OSError(errno.EIO, os.strerror(errno.EIO), *named)
            return call(*arguments, **settings)

        return counting


@pytest.mark.parametrize("job", JOBS)
def test_every_call_of_a_save_may_fail(job, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    save, version, expected = JOBS[job]
    with monkeypatch.context() as patch:
        faults = Faults(patch)
        save(prepared(job), NEW)
    assert faults.count > 6
    failed = 0
    for number in range(1, faults.count + 1):
        folder = prepared(job)
        least, named = NEW, str(folder)
        with monkeypatch.context() as patch:
            Faults(patch, fails=number)
            try:
                save(folder, NEW)
            except OSError as error:
                least, named = OLD, str(error.filename)
                failed += 1
        assert str(folder) in named, number
        assert least <= version(folder) <= NEW, number
        assert not [path for path in folder.iterdir() if path.suffix == ".tmp"], number
        save(folder, NEW + 1)
        assert version(folder) == NEW + 1
        assert {path.name for path in folder.iterdir()} <= expected | {"step-2.checkpoint"}
    assert failed > 4


KILLED = """
import sys
from tools.trust.resume import in_child, kill_before
from tools.trust.saves import JOBS, NEW, OLD, prepared
for job, (save, version, expected) in JOBS.items():
    code, number = -9, 0
    while code == -9:
        number += 1
        folder = prepared(job)
        def work():
            kill_before(number)
            save(folder, NEW)
            return {}
        code = in_child(work)[1]
        assert version(folder) in (OLD, NEW), (job, number)
        save(folder, NEW + 1)
        assert version(folder) == NEW + 1
        left = {path.name for path in folder.iterdir()}
        assert left <= expected | {"step-2.checkpoint"}, (job, number, left)
    print(number - 1)
"""


@pytest.mark.slow
def test_a_save_may_be_killed_at_every_call(tmp_path):
    settings = {"cwd": ROOT, "env": os.environ | {"TMPDIR": str(tmp_path)}}
    arguments = [sys.executable, "-c", KILLED]
    done = subprocess.run(arguments, capture_output=True, text=True, **settings)
    assert done.returncode == 0, done.stderr
    assert all(int(count) > 3 for count in done.stdout.split())


def test_a_file_that_cannot_be_looked_at_leaves_nothing(tmp_path, monkeypatch):
    def broken(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", broken)
        with (
            pytest.raises(OSError, match=r"model\.bin"),
            atomic.atomic_write(tmp_path / "model.bin"),
        ):
            pass
    assert list(tmp_path.iterdir()) == []
