"""`draw`: a picture of a tensor's graph, of a function, a net, a gradient, or of neurons.

>>> from chainrule import nn
>>> print(draw(nn.mlp([2, 2, 1], activation="sigmoid")))
Sequential: 9 parameters
0 input x (batch, 2)
  Sequential 9 parameters
  1 0: Linear 2, 2 (batch, 2) 6 parameters <- 0
  2 1: Activation sigmoid (batch, 2) <- 1
  3 2: Linear 2, 1 (batch, 1) 3 parameters <- 2
4 output (batch, 1) <- 3
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.drawing.neurons import NEURONS, draw_neurons
from chainrule.errors import ConfigError, GraphError
from chainrule.graph import OPS, Array, Tensor, ancestors, value_of
from chainrule.nn import Embedding, Linear, Module
from chainrule.nn.tabular import TabularNet
from chainrule.transforms.draw import Drawing, Source, fold
from chainrule.transforms.reverse import reverse
from chainrule.transforms.run import Graph, Spec, evaluate, trace
from chainrule.tree import flatten

KINDS = ("graph", "neurons")


def draw(
    x: Any,
    *inputs: Any,
    level: int | str | None = 1,
    values: bool = False,
    kind: str | None = None,
    limit: int = 8,
    names: Mapping[str, Tensor] | None = None,
    title: str | None = None,
) -> Drawing:
    """Draw what `x` computes; a `Drawing` is SVG, HTML, DOT, Mermaid, text, or a file of these.

    `x` is a tensor (or several, in a list or dictionary), whose recorded graph is drawn; a function
    or a `Module`, with `inputs` to trace it: arrays, or a `Spec` each; a traced `Graph`; or an
    estimator that was fitted. A gradient is a function too: `draw(grad(f), x)`. A net of
    dense layers, and the net of a fitted tabular estimator, need no inputs.

    `level` says how far scopes are unfolded: 0 shows each outermost one (such as the whole model)
    as one box, 1 its layers, 2 what is inside of layers, and so on; None or "ops" shows every
    operation.

    With `values`, nodes show what they are worth: "value | gradient" of a number, "mean ± standard
    deviation | ‖norm of the gradient‖" of an array. The gradient is that of the single number that
    the graph gives; where the graph gives more, leaves show what `backward()` left. The color
    tells its size. A red ring marks numbers that are not finite, and results that are all zero
    although what they are made of is not, such as dead units.

    `kind="neurons"` draws a stack of dense layers as circles, with a line for each weight; of more
    than `limit` units of a layer, some are left out, and their number is told. `nn.Perceptron`,
    `nn.McCullochPitts` and `nn.TwoLayer` are always drawn so.

    `names` gives names to tensors of the graph, such as `names={"a": a}`; inputs have those of the
    function's arguments, parameters those of the model.

    Drawing changes nothing: no parameter, no buffer, no gradient, no random state.

    >>> from chainrule import tensor
    >>> a = tensor(2.0, requires_grad=True)
    >>> print(draw(a * a + 1.0, values=True, names={"a": a}))
    mul, add: no parameters
    0 variable a 2 | 4
    1 × 4 | 1 <- 0, 0
    2 constant 1
    3 + 5 | 1 <- 1, 2
    4 output <- 3
    """
    if kind is None:
        kind = "neurons" if isinstance(x, NEURONS) else "graph"
    if kind not in KINDS:
        raise ConfigError(f"kind={kind!r}: expected one of {', '.join(KINDS)}")
    x = getattr(x, "module_", x)
    if kind == "neurons":
        return draw_neurons(x, *inputs, limit=limit, values=values, title=title)
    source = _source(x, inputs, values)
    source.names = _checked_names(names or {})
    if title is not None:
        source.title = title
    return Drawing(fold(source, _checked(level)), unfold=lambda level: fold(source, level))


def _checked(level: int | str | None) -> int | None:
    if level is None or level == "ops":
        return None
    if isinstance(level, bool) or not isinstance(level, int) or level < 0:
        raise ConfigError(f'level={level!r}: expected 0, 1, 2, ... or "ops"')
    return level


def _checked_names(names: Mapping[str, Tensor]) -> dict[int, str]:
    for name, x in names.items():
        if not isinstance(x, Tensor):
            raise ConfigError(
                f"names={{{name!r}: ...}} names a {type(x).__name__}; expected a tensor of the "
                "graph"
            )
    return {x.birth: name for name, x in names.items()}


def _source(x: Any, inputs: tuple[Any, ...], values: bool) -> Source:
    leaves = flatten(x) if isinstance(x, Tensor | list | tuple | dict) else []
    if leaves and all(isinstance(leaf, Tensor) for leaf in leaves):
        if inputs:
            raise ConfigError("draw(tensor) takes no inputs: the tensor has its graph already")
        return _recorded(x, values)
    names: list[str] = []
    if not isinstance(x, Graph):
        if not callable(x):
            raise ConfigError(
                f"draw() got a {type(x).__name__}; expected a tensor, a function or Module with "
                'inputs, such as draw(net, Spec(("batch", 2))), a graph that trace() gave, or an '
                "estimator after fit()"
            )
        given = inputs or _usual_inputs(x)
        title, names = _title(x), _input_names(x, len(given))
        graph = trace(x, *given)
    else:
        title, graph = "a traced function", x
    source = Source(title, _named_outputs(graph.output), _named_inputs(graph, names), graph.updates)
    if values:
        _add_values(source, graph, inputs)
    return source


def _recorded(x: Any, values: bool) -> Source:
    """Take the graph that tensors have recorded."""
    outputs = _named_outputs(x)
    nodes = ancestors([tensor for _, tensor in outputs])
    for node in nodes:
        if node.op is not None and OPS.get(node.op.name) is not node.op:
            raise GraphError(
                "this graph was used up by backward(): draw it before, or call "
                "backward(retain_graph=True)"
            )
    source = Source(_title_of_nodes(nodes), outputs)
    if not values:
        return source
    if any(node.value is None for node in nodes):
        raise ConfigError("values=True: a traced tensor has no values; draw the graph with arrays")
    source.values = {node.birth: node.value for node in nodes}
    floats = [node for node in nodes if node.dtype.kind == "f"]
    if len(outputs) == 1 and _is_number(outputs[0][1]):
        found = reverse([outputs[0][1]], [np.ones((), outputs[0][1].dtype)], floats)
        source.gradients = _known(floats, [value_of(g) for g in found])
    else:
        source.gradients = _left_by_backward(nodes)
    return source


def _add_values(source: Source, graph: Graph, arrays: tuple[Any, ...]) -> None:
    """Run the graph, and its gradient if it gives a single number."""
    if len(arrays) != len(graph.inputs) or any(isinstance(a, Spec) for a in arrays):
        raise ConfigError(
            "values=True needs numbers: give arrays as inputs, draw(net, x, values=True)"
        )
    outputs = [x for _, x in source.outputs]
    if len(outputs) != 1 or not _is_number(outputs[0]):
        source.values = evaluate(graph, *[value_of(a) for a in arrays])
        source.gradients = _left_by_backward(graph.nodes)
        return
    floats = [x for x in graph.nodes if x.dtype.kind == "f"]
    one = np.ones((), outputs[0].dtype)
    found = reverse(outputs, [one], floats, create_graph=True)
    tensors = [g for g in found if isinstance(g, Tensor)]
    both = Graph(graph.inputs, [graph.output, tensors], graph.updates)
    source.values = numbers = evaluate(both, *[value_of(a) for a in arrays])
    source.gradients = _known(
        floats, [numbers[g.birth] if isinstance(g, Tensor) else g for g in found]
    )


def _is_number(x: Tensor) -> bool:
    return x.shape == () and x.dtype.kind == "f"


def _known(nodes: list[Tensor], gradients: list[Any]) -> dict[int, Array]:
    return {x.birth: g for x, g in zip(nodes, gradients, strict=True) if g is not None}


def _left_by_backward(nodes: list[Tensor]) -> dict[int, Array]:
    return {x.birth: np.asarray(x.grad.value) for x in nodes if x.grad is not None}


# ---------------------------------------------------------------- names


def _title(x: Any) -> str:
    if isinstance(x, Module):
        return type(x).__name__
    name = getattr(x, "__name__", type(x).__name__)
    return "a function" if name == "<lambda>" else str(name)


def _title_of_nodes(nodes: list[Tensor]) -> str:
    """Name the outermost scopes and what is in none, in the order of the graph."""
    names: dict[str, None] = {}
    for node in nodes:
        if node.op is not None:
            names.setdefault(node.scope.path().split("/")[0] if node.scope else node.op.name)
    listed = list(names)
    return ", ".join(listed[:3] + ["…"] * (len(listed) > 3)) or "a leaf"


def _input_names(f: Callable[..., Any], count: int) -> list[str]:
    """Name inputs as the function names its arguments."""
    try:
        parameters = inspect.signature(f.forward if isinstance(f, Module) else f).parameters
    except (TypeError, ValueError):
        return []
    named = [
        p.name
        for p in parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return named if len(named) >= count else []


def _named_inputs(graph: Graph, names: list[str]) -> list[tuple[str, Tensor]]:
    if not names:
        one = len(graph.inputs) == 1
        names = ["input" if one else f"input {i}" for i in range(len(graph.inputs))]
    return list(zip(names, graph.inputs, strict=False))


def _named_outputs(tree: Any, name: str = "output") -> list[tuple[str, Tensor]]:
    if isinstance(tree, dict):
        return [p for key, part in tree.items() for p in _named_outputs(part, f"{name}[{key!r}]")]
    if isinstance(tree, tuple | list):
        return [p for i, part in enumerate(tree) for p in _named_outputs(part, f"{name}[{i}]")]
    return [] if tree is None else [(name, tree)]


def _usual_inputs(x: Any) -> tuple[Spec, ...]:
    """Give the inputs of a net whose first layer tells them."""
    if isinstance(x, TabularNet):
        numbers = 0 if x.scale is None else x.scale.size
        return Spec(("batch", numbers)), Spec(("batch", len(x.embeddings)), np.int32)
    if isinstance(x, Module):
        first = next((m for _, m in x.named_modules() if next(m.named_children(), None) is None), x)
        if isinstance(first, Linear):
            return (Spec(("batch", first.in_features)),)
        if isinstance(first, Embedding):
            return (Spec(("batch", "length"), np.int64),)
    raise ConfigError(
        f"draw({_title(x)}) needs inputs to trace it: arrays, or their shapes, such as "
        'draw(net, chainrule.Spec(("batch", 1, 28, 28)))'
    )
