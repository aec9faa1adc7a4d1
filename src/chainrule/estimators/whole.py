"""A fitted estimator as one graph, for verbs that take it out of chainrule: scripts and ONNX.

>>> from chainrule import TabularRegressor
>>> net = TabularRegressor(members=1, hidden=(4,), epochs=1, random_state=0)
>>> whole = net.fit({"age": [1.0, 2.0, 3.0]}, [1.0, 2.0, 3.0]).whole()
>>> whole.columns[0].name, whole.graph.output
('age', {'prediction': <traced reshape: float64[rows]>})
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.columns import FIRST_KNOWN, CategoryColumn
from chainrule.graph import Array, Value
from chainrule.table import TableEncoder
from chainrule.transforms.run import Graph, Spec, trace


@dataclass(frozen=True)
class InputColumn:
    """A column of the table: numbers with NaN for missing, or the codes of text.

    `codes` has the code of each category of a column of text, None for one of numbers.
    """

    name: str
    codes: dict[str, int] | None

    @property
    def spec(self) -> Spec:
        """What the graph takes for it."""
        return Spec(("rows",), np.float64 if self.codes is None else np.int64)


@dataclass(frozen=True)
class Whole:
    """The graph of an estimator, from cells or rows of numbers to what it predicts.

    Its output is a dictionary: "prediction" of a regression; "label", the place of the class, and
    "probabilities" of a classification. `columns` is None for a model that takes rows of numbers.
    """

    graph: Graph
    columns: list[InputColumn] | None
    classes: Array | None
    task: str


def columns_of(encoder: TableEncoder) -> list[InputColumn]:
    """List the columns that a net sees."""
    found = []
    for column in encoder.inputs:
        codes = None
        if isinstance(column, CategoryColumn) and column.is_text:
            codes = {str(value): FIRST_KNOWN + i for i, value in enumerate(column.values)}
        found.append(InputColumn(column.name, codes))
    return found


class OfRows:
    """Gives an estimator that takes rows of numbers its graph."""

    module_: Any
    _outputs: Callable[[Value], dict[str, Value]]

    def whole(self) -> Whole:
        """Give all that `predict` does as one graph: rows in, predictions out."""
        shape = getattr(self, "_row_shape", None) or (self.n_features_in_,)  # type: ignore[attr-defined]
        model = self.module_.evaluating()
        dtype = model.parameters()[0].dtype
        graph = trace(lambda x: self._outputs(model(x)), Spec(("rows", *shape), dtype))
        classes = getattr(self, "classes_", None)
        return Whole(graph, None, classes, getattr(self, "_task", "regression"))
