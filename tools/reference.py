"""Write docs/reference.md: every public name with the first line of its docstring.

python tools/reference.py          write the page
python tools/reference.py --print  print it instead
"""

import inspect
import sys
from pathlib import Path
from typing import Any

import chainrule
from chainrule import (
    advise,
    functional,
    losses,
    metrics,
    nn,
    ops,
    optim,
    penalties,
    plots,
    schedules,
    search,
    testing,
)
from chainrule.nn import neurons
from chainrule.nn.init import INITIALIZERS

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"


def line(thing: Any) -> str:
    """Give the first sentence of a docstring."""
    text = (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")
    return text.replace("|", r"\|")


def table(title: str, words: str, things: dict[str, Any]) -> str:
    """Give a section with a row per name."""
    rows = "\n".join(f"| `{name}` | {line(thing)} |" for name, thing in things.items())
    return f"## {title}\n\n{words}\n\n| name | what it is |\n| --- | --- |\n{rows}\n"


def public(module: Any) -> dict[str, Any]:
    """Give what a module defines for users."""
    return {
        name: thing
        for name, thing in sorted(vars(module).items())
        if not name.startswith("_")
        and callable(thing)
        and getattr(thing, "__module__", "").startswith("chainrule")
        and inspect.getdoc(thing)
    }


def page() -> str:
    """Put the page together."""
    top = {name: getattr(chainrule, name) for name in chainrule.__all__}
    operations = {
        name: f"One record of the op `{name}`, {op.kind}."
        if not inspect.isfunction(op := getattr(ops, name))
        else op
        for name in ops.__all__
        if name != "apply"
    }
    rows = "\n".join(
        f"| `ops.{n}` | {t if isinstance(t, str) else line(t)} |" for n, t in operations.items()
    )
    return "\n".join(
        [
            "# Reference\n",
            "Every public name. `help(name)` in Python shows formulas, shapes, errors, examples. "
            "This page is written by `make reference`.\n",
            table("chainrule", "`import chainrule as cr`, then `cr.name`:", top),
            "## Ops\n\n`cr.ops.name` takes tensors, arrays or numbers:\n\n| name | what it is |\n"
            f"| --- | --- |\n{rows}\n",
            table(
                "Activations",
                '`cr.functional.name`, or by name in `nn.Activation("name")`:',
                dict(sorted(functional.ACTIVATIONS.items())),
            ),
            table("Losses", "`cr.losses.name`, or by name:", dict(sorted(losses.LOSSES.items()))),
            table("Optimizers", "`cr.optim.Name`, or by name in lower case:",
                  {cls.__name__: cls for cls in optim.OPTIMIZERS.values()}),
            table("Penalties", "`cr.penalties.Name`, for `penalty=` ([page](training.md)):",
                  {cls.__name__: cls for cls in penalties.PENALTIES.values()}),
            table("Schedules", "`cr.schedules.Name`, or by name in lower case:",
                  {cls.__name__: cls for cls in schedules.SCHEDULES.values()}),
            table("Layers", "`cr.nn.Name`:", dict(sorted(nn.MODULES.items()))),
            table("Neurons", "`cr.nn.Name`, in NumPy alone ([page](neurons.md)):",
                  {n: t for n, t in public(neurons).items()
                   if t.__module__ == neurons.__name__ and n not in nn.MODULES}),
            table("Initializers", '`init="name"` of a layer, or "auto":', INITIALIZERS),
            table("Metrics", "`cr.metrics.name`:", public(metrics)),
            table("Search", "`cr.search.name` ([how to](search.md)):",
                  {name: getattr(search, name) for name in search.__all__}),
            table("Advice", "`cr.advise.name` ([how to](advice.md)):",
                  {name: getattr(advise, name) for name in advise.__all__}),
            table("Plots", "`cr.plots.name` ([page](plots.md)):",
                  {name: getattr(plots, name) for name in plots.__all__}),
            table("Testing", "`cr.testing.name`, for your own ops and layers:", public(testing)),
        ]
    )  # fmt: skip


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(page())
    else:
        PAGE.write_text(page())
