"""Texts that a test compares whole with a file of `tests/golden`.

A change that is meant writes them anew, for a person to read the difference:

    CHAINRULE_GOLDEN=write .venv/bin/python -m pytest tests/test_draw.py
"""

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def golden(name, text):
    """Compare a text with the file of this name, or write the file if that is asked for."""
    path = FOLDER / name
    if os.environ.get("CHAINRULE_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8")
    assert text == expected, f"{path} differs; how to write it anew stands in tests/golden.py"
