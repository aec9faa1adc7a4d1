"""What `chainrule fit` tells: facts on the data, choices with their reasons, and warnings.

>>> shares_of(np.array(["a", "b", "a", "a"], dtype=object))
'a 75 %, b 25 %'
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.advise import Advice, Task, leak_hints, rows_per_input, table_hints
from chainrule.cli.tables import Sample, counted, in_shell
from chainrule.graph import Array
from chainrule.report.content import ScoreRow
from chainrule.report.words import value
from chainrule.table import TableEncoder

FEW_TESTED = 200  # rows, with which a score is coarse
MOST_CLASSES = 5

Choice = tuple[str, str, str]


def shares_of(y: Array) -> str:
    """List the commonest classes with their shares."""
    names, counts = np.unique(y, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    listed = [f"{names[i]} {100 * counts[i] / len(y):.0f} %" for i in order[:MOST_CLASSES]]
    more = [f"{len(names) - MOST_CLASSES} more"] if len(names) > MOST_CLASSES else []
    return ", ".join(listed + more)


def data_facts(sample: Sample, columns: Sequence[Any], classes: bool) -> list[tuple[str, str]]:
    """Describe inputs and target; `columns` is what the encoder says of them."""
    used = [column for column in columns if column.kind != "drop"]
    kinds = {"number": 0, "category": 0, "boolean": 0}
    for column in used:
        kinds[column.kind] += 1
    listed = ", ".join(counted(n, kind).replace("ys", "ies") for kind, n in kinds.items() if n)
    missing = sum((column.missing or 0) * len(sample) for column in used)
    share = 100 * missing / max(len(sample) * len(used), 1)
    facts = [
        ("rows", f"{len(sample):,}"),
        ("columns", f"{len(used)}: {listed}"),
        ("missing", f"{counted(round(missing), 'cell')}, {share:.1f} %" if missing else "none"),
    ]
    if classes:
        facts.append((counted(len(np.unique(sample.y)), "class"), shares_of(sample.y)))
    else:
        low, middle, high = (f"{q:.4g}" for q in np.quantile(sample.y, [0, 0.5, 1]))
        facts.append(("target", f"{low} to {high}, median {middle}"))
    return facts


def split_words(parts: Mapping[str, Sample], share: float | None, classes: bool) -> Choice:
    """Tell which rows are for what."""
    shown = ", ".join(f"{len(sample):,} {part}" for part, sample in parts.items())
    if "test" not in parts:
        return "rows", shown, "no row is kept for a test, so no score is one of unseen rows"
    how = "from a file of their own" if share is None else f"{100 * share:.0f} % drawn at random"
    even = " with equal shares of each class" if share is not None and classes else ""
    return "rows", shown, f"the test rows, {how}{even}, are not looked at before the end"


def advised(task: str, why: str, advice: Advice, n_classes: int) -> list[Choice]:
    """Tell the choices that follow from the task."""
    output = advice.output_activation
    shown = "one number" if output == "none" else f"{output}, {n_classes} classes"
    return [
        ("task", task, why),
        ("output", shown, advice.reasons["output_activation"]),
    ]


def built(params: Mapping[str, Any], advice: Advice) -> list[Choice]:
    """Tell what the network is, where it leaves the advice, and why."""
    smoothing = params.get("label_smoothing")
    softened = f", labels smoothed by {smoothing:g}" if smoothing else ""
    chosen, start = str(params["activation"]), advice.hidden_activation
    why = advice.reasons["hidden_activation"]
    if chosen != start:
        why = f"{start} is the usual start; {chosen} scored higher in benchmarks/accuracy"
    widths = " and ".join(str(width) for width in params["hidden"])
    sure = f"{advice.reasons['optimizers']}; adamw is adam with weight decay"
    found = [
        ("loss", advice.loss.replace("_", " ") + softened, advice.reasons["loss"]),
        ("hidden layers", f"{widths} units, {chosen}", why),
        ("optimizer", f"adamw, rate {params['lr']:g}, {counted(params['epochs'], 'epoch')}", sure),
    ]
    if params["members"] > 1:
        why = "each starts from other weights; their mean errs less than one does"
        found.append(("nets", f"{params['members']}, averaged", why))
    return found


def encoded(encoder: Any, columns: Sequence[Any]) -> list[Choice]:
    """Tell how columns become inputs; `columns` has those that were left out before, too."""
    kinds = {column.kind for column in columns}
    found: list[Choice] = []
    if "number" in kinds:
        why = "extreme values move neither, and cannot drown the others"
        found.append(("numbers", "median 0, quartile distance 1, clipped", why))
    if kinds & {"category", "boolean"}:
        shown = "columns of 0 and 1" + (", learned vectors for many" * bool(encoder.cardinalities))
        found.append(("categories", shown, "one that was not in training counts as none of them"))
    if any(column.missing for column in columns):
        why = "that a value is missing may tell something, and no row is lost"
        found.append(("missing values", "kept, and marked", why))
    found += [
        ("left out", repr(column.name), in_shell(column.how.removeprefix("left out: ")))
        for column in columns
        if column.kind == "drop"
    ]
    return found


def learned(model: Any, has_validation: bool) -> list[Choice]:
    """Tell what was decided while training."""
    history = model.history_
    by = "the validation file" if has_validation else "the rows that each net went without"
    why = f"the loss of {by} was lowest there"
    if not history.best_epoch:
        why = "the last one, as there are no rows to choose by"
    found = [("best epoch", f"{history.best_epoch or len(history)} of {len(history)}", why)]
    temperature = getattr(model, "temperature_", 1.0)
    if temperature != 1.0:
        why = "fitted, so that of the rows it is 80 % sure of, 80 % are right"
        found.append(("probabilities", f"logits divided by {temperature:.3g}", why))
    return found


def weights_of(module: Any) -> list[tuple[str, str, str]]:
    """List the weights of a module with their shapes and counts, and the total."""
    rows = [
        (name, " x ".join(str(n) for n in p.shape), f"{p.size:,}")
        for name, p in module.named_parameters()
    ]
    return [*rows, ("total", "", f"{module.count_parameters():,}")]


def summary(module: Any) -> str:
    """Write the weights as a table; the first of three dimensions is that of the nets."""
    rows = [("weights", "shape", "count"), *weights_of(module)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        f"{name:{widths[0]}}  {shape:>{widths[1]}}  {count:>{widths[2]}}"
        for name, shape, count in rows
    )
    return "\n".join([type(module).__name__, *lines])


def data_warnings(sample: Sample, encoder: TableEncoder, task: Task, options: Any) -> list[str]:
    """Warn of data from which no model can learn well, or learns the wrong thing."""
    classes = task != "regression"
    hints = table_hints(sample.X, sample.y, kinds=encoder.kinds, classes=classes)
    inputs = len(encoder.number_names) + len(encoder.cardinalities)
    hints += rows_per_input(len(sample), inputs)
    hints += leak_hints(encoder, sample.X, sample.y, classes=classes, seed=options.seed)
    dealt_with = {"imbalance"} if options.class_weight else set()
    return [in_shell(str(hint)) for hint in hints if hint.name not in dealt_with]


def verdict_warnings(
    rows: Sequence[ScoreRow], parts: Mapping[str, Sample], score_name: str
) -> list[str]:
    """Warn where something simpler does as well, or the test is too small to tell."""
    part = next(part for part in ("test", "validation", "train") if part in parts)
    by_role = {row.role: value(row, part) for row in rows}
    ours, linear, guess = (by_role.get(role) for role in ("model", "linear", "baseline"))
    found = []
    if ours is not None and guess is not None and ours <= guess:
        found.append("the network is no better than guessing: do not rely on it")
    elif ours is not None and linear is not None and ours <= linear:
        found.append("the linear model does as well or better, and is simpler")
    if part == "test" and len(parts["test"]) < FEW_TESTED and score_name == "accuracy":
        n = len(parts["test"])
        found.append(f"with {counted(n, 'test row')}, one row is {100 / n:.1f} % of accuracy")
    if part != "test":
        found.append(f"scores are of {part} rows, and say little about new ones")
    return found
