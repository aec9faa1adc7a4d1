"""`chainrule explain --example`: nets of books, and how explanations are shown."""

from typing import Any

from chainrule.cli.account import Account
from chainrule.errors import ConfigError
from chainrule.textbook import EXAMPLES, Example
from chainrule.transforms.explain import Explanation


def explain_example(name: str, options: dict[str, Any]) -> int:
    """Explain an example from a book, and compare with what is printed there."""
    example = EXAMPLES[name]()
    explanation = example.explain()
    text = told(explanation, options)
    account = Account()
    account.line(f"{name}: {example.title}", "bold")
    code = show(explanation, text, account, options)
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


def settings_of(options: dict[str, Any]) -> dict[str, Any]:
    """Give what all ways to show an explanation take."""
    return {
        "level": options["level"] or None, "opened": options["opened"], "digits": options["digits"],
    }  # fmt: skip


def told(explanation: Explanation, options: dict[str, Any]) -> str:
    """Give an explanation as text; an error names the option."""
    try:
        return explanation.text(**settings_of(options))
    except ConfigError as error:
        name = options["opened"]
        raise ConfigError(str(error).replace(f"opened={name!r}", f"--weight {name}")) from error


def show(explanation: Explanation, text: str, account: Account, options: dict[str, Any]) -> int:
    """Print an explanation, write what was asked for, and check it; 1 if something is wrong."""
    written = [path for path in (options["html"], options["latex"], options["json"]) if path]
    if not written:
        account.gap()
        account.unbroken(text)
        account.gap()
    if options["html"]:
        explanation.html(options["html"], **settings_of(options))
    if options["latex"]:
        explanation.write(options["latex"], explanation.latex(**settings_of(options)))
    if options["json"]:
        explanation.json(options["json"])
    for path in written:
        account.line(f"written: {path}")
    verdict = explanation.verify()
    account.line(f"Checked: {verdict}", "" if verdict.ok else "bold red")
    account.gap()
    return 0 if verdict.ok else 1
