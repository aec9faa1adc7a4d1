"""An ONNX graph in the making: its nodes and constants, and a scope for each graph inside of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.dims import Shape, axis_of
from chainrule.errors import GraphError, need
from chainrule.graph import Array, Scope, Tensor, ancestors, placeholder, tracing
from chainrule.ops.loops import Parts
from chainrule.transforms.compile.simplify import Node, fact, simplify


class Builder:
    """What the graphs of a model share: names and constants; and the nodes of the outermost."""

    def __init__(self, keys: Mapping[int, str], label: Callable[[Scope | None], str]) -> None:
        self.onnx = need("onnx", extra="onnx", why="to export models")
        self.keys = keys
        self.label = label
        self.names: set[str] = set()
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.initializers: dict[str, Array] = {}
        self.constants: dict[Any, str] = {}

    def fresh(self, wanted: str) -> str:
        """Give a name that is not taken."""
        name, count = wanted, 1
        while name in self.names:
            count += 1
            name = f"{wanted}_{count}"
        self.names.add(name)
        return name

    def kind(self, dtype: Any) -> int:
        """Give ONNX's number of a dtype; str means text."""
        if dtype is str:
            return int(self.onnx.TensorProto.STRING)
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def info(self, name: str, dtype: Any, shape: Sequence[Any]) -> Any:
        """Describe an input or output."""
        sizes = [n if isinstance(n, int) else str(n) for n in shape]
        return self.onnx.helper.make_tensor_value_info(name, self.kind(dtype), sizes)

    def inner_info(self, name: str, x: Tensor) -> Any:
        """Describe an input or output of a graph inside the model, where sizes have no names."""
        sizes = [n if isinstance(n, int) else None for n in x.shape]
        return self.onnx.helper.make_tensor_value_info(name, self.kind(x.dtype), sizes)

    def declare_input(self, name: str, dtype: Any, shape: Sequence[Any]) -> None:
        """Declare an input of the model."""
        self.names.add(name)
        self.inputs.append(self.info(name, dtype, shape))

    def declare_output(self, name: str, dtype: Any, shape: Sequence[Any]) -> None:
        """Declare an output of the model."""
        self.names.add(name)
        self.outputs.append(self.info(name, dtype, shape))

    def make(
        self,
        kind: str,
        inputs: Sequence[str],
        outputs: Sequence[str] | None = None,
        *,
        label: str = "",
        into: list[Any] | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Make a node, and give the name of its last output."""
        name = self.fresh(f"{label}/{kind}" if label else kind)
        ends = [name] if outputs is None else outputs
        node = self.onnx.helper.make_node(
            kind, inputs, ends, name=name, domain=domain, **attributes
        )
        (self.nodes if into is None else into).append(node)
        return ends[-1]

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Give the name of a constant; equal ones are one."""
        array = np.asarray(value, None if dtype is str else dtype)
        if dtype is str:
            array = np.asarray(value, object)
        key = (array.dtype, array.shape, repr(array.tolist()) if dtype is str
               else array.tobytes())  # fmt: skip
        if key not in self.constants:
            self.constants[key] = self.fresh("constant")
            self.initializers[self.constants[key]] = array
        return self.constants[key]

    def leaf(self, x: Tensor) -> str:
        """Give the name of a parameter, buffer or array."""
        if x.value is None:
            raise GraphError("the graph reads an input that the model has not")
        key = self.keys.get(x.birth)
        if key is None:
            return self.constant(x.value)
        name = self.fresh(key)
        self.initializers[name] = x.value
        return name

    def scope(self, inputs: Sequence[Tensor], names: Sequence[str]) -> "GraphScope":
        """Give the outermost scope."""
        return GraphScope(self, self.nodes, inputs, names)

    def graph(self, name: str) -> Any:
        """Give the `onnx.GraphProto`, without what its outputs do not depend on."""
        nodes, read = self._live()
        tensors = [
            self.onnx.numpy_helper.from_array(x, key)
            for key, x in self.initializers.items()
            if key in read
        ]
        make = self.onnx.helper.make_graph
        return make(nodes, name, self.inputs, self.outputs, tensors)

    def _live(self) -> tuple[list[Any], set[str]]:
        """Give the nodes that outputs depend on, and all names that these read."""
        read = {x.name for x in self.outputs}
        nodes = []
        for node in reversed(self.nodes):
            if read.isdisjoint(node.output):
                continue
            nodes.append(node)
            read.update(node.input)
            for attribute in node.attribute:
                for inner in attribute.g.node:  # of the step of a recurrence
                    read.update(inner.input)
        return nodes[::-1], read


class GraphScope:
    """A graph whose nodes are made: what its inputs are called, and the sizes that it knows."""

    def __init__(
        self, builder: Builder, nodes: list[Any], inputs: Sequence[Tensor], names: Sequence[str]
    ) -> None:
        self.builder = builder
        self.nodes = nodes
        self.known = {x.birth: name for x, name in zip(inputs, names, strict=True)}
        self.inputs = list(zip(inputs, names, strict=True))
        self.dims: dict[str, str] = {}
        self.label = ""

    def make(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Make a node with some outputs, and give the name of the last."""
        ends = None
        if outputs > 1:
            ends = [self.builder.fresh(f"{self.label}/{kind}") for _ in range(outputs)]
        return self.builder.make(
            kind, inputs, ends, label=self.label, into=self.nodes, **attributes
        )

    def cast(self, x: str, dtype: Any) -> str:
        """Convert to a dtype."""
        return self.make("Cast", x, to=self.builder.kind(dtype))

    def emit(self, outputs: Sequence[Tensor]) -> list[str]:
        """Make the nodes that compute the outputs, and give their names."""
        given = [x for x in ancestors(outputs) if x.birth in self.known]
        nodes, roots = simplify(outputs, given, parts=False)
        found: dict[int, str] = {}
        for node in nodes:
            self.label = self.builder.label(node.scope)
            if node.op is not None:
                found[node.order] = self._made(node, found)
            elif node.leaf is not None:
                own = self.known.get(node.leaf.birth)
                found[node.order] = own or self.builder.leaf(node.leaf)
            else:
                found[node.order] = self.builder.constant(node.number, node.dtype)
        return [found[x.order] for x in roots]

    def _made(self, node: Node, found: dict[int, str]) -> str:
        """Make the nodes of one op."""
        assert node.op is not None
        said = node.op.in_onnx
        use = OneUse(self, node, [found[x.order] for x in node.inputs])
        if isinstance(said, str):
            return use.node(said, *use.aligned())
        if said is not None:
            name: str = said(use)
            return name
        parts = fact(node.op, node.inputs, node.attrs)
        if not isinstance(parts, Parts):
            raise GraphError(
                f"the op {node.op.name} does not say how ONNX says it: tell it with "
                f'chainrule.ops.opset.in_onnx({node.op.name}, "{node.op.name.title()}")'
            )
        return self._in_parts(node, parts, found)

    def _in_parts(self, node: Node, parts: Parts, found: dict[int, str]) -> str:
        """Make the nodes of the ops that an op consists of."""
        stand_ins = [placeholder(x.shape, x.dtype, weak=x.weak) for x in node.inputs]
        for x, stand_in in zip(node.inputs, stand_ins, strict=True):
            self.known[stand_in.birth] = found[x.order]
        with tracing():
            result = parts.function(*stand_ins, **node.attrs)
        return self.emit([result])[0]

    def size(self, n: Any) -> str:
        """Give the name of a size as an array of one."""
        if isinstance(n, int):
            return self.builder.constant([n], np.int64)
        parts = [self._dim(name) for name in n.names]
        if n.factor != 1:
            parts.append(self.builder.constant([n.factor], np.int64))
        product = parts[0]
        for part in parts[1:]:
            product = self.make("Mul", product, part)
        return product

    def _dim(self, name: str) -> str:
        if name not in self.dims:
            found = axis_of(name, [x.shape for x, _ in self.inputs])
            if found is None:
                raise GraphError(f"no input of the model has the dimension {name}")
            source, k = self.inputs[found[0]][1], found[1]
            self.dims[name] = self.make("Shape", source, start=k, end=k + 1)
        return self.dims[name]


class OneUse:
    """One node of a chainrule graph: what `ops.opset.Use` says."""

    def __init__(self, scope: GraphScope, node: Node, names: Sequence[str]) -> None:
        self.scope = scope
        self.attrs = node.attrs
        self.shape: Shape = node.shape
        self.dtype = node.dtype
        self._inputs = node.inputs
        self._names = names

    @property
    def count(self) -> int:
        """Number of inputs."""
        return len(self._inputs)

    def input_shape(self, k: int) -> Shape:
        """Give the shape of input k."""
        return self._inputs[k].shape

    def input_dtype(self, k: int) -> np.dtype[Any]:
        """Give the dtype of input k."""
        return self._inputs[k].dtype

    def input(self, k: int, dtype: Any = None) -> str:
        """Give the name of input k, in another dtype if one is given."""
        x = self._inputs[k]
        if dtype is None or np.dtype(dtype) == x.dtype:
            return self._names[k]
        if x.number is not None:
            return self.scope.builder.constant(x.number, dtype)
        return self.scope.cast(self._names[k], dtype)

    def aligned(self) -> list[str]:
        """Give the names of all inputs in one dtype: that of the result, or their common one."""
        common: Any = self.dtype
        if common.kind == "b":
            kinds = [x.dtype.type(0).item() if x.weak else x.dtype for x in self._inputs]
            common = np.result_type(*kinds)
        return [self.input(k, common) for k in range(self.count)]

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Make a node, and give the name of its (last) output."""
        if "to" in attributes:
            attributes["to"] = self.scope.builder.kind(attributes["to"])
        return self.scope.make(kind, *inputs, **attributes)

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Give the name of a constant."""
        return self.scope.builder.constant(value, dtype)

    def sizes(self, shape: Sequence[Any]) -> str:
        """Give the name of a shape, whose named dimensions are known when the model runs."""
        if all(isinstance(n, int) for n in shape):
            return self.constant(shape, np.int64)
        parts = [self.scope.size(n) for n in shape]
        return parts[0] if len(parts) == 1 else self.scope.make("Concat", *parts, axis=0)

    def steps(self, body: Any, reverse: bool) -> str:
        """Make the node of a recurrence: the first carry, what moves with the steps, the rest."""
        builder, count = self.scope.builder, body.count
        given = body.graph.inputs
        inside = [builder.fresh(f"{self.scope.label}/{name}") for name in
                  ["state", *[f"x{i}" for i in range(count)]]]  # fmt: skip
        names = [*inside, *self._names[count + 1 :]]
        nodes: list[Any] = []
        inner = GraphScope(builder, nodes, given, names)
        inner.label = self.scope.label
        (result,) = inner.emit([body.graph.output])
        ends = [inner.make("Identity", result) for _ in range(2)]
        known = [*zip(inside, given, strict=False), *zip(ends, [given[0]] * 2, strict=True)]
        described = [builder.inner_info(name, x) for name, x in known]
        graph = builder.onnx.helper.make_graph(
            nodes, "step", described[: count + 1], described[count + 1 :]
        )
        directions = {}
        if reverse:
            directions = {"scan_input_directions": [1] * count, "scan_output_directions": [1]}
        moving = [self.input(k) for k in range(count + 1)]
        return self.scope.make(
            "Scan", *moving, outputs=2, body=graph, num_scan_inputs=count, **directions
        )
