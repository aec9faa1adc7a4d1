"""Examples in docstrings and on pages show what happens when nothing is forced."""

import pytest


@pytest.fixture(autouse=True)
def _nothing_forced(request, monkeypatch):
    """Let examples run as they are written, whatever CHAINRULE_COMPILE says for the tests."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)
