"""A fingerprint of rows, by which a study knows the table that it is of.

>>> of_rows([[1.0, 2.0]], ["a"]) == of_rows(np.array([[1.0, 2.0]]), np.array(["a"]))
True
>>> of_rows([[1.0, 2.0]], ["a"]) == of_rows([[1.0, 2.5]], ["a"])
False
"""

import hashlib
from typing import Any

import numpy as np

from chainrule.cells import NumericCells
from chainrule.errors import ChainruleError
from chainrule.frames import read_frame


def of_rows(*parts: Any) -> str:
    """Give a short text that changes with any value of arrays, data frames and lists."""
    digest = hashlib.sha256()
    for part in parts:
        _add(digest, part)
    return digest.hexdigest()[:16]


def _add(digest: Any, part: Any) -> None:
    if part is None:
        digest.update(b"none")
    elif hasattr(part, "tocsr"):
        rows = part.tocsr()
        for array in (rows.data, rows.indices, rows.indptr):
            _add(digest, np.asarray(array))
    elif hasattr(part, "columns") or isinstance(part, dict):
        _add_frame(digest, part)
    else:
        array = np.asarray(part)
        digest.update(str(array.shape).encode())
        if array.dtype.kind in "biufc":
            digest.update(np.ascontiguousarray(array).tobytes())
        else:
            digest.update(repr(array.tolist()).encode())


def _add_frame(digest: Any, table: Any) -> None:
    """Add column after column; what is no table of numbers and text is taken as it prints."""
    try:
        frame = read_frame(table)
        columns = [frame.column(i) for i in range(len(frame.names))]
    except ChainruleError:
        digest.update(repr(table).encode())
        return
    for cells in columns:
        digest.update(cells.name.encode())
        digest.update(np.ascontiguousarray(cells.missing).tobytes())
        if isinstance(cells, NumericCells):
            known = np.where(cells.missing, np.zeros((), cells.array.dtype), cells.array)
            digest.update(np.ascontiguousarray(known).tobytes())
        else:
            digest.update(repr(cells.values).encode() + np.ascontiguousarray(cells.codes).tobytes())
