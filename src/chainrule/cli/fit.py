"""`chainrule fit`: from a table to a model, its history and its report.

`fit` is the job from top to bottom; each step is a function below.
"""

import os
import platform
import shlex
import sys
import time
import warnings
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import metrics
from chainrule.advise import FRACTIONS, Task, check_class_rows, rank_of, recommend, task_of_cells
from chainrule.checkpoint import Checkpoint, newest
from chainrule.cli import scores, words
from chainrule.cli.account import Account, noted, number
from chainrule.cli.model import MODEL
from chainrule.cli.tables import (
    Roles,
    Sample,
    check_classes,
    check_roles,
    in_shell,
    read,
    split_sample,
    take_sample,
    target_cells,
)
from chainrule.drawing import draw
from chainrule.errors import ConfigError, DataError
from chainrule.estimators.defaults import defaults
from chainrule.estimators.rows import take_rows
from chainrule.estimators.tabular import (
    TabularClassifier,
    TabularRegressor,
)
from chainrule.files import write_csv
from chainrule.report import Report, write_report
from chainrule.table import ColumnReport, TableEncoder

HISTORY, REPORT = "history.csv", "report.html"

TEST_SHARE = 0.2
PACKAGES = ("chainrule", "numpy", "scipy", "scikit-learn", "pyarrow")


@dataclass(frozen=True)
class Options:
    """The options of the command, by the names that they have there."""

    table: Path
    target: str
    out: Path | None = None
    task: str = "auto"
    validation: Path | None = None
    test: Path | None = None
    test_share: float | None = None
    drop: tuple[str, ...] = ()
    kinds: dict[str, str] | None = None
    weights: str | None = None
    class_weight: str | None = None
    epochs: int | None = None
    members: int | None = None
    seed: int = 0
    checkpoint: Path | None = None
    every: str | None = None
    on_bad_rows: str = "error"
    delimiter: str | None = None
    quiet: bool = False

    @property
    def folder(self) -> Path:
        """Where the files go."""
        return self.out or Path(f"{self.table.stem}-model")

    @property
    def share(self) -> float:
        """Share of the table that is kept for the test."""
        return TEST_SHARE if self.test_share is None else self.test_share

    @property
    def kept(self) -> Checkpoint | None:
        """Where the state of the training is kept, and how often."""
        every = int(self.every) if self.every and self.every.isdigit() else self.every
        return Checkpoint.of(self.checkpoint, every)


@dataclass(frozen=True)
class Job:
    """What is to be done: the task, the rows of each part, and what is to be told about them."""

    task: Task
    why: str
    kinds: dict[str, str]
    whole: Sample
    parts: dict[str, Sample]
    columns: list[ColumnReport]
    notes: list[str]

    @property
    def classifies(self) -> bool:
        """Whether the target are classes."""
        return self.task != "regression"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What the table is."""
        return words.data_facts(self.whole, self.columns, self.classifies)


def fit(options: Options) -> None:
    """Train, compare, and write model, history and report."""
    started = time.perf_counter()
    account = Account(quiet=options.quiet)
    check_folder(options.folder)
    if options.kept is not None:
        check_folder(Path(options.kept.folder), "--checkpoint")
    with noted() as said:
        job = prepare(options)
        model = make_model(job, options)
        choices = chosen(job, model, options)
        tell_start(account, job, choices, options)
        train_model(model, job, options.kept)
        seconds = time.perf_counter() - started
        report = assess(job, model, choices, options, seconds)
    report = replace(report, notes=[*report.notes, *said])
    write_all(options.folder, model, report)
    tell_end(account, report, options)


def check_folder(folder: Path, option: str = "--out") -> None:
    """Refuse, before the work and not after it, a folder that cannot be written."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise ConfigError(f"{option}: {nearest} is a file, expected a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"{option}: {nearest} cannot be written to")


def prepare(options: Options) -> Job:
    """Read the tables, find the task, and divide the rows."""
    if options.task == "regression" and options.class_weight:
        raise ConfigError("--class-weight: a regression has no classes")
    skip = options.on_bad_rows == "skip"
    roles = Roles(options.target, options.weights, options.drop, options.kinds or {}, options.task)
    checked: dict[str, Any] = {
        "numbers": roles.numbers, "mixed": roles.mixed, "target": options.target,
    }  # fmt: skip
    table, notes = read(options.table, options.delimiter, skip=skip, **checked)
    check_roles(table, roles, options.table)
    task, why = find_task(table, options)
    classes = task != "regression"
    whole = take_sample(table, roles, classes=classes)
    # On all rows: it refuses cells by the row that they have in the file, and the model is not to
    # ask for columns that tell nothing.
    columns = TableEncoder(roles.kinds).fit(whole.X).describe()
    inputs = [column.name for column in columns if column.kind != "drop"]
    kinds = {name: kind for name, kind in roles.kinds.items() if name in inputs}
    whole = replace(whole, X=whole.X.select(inputs))
    encoder = TableEncoder(kinds).fit(whole.X)
    notes += [*whole.notes, *words.data_warnings(whole, encoder, task, options)]
    parts = {"train": whole}
    if options.test is None and options.share > 0:
        parts["train"], parts["test"] = split_sample(whole, options.share, options.seed, classes)
    # What is text in this table is text in the others, also where it looks like numbers there.
    used = [*inputs, options.target]
    text = [name for name in used if str(table.schema.field(name).type) == "string"]
    for part, path in (("validation", options.validation), ("test", options.test)):
        if path is None:
            continue
        other, more = read(path, options.delimiter, skip=skip, text=text, **checked)
        absent = [name for name in inputs if name not in other.column_names]
        if absent:
            raise DataError(f"{path}: it lacks columns {absent[:10]}")
        check_roles(other, roles.among(inputs, other.column_names), path)
        parts[part] = take_sample(other, roles, classes=classes, inputs=inputs)
        if classes:
            check_classes(parts[part], np.unique(parts["train"].y), roles.target, path)
        notes += [*more, *(f"{path.name}: {note}" for note in parts[part].notes)]
    return Job(task, why, kinds, whole, parts, columns, notes)


def find_task(table: Any, options: Options) -> tuple[Task, str]:
    """Take the task from the options, or find it from the target."""
    cells = target_cells(table, options.target)
    try:
        task, why = task_of_cells(cells)
    except DataError as error:
        raise DataError(f"{options.table}: --target {options.target}: {error}") from error
    n = len(cells.distinct()[0])
    if options.task == "regression":
        return "regression", "asked for"
    if options.task == "classification":
        if why == FRACTIONS:
            raise ConfigError(f"--task classification: {options.target!r} is {why}, not classes")
        task, why = "binary" if n == 2 else "multiclass", "asked for"
    elif task == "regression":
        if options.class_weight:
            raise ConfigError(
                f"--class-weight: this is a regression ({why}): --task classification"
            )
        more = "" if why == FRACTIONS else "; --task classification takes them for classes"
        return task, why + more
    elif cells.kind == "number":
        why = f"{why}; --task regression takes them for numbers"
    try:
        check_class_rows(cells)
    except DataError as error:
        raise DataError(f"{options.table}: --target {options.target}: {error}") from error
    return task, why


def make_model(job: Job, options: Options) -> Any:
    """Make the estimator; what is not asked for is its own choice."""
    settings: dict[str, Any] = {
        "random_state": options.seed,
        "kinds": job.kinds or None,
        "verbose": not options.quiet,
    }
    for name in ("epochs", "members", "class_weight"):
        if getattr(options, name) is not None:
            settings[name] = getattr(options, name)
    return (TabularClassifier if job.classifies else TabularRegressor)(**settings)


def chosen(job: Job, model: Any, options: Options) -> list[words.Choice]:
    """List the choices that are known before training, each with its reason."""
    train = job.parts["train"]
    encoder = TableEncoder(job.kinds).fit(train.X)
    rank = rank_of(encoder, train.X, seed=options.seed)
    advice = recommend(
        job.task, len(train), train.X.num_columns, independent_features=rank.effective
    )
    share = options.share if options.test is None else None
    n_classes = len(set(job.whole.y.tolist())) if job.classifies else 0
    return [
        *words.advised(job.task, job.why, advice, n_classes),
        words.split_words(job.parts, share, job.classifies),
        *words.encoded(encoder, job.columns),
        *words.built(model.get_params() | set_by_rows(model, len(train)), advice),
    ]


def set_by_rows(model: Any, rows: int) -> dict[str, Any]:
    """Give the settings that the model takes from the number of rows."""
    own = asdict(defaults(rows, isinstance(model, TabularRegressor)))
    return {name: value for name, value in own.items() if getattr(model, name) is None}


def train_model(model: Any, job: Job, kept: Checkpoint | None = None) -> None:
    """Fit; Ctrl-C ends it early, with the best weights so far."""
    train, held_out = job.parts["train"], job.parts.get("validation")
    validation = None if held_out is None else (held_out.X, held_out.y)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Training interrupted")  # a note says it, with the epoch
        try:
            model.fit(
                train.X,
                train.y,
                sample_weight=train.weight,
                validation_data=validation,
                checkpoint=kept,
            )
        except SystemExit:
            if kept is not None:
                print(f"terminated: the same command goes on from {kept.folder}", file=sys.stderr)
            raise


def compare(job: Job, model: Any) -> tuple[list[Any], dict[str, dict[str, scores.Scores]]]:
    """Score the network, a linear model, and guessing."""
    classes = model.classes_ if job.classifies else None
    train = job.parts["train"]
    weighting = model.get_params().get("class_weight")
    rivals = [
        scores.Rival("neural network", "model", lambda X: scores.predicted(model, X)),
        scores.linear_model(model.encoder_, train, job.classifies, weighting),
        scores.guessing(train, classes),
    ]
    return scores.score_rows(rivals, job.parts, classes)


def assess(
    job: Job, model: Any, choices: list[words.Choice], options: Options, seconds: float
) -> Report:
    """Measure what was learned, and put the report together."""
    rows, every = compare(job, model)
    name = next(iter(every["model"]["train"]))
    warned = words.verdict_warnings(rows, job.parts, name)
    return Report(
        title=options.table.stem,
        task="classification" if job.classifies else "regression",
        target=options.target,
        score_name=name,
        scores=rows,
        data=[*job.facts, *_more_facts(job, every["model"], options, seconds)],
        history=model.history_.rows,
        best_epoch=model.history_.best_epoch,
        choices=[*choices, *words.learned(model, "validation" in job.parts)],
        columns=[
            {"name": c.name, "kind": c.kind, "encoding": in_shell(c.how), "missing": c.missing}
            for c in job.columns
        ],
        summary=words.summary(model.module_),
        drawing=draw(model, title=f"{type(model).__name__}, {_nets(model.module_.members)}").svg(),
        notes=[*job.notes, *_interrupted(model, options.kept), *warned],
        versions=_versions(),
        command=_predict_command(options),
        snippet=_snippet(options),
        **look_closer(job, model, options),
    )


def explained(model: Any, X: Any) -> str:
    """Derive the prediction for the first of some rows, in a folded part of the page."""
    explanation = model.explain(take_rows(X, np.array([0])))
    return (
        "<p>The first row that the scores are of, followed along the largest output of one net. "
        "In a terminal: <code>chainrule explain</code>.</p>"
        f"<details><summary>Show it</summary>{explanation.fragment(level=(0, 1, 3), heading='h3')}"
        "</details>"
    )


def look_closer(job: Job, model: Any, options: Options) -> dict[str, Any]:
    """Give the details of a report: where it errs, what it relies on, how sure it is."""
    sample = job.parts.get("test") or job.parts.get("validation") or job.parts["train"]
    classes = model.classes_ if job.classifies else None
    used = [c.name for c in model.encoder_.describe() if c.kind != "drop"]
    details: dict[str, Any] = {
        "importance": scores.importance(model, sample, used, classes, options.seed)
    }
    details["explained"] = explained(model, sample.X)
    guess = scores.predicted(model, sample.X)
    if classes is None or guess.p is None:
        return details | {"actual": sample.y, "predicted": guess.y}
    counts = metrics.confusion_matrix(
        sample.y, guess.y, labels=classes, sample_weight=sample.weight
    )
    return details | {
        "classes": classes.tolist(),
        "confusion": counts,
        "per_class": scores.class_rows(sample, guess.y, classes),
        "calibration": scores.calibration(sample, guess.p, classes),
    }


def write_all(folder: Path, model: Any, report: Report) -> None:
    """Write model, history and report, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / MODEL)
    history = model.history_
    write_csv(folder / HISTORY, {name: history[name] for name in history.columns()})
    write_report(folder / REPORT, report)


# ---------------------------------------------------------------- what is told


def tell_start(account: Account, job: Job, choices: list[words.Choice], options: Options) -> None:
    """Print what is to be learned, from what, how, and from where it goes on."""
    account.line(f"{options.table.name}: predict {options.target}", "bold")
    account.facts(job.facts)
    account.gap()
    account.choices(choices)
    found = None if options.kept is None else newest(Path(options.kept.folder))
    if found is not None:
        account.line(f"going on from {found[0]}, after epoch {found[1].config.get('epoch')}")
        account.gap()


def tell_end(account: Account, report: Report, options: Options) -> None:
    """Print how good it is, what to beware of, and where the files are."""
    account.scores(report.score_name, report.scores)
    account.notes(report.notes)
    if report.notes:
        account.gap()
    for name, what in ((MODEL, "the model"), (HISTORY, "its training"), (REPORT, "the report")):
        account.unbroken(f"{options.folder / name}  {what}")
    account.unbroken(f"next: {report.command}")


def _more_facts(
    job: Job, found: dict[str, scores.Scores], options: Options, seconds: float
) -> list[tuple[str, str]]:
    """Give all scores but the first, of the part that tells most, and how it was measured."""
    part = next(part for part in ("test", "validation", "train") if part in found)
    facts = [(f"{name}, {part}", number(value)) for name, value in found[part].items()]
    shown = ", ".join(f"{len(sample):,} {name}" for name, sample in job.parts.items())
    return [
        *facts[1:],
        ("split", shown),
        ("seed", str(options.seed)),
        ("time", f"{seconds:.0f} s"),
    ]


def _interrupted(model: Any, kept: Checkpoint | None) -> list[str]:
    if model.history_.reason != "interrupted":
        return []
    best = model.history_.best_epoch
    used = f"the weights of epoch {best}, the best, are kept" if best else "its weights are kept"
    more = "" if kept is None else "; the same command goes on where it stopped"
    return [f"training was interrupted in epoch {len(model.history_)}: {used}{more}"]


def _nets(count: int) -> str:
    return "one net" if count == 1 else f"{count} nets side by side"


def _predict_command(options: Options) -> str:
    words = ["chainrule", "predict", str(options.folder), str(options.table)]
    if options.delimiter is not None:
        words += ["--delimiter", options.delimiter.replace("\t", r"\t")]
    return shlex.join(words)


def _snippet(options: Options) -> str:
    more = "" if options.delimiter is None else f", delimiter={options.delimiter!r}"
    return "\n".join(
        [
            "import chainrule",
            "from chainrule.files import read_table",
            "",
            f"model = chainrule.load({str(options.folder / MODEL)!r})",
            f"table = read_table({str(options.table)!r}{more})",
            "model.predict(table.select(model.feature_names_in_.tolist()))",
        ]
    )


def _versions() -> dict[str, str]:
    """Give the versions of what took part."""
    own = {"Python": platform.python_version(), "platform": sys.platform}
    return {name: version(name) for name in PACKAGES} | own
