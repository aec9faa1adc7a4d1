"""The script that predicts as a fitted estimator does, from rows of numbers or from a table."""

from collections.abc import Sequence
from typing import Any

from chainrule.estimators.whole import InputColumn, Whole
from chainrule.files import MISSING_TEXT
from chainrule.scripts.script import READ, Script, keys_of, labels_of, put_together, shapes_of
from chainrule.transforms.python import Parts, rebuild

_TABLE = '''def columns(table):
    """Give columns of a table, a dictionary of lists, as arrays: numbers, and codes of text.

    Missing are None and NaN; a category that training had not has the code 0.
    """
    return [
        np.array([code(cell, CODES[name]) for cell in table[name]], np.int64)
        if name in CODES
        else np.array([number(cell, name, i) for i, cell in enumerate(table[name])], np.float64)
        for name in COLUMNS
    ]


def number(cell, name, row):
    """Give a number, NaN for a missing one, 0 or 1 for a truth value; refuse what is neither."""
    told = WORDS.get(str(cell), cell)
    value = float(told) if NUMBER.fullmatch(str(told)) else np.inf
    right = value in (0, 1) if name in BOOLEANS else np.isfinite(value)
    if not (right or np.isnan(value)):
        expected = "True or False" if name in BOOLEANS else "a finite number"
        raise ValueError(f"column {name!r}, row {row} (counted from 0): {cell!r} is not {expected}")
    return value


def code(cell, codes):
    """Give the code of a category: 0 unknown, 1 missing."""
    missing = cell is None or cell != cell
    return 1 if missing else codes.get(cell, 0)'''

_READ_TABLE = '''def read(path):
    """Read a CSV file with a header as a dictionary of lists."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        header, *rows = [row for row in csv.reader(file, strict=True) if row] or [[]]
    for i, row in enumerate(rows):
        if len(row) != len(header):
            wrong = f"expected {len(header)} cells, found {len(row)}"
            raise ValueError(f"row {i} (counted from 0): {wrong}")
    for name in COLUMNS:
        if header.count(name) != 1:
            raise ValueError(f"expected one column {name!r}, found {header.count(name)}")
    cells = {name: [row[header.index(name)] for row in rows] for name in COLUMNS}
    return {k: [None if cell in MISSING else cell for cell in v] for k, v in cells.items()}'''

_NUMBERS = r"""NUMBER = re.compile(r"\s*([+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan)\s*", re.A | re.I)
WORDS = {"None": "nan", "True": 1, "true": 1, "TRUE": 1, "False": 0, "false": 0, "FALSE": 0}"""


def write_estimator(estimator: Any, inline: bool | None) -> Script:
    """Write `predict`, and `predict_proba` of a classifier."""
    whole: Whole = estimator.whole()
    names = ["x"] if whole.columns is None else [column.name for column in whole.columns]
    model = estimator.module_.evaluating()
    parts = rebuild(whole.graph, "compute", names, keys_of(model), labels_of(model))
    starts: list[str] = []
    if whole.columns is None:
        given, cells = "x", "x"
        functions, reading, faults = [parts.functions], READ, "ValueError"
        call = f"read(sys.argv[1], {shapes_of([whole.graph.inputs[0].shape])[1:-1]})"
    else:
        given, cells = "table", "*columns(table)"
        functions, reading = [parts.functions, _TABLE], _READ_TABLE
        call, faults = "read(sys.argv[1])", "(csv.Error, ValueError)"
        booleans = [column.name for column in estimator.encoder_.inputs if column.kind == "boolean"]
        starts += [f"COLUMNS = {names}", f"BOOLEANS = {booleans}", _codes(whole.columns), _NUMBERS]
        starts += [f"MISSING = {MISSING_TEXT}  # cells of a CSV file"]
    if whole.classes is not None and whole.task != "multilabel":
        starts.append(f"CLASSES = np.array({whole.classes.tolist()})")
    main = f"""{reading}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("give a file of rows")
    try:
        answers = predict({call})
    except {faults} as error:
        sys.exit(f"{{sys.argv[1]}}: {{error}}")
    for answer in answers:
        print(*np.ravel(answer), sep=",")
"""
    complete = Parts(
        "\n\n\n".join([*functions, *_answers(whole, given, cells)]),
        parts.arrays,
        (*parts.modules, *["import csv", "import re"] * (whole.columns is not None)),
        tuple(starts),
    )
    doc = f"Predict as the {type(estimator).__name__} that it was made of, with NumPy alone."
    return put_together(doc, complete, main, inline)


def _codes(columns: Sequence[InputColumn]) -> str:
    lines = "".join(f"    {c.name!r}: {c.codes},\n" for c in columns if c.codes)
    return f"CODES = {{\n{lines}}}" if lines else "CODES = {}"


def _answers(whole: Whole, given: str, cells: str) -> list[str]:
    """Write the functions that people call."""
    several = "probabilities" in whole.graph.output
    found = f"compute({cells})" + "[0]" * several
    what, answer = "the class of each row", f"CLASSES[{found}]"
    if whole.task in ("regression", "multilabel"):
        what, answer = "the number, or numbers, of each row", found
    functions = [f'def predict({given}):\n    """Give {what}."""\n    return {answer}']
    if several:
        functions.append(
            f'def predict_proba({given}):\n    """Give the probabilities of each row."""\n'
            f"    return compute({cells})[1]"
        )
    return functions
