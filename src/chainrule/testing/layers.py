"""The examination of layers and models.

>>> from chainrule import nn
>>> check_layer(nn.Linear(3, 2, seed=0), np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]])) < 1e-6
True
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError
from chainrule.graph import Array, Tensor, no_grad, tensor, value_of
from chainrule.nn.module import Module, from_plain
from chainrule.testing.gradients import (
    TOLERANCE,
    CheckError,
    compare_with_differences,
    weights_like,
)
from chainrule.transforms.run import Spec, run, trace
from chainrule.tree import flatten

Arrays = dict[str, Array]


def check_layer(
    layer: Module, *inputs: Any, rows: Sequence[int] = (0,), tolerance: float = TOLERANCE
) -> float:
    """Examine a layer or model with these inputs; the layer itself stays as it is.

    * gradients by inputs and by every parameter agree with central differences, in training and
      in `eval` mode; frozen parameters get none;
    * a trace, with a name for the first axis of the inputs `rows`, gives the same outputs as the
      call, and the same new values of buffers;
    * in `eval` mode nothing changes, and a row's output does not depend on the other rows;
    * float32 parameters and inputs give float32, float64 gives float64;
    * `state_dict`, `config` and a deep copy each bring back the same outputs;
    * the same seed gives the same start, and `repr` is text.

    Returns the largest error of a gradient; raises `CheckError` with what disagrees.
    """
    arrays = [np.asarray(value_of(x)) for x in inputs]
    worst = 0.0
    for training in (True, False):
        model = copy.deepcopy(layer).astype(np.float64).train(training)
        doubled = [_as(x, np.float64) for x in arrays]
        worst = max(worst, _check_gradients(model, doubled, tolerance))
        for dtype in (np.float64, np.float32):
            model = copy.deepcopy(layer).astype(dtype).train(training)
            _check_trace(model, [_as(x, dtype) for x in arrays], rows)
    single = [_as(x, np.float32) for x in arrays]
    _check_eval(copy.deepcopy(layer).astype(np.float32).eval(), single, rows)
    _check_copies(copy.deepcopy(layer).astype(np.float32).eval(), single)
    _check_frozen(copy.deepcopy(layer), single)
    return worst


def _as(x: Array, dtype: Any) -> Array:
    return x.astype(dtype) if x.dtype.kind == "f" else x


def _outputs(model: Module, inputs: Sequence[Any]) -> list[Array]:
    with no_grad():
        return [np.array(value_of(y)) for y in flatten(model(*inputs))]


def _check_gradients(model: Module, inputs: list[Array], tolerance: float) -> float:
    start = {name: x.copy() for name, x in model.arrays().items()}
    names = [name for name, _ in model.named_parameters()]
    chosen = [i for i, x in enumerate(inputs) if x.dtype.kind == "f"]
    leaves = [tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    outputs = flatten(model(*leaves))
    weights = weights_like(outputs)
    _backward(outputs, weights)
    parameters = dict(model.named_parameters())
    found = [leaves[i].grad for i in chosen] + [parameters[name].grad for name in names]
    points = [inputs[i] for i in chosen] + [start[name] for name in names]
    gradients = [
        np.zeros_like(x) if g is None else g.numpy() for x, g in zip(points, found, strict=True)
    ]

    def evaluate(moved: list[Array]) -> list[Array]:
        model.load_arrays(start | dict(zip(names, moved[len(chosen) :], strict=True)))
        given = list(inputs)
        for i, x in zip(chosen, moved, strict=False):
            given[i] = x
        return _outputs(model, given)

    labels = [f"input {i}" for i in chosen] + [f"parameter {name}" for name in names]
    return compare_with_differences(
        evaluate, points, gradients, weights, labels, tolerance=tolerance
    )


def _backward(outputs: Sequence[Any], weights: Sequence[Array]) -> None:
    for y, w in zip(outputs, weights, strict=True):
        if isinstance(y, Tensor) and y.requires_grad:
            y.backward(w, retain_graph=True)


def _check_trace(model: Module, inputs: list[Array], rows: Sequence[int]) -> None:
    specs = [
        Spec(("rows", *x.shape[1:]) if i in rows else x.shape, x.dtype)
        for i, x in enumerate(inputs)
    ]
    before = {name: x.copy() for name, x in model.arrays().items()}
    graph = trace(model, *specs)
    _equal(model.arrays(), before, "tracing changed")
    output, updates = run(graph, *inputs)
    buffers = {name: x for name, x in model.named_buffers() if x in updates}
    traced = {name: np.asarray(updates[x]) for name, x in buffers.items()}
    for i, (y, e) in enumerate(zip(flatten(output), _outputs(model, inputs), strict=True)):
        if y.dtype != e.dtype or flatten(graph.output)[i].dtype != e.dtype:
            raise CheckError(f"output {i} is {e.dtype}, traced {y.dtype}")
        if y.dtype.kind == "f" and e.dtype != inputs[0].dtype and inputs[0].dtype.kind == "f":
            raise CheckError(f"output {i} of {inputs[0].dtype} inputs and weights is {e.dtype}")
        _close(y, e, f"output {i} of the trace")
    after = model.arrays()
    for name, old in before.items():
        _close(traced.get(name, old), after[name], f"buffer {name} after the trace")


def _check_eval(model: Module, inputs: list[Array], rows: Sequence[int]) -> None:
    before = {name: x.copy() for name, x in model.arrays().items()}
    first, second = _outputs(model, inputs), _outputs(model, inputs)
    for i, (y, again) in enumerate(zip(first, second, strict=True)):
        if not np.array_equal(y, again, equal_nan=True):
            raise CheckError(f"output {i} in eval mode differs from one call to the next")
    _equal(model.arrays(), before, "a call in eval mode changed")
    if not rows:
        return
    for k in range(inputs[rows[0]].shape[0]):
        alone = [x[k : k + 1] if i in rows else x for i, x in enumerate(inputs)]
        for i, (y, whole) in enumerate(zip(_outputs(model, alone), first, strict=True)):
            _close(y, whole[k : k + 1], f"output {i} of row {k} alone")


def _check_copies(model: Module, inputs: list[Array]) -> None:
    expected = _outputs(model, inputs)
    others = {"a deep copy": copy.deepcopy(model)}
    try:
        config = model.to_plain()
    except ChainruleError:
        pass  # a module without config() can be used, but not saved
    else:
        others["the config"] = from_plain(config).load_arrays(model.arrays()).eval()
        others["the state_dict"] = from_plain(config).load_state_dict(model.state_dict()).eval()
        starts = [from_plain(config).initialize(7).arrays() for _ in range(2)]
        _equal(starts[0], starts[1], "the same seed gave another")
    for name, other in others.items():
        for y, e in zip(_outputs(other, inputs), expected, strict=True):
            _close(y, e, f"the output by {name}")
    if not repr(model):
        raise CheckError("the repr is empty")


def _check_frozen(model: Module, inputs: list[Array]) -> None:
    model.freeze()
    leaves = [tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    outputs = flatten(model(*leaves))
    _backward(outputs, weights_like(outputs))
    for name, p in model.named_parameters():
        if p.grad is not None:
            raise CheckError(f"the frozen parameter {name} got a gradient")


def _close(y: Array, expected: Array, what: str) -> None:
    y = np.asarray(y)
    if y.shape != expected.shape:
        raise CheckError(f"{what} has shape {y.shape}, expected {expected.shape}")
    rtol = 1e-12 if expected.dtype == np.float64 else 1e-5
    if not np.allclose(y, expected, rtol=rtol, atol=rtol, equal_nan=expected.dtype.kind == "f"):
        raise CheckError(f"{what} is {y}, expected {expected}")


def _equal(given: Arrays, expected: Arrays, what: str) -> None:
    for name, value in expected.items():
        if not np.array_equal(given[name], value):
            raise CheckError(f"{what} {name} from {value} to {given[name]}")
