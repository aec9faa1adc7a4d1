"""Names for the sizes of a model, so that a program takes them as arguments.

>>> from chainrule import nn
>>> model = nn.mlp([2, 4, 1], "tanh", seed=0)
>>> with sized(model, names := {}):
...     weight = next(model.named_parameters())[1]
...     [n.name for n in weight.shape], names[weight.birth]
(['out_0', 'in_0'], 'weight_0')
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chainrule.dims import Size
from chainrule.graph import Tensor
from chainrule.nn.module import Module


@contextmanager
def sized(model: Module, names: dict[int, str]) -> Iterator[None]:
    """Give the sizes of parameters and buffers names for a while, in which the model is traced.

    Nodes of a trace that its modules have kept as attributes go with it.
    """
    attributes = [(module, dict(vars(module))) for _, module in model.named_modules()]
    tensors: list[tuple[str, Tensor]] = [*model.named_parameters(), *model.named_buffers()]
    before = [x.shape for _, x in tensors]
    for name, x in tensors:
        path, _, own = name.rpartition(".")
        names[x.birth] = f"{own}_{path}" if path else own
        axes = [f"{own}_{path}_{k}" for k in range(x.ndim)]
        if own == "weight" and x.ndim == 2:
            axes = [f"out_{path}", f"in_{path}"]
        x.shape = tuple(Size.of(n, axis) for n, axis in zip(x.shape, axes, strict=True))
    try:
        yield
    finally:
        for (_, x), shape in zip(tensors, before, strict=True):
            x.shape = shape
        for module, held in attributes:
            kept = [name for name, x in vars(module).items() if _is_traced(x)]
            vars(module).update({name: held[name] for name in kept if name in held})
            for name in kept:
                if name not in held:
                    delattr(module, name)


def _is_traced(x: Any) -> bool:
    return isinstance(x, Tensor) and x.value is None
