"""Whether all indices that a graph takes from its data name places that exist.

Compiled code does not look where it reads, so this is asked before it runs.

>>> import numpy as np
>>> from chainrule import Spec, ops, trace
>>> table = np.zeros((3, 2))
>>> graph = trace(lambda i: ops.take(table, i), Spec(("rows",), np.int64))
>>> check_places([graph.output], {graph.inputs[0]: np.array([0, 7])}, {"rows": 2})
Traceback (most recent call last):
...
chainrule.errors.ShapeError: take got the index 7 in row 1; expected 0 to 2
"""

from collections.abc import Mapping, Sequence

import numpy as np

from chainrule.errors import ShapeError
from chainrule.graph import Array, Tensor, ancestors
from chainrule.transforms.compile.executor import NumpyProgram


def check_places(
    ends: Sequence[Tensor],
    data: Mapping[Tensor, Array],
    sizes: Mapping[str, int],
    trusted: Sequence[Tensor] = (),
) -> None:
    """Raise `ShapeError` if an index computed from the data does not exist.

    Indices that depend on nothing but `trusted` leaves are not looked at.
    """
    for node in ancestors(ends):
        if node.op is None or not any(getattr(f, "picks", False) for f in node.op.loops):
            continue
        leaves = {x for x in ancestors([node.inputs[1]]) if x.op is None and x.value is None}
        if not leaves <= set(data) or leaves <= set(trusted):
            continue
        n = node.inputs[0].shape[node.attrs["axis"]]
        places = _computed(node.inputs[1], data, sizes)
        wrong = np.argwhere((places < -n) | (places >= n))
        if len(wrong):
            at = tuple(int(i) for i in wrong[0])
            where = node.scope.path() if node.scope else node.op.name
            raise ShapeError(
                f"{where} got the index {places[at]} in row {at[0]}; expected 0 to {n - 1}"
            )


def _computed(x: Tensor, data: Mapping[Tensor, Array], sizes: Mapping[str, int]) -> Array:
    program = NumpyProgram(list(data), [x])
    bound = program.bind(sizes)
    for node, array in data.items():
        bound.set(program.leaves[node.birth], array)
    bound.run()
    return np.asarray(bound.result(0))
