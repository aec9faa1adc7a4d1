"""The flow through a network: what each layer gives, what comes back to it, and what is unusual."""

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from chainrule.dims import unit_axis
from chainrule.graph import Array, Tensor
from chainrule.transforms.explain.blocks import Flow, Stage, Words
from chainrule.transforms.explain.view import View

FAINT = 1e-3
"""A gradient below this share of the largest one is told."""

PASSED = 0.05
"""A layer that lets less of the gradient through is told."""

MOST_UNITS = 5
"""Numbers of units that are listed."""

MOST_LETTERS = 18
"""Of the kind of a layer; of a longer one the name is shown alone."""


def flow(view: View) -> Iterator[Flow | Words]:
    """Draw the flow, and say what is unusual in it."""
    runs = _runs(view)
    gives = [_result(view, run) for run in runs]
    owner = {x.birth: k for k, run in enumerate(runs) for x in run}
    sizes = [gradient_rms(view, x) for x in gives]
    stages = []
    for k, (run, x) in enumerate(zip(runs, gives, strict=True)):
        value = np.asarray(x.value, float)
        read = {owner[i.birth] for node in run for i in node.inputs if i.birth in owner} - {k}
        with np.errstate(all="ignore"):
            stages.append(
                Stage(
                    *_labels(view, run),
                    view.name(x) if x.birth in view.script.names else "",
                    value.shape, float(np.mean(value)), float(np.std(value)), sizes[k],
                    tuple(sorted(read)), tuple(_notes(view, x, k, sorted(read), sizes)),
                )
            )  # fmt: skip
    yield Flow(tuple(stages))
    for stage in stages:
        if stage.notes:
            yield Words((f"{stage.label} {stage.kind}".strip(), ": ", "; ".join(stage.notes), "."))


def _runs(view: View) -> list[list[Tensor]]:
    """Give the inputs, and the nodes of one layer after the other, the loss as the last."""
    trace = view.trace
    inputs = [[x] for x in trace.nodes if trace.fact(x, "role") == "input"]

    def place(x: Tensor) -> int | None:
        in_loss = trace.fact(x, "part") == "loss"
        layer: int | None = len(trace.settings["layers"]) if in_loss else trace.fact(x, "layer")
        return layer

    told = [
        x
        for x in trace.nodes
        if x.op is not None
        and trace.fact(x, "part") in ("forward", "loss")
        and trace.fact(x, "role") != "input"
        and place(x) is not None
    ]
    return inputs + [list(run) for _, run in groupby(told, key=place)]


def _labels(view: View, run: list[Tensor]) -> tuple[str, str]:
    trace = view.trace
    if trace.fact(run[-1], "part") == "loss" and trace.fact(run[-1], "role") != "input":
        return "loss", trace.settings["loss"].removeprefix("losses.")
    if trace.fact(run[-1], "role") == "input":
        return "input", ""
    layer = trace.settings["layers"][trace.fact(run[-1], "layer")]
    kind = layer["kind"]
    return layer["name"] or "model", kind if len(kind) <= MOST_LETTERS else kind.partition("(")[0]


def _result(view: View, run: list[Tensor]) -> Tensor:
    """Give the last node of a run that something else reads, or the loss."""
    if view.trace.loss in run:
        return run[-1]
    own = {x.birth for x in run}
    read = {
        i.birth for x in view.trace.nodes if x.birth not in own for i in x.inputs if i.birth in own
    }
    return next((x for x in reversed(run) if x.birth in read), run[-1])


def gradient_rms(view: View, x: Tensor) -> float | None:
    """Give the root mean square of the gradient by a node."""
    if x is view.trace.loss:
        return 1.0
    g = view.trace.gradient_of.get(x.birth)
    if g is None or not np.size(g.value):
        return None
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean(np.square(np.asarray(g.value, float)))))


def _notes(
    view: View, x: Tensor, k: int, read: list[int], sizes: list[float | None]
) -> Iterator[str]:
    """Say what is unusual about the numbers of a stage, and which results it takes if not one."""
    value = np.asarray(x.value, float)
    lost = int(np.sum(~np.isfinite(value)))
    if lost:
        yield f"{lost:,} of {value.size:,} numbers are not finite"
    elif view.trace.fact(x, "rows") and value.ndim > 1 and len(value) > 1:
        yield from _silent(value)
    size = sizes[k]
    inner = [s for s in sizes[:-1] if s is not None and np.isfinite(s)]
    if size is None or not np.isfinite(size):
        return
    if size == 0:
        yield "the gradient is 0"
    elif size == min(inner) < FAINT * max(inner):
        yield f"the gradient is 1/{max(inner) / size:,.0f} of the largest"
    before = sizes[read[0]] if len(read) == 1 else None
    if before is not None and 0 < before < PASSED * size and x is not view.trace.loss:
        yield f"{before / size:.1%} of the gradient goes through"


def _silent(value: Array) -> Iterator[str]:
    """Say which units are 0 in every row, and at every place of an image."""
    units, count = silent_units(value)
    if len(units):
        listed = ", ".join(map(str, units[:MOST_UNITS])) + ", …" * (len(units) > MOST_UNITS)
        yield (f"{len(units):,} of {count:,} units ({listed}) "
               f"{'is' if len(units) == 1 else 'are'} 0 in every row")  # fmt: skip


def silent_units(x: Array) -> tuple[Array, int]:
    """Give the units that are 0 in every row, and at every place of an image; and of how many.

    >>> silent_units(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    (array([0, 2]), 3)
    """
    axis = unit_axis(x.ndim)
    others = tuple(a for a in range(x.ndim) if a != axis)
    return np.flatnonzero(np.all(x == 0, axis=others)), x.shape[axis]
