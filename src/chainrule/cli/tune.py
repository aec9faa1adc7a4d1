"""`chainrule tune`: search the settings of the model that `chainrule fit` trains.

The search scores settings by k folds of the rows that are no test rows; what was best is scored on
the test rows and fitted again on all rows. The trials are in a file beside the model, so the same
command goes on after an interruption.

>>> parsed_space(["lr=log:1e-4..1e-2", "hidden=64,128x128", "activation=selu,mish"])["hidden"]
Choice([(64,), (128, 128)])
"""

import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from chainrule import search
from chainrule.cli import scores, words
from chainrule.cli.account import Account, noted, number
from chainrule.cli.fit import (
    Job,
    Options,
    assess,
    check_folder,
    chosen,
    make_model,
    prepare,
    tell_end,
    tell_start,
    train_model,
    write_all,
)
from chainrule.cli.tables import counted
from chainrule.errors import ChainruleError, ConfigError, need
from chainrule.files import write_csv
from chainrule.report import Report
from chainrule.search.space import Space, word

STUDY, TRIALS = "study.journal", "trials.csv"
INTERRUPTED = 130

_OWN_WORDS = {
    "space: ": "--space: ",
    "Give another name": "Name another with --study FILE",
    "leave it out, or pass cv=sklearn.model_selection.KFold(5, shuffle=True)": (
        "leave its rows out of the table, or merge it with another class"
    ),
}
"""What the command says instead of what a search in Python says."""


@dataclass(frozen=True)
class Settings:
    """The options of the command that are about the search."""

    trials: int | None = None
    jobs: int = 1
    method: str = "bayes"
    folds: int = 5
    score: str | None = None
    space: tuple[str, ...] = ()
    study: Path | None = None
    command: str = "chainrule tune"


class Measure(NamedTuple):
    """A score by its name on the command line."""

    name: str
    classes: bool
    sign: int
    why: str

    def __repr__(self) -> str:
        return self.name

    def __call__(self, model: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Score a model on rows; higher is better."""
        guess = scores.predicted(model, X)
        classes = model.classes_ if self.classes else None
        found = scores.score(y, guess.y, guess.p, classes=classes, weight=sample_weight)
        return self.sign * found[self.name]


_SURE = "a few rows tell more by how sure the model is than by how often it is right"
MEASURES = {
    "log-loss": Measure("log-loss", True, -1, f"less is better; {_SURE}"),
    "accuracy": Measure("accuracy", True, 1, "asked for"),
    "balanced-accuracy": Measure("balanced accuracy", True, 1, "asked for"),
    "r2": Measure("R²", False, 1, "the share of the variance that is explained"),
    "rmse": Measure("RMSE", False, -1, "less is better"),
    "mae": Measure("MAE", False, -1, "less is better"),
}


def run(given: dict[str, Any], command: str) -> int:
    """Take the options of the command line apart, and search."""
    own = {item.name: given.pop(item.name) for item in fields(Settings) if item.name in given}
    return tune(Options(**given), Settings(**own, command=command))


def tune(options: Options, settings: Settings) -> int:
    """Search, score what is best, fit it on all rows, and write it; give the exit code."""
    started = time.perf_counter()
    need("optuna", extra="tune", why="to search for settings")
    account = Account(quiet=options.quiet)
    check_folder(options.folder)
    with noted() as said:
        job = prepare(options)
        measure = measure_of(job, settings)
        given = make_model(job, options)
        tell_start(account, job, plan_words(job, measure, settings), options)
        found = searched(job, given, measure, options, settings)
    if found.interrupted:
        tell_interruption(account, found, options, settings)
        return INTERRUPTED
    tell_trials(account, found, measure)
    if not better_than_given(found):
        account.line("no trial did better than the settings as they come, so these are taken")
        account.gap()
    with noted() as more:
        model, report = finished(job, given, found, measure, options, started)
    report = replace(report, notes=[*dict.fromkeys([*report.notes, *said, *more])])
    write_all(options.folder, model, report)
    write_trials(options.folder / TRIALS, found, measure)
    tell_end(account, report, options)
    return 0


def measure_of(job: Job, settings: Settings) -> Measure:
    """Give the score to search by, which has to fit the task."""
    if settings.score is None:
        return MEASURES["log-loss" if job.classifies else "r2"]
    measure = MEASURES[settings.score]
    if measure.classes != job.classifies:
        fitting = ", ".join(n for n, m in MEASURES.items() if m.classes == job.classifies)
        raise ConfigError(f"--score {settings.score}: this is a {job.task} task; use {fitting}")
    return measure


def searched(
    job: Job, model: Any, measure: Measure, options: Options, settings: Settings
) -> search.Result:
    """Search on the training rows; the study stands beside the output."""
    options.folder.mkdir(parents=True, exist_ok=True)
    train = job.parts["train"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Search interrupted")  # told with the command to go on
        try:
            return search.tune(
                model,
                train.X,
                train.y,
                parsed_space(settings.space) if settings.space else None,
                method=settings.method,
                trials=settings.trials,
                cv=settings.folds,
                scoring=measure,
                sample_weight=train.weight,
                seed=options.seed,
                jobs=settings.jobs,
                baseline=True,
                study=study_file(options, settings),
                progress=not options.quiet,
            )
        except ChainruleError as error:
            message = str(error)
            for words, own in _OWN_WORDS.items():
                message = message.replace(words, own)
            raise type(error)(message) from error


def study_file(options: Options, settings: Settings) -> Path:
    """Give the file of the study."""
    return settings.study or options.folder / STUDY


def better_than_given(found: search.Result) -> bool:
    """Whether the best trial did better than the settings as they come."""
    given = (found.baseline or {}).get("score")
    return given is None or found.best_score > given


def finished(
    job: Job,
    given: Any,
    found: search.Result,
    measure: Measure,
    options: Options,
    started: float,
) -> tuple[Any, Report]:
    """Fit what was best, score it, and fit it again on all rows, the test rows included."""
    clone = need("sklearn.base", extra="tune", why="to fit the best settings").clone
    best = found.best_params if better_than_given(found) else {}
    model = clone(given).set_params(**best)
    if not options.quiet:
        model.set_params(verbose=True)
    train_model(model, job)
    seconds = time.perf_counter() - started
    report = assess(job, model, tuned_words(job, model, found, measure, options), options, seconds)
    if options.test is None and "test" in job.parts:
        if not options.quiet:
            print("fitting again, on all rows ...", file=sys.stderr, flush=True)
        again = clone(model).set_params(verbose=False)
        train_model(again, replace(job, parts={"train": job.whole}))
        note = (
            f"the saved model was fitted again, with the same settings, on all "
            f"{counted(len(job.whole), 'row')}; the scores are of a fit without the test rows"
        )
        return again, replace(report, notes=[*report.notes, note])
    return model, report


def write_trials(path: Path, found: search.Result, measure: Measure) -> None:
    """Write all trials as CSV."""
    names = [name for name in found.columns() if name != "scores"]
    rows = [
        row | {"score": measure.sign * row["score"]} if "score" in row else row for row in found
    ]
    columns = {n: [word(row[n]) if n in row else "" for row in rows] for n in names}
    write_csv(path, {n: [c.strip("'") for c in cells] for n, cells in columns.items()})


# ---------------------------------------------------------------- what is told


def plan_words(job: Job, measure: Measure, settings: Settings) -> list[words.Choice]:
    """Tell how the search goes about it."""
    how = {
        "bayes": "each trial is drawn where earlier ones did well",
        "random": "each trial is drawn at random",
        "grid": "every combination is tried",
    }[settings.method]
    trials = settings.trials or ("all" if settings.method == "grid" else 50)
    shown = f"{settings.method}, {trials} trials"
    why = f"the mean of {settings.folds} folds of the training rows; {measure.why}"
    share = "test" in job.parts
    split = "the test rows are not looked at before the end" if share else "all are searched with"
    listed = ", ".join(f"{len(sample):,} {part}" for part, sample in job.parts.items())
    return [
        ("task", job.task, job.why),
        ("rows", listed, split),
        ("search", shown, how),
        ("score", measure.name, why),
    ]


def tuned_words(
    job: Job, model: Any, found: search.Result, measure: Measure, options: Options
) -> list[words.Choice]:
    """Tell the choices of the model, those of the search with its reason."""
    score = number(measure.sign * found.best_score)
    why = f"trial {found.best['number']} of {len(found)}, the best: {measure.name} {score}"
    if not better_than_given(found):
        why = f"as they come: no trial of {len(found)} did better"
    choices = []
    for what, shown, reason in chosen(job, model, options):
        if what == "loss" and not job.classifies:
            shown, reason = word(model.loss).removeprefix("losses.").strip("'"), why
        elif what in ("hidden layers", "optimizer"):
            reason = why
        choices.append((what, shown, reason))
    return choices


def tell_trials(account: Account, found: search.Result, measure: Measure) -> None:
    """Print the best trials beside the settings as they come."""
    names, rows = found.table(10, hidden=("state", "scores", "seconds", "error"))
    place = names.index("score")
    best = {row["number"]: row["score"] for row in found.ranked()[:10]}
    for row in rows:
        row[place] = number(measure.sign * best[int(row[0])])
    given = (found.baseline or {}).get("score")
    if given is not None:
        rows.append(["as it comes", number(measure.sign * given), *[""] * (len(names) - 2)])
    head = ["trial", measure.name, *short_names(names[2:])]
    account.line(f"the best of {counted(len(found), 'trial')}{_states(found)}", "bold")
    widths = [max(map(len, column)) + 2 for column in zip(head, *rows, strict=True)]
    if sum(widths) - 2 <= account.console.width:
        account.table(head, rows)
        return
    for row in rows:
        parts = [f"{name} {cell}" for name, cell in zip(head, row, strict=True) if cell]
        account.line(", ".join(parts))
    account.gap()


def short_names(names: list[str]) -> list[str]:
    """Shorten names to their last parts, where that leaves them different.

    >>> short_names(["lr", "hidden.units", "loss.huber.delta"])
    ['lr', 'units', 'delta']
    """
    short = [name.rpartition(".")[2] for name in names]
    return [s if short.count(s) == 1 else n for s, n in zip(short, names, strict=True)]


def _states(found: search.Result) -> str:
    counts: dict[str, int] = {}
    for row in found:
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    others = [f"{n} {state}" for state, n in counts.items() if state != "finished"]
    return f" ({', '.join(others)})" if others else ""


def tell_interruption(
    account: Account, found: search.Result, options: Options, settings: Settings
) -> None:
    """Say what is kept, and how to go on."""
    kept = f"{counted(len(found), 'trial')} kept in {study_file(options, settings)}"
    account.line(f"interrupted: {kept}", "bold")
    if found.ranked():
        names, rows = found.table(1, hidden=("state", "score", "scores", "seconds", "error"))
        pairs = zip(short_names(names)[1:], rows[0][1:], strict=True)
        account.line(f"best so far: {', '.join(' '.join(pair) for pair in pairs)}")
    account.unbroken(f"go on with: {settings.command}")


# ---------------------------------------------------------------- spaces as text


def parsed_space(texts: Iterable[str]) -> dict[str, Space]:
    """Read spaces such as lr=log:1e-4..1e-2, members=4..16 or activation=selu,mish."""
    space: dict[str, Space] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not (name and equals and values):
            raise ConfigError(f"--space {text}: {_FORM}")
        space[name] = _range(text, values) if ".." in values else _options(name, values)
    return space


_FORM = "expected NAME=LOW..HIGH, NAME=log:LOW..HIGH or NAME=VALUE,VALUE,..."


def _range(text: str, values: str) -> Space:
    log = values.startswith("log:")
    low, _, high = values.removeprefix("log:").partition("..")
    ends = [_value(low), _value(high)]
    try:
        if all(isinstance(end, int) for end in ends):
            return search.Int(ends[0], ends[1], log)
        return (search.LogUniform if log else search.Uniform)(ends[0], ends[1])
    except ConfigError as error:
        raise ConfigError(f"--space {text}: {error}") from error


def _options(name: str, values: str) -> Space:
    options = [_value(value) for value in values.split(",")]
    if name == "hidden":
        options = [(value,) if isinstance(value, int) else value for value in options]
    return search.Choice(options)


def _value(text: str) -> Any:
    """Read a number, widths such as 64x64, none, or else text.

    >>> [_value(text) for text in ("3", "0.5", "64x32", "none", "mish")]
    [3, 0.5, (64, 32), None, 'mish']
    """
    text = text.strip()
    if text == "none":
        return None
    parts = text.split("x")
    if len(parts) > 1 and all(part.isdigit() for part in parts):
        return tuple(int(part) for part in parts)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
