"""Layers: `Linear`, activations, embeddings, and how they are joined.

>>> from chainrule import nn
>>> model = nn.Sequential(nn.Linear(2, 3), nn.Activation("relu"), nn.Linear(3, 1)).initialize(0)
>>> model.predict(np.zeros((4, 2))).shape
(4, 1)
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from chainrule import functional, ops
from chainrule.errors import ConfigError, ShapeError
from chainrule.graph import Tensor, Value, no_grad, shape_of
from chainrule.nn.checks import check_memory, check_size
from chainrule.nn.dropout import Dropout
from chainrule.nn.init import generator, get_initializer
from chainrule.nn.module import Module, Parameter, register
from chainrule.nn.normalization import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm
from chainrule.plain import entry


@register
class Linear(Module):
    """y = x W^T + b, with W of shape (out_features, in_features), as in PyTorch.

    `init` names the start of W; "auto" matches the activation that follows in a `Sequential`.
    Biases start at 0.

    >>> Linear(2, 1)(np.ones((3, 2))).shape
    (3, 1)
    """

    symbol: ClassVar[str] = "z"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: str | Callable[..., Any] = "auto",
        seed: Any = None,
    ) -> None:
        check_size("in_features", in_features)
        check_size("out_features", out_features)
        check_memory(in_features * out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.init = init
        self.weight = Parameter(np.zeros((out_features, in_features)))
        self.bias = Parameter(np.zeros(out_features)) if bias else None
        self.initialize(seed)

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Draw W to match the activation, and set the bias to 0."""
        draw = get_initializer(self.init, activation)
        with no_grad():
            self.weight.assign(draw(self.weight.shape, generator(seed)))
            if self.bias is not None:
                self.bias.assign(np.zeros(self.out_features))
        return self

    def forward(self, x: Value) -> Value:
        """Multiply by W^T and add b."""
        shape = shape_of(x)
        if not shape or shape[-1] != self.in_features:
            raise ShapeError(
                f"Linear({self.in_features}, {self.out_features}) got an input of shape {shape}; "
                f"expected (rows, {self.in_features})"
            )
        y = ops.matmul(x, self.weight, transpose_b=True)
        return y if self.bias is None else ops.add(y, self.bias)

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias is not None,
        }

    def extra_repr(self) -> str:
        """Give the sizes."""
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}{bias}"


@register
class Activation(Module):
    """An activation by name, or any function of one tensor.

    Settings that `trainable` names are parameters: training changes them from the number given.

    >>> Activation("leaky_relu", negative_slope=0.1)(np.array([-1.0, 1.0]))
    array([-0.1,  1. ])
    >>> Activation("logistic", beta=2.0, trainable=["beta"]).count_parameters()
    1
    """

    symbol: ClassVar[str] = "a"

    def __init__(
        self,
        name: str | Callable[..., Value],
        *,
        trainable: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        self.function = functional.get_activation(name)
        self.name = name if isinstance(name, str) else self.function.__name__
        missing = [key for key in trainable if key not in settings]
        if missing:
            raise ConfigError(
                f"Activation({self.name!r}, trainable={list(trainable)}): give {missing[0]} its "
                f"start, such as {missing[0]}=1.0"
            )
        self.start = {key: float(settings[key]) for key in trainable}
        self.settings = settings | {key: Parameter(x) for key, x in self.start.items()}

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Set trainable settings to their start."""
        with no_grad():
            for key, value in self.start.items():
                self.settings[key].assign(np.asarray(value))
        return self

    def forward(self, x: Value) -> Value:
        """Apply the function."""
        return self.function(x, **self.settings)

    def config(self) -> dict[str, Any]:
        """Give the name and settings; a function of one's own has no name in a file."""
        if functional.ACTIVATIONS.get(self.name) is not self.function:
            raise ConfigError(
                f"the activation {self.name} cannot be saved: register it with "
                "chainrule.functional.activation, here and where the model is loaded"
            )
        trainable = {"trainable": list(self.start)} if self.start else {}
        return {"name": self.name, **self.settings, **self.start, **trainable}

    def extra_repr(self) -> str:
        """Give the name and settings."""
        settings = self.settings | self.start
        return ", ".join([self.name, *(f"{k}={v}" for k, v in settings.items())])


@register
class Maxout(Module):
    """Largest of `pieces` linear functions: max_i(w_i x + b_i) (Goodfellow et al., 2013).

    It has pieces * (in_features + 1) * out_features parameters. Each unit is convex and piecewise
    linear; two pieces can be ReLU, or leaky ReLU, or |x|. Row `pieces * j + i` of the weight
    belongs to piece i of unit j.

    >>> Maxout(4, 3, pieces=2).count_parameters()
    30
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        pieces: int = 2,
        bias: bool = True,
        *,
        init: str | Callable[..., Any] = "auto",
        seed: Any = None,
    ) -> None:
        check_size("pieces", pieces)
        check_size("out_features", out_features)
        self.pieces = pieces
        self.linear = Linear(in_features, out_features * pieces, bias, init=init, seed=seed)

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Draw the weights, and set the biases to 0."""
        self.linear.initialize(seed, "maxout")
        return self

    def forward(self, x: Value) -> Value:
        """Take the largest piece of each unit: shape (*x.shape[:-1], out_features)."""
        return functional.maxout(self.linear(x), self.pieces)

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        sizes = self.linear.config()
        units = self.linear.out_features // self.pieces
        return sizes | {"out_features": units, "pieces": self.pieces}

    def extra_repr(self) -> str:
        """Give the sizes."""
        bias = "" if self.linear.bias is not None else ", bias=False"
        units = self.linear.out_features // self.pieces
        return f"{self.linear.in_features}, {units}, pieces={self.pieces}{bias}"


@register
class PReLU(Module):
    """ReLU whose slope below 0 is learned, one for all or one per channel (He et al., 2015)."""

    symbol: ClassVar[str] = "a"

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        check_size("num_parameters", num_parameters)
        check_memory(num_parameters)
        self.weight = Parameter(np.full(num_parameters, init))
        self.init = init

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Set the slopes to their start."""
        with no_grad():
            self.weight.assign(np.full(self.weight.shape, self.init))
        return self

    def forward(self, x: Value) -> Value:
        """Apply the slopes; the channels are axis 1."""
        trailing = max(len(shape_of(x)) - 2, 0)
        return functional.prelu(x, ops.reshape(self.weight, (-1, *[1] * trailing)))

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return {"num_parameters": self.weight.shape[0], "init": self.init}

    def extra_repr(self) -> str:
        """Give the number of slopes."""
        return f"num_parameters={self.weight.shape[0]}"


@register
class Embedding(Module):
    """A learned vector for each whole number from 0 to num_embeddings - 1."""

    symbol: ClassVar[str] = "e"

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, std: float = 1.0, seed: Any = None
    ) -> None:
        check_size("num_embeddings", num_embeddings)
        check_size("embedding_dim", embedding_dim)
        check_memory(num_embeddings * embedding_dim)
        self.std = std
        self.weight = Parameter(np.zeros((num_embeddings, embedding_dim)))
        self.initialize(seed)

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Draw the vectors from a normal distribution."""
        with no_grad():
            self.weight.assign(generator(seed).normal(0, self.std, self.weight.shape))
        return self

    def forward(self, indices: Value) -> Value:
        """Look the vectors up: shape (*indices.shape, embedding_dim)."""
        known = indices.value if isinstance(indices, Tensor) else np.asarray(indices)
        n = self.weight.shape[0]
        if known is not None and known.size and not 0 <= known.min() <= known.max() < n:
            raise ShapeError(
                f"Embedding({n}, ...) got indices from {known.min()} to {known.max()}; expected "
                f"0 to {n - 1}"
            )
        return ops.take(self.weight, indices)

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        n, d = self.weight.shape
        return {"num_embeddings": n, "embedding_dim": d, "std": self.std}

    def extra_repr(self) -> str:
        """Give the sizes."""
        return ", ".join(map(str, self.weight.shape))


@register
class Sequential(Module):
    """Modules one after the other; their names are their numbers, as in PyTorch.

    Weights whose `init` is "auto" are drawn to match the activation that follows.
    """

    def __init__(self, *modules: Module, seed: Any = None) -> None:
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise ConfigError(
                    f"Sequential: item {i} is {module!r}, expected a module; wrap a function as "
                    'nn.Activation(function), and a name as nn.Activation("relu")'
                )
            setattr(self, str(i), module)
        if seed is not None:
            self.initialize(seed)

    def __iter__(self) -> Iterator[Module]:
        return (child for _, child in self.named_children())

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, i: int) -> Module:
        return list(self)[i]

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Initialize each module for the activation that comes next."""
        rng = generator(seed)
        modules = list(self)
        for i, module in enumerate(modules):
            module.initialize(rng, _next_activation(modules[i + 1 :], activation))
        return self

    def forward(self, x: Value) -> Value:
        """Apply one module after the other."""
        for module in self:
            x = module(x)
        return x

    def config(self) -> dict[str, Any]:
        """Give the modules."""
        return {"modules": list(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the modules into a sequence."""
        return cls(*entry(config, "modules", list))


def _next_activation(modules: Sequence[Module], last: str) -> str:
    for module in modules:
        if isinstance(module, Activation):
            return module.name
        if isinstance(module, PReLU):
            return "prelu"
        if next(iter(module.parameters()), None) is not None and not isinstance(
            module, BatchNorm1d | BatchNorm2d | GroupNorm | LayerNorm
        ):
            return "identity"
    return last


@register
class Residual(Module):
    """x + module(x): a skip connection (He et al., 2016)."""

    def __init__(self, module: Module) -> None:
        if not isinstance(module, Module):
            raise ConfigError(
                f"Residual({module!r}): expected a module, such as Residual(nn.Linear(8, 8))"
            )
        self.module = module

    def forward(self, x: Value) -> Value:
        """Add the input to the output of the module."""
        y = self.module(x)
        if shape_of(y) != shape_of(x):
            raise ShapeError(
                f"Residual: the module turns shape {shape_of(x)} into {shape_of(y)}; they must be "
                "equal to be added"
            )
        return ops.add(x, y)

    def config(self) -> dict[str, Any]:
        """Give the module inside."""
        return {"module": self.module}


def mlp(
    sizes: Sequence[int],
    activation: str | Sequence[str] = "relu",
    *,
    dropout: float = 0.0,
    batch_norm: bool = False,
    layer_norm: bool = False,
    seed: Any = None,
) -> Sequential:
    """Build a multi-layer perceptron: Linear, normalization, activation, dropout, ..., Linear.

    `sizes` counts units from input to output; `activation` may name one per hidden layer.

    >>> mlp([4, 8, 3], "tanh", dropout=0.1)
    Sequential(
      (0): Linear(4, 8)
      (1): Activation(tanh)
      (2): Dropout(p=0.1)
      (3): Linear(8, 3)
    )
    """
    hidden = len(sizes) - 2
    if hidden < 0:
        raise ConfigError(f"mlp({list(sizes)}): expected at least an input and an output size")
    names = [activation] * hidden if isinstance(activation, str) else list(activation)
    if len(names) != hidden:
        raise ConfigError(f"mlp: {len(names)} activations for {hidden} hidden layers")
    modules: list[Module] = []
    for i, name in enumerate(names):
        modules.append(Linear(sizes[i], sizes[i + 1]))
        if batch_norm:
            modules.append(BatchNorm1d(sizes[i + 1]))
        if layer_norm:
            modules.append(LayerNorm(sizes[i + 1]))
        modules.append(Activation(name))
        if dropout:
            modules.append(Dropout(dropout))
    modules.append(Linear(sizes[-2], sizes[-1]))
    return Sequential(*modules).initialize(seed)
