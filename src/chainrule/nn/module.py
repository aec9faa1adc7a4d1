"""`Module`: a function with parameters, which are found by looking at its attributes.

>>> from chainrule import nn
>>> class Pair(nn.Module):
...     def __init__(self):
...         self.inner = nn.Linear(3, 2)
...         self.scale = nn.Parameter(np.ones(2))
...
...     def forward(self, x):
...         return self.inner(x) * self.scale
>>> [name for name, _ in Pair().named_parameters()]
['scale', 'inner.weight', 'inner.bias']

There is no registration: an attribute that is a `Parameter`, a `Buffer`, a `Module`, or a list,
tuple or dictionary of these belongs to the module, under its name.
"""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from chainrule.dims import Shape
from chainrule.errors import FAULTS, ConfigError, FormatError, ShapeError
from chainrule.graph import Array, Tensor, Value, native, no_grad, scope, shape_of, value_of
from chainrule.nn.init import generator
from chainrule.plain import entry
from chainrule.save import write_model
from chainrule.transforms.run import Spec, trace

MODULES: "dict[str, type[Module]]" = {}
"""The classes that a model file may name: those of `chainrule.nn` and what `register` adds."""


class Parameter(Tensor):
    """A leaf that training changes. Its numbers are kept in float32 unless `dtype` says else."""

    __slots__ = ()

    def __init__(self, value: Any, *, dtype: Any = np.float32, requires_grad: bool = True) -> None:
        super().__init__(np.array(value, dtype=dtype), requires_grad=requires_grad)

    def __reduce__(self) -> Any:
        return _parameter, (self.value, self.requires_grad)


class Buffer(Tensor):
    """A leaf that belongs to a module and is no parameter, such as a running mean.

    A buffer that is not `persistent` stays out of `state_dict`.
    """

    __slots__ = ("persistent",)

    def __init__(self, value: Any, *, persistent: bool = True) -> None:
        super().__init__(np.array(value))
        self.persistent = persistent

    def __reduce__(self) -> Any:
        return _buffer, (self.value, self.persistent)


def _parameter(value: Array, requires_grad: bool) -> Parameter:
    return Parameter(value, dtype=value.dtype, requires_grad=requires_grad)


def _buffer(value: Array, persistent: bool) -> Buffer:
    return Buffer(value, persistent=persistent)


def register(cls: "type[Module]") -> "type[Module]":
    """Let model files name this class, so that `chainrule.load` can build it again.

    The class needs a method `config` that gives the arguments of its constructor.
    """
    known = MODULES.get(cls.__name__)
    if known is not None and known.__module__ != cls.__module__:
        raise ConfigError(f"a module named {cls.__name__} is registered by {known.__module__}")
    MODULES[cls.__name__] = cls
    return cls


class Module:
    """A function with parameters; a subclass writes `__init__` and `forward`."""

    training: bool = True
    symbol: ClassVar[str] = "h"
    """The letter for its result in explanations."""

    def forward(self, *inputs: Value, **settings: Any) -> Any:
        """Compute the output of the module."""
        raise NotImplementedError(f"{type(self).__name__} has no method forward")

    def __call__(self, *inputs: Value, **settings: Any) -> Any:
        """Compute the output inside a scope that carries the name of the class."""
        with scope(type(self).__name__, owner=self):
            return self.forward(*inputs, **settings)

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor, as plain data, for a model file."""
        raise ConfigError(
            f"{type(self).__name__} cannot be saved: give it a method config() that returns the "
            "arguments of its constructor, and decorate the class with chainrule.nn.register"
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the module from what `config` gave."""
        return cls(**config)

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Draw all starting values anew; `activation` is what follows this module."""
        rng = generator(seed)
        for _, child in self.named_children():
            child.initialize(rng)
        return self

    def extra_repr(self) -> str:
        """Give the text between the parentheses of the `repr`."""
        return ""

    # What belongs to the module.

    def _items(self) -> Iterator[tuple[str, Any]]:
        for name, value in vars(self).items():
            if type(value) in _NUMBERS_AND_TEXT:
                continue
            if isinstance(value, (Tensor, Module)) and name in _TAKEN:
                raise ConfigError(
                    f"the attribute {type(self).__name__}.{name} hides what every Module has under "
                    "this name: choose another name"
                )
            if isinstance(value, _OWN):
                yield name, value
            else:
                yield from _unfolded(name, value)

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """Give the modules that are attributes, with their names."""
        return ((name, x) for name, x in self._items() if isinstance(x, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """Give this module and all below it, with dotted names."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def _named_tensors(self, kind: type[Tensor]) -> Iterator[tuple[str, Any]]:
        for prefix, module in self.named_modules():
            for name, x in module._items():
                if isinstance(x, kind):
                    yield f"{prefix}.{name}" if prefix else name, x

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Give each parameter once, with the first of its names."""
        seen: set[int] = set()
        for name, p in self._named_tensors(Parameter):
            if p.birth not in seen:
                seen.add(p.birth)
                yield name, p

    def parameters(self) -> list[Parameter]:
        """List each parameter once."""
        return [p for _, p in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Give the buffers with their names."""
        return self._named_tensors(Buffer)

    def count_parameters(self, trainable: bool = False) -> int:
        """Give the number of numbers in the parameters, shared ones counted once."""
        return sum(p.size for p in self.parameters() if p.requires_grad or not trainable)

    # Modes.

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below it to training, or to predicting."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch to predicting: dropout off, batch norm by its running statistics."""
        return self.train(False)

    def freeze(self, frozen: bool = True) -> Self:
        """Keep training from changing the parameters of this module, or let it again."""
        for p in self.parameters():
            p.requires_grad = not frozen
        return self

    def zero_grad(self) -> None:
        """Forget the gradients that `backward()` left in the parameters."""
        for p in self.parameters():
            p.grad = None

    def astype(self, dtype: Any) -> Self:
        """Turn all floating-point parameters and buffers to another dtype, in place."""
        for _, x in self._named_tensors(Tensor):
            if x.dtype.kind == "f":
                x.dtype = native(dtype)
                x.renew(x.value.astype(x.dtype))
        return self

    def predict(self, *inputs: Any) -> Array:
        """Compute the output for the arrays of `forward`, in `eval` mode and without recording."""
        with no_grad():
            return np.asarray(value_of(self.evaluating()(*inputs)))

    def evaluating(self) -> Self:
        """Give this module if it is in `eval` mode, else a copy that is, with the same tensors.

        So the mode of a module in training never changes under another thread's feet.
        """
        if not any(module.training for _, module in self.named_modules()):
            return self
        shared = {id(x): x for _, x in self._named_tensors(Tensor)}
        return copy.deepcopy(self, shared).eval()

    # State.

    def state_dict(self) -> dict[str, Array]:
        """Copy the numbers of all parameters and persistent buffers, by PyTorch's names."""
        tensors = {
            name: x
            for name, x in self._named_tensors(Tensor)
            if isinstance(x, Parameter) or (isinstance(x, Buffer) and x.persistent)
        }
        return {name: np.array(x.value) for name, x in tensors.items()}

    def load_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> Self:
        """Take over numbers by name; all that does not fit is listed in one error."""
        own = {
            name: x
            for name, x in self._named_tensors(Tensor)
            if isinstance(x, Parameter) or (isinstance(x, Buffer) and x.persistent)
        }
        arrays = {name: np.asarray(value_of(value)) for name, value in state.items()}
        problems = [
            f"{name}: shape {arrays[name].shape}, expected {x.shape}"
            for name, x in own.items()
            if name in arrays and arrays[name].shape != x.shape
        ]
        if strict:
            problems += [f"{name}: missing" for name in own if name not in arrays]
            problems += [f"{name}: not in this module" for name in arrays if name not in own]
        if problems:
            raise ShapeError("the state does not fit the module: " + "; ".join(problems))
        with no_grad():
            for name, x in own.items():
                if name in arrays:
                    x.assign(arrays[name])
        return self

    def save(self, path: str | Path) -> None:
        """Write architecture and numbers into one file; `chainrule.load(path)` reads it."""
        write_model(path, "module", {"module": self.to_plain()}, self.arrays())

    def arrays(self) -> dict[str, Array]:
        """Give the numbers of all parameters and buffers, also of those not in `state_dict`."""
        return {name: np.asarray(x.value) for name, x in self._named_tensors(Tensor)}

    def load_arrays(self, arrays: Mapping[str, Any]) -> Self:
        """Take over what `arrays` gave, shapes and dtypes included."""
        own = dict(self._named_tensors(Tensor))
        wrong = sorted(set(own) ^ set(arrays))
        if wrong:
            raise FormatError(f"the arrays do not fit the module: {wrong[0]} is on one side only")
        for name, x in own.items():
            if arrays[name].shape != x.shape:
                raise FormatError(f"{name} has shape {arrays[name].shape}, expected {x.shape}")
            x.dtype = arrays[name].dtype
            x.renew(arrays[name])
        return self

    def to_plain(self) -> dict[str, Any]:
        """Describe the architecture as plain data, without the numbers."""
        return {"class": type(self).__name__, "config": _plain(self.config())}

    # Pictures in text.

    def __repr__(self) -> str:
        children = list(self.named_children())
        name = type(self).__name__
        if not children:
            return f"{name}({self.extra_repr()})"
        lines = [f"  ({key}): " + repr(child).replace("\n", "\n  ") for key, child in children]
        return f"{name}(\n" + "\n".join(lines) + "\n)"

    def summary(self, *input_shape: int | str) -> str:
        """Give a table of layers, output shapes and numbers of parameters.

        `input_shape` is the shape of one row; without it the output shapes stay out.

        >>> from chainrule import nn
        >>> print(nn.mlp([2, 2, 1], activation="sigmoid").summary(2))
        layer  kind                 output      parameters
        0      Linear(2, 2)         (batch, 2)           6
        1      Activation(sigmoid)  (batch, 2)           0
        2      Linear(2, 1)         (batch, 1)           3
        total                                            9
        """
        outputs = self._output_shapes(input_shape) if input_shape else {}
        rows = [("layer", "kind", "output", "parameters")]
        for name, module in self.named_modules():
            own = sum(x.size for _, x in module._items() if isinstance(x, Parameter))
            if next(module.named_children(), None) is None or own:
                kind = f"{type(module).__name__}({module.extra_repr()})"
                shape = outputs.get(id(module), "")
                rows.append((name, kind, _shape_text(shape), f"{own:,}"))
        rows.append(("total", "", "", f"{self.count_parameters():,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i == 3 else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )

    def _output_shapes(self, input_shape: tuple[int | str, ...]) -> dict[int, Shape]:
        """Give the last shape that each module made, from a trace in eval mode."""
        before = [(m, m.training) for _, m in self.named_modules()]
        self.eval()
        try:
            graph = trace(self, Spec(("batch", *input_shape), np.float32))
        finally:
            for module, mode in before:
                module.training = mode
        shapes: dict[int, Shape] = {}
        for node in graph.nodes:
            inside = node.scope
            while inside is not None:
                shapes[id(inside.owner)] = shape_of(node)
                inside = inside.parent
        return shapes


def _shape_text(shape: Any) -> str:
    if not shape:
        return ""
    return "(" + ", ".join(str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"


_NUMBERS_AND_TEXT = frozenset({bool, float, int, str, type(None)})
_TAKEN = frozenset(dir(Module))
_OWN = (Module, Parameter, Buffer)


def _unfolded(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Give the tensors and modules of an attribute, with the names that PyTorch would use."""
    if isinstance(value, _OWN):
        yield name, value
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _unfolded(f"{name}.{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unfolded(f"{name}.{key}", item)


def _plain(value: Any) -> Any:
    if isinstance(value, Module):
        return {"module": value.to_plain()}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def from_plain(plain: Any) -> Module:
    """Build a module from what `to_plain` gave; only registered classes are built.

    >>> from chainrule import nn
    >>> from_plain(nn.Sequential(nn.Linear(2, 1)).to_plain())
    Sequential(
      (0): Linear(2, 1)
    )
    """
    name, config = entry(plain, "class", str), entry(plain, "config", dict)
    if name not in MODULES:
        raise FormatError(
            f"it names the module {name}, which is not known here: import the code that registers "
            "it with chainrule.nn.register, then load again"
        )
    try:
        return MODULES[name].from_config({key: _built(item) for key, item in config.items()})
    except FAULTS as error:
        raise FormatError(f"its module {name} cannot be built: {error}") from error


def _built(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"module"}:
            return from_plain(value["module"])
        return {key: _built(item) for key, item in value.items()}
    return [_built(item) for item in value] if isinstance(value, list) else value
