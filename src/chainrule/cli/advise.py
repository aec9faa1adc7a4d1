"""`chainrule advise`: what to start with on a table, and what to beware of, before any training.

Nothing is trained but quick trials of other models, and nothing is written.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import click

from chainrule.advise import Advice, Comparison, Examination, Rank, examine
from chainrule.cli.account import Account
from chainrule.cli.tables import Roles, check_names, counted, in_shell, read
from chainrule.errors import ConfigError, DataError


@dataclass(frozen=True)
class Options:
    """The options of the command, by the names that they have there."""

    table: Path
    target: str
    task: str = "auto"
    drop: tuple[str, ...] = ()
    kinds: dict[str, str] | None = None
    seed: int = 0
    on_bad_rows: str = "error"
    delimiter: str | None = None
    as_json: bool = False


def advise(options: Options) -> None:
    """Read the table, examine it, and print what was found."""
    roles = Roles(options.target, drop=options.drop, kinds=options.kinds or {}, task=options.task)
    skip = options.on_bad_rows == "skip"
    checked = {"numbers": roles.numbers, "mixed": roles.mixed}
    table, notes = read(
        options.table, options.delimiter, skip=skip, target=options.target, **checked
    )
    inputs = check_names(table, roles, options.table)
    kinds = {name: kind for name, kind in roles.kinds.items() if name in inputs}
    target = table.column(options.target)
    try:
        found = examine(
            table.select(inputs), target, task=options.task, kinds=kinds, seed=options.seed
        )
    except (ConfigError, DataError) as error:
        message = in_shell(str(error))
        raise type(error)(f"{options.table}: --target {options.target}: {message}") from error
    absent = table.num_rows - found.rows
    if absent:
        notes.append(f"{counted(absent, 'row')} without a target left out")
    hints = tuple(replace(hint, remedy=in_shell(hint.remedy)) for hint in found.hints)
    found = replace(found, hints=hints)
    if options.as_json:
        head = {"table": str(options.table), "target": options.target, "notes": notes}
        click.echo(json.dumps(head | found.to_dict(), indent=2, ensure_ascii=False))
    else:
        tell(Account(), found, options, notes)


def tell(account: Account, found: Examination, options: Options, notes: list[str]) -> None:
    """Print it for people: facts, what to start with, scores of other models, hints."""
    account.line(f"{options.table.name}: predict {options.target}", "bold")
    account.facts(facts(found))
    account.gap()
    account.choices(choices(found.advice))
    verdict = None if found.comparison is None else found.comparison.hint
    if found.comparison is not None:
        account.table(*scores(found.comparison))
        account.line(str(verdict))
        account.gap()
    warned = [hint for hint in found.hints if verdict is None or hint.name != verdict.name]
    account.line("What to beware of" if warned else "Nothing to beware of was found", "bold")
    for hint in warned:
        account.bullet(str(hint))
    if found.advice.caveats:
        account.gap()
        account.line(f"How sure the start is ({found.advice.scenario})", "bold")
    for caveat in found.advice.caveats:
        account.bullet(caveat)
    if notes:
        account.gap()
    account.notes(notes)


def facts(found: Examination) -> list[tuple[str, str]]:
    """Tell how much there is to learn from, and how much of it is independent."""
    left = [("not used", ", ".join(found.left_out))] if found.left_out else []
    return [
        ("task", f"{found.task}: {found.why}"),
        ("rows", f"{found.rows:,}"),
        ("columns", rank_words(found.rank)),
        *left,
    ]


def rank_words(rank: Rank) -> str:
    """Put the ranks of a table in words.

    >>> rank_words(Rank(columns=4, inputs=6, numerical=5, effective=4.21))
    '4, as 6 inputs, of which 5 are independent (effective rank 4.21)'
    """
    shown = f"{rank.columns:,}, as {counted(rank.inputs, 'input')}, of which {rank.numerical:,}"
    verb = "is" if rank.numerical == 1 else "are"
    return f"{shown} {verb} independent (effective rank {rank.effective:.3g})"


def choices(advice: Advice) -> list[tuple[str, str, str]]:
    """List what to start with, each with its reason."""
    reasons = advice.reasons
    return [
        ("output", advice.output_activation, reasons["output_activation"]),
        ("hidden layers", advice.hidden_activation, reasons["hidden_activation"]),
        ("loss", advice.loss.replace("_", " "), reasons["loss"]),
        ("optimizer", " or ".join(advice.optimizers), reasons["optimizers"]),
    ]


def scores(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Give the trials as a table: head and rows."""
    head = [f"tried on {comparison.rows:,} rows", comparison.score, "±"]
    return head, [[s.model, f"{s.mean:.3f}", f"{s.margin:.3f}"] for s in comparison.scores]
