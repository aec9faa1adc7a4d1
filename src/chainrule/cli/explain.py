"""`chainrule explain`: every number of a prediction, or of a step of training."""

from pathlib import Path
from typing import Any

import numpy as np

from chainrule.cli.account import Account
from chainrule.cli.use import load_tabular, read_for, select_inputs
from chainrule.errors import ConfigError
from chainrule.estimators.rows import take_rows
from chainrule.textbook import EXAMPLES, Example
from chainrule.transforms.explain import Explanation


def explain_example(name: str, options: dict[str, Any]) -> int:
    """Explain an example from a book, and compare with what is printed there."""
    example = EXAMPLES[name]()
    explanation = example.explain()
    text = explanation.text(**_settings(options))
    account = Account()
    account.line(f"{name}: {example.title}", "bold")
    code = _show(explanation, text, account, options)
    if example.quoted:
        _compare(example, explanation, account)
    return code


def _compare(example: Example, explanation: Explanation, account: Account) -> None:
    rows = example.comparison(explanation)
    wrong = sum(bool(remark) for *_, remark in rows)
    account.line(
        f"Beside {example.source}: {len(rows) - wrong} of {len(rows)} numbers agree", "bold"
    )
    account.table(("number", "there", "here", "remark"), rows)
    for remark in example.remarks:
        account.bullet(remark)


def explain_row(
    model: Path, table: Path, target: str | None, row: int, options: dict[str, Any]
) -> int:
    """Explain what a model predicts for a row of a table, or with a target, a step on this row."""
    fitted = load_tabular(model)
    full = read_for(fitted, table, options.pop("delimiter"))
    if target is not None and target not in full.column_names:
        raise ConfigError(f"--target {target}: {table} has no such column")
    inputs = select_inputs(fitted, full, table, besides=target)
    if not 0 <= row < inputs.num_rows:
        raise ConfigError(
            f"--row {row}: expected a number from 0 to {inputs.num_rows - 1}; {table} has "
            f"{inputs.num_rows:,} rows, counted from 0"
        )
    chosen = take_rows(inputs, np.array([row]))
    truth = None if target is None else [full.column(target)[row].as_py()]
    explanation = fitted.explain(chosen, truth)
    text = explanation.text(**_settings(options))
    account = Account()
    guess = fitted.predict(chosen)[0]
    account.line(f"{table.name}, row {row}: predicted {guess}", "bold")
    if hasattr(fitted, "classes_") and fitted.predict_proba(chosen).shape[1] <= 20:
        p = fitted.predict_proba(chosen)[0]
        classes = [str(name) for name in fitted.classes_.tolist()]
        account.table(
            ("class", "probability"),
            [(name, f"{x:.4f}") for name, x in zip(classes, p, strict=False)],
        )
    return _show(explanation, text, account, options)


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """Give what all ways to show an explanation take."""
    return {
        "level": options["level"] or None, "opened": options["opened"], "digits": options["digits"],
    }  # fmt: skip


def _show(explanation: Explanation, text: str, account: Account, options: dict[str, Any]) -> int:
    """Print an explanation, write what was asked for, and check it; 1 if something is wrong."""
    written = [path for path in (options["html"], options["latex"], options["json"]) if path]
    if not written:
        account.gap()
        account.unbroken(text)
        account.gap()
    if options["html"]:
        explanation.html(options["html"], **_settings(options))
    if options["latex"]:
        explanation.write(options["latex"], explanation.latex(**_settings(options)))
    if options["json"]:
        explanation.json(options["json"])
    for path in written:
        account.line(f"written: {path}")
    verdict = explanation.verify()
    account.line(f"Checked: {verdict}", "" if verdict.ok else "bold red")
    account.gap()
    return 0 if verdict.ok else 1
