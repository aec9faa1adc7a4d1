"""The verb *export*: a graph becomes an ONNX model (opset 20, IR 10).

>>> from chainrule import Spec, ops, trace
>>> graph = trace(lambda x: ops.tanh(x * 2.0 + 1.0), Spec(("rows", 2)))
>>> model = model_of(graph, ["x"], ["y"])
>>> [node.op_type for node in model.graph.node]
['Mul', 'Add', 'Tanh', 'Identity']

Each op says in ONNX what it computes (`chainrule.ops.opset`). Named dimensions stay names, so that
a model takes any number of rows. The model is examined by ONNX's own checker, with shapes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chainrule.errors import GraphError, need
from chainrule.graph import Scope
from chainrule.transforms.onnx.builder import Builder
from chainrule.transforms.run import Graph
from chainrule.tree import flatten

OPSET, ML_OPSET, IR = 20, 3, 10


def model_of(
    graph: Graph,
    inputs: Sequence[str],
    outputs: Sequence[str],
    keys: Mapping[int, str] | None = None,
    label: Callable[[Scope | None], str] = lambda scope: scope.path() if scope else "",
    *,
    before: Callable[[Builder, Sequence[str]], Sequence[str]] | None = None,
    after: Callable[[Builder, Sequence[str], Sequence[str]], Sequence[str]] | None = None,
) -> Any:
    """Give the `onnx.ModelProto` of a graph.

    `keys` are names of parameters and buffers by their birth, `label` says what a scope is called.
    An output whose name an input has already gets a number. `before` declares the inputs itself
    and gives what the graph reads; `after` declares the outputs and gives what they are.
    """
    builder = Builder(keys or {}, label)
    builder.names.update(inputs)
    outputs = [builder.fresh(name) for name in outputs]
    if before is None:
        for name, x in zip(inputs, graph.inputs, strict=True):
            builder.declare_input(name, x.dtype, x.shape)
    read = inputs if before is None else before(builder, inputs)
    scope = builder.scope(graph.inputs, read)
    found: Sequence[str] = scope.emit(flatten(graph.output))
    if after is not None:
        found = after(builder, outputs, found)
    else:
        for name, x in zip(outputs, flatten(graph.output), strict=True):
            builder.declare_output(name, x.dtype, x.shape)
    for name, own in zip(outputs, found, strict=True):
        builder.make("Identity", [own], [name])
    return checked(builder)


def checked(builder: Builder) -> Any:
    """Put the model together, and let ONNX examine it."""
    onnx = need("onnx", extra="onnx", why="to export models")
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    if not any(node.domain for node in builder.nodes):
        del opsets[1]
    model = onnx.helper.make_model(
        builder.graph("chainrule"), opset_imports=opsets, ir_version=IR, producer_name="chainrule"
    )
    try:
        onnx.checker.check_model(model, full_check=True)  # with shapes
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"the ONNX model does not pass ONNX's checker: {error}") from error
    return model
