"""Many threads, processes of both kinds, and long trainings (`tools/trust/load.py`, in short)."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_threads_processes_and_memory():
    arguments = ["--calls", "200", "--steps", "3000", "--numpy"]
    done = subprocess.run(
        [sys.executable, "-m", "tools.trust.load", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert {line.split(":")[0] for line in lines} >= {"fork", "spawn", "Module", "MLPClassifier"}
    assert lines[-1].startswith("0 problems []")
