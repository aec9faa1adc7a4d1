"""`to_onnx`: a module or a fitted estimator becomes an ONNX model."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.atomic import atomic_write
from chainrule.columns import MISSING, UNKNOWN
from chainrule.errors import ConfigError
from chainrule.estimators.whole import InputColumn, Whole
from chainrule.nn.module import Module
from chainrule.scripts.predicting import own_specs, spec_of
from chainrule.scripts.script import input_names, keys_of, kind_of
from chainrule.transforms.onnx import model_of
from chainrule.transforms.onnx.builder import Builder
from chainrule.transforms.run import Graph, trace
from chainrule.tree import flatten


def to_onnx(model: Any, path: str | os.PathLike[str], *like: Any) -> None:
    """Write a model as ONNX (opset 20, IR 10), for any number of rows.

    `model` is a module or a fitted estimator. For a module, `like` says what the inputs are: an
    array of rows, or a `Spec`; one that starts with `Linear` needs none. Inputs have the names that
    `forward` has for them, the output is "output", or "output_0", ...

    An estimator takes its input with it: a `TabularClassifier` has an input for each column, of
    shape (rows, 1), text for categories ("" is missing) and float64 for all else (NaN is missing);
    the others have one input "x". Outputs are "label" and "probabilities", or "prediction".

    ONNX's checker examines the model before it is written; a `GraphError` says what cannot be said
    in ONNX.
    """
    if hasattr(model, "whole"):
        if like:
            raise ConfigError(f"to_onnx: {kind_of(model)} knows what it takes; leave {like} out")
        made = _of_whole(model)
    elif isinstance(model, Module):
        made = _of_module(model, like)
    else:
        raise ConfigError(
            f"to_onnx({kind_of(model)}): expected a chainrule.nn.Module or a fitted estimator"
        )
    with atomic_write(path) as file:
        file.write(made.SerializeToString(deterministic=True))


def _of_module(model: Module, like: Sequence[Any]) -> Any:
    specs = [spec_of(x) for x in like] or own_specs(model)
    model = model.evaluating()
    graph = trace(model, *specs)
    names = input_names(model, len(specs))
    return model_of(graph, names, output_names(graph), keys_of(model))


def output_names(graph: Graph) -> list[str]:
    """Give names for the outputs of a graph."""
    count = len(flatten(graph.output))
    return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]


def _of_whole(estimator: Any) -> Any:
    whole: Whole = estimator.whole()
    model = estimator.module_.evaluating()
    columns, before = whole.columns, None
    names = ["x"] if columns is None else [column.name for column in columns]
    if columns is not None:
        before = _table(columns)
    outputs = list(whole.graph.output)
    return model_of(
        whole.graph, names, outputs, keys_of(model), before=before, after=_labels(whole)
    )


def _table(columns: Sequence[InputColumn]) -> Callable[[Builder, Sequence[str]], list[str]]:
    """Declare a column of cells for each input, and turn text into codes."""

    def before(builder: Builder, names: Sequence[str]) -> list[str]:
        found = []
        for column, name in zip(columns, names, strict=True):
            builder.declare_input(name, np.float64 if column.codes is None else str, ("rows", 1))
            cells = name
            if column.codes is not None:
                codes = {"": MISSING} | column.codes
                cells = builder.make(
                    "LabelEncoder", [name], domain="ai.onnx.ml", label=f"column {name}",
                    keys_strings=list(codes), values_int64s=list(codes.values()),
                    default_int64=UNKNOWN,
                )  # fmt: skip
            one = builder.constant([-1], np.int64)
            found.append(builder.make("Reshape", [cells, one], label=f"column {name}"))
        return found

    return before


def _labels(whole: Whole) -> Callable[[Builder, Sequence[str], Sequence[str]], list[str]]:
    """Declare the outputs, and turn places of classes into classes."""

    def after(builder: Builder, names: Sequence[str], found: Sequence[str]) -> list[str]:
        results = []
        for (kind, x), name, own in zip(whole.graph.output.items(), names, found, strict=True):
            dtype: Any = x.dtype
            if kind == "label" and whole.task != "multilabel":
                assert whole.classes is not None
                dtype = str if whole.classes.dtype.kind in "OU" else whole.classes.dtype
                values = whole.classes.tolist() if dtype is str else whole.classes
                own = builder.make("Gather", [builder.constant(values, dtype), own], axis=0)
            builder.declare_output(name, dtype, x.shape)
            results.append(own)
        return results

    return after
