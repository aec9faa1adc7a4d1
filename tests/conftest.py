"""Hypothesis draws the same examples in every run; Ctrl-C is heard in a background job, too."""

import io
import signal

import pytest
from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what follows an &
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def as_asked(monkeypatch):
    """Let tests choose how a step runs, whatever the environment says."""
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)


@pytest.fixture
def terminal(monkeypatch):
    """Give a stream that is taken for a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    return _Terminal()
