'''The verb *to Python*: a graph becomes a script that needs NumPy alone.

>>> from chainrule import Spec, ops, trace
>>> graph = trace(lambda x: ops.tanh(x * 2.0 + 1.0), Spec(("rows", 2)))
>>> print(rebuild(graph, "compute", ["x"]).functions)
@np.errstate(all="ignore")
def compute(x):
    """Give float32 of shape (rows, 2) for x: float32 of shape (rows, 2)."""
    x = np.asarray(x, np.float32)
    return np.tanh(x * 2.0 + 1.0)

The script is written from the graph: each op says in NumPy what it computes
(`chainrule.ops.source`), scopes become comments, and what is read once stands where it is read.
'''

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chainrule.dims import Shape
from chainrule.graph import Array, Scope, Tensor
from chainrule.transforms.python import text
from chainrule.transforms.python.function import Writer
from chainrule.transforms.run import Graph
from chainrule.tree import flatten

_WIDTH = 86


@dataclass(frozen=True)
class Parts:
    """What a script is put together of.

    `functions` is their source, `modules` what they import besides NumPy, `arrays` the numbers
    that they read, by variable: the name that they have in the model, or None for constants, and
    themselves. `starts` are statements to run once, after these.
    """

    functions: str
    arrays: dict[str, tuple[str | None, Array]]
    modules: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()


def rebuild(
    graph: Graph,
    name: str,
    inputs: Sequence[str],
    keys: Mapping[int, str] | None = None,
    label: Callable[[Scope | None], str] = lambda scope: "",
) -> Parts:
    """Write a function of this name that computes the output of a graph from its inputs.

    `keys` are names of parameters and buffers by their birth, `label` gives the comment of a scope.
    """
    writer = Writer(dict(keys or {}), label)
    names = [writer.fresh(x) for x in inputs]
    births = {x.birth: name for x, name in zip(graph.inputs, names, strict=True)}
    outputs = flatten(graph.output)
    body = writer.function(graph.inputs, births, outputs)
    given = ", ".join(f"{n}: {described(x)}" for n, x in zip(names, graph.inputs, strict=True))
    doc = f"Give {' and '.join(map(described, outputs))} for {given}."
    if len(doc) > _WIDTH:
        several = list(graph.output) if isinstance(graph.output, dict) else [str(len(outputs))]
        what = described(outputs[0]) if len(outputs) == 1 else f"results: {', '.join(several)}"
        doc = f"Give {what}."
    lines = definition(name, names, doc, [*converted(graph.inputs, names), *body])
    return finished(writer, [lines])


def definition(name: str, parameters: Sequence[str], doc: str, body: Sequence[str]) -> list[str]:
    """Give the lines of a function that does not warn of overflow, as chainrule does not."""
    head = ['@np.errstate(all="ignore")', f"def {name}({', '.join(parameters)}):"]
    return [*head, f'    """{doc}"""', *[text.wrapped(f"    {line}") for line in body]]


def converted(inputs: Sequence[Tensor], names: Sequence[str]) -> list[str]:
    """Give the statements that make arrays of what is given to a function."""
    return [
        f"{name} = np.asarray({name}, {text.dtype(x.dtype)})"
        for x, name in zip(inputs, names, strict=True)
    ]


def described(x: Tensor) -> str:
    """Say dtype and shape of a tensor in words."""
    return f"{x.dtype} of shape {_shape(x.shape)}" if x.shape else f"a {x.dtype}"


def _shape(shape: Shape) -> str:
    """Write a shape for a docstring, which a name of a dimension from a file may not end."""
    return re.sub(r"[^\w(),* ]", "_", f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})")


def finished(
    writer: Writer, functions: Sequence[Sequence[str]], starts: Sequence[str] = ()
) -> Parts:
    """Put functions, and what they call, one below the other."""
    helpers, modules = text.copied(writer.helpers.values())
    blocks = [*helpers, *map("\n".join, writer.definitions), *map("\n".join, functions)]
    modules.discard("import numpy as np")
    return Parts("\n\n\n".join(blocks), writer.arrays, tuple(sorted(modules)), tuple(starts))
