"""`from_onnx`: read an ONNX model as a module, trusting nothing in the file.

What is read is a list of nodes of known types, and arrays. Nothing is executed, no file outside of
the folder of the model is opened, and sizes are limited before memory is taken.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import FormatError, need
from chainrule.graph import Array
from chainrule.nn.onnx.layers import READERS
from chainrule.nn.onnx.net import OnnxNet

MOST_BYTES = 2**31
MOST_NODES = 100_000
OPSETS = range(7, 25)

_STATISTICS = {"BatchNormalization": (3, 4)}
"""Inputs that are buffers, by type of node."""


def from_onnx(path: str | os.PathLike[str]) -> OnnxNet:
    """Read an ONNX model as a module, which predicts, trains, is saved and exported as any other.

    Opsets 7 to 24 are read, and the types of nodes that nets of PyTorch, Keras and others consist
    of; a `FormatError` names those that are not known, and lists those that are. Floating-point
    initializers become parameters under their names.

    >>> import tempfile
    >>> from chainrule import nn, to_onnx
    >>> path = Path(tempfile.mkdtemp()) / "net.onnx"
    >>> to_onnx(nn.mlp([2, 3, 1], seed=0), path)
    >>> net = from_onnx(path)
    >>> net, [name for name, _ in net.named_parameters()]
    (OnnxNet(8 nodes, 13 parameters), ['0.weight', '0.bias', '2.weight', '2.bias'])
    """
    onnx = need("onnx", extra="onnx", why="to read ONNX models")
    place = os.fspath(path)
    if os.path.getsize(path) > MOST_BYTES:
        raise FormatError(f"{place!r} is larger than 2 GiB, which no ONNX file is")
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(place)
    except Exception as error:  # protobuf and the checker raise what they like
        raise FormatError(f"{place!r} is no valid ONNX model: {_line(error)}") from error
    try:
        return _Reading(onnx, model, Path(path).resolve().parent).net()
    except FormatError as error:
        raise FormatError(f"{place!r}: {error}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


class _Reading:
    """One model that is read."""

    def __init__(self, onnx: Any, model: Any, folder: Path) -> None:
        self.onnx = onnx
        self.graph = model.graph
        self.folder = folder
        versions = {x.domain: x.version for x in model.opset_import}
        self.opset = versions.get("", versions.get("ai.onnx", 0))
        if self.opset not in OPSETS:
            raise FormatError(f"opset {self.opset}; known are {OPSETS.start} to {OPSETS.stop - 1}")
        self.arrays: dict[str, Array] = {}

    def net(self) -> OnnxNet:
        """Give the module."""
        self._check_kinds()
        for tensor in self.graph.initializer:
            self.arrays[tensor.name] = self._array(tensor, tensor.name)
        weights = set(self.arrays) - self._statistics()
        nodes = self._nodes(self.graph.node)
        read = {name for node in nodes for name in self._read(node)}
        outputs = [x.name for x in self.graph.output]
        arrays = {k: x for k, x in self.arrays.items() if k in read or k in outputs}
        inputs = [self._input(x) for x in self.graph.input if x.name not in self.arrays]
        tensors = {
            name: {
                "shape": list(x.shape),
                "dtype": x.dtype.name,
                "trained": x.dtype.kind == "f" and x.ndim > 0 and name in weights,
            }
            for name, x in arrays.items()
        }
        net = OnnxNet(nodes, inputs, outputs, tensors, self.opset)
        return net.load_arrays({net.places[name]: x for name, x in arrays.items()}).eval()

    def _check_kinds(self) -> None:
        """Refuse types of nodes that are not known, all of them at once."""
        nodes = [*self.graph.node, *self._inner(self.graph.node)]
        if len(nodes) > MOST_NODES:
            raise FormatError(f"{len(nodes):,} nodes; at most {MOST_NODES:,} are read")
        known = {*READERS, "Constant", "Scan"}
        kinds = {f"{n.domain}.{n.op_type}" if n.domain not in ("", "ai.onnx") else n.op_type
                 for n in nodes}  # fmt: skip
        unknown = sorted(kinds - known)
        if unknown:
            raise FormatError(
                f"nodes of the types {', '.join(unknown)} are not known; known are "
                f"{', '.join(sorted(known))}"
            )

    def _inner(self, nodes: Sequence[Any]) -> list[Any]:
        return [inner for node in nodes for a in node.attribute for inner in a.g.node]

    def _statistics(self) -> set[str]:
        return {
            node.input[k]
            for node in self.graph.node
            for k in _STATISTICS.get(node.op_type, ())
            if k < len(node.input)
        }

    @staticmethod
    def _read(node: Mapping[str, Any]) -> list[str]:
        inner = [
            name for each in node.get("body", {"nodes": []})["nodes"] for name in each["inputs"]
        ]
        return [*node["inputs"], *inner]

    def _input(self, given: Any) -> dict[str, Any]:
        """Describe an input; a first axis without a number, or with -1, counts the rows."""
        kind = given.type.tensor_type
        if not kind.HasField("shape"):
            raise FormatError(f"the input {given.name} has no shape")
        shape: list[Any] = []
        for axis, n in enumerate(kind.shape.dim):
            unknown = n.dim_param or ("rows" if axis == 0 else f"{given.name}_{axis}")
            known = n.HasField("dim_value") and n.dim_value >= 0
            shape.append(n.dim_value if known else unknown)
        return {"name": given.name, "shape": shape, "dtype": self._dtype(kind.elem_type)}

    def _dtype(self, kind: int) -> str:
        try:
            dtype = np.dtype(self.onnx.helper.tensor_dtype_to_np_dtype(kind))
        except (KeyError, TypeError) as error:
            raise FormatError(f"tensors of type {kind} do not exist") from error
        if dtype.kind not in "fiub":
            raise FormatError(
                f"tensors of {dtype} are not known; known are numbers and truth values"
            )
        return str(dtype.name)

    def _array(self, tensor: Any, name: str) -> Array:
        """Read a tensor, whose numbers may lie in another file of the folder."""
        dtype = np.dtype(self._dtype(tensor.data_type))
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL:
            return self._outside(tensor, name, dtype)
        try:
            array: Array = np.array(self.onnx.numpy_helper.to_array(tensor))
        except Exception as error:
            raise FormatError(f"the tensor {name} is damaged: {_line(error)}") from error
        return array

    def _outside(self, tensor: Any, name: str, dtype: np.dtype[Any]) -> Array:
        where = {entry.key: entry.value for entry in tensor.external_data}
        place = (self.folder / where.get("location", "")).resolve()
        if not place.is_relative_to(self.folder) or not place.is_file():
            raise FormatError(
                f"the tensor {name} lies in {where.get('location')!r}, which is no file in the "
                "folder of the model"
            )
        count = int(np.prod(tensor.dims, dtype=np.int64))
        start, size = (_whole(where.get(key, "0")) for key in ("offset", "length"))
        expected = count * dtype.itemsize
        if size not in (0, expected) or start + expected > place.stat().st_size:
            raise FormatError(f"the tensor {name} takes {expected} bytes, which are not there")
        with place.open("rb") as file:
            file.seek(start)
            data = file.read(expected)
        return (
            np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(tuple(tensor.dims))
        )

    # Nodes.

    def _nodes(self, nodes: Sequence[Any]) -> list[dict[str, Any]]:
        """Give nodes as plain data; constants become arrays."""
        found = []
        for node in nodes:
            if node.op_type == "Constant":
                self.arrays[node.output[0]] = self._constant(node)
                continue
            plain = {
                "kind": node.op_type,
                "name": node.name,
                "inputs": list(node.input),
                "outputs": list(node.output),
                "attributes": self._attributes(node),
            }
            for a in node.attribute:
                if a.HasField("g"):
                    plain["body"] = {
                        "nodes": self._nodes(a.g.node),
                        "inputs": [x.name for x in a.g.input],
                        "outputs": [x.name for x in a.g.output],
                    }
            found.append(plain)
        return found

    def _constant(self, node: Any) -> Array:
        if len(node.attribute) != 1 or len(node.output) != 1:
            raise FormatError(f"the constant {node.name!r} has other than one value")
        (a,) = node.attribute
        if a.HasField("t"):
            return self._array(a.t, node.output[0])
        value = self._value(a)
        kinds = {"value_float": np.float32, "value_floats": np.float32,
                 "value_int": np.int64, "value_ints": np.int64}  # fmt: skip
        if a.name not in kinds:
            raise FormatError(f"the constant {node.output[0]} is a {a.name}, which is not known")
        return np.array(value, kinds[a.name])

    def _attributes(self, node: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for a in node.attribute:
            if a.HasField("g"):
                continue
            if a.HasField("t"):
                array = self._array(a.t, f"{a.name} of {node.op_type}")
                found |= {a.name: array.ravel().tolist(), "dtype": array.dtype.name}
                continue
            value = self._value(a)
            if a.name == "to":
                value = self._dtype(value)
            found[a.name] = _plain(value)
        return found

    def _value(self, attribute: Any) -> Any:
        try:
            return self.onnx.helper.get_attribute_value(attribute)
        except ValueError as error:  # one that stands for an attribute of a function
            raise FormatError(f"the attribute {attribute.name}: {_line(error)}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str | int | float):
        return value
    return [_plain(item) for item in value]


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise FormatError(f"{text!r} is no place in a file")
    return int(text)
