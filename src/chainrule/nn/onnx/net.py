"""`OnnxNet`: the nodes of an ONNX model as a module of chainrule."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import FAULTS, ChainruleError, ConfigError, FormatError, GraphError
from chainrule.graph import Tensor, Value, constant, dtype_of, no_grad, scope, value_of
from chainrule.nn.checks import check_memory
from chainrule.nn.module import Buffer, Module, Parameter, register
from chainrule.nn.onnx.layers import READERS
from chainrule.nn.onnx.readers import Given
from chainrule.nn.onnx.sizes import are_sizes, is_shape, joined
from chainrule.scan import scan
from chainrule.transforms.run import Spec


@register
class OnnxNet(Module):
    """A net that was read from an ONNX model by `chainrule.from_onnx`.

    Floating-point initializers of one axis or more are parameters, under their names in the file;
    the statistics of batch normalization and all else are buffers. It predicts, trains, saves and
    exports as other modules do. Dropout leaves everything, batch normalization uses the statistics
    of the file, also in training.
    """

    def __init__(
        self,
        nodes: Sequence[Mapping[str, Any]],
        inputs: Sequence[Mapping[str, Any]],
        outputs: Sequence[str],
        tensors: Mapping[str, Mapping[str, Any]],
        opset: int,
    ) -> None:
        self.nodes = [dict(node) for node in nodes]
        self.inputs = [dict(given) for given in inputs]
        self.outputs = list(outputs)
        self.tensors = {name: dict(form) for name, form in tensors.items()}
        self.opset = opset
        self.places = attributes(self.tensors)
        for name, form in self.tensors.items():
            check_memory(math.prod(form["shape"]))
            zeros = np.zeros(form["shape"], form["dtype"])
            own: Tensor = Parameter(zeros, dtype=zeros.dtype) if form["trained"] else Buffer(zeros)
            setattr(self, self.places[name], own)

    def specs(self) -> list[Spec]:
        """Give what the net takes, with a name for the number of rows."""
        return [Spec(tuple(given["shape"]), np.dtype(given["dtype"])) for given in self.inputs]

    def forward(self, *given: Value) -> Any:
        """Compute the outputs; several are a tuple."""
        if len(given) != len(self.inputs):
            names = ", ".join(x["name"] for x in self.inputs)
            raise ConfigError(f"this net takes {len(self.inputs)} inputs: {names}")
        known: dict[str, Any] = {name: getattr(self, own) for name, own in self.places.items()}
        for x, form in zip(given, self.inputs, strict=True):
            dtype = np.dtype(form["dtype"])
            alike = dtype_of(x).kind == dtype.kind
            known[form["name"]] = x if alike else ops.cast(x, dtype=dtype)
        _compute(self.nodes, known, self.opset)
        found = tuple(_value(known[name]) for name in self.outputs)
        if any(is_shape(x) for x in found):
            raise GraphError("an output is a shape with the number of rows: a trace cannot give it")
        return found[0] if len(found) == 1 else found

    def predict(self, *inputs: Any) -> Any:
        """Compute the output for arrays; several are a tuple."""
        with no_grad():
            found = self(*inputs)
        if isinstance(found, tuple):
            return tuple(np.asarray(value_of(x)) for x in found)
        return np.asarray(value_of(found))

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        names = ("nodes", "inputs", "outputs", "tensors", "opset")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        """Give the numbers of nodes and weights."""
        return f"{len(self.nodes)} nodes, {self.count_parameters():,} parameters"


def attributes(names: Iterable[str]) -> dict[str, str]:
    """Give names that tensors may have in a module and a file: their own, where that may be.

    >>> attributes(["fc.weight", "train", "onnx::Add_1", "onnx//Add_1"])
    {'fc.weight': 'fc.weight', 'train': 'train_2', 'onnx::Add_1': 'onnx__Add_1', \
'onnx//Add_1': 'onnx__Add_1_2'}
    """
    found: dict[str, str] = {}
    taken = {"nodes", "inputs", "outputs", "tensors", "opset", "places"}
    for name in names:
        parts = [re.sub(r"[^\w-]", "_", part) for part in name[-200:].split(".") if part]
        plain = ".".join(parts) or "tensor"
        own, count = plain, 1
        while own in taken or hasattr(Module, own):
            count += 1
            own = f"{plain}_{count}"
        taken.add(own)
        found[name] = own
    return found


def _compute(nodes: Sequence[Mapping[str, Any]], known: dict[str, Any], opset: int) -> None:
    """Compute node after node, and put the results among what is known."""
    for node in nodes:
        kind, inputs = node["kind"], [known.get(name) for name in node["inputs"]]
        try:
            with scope(node["name"] or kind):
                results = _results(node, inputs, known, opset)
        except ChainruleError:
            raise
        except FAULTS as error:
            raise GraphError(
                f"the node {node['name'] or kind!r} of type {kind} cannot be computed: {error}"
            ) from error
        several = results if isinstance(results, tuple) else (results,)
        known.update(zip(node["outputs"], several, strict=False))


def _results(
    node: Mapping[str, Any], inputs: list[Any], known: Mapping[str, Any], opset: int
) -> Any:
    kind, attributes = node["kind"], node["attributes"]
    if kind == "Scan":
        return _steps(node, inputs, known, opset)
    if are_sizes(kind, inputs):
        return joined(kind, inputs, attributes)
    if kind not in READERS:
        raise FormatError(f"a node of type {kind} is not known")
    given = {**attributes, "outputs": len(node["outputs"])}
    return READERS[kind](Given(kind, [_value(x) for x in inputs], given, opset))


def _value(x: Any) -> Any:
    """Give shapes of known numbers as numbers."""
    if is_shape(x) and all(isinstance(n, int | np.integer) for n in x.ravel()):
        return x.astype(np.int64)
    return x


def _steps(
    node: Mapping[str, Any], inputs: Sequence[Any], known: Mapping[str, Any], opset: int
) -> Any:
    """Apply the graph inside a node to a sequence: one carry, which is the result of every step."""
    body, attributes = node["body"], node["attributes"]
    count = attributes.get("num_scan_inputs", 0)
    directions = set(attributes.get("scan_input_directions", [0]))
    directions |= set(attributes.get("scan_output_directions", [0]))
    if len(inputs) != count + 1 or len(body["outputs"]) != 2 or len(directions) != 1:
        raise ConfigError(
            "a Scan node with other than one carry, which every step gives, in one direction for "
            "all sequences, is not known"
        )
    inside = {name for each in body["nodes"] for name in each["outputs"]} | set(body["inputs"])
    outside = {name: known[name] for each in body["nodes"] for name in each["inputs"]
               if name and name not in inside}  # fmt: skip
    weights = {k: x for k, x in outside.items() if np.dtype(dtype_of(x)).kind == "f"}
    fixed = {k: value_of(x) for k, x in outside.items() if k not in weights}

    def step(*values: Value) -> Value:
        local = {k: constant(x) for k, x in fixed.items()}
        local |= dict(zip([*body["inputs"], *weights], values, strict=True))
        _compute(body["nodes"], local, opset)
        return local[body["outputs"][0]]

    backwards = directions == {1}
    carries = scan(step, inputs[0], inputs[1:], list(weights.values()), reverse=backwards)
    return carries[0 if backwards else -1], carries
