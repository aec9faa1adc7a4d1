"""A second opinion: computes a trace again in plain Python floats, without the library.

    python replay.py trace.json

It imports nothing but the standard library and shares no code with what it checks. Every value of
every op is computed from the stored values of its inputs, and must agree to a few units in the
last place. Gradients must be slopes: a node is moved a little, all that follows is computed again,
and the change of the loss is what the gradient says.

The table `RULES` at the end has one rule per op: the value of one element, and how large the terms
were that it was added up from, which says how much rounding may have changed.
"""

import itertools
import json
import math
import operator
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10}
TINY = {"float64": 2.0**-1060, "float32": 2.0**-140, "float16": 2.0**-20}

MOST_WORK = 100_000
"""Additions and multiplications spent on computing the loss again, for slopes and after a step."""

Index = tuple[int, ...]
Found = tuple[Any, float]
"""A value, and the sum of the magnitudes that it was added up from."""


class Array:
    """Numbers of a shape, in one list."""

    def __init__(self, shape: Sequence[int], flat: Sequence[Any]) -> None:
        self.shape = tuple(shape)
        self.flat = list(flat)
        self.steps = [math.prod(self.shape[i + 1 :]) for i in range(len(self.shape))]
        if len(self.flat) != math.prod(self.shape):
            raise ValueError(f"{len(self.flat)} numbers for a shape of {list(self.shape)}")

    def __getitem__(self, index: Index) -> Any:
        """Give an element."""
        return self.flat[self.place(index)]

    def place(self, index: Index) -> int:
        """Give the place of an element in the list."""
        if len(index) != len(self.shape) or any(
            not 0 <= i < n for i, n in zip(index, self.shape, strict=True)
        ):
            raise IndexError(f"there is no element {list(index)} in a shape of {list(self.shape)}")
        return sum(i * step for i, step in zip(index, self.steps, strict=True))

    def like(self, index: Index) -> Any:
        """Give the element that broadcasting puts at an index of the result."""
        own = index[len(index) - len(self.shape) :]
        return self[tuple(0 if n == 1 else i for i, n in zip(own, self.shape, strict=True))]

    def stretched(self, shape: Sequence[int]) -> list[Any]:
        """Give the elements of a result of this shape, in order, as broadcasting does."""
        if len(self.flat) == 1:
            return self.flat * math.prod(shape)
        return self.flat if self.shape == tuple(shape) else [self.like(i) for i in indices(shape)]

    def lines(self, across: bool = False) -> list[list[Any]]:
        """Give the rows of a matrix, or its columns."""
        rows, columns = self.shape
        if across:
            return [self.flat[k::columns] for k in range(columns)]
        return [self.flat[k * columns : (k + 1) * columns] for k in range(rows)]


def indices(shape: Sequence[int]) -> Iterator[Index]:
    """Give every index of a shape, the last axis first."""
    return itertools.product(*map(range, shape))


def read(node: dict[str, Any]) -> Array:
    """Read the numbers of a node."""
    value = node["value"]
    flat = value if isinstance(value, list) else [value]
    return Array(node["shape"], [float(x) if isinstance(x, str) else x for x in flat])


# Rules: (attributes, inputs, index) -> value and magnitude.

Rule = Callable[[dict[str, Any], list[Array], Index], Found]


def _applied(f: Callable[..., Any], values: Sequence[Any]) -> Found:
    try:
        return f(*values), 0.0
    except OverflowError:
        return math.inf, 0.0


def _each(f: Callable[..., Any]) -> Rule:
    return lambda attrs, inputs, i: _applied(f, [x.like(i) for x in inputs])


def _total(terms: list[Any]) -> Found:
    """Add terms up exactly."""
    if all(isinstance(x, int) for x in terms) or not all(map(math.isfinite, terms)):
        return sum(terms), 0.0
    return math.fsum(terms), math.fsum(map(abs, terms)) * (1 + len(terms) ** 0.5 / 4)


def _added(f: Callable[..., Iterator[float]]) -> Rule:
    return lambda attrs, inputs, i: _total(list(f(inputs, i, **attrs)))


def _moved(f: Callable[..., Any]) -> Rule:
    return lambda attrs, inputs, i: (f(inputs, i, **attrs), 0.0)


def _divide(x: float, y: float) -> float:
    if y:
        return x / y
    if x == 0 or x != x:
        return math.nan
    return math.copysign(math.inf, x) * math.copysign(1.0, y)


def _power(x: float, y: float) -> float:
    endless = math.copysign(math.inf, x) if y % 2 == 1 else math.inf
    if x == 0 and y < 0:
        return endless
    try:
        result = x**y
    except OverflowError:
        return endless
    return math.nan if isinstance(result, complex) else result


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def _log1p(x: float) -> float:
    return math.log1p(x) if x > -1 else -math.inf if x == -1 else math.nan


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else math.exp(x)


def _larger(x: float, y: float) -> float:
    return math.nan if x != x or y != y else max(x, y)


def _smaller(x: float, y: float) -> float:
    return math.nan if x != x or y != y else min(x, y)


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _silu(x: float) -> float:
    return 0.0 if x == -math.inf else x * _sigmoid(x)


def _sign(x: Any) -> Any:
    return x if x != x else (x > 0) - (x < 0)


def _wave(f: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: f(x) if math.isfinite(x) else math.nan


def _root(x: float) -> float:
    return math.sqrt(x) if x >= 0 else math.nan


def _matmul(
    inputs: list[Array], i: Index, transpose_a: bool = False, transpose_b: bool = False
) -> Iterator[float]:
    a, b = inputs
    for k in range(a.shape[-2] if transpose_a else a.shape[-1]):
        left = (k, i[-2]) if transpose_a else (i[-2], k)
        right = (i[-1], k) if transpose_b else (k, i[-1])
        yield _stacked(a, i, left) * _stacked(b, i, right)


def _stacked(x: Array, i: Index, last: Index) -> Any:
    own = i[len(i) - len(x.shape) : len(i) - 2]
    return x[(*(0 if n == 1 else j for j, n in zip(own, x.shape, strict=False)), *last)]


def _sum(inputs: list[Array], i: Index, axis: list[int], keepdims: bool) -> Iterator[float]:
    (x,) = inputs
    rest = iter([n for a, n in enumerate(i) if not keepdims or a not in axis])
    ranges = [range(n) if a in axis else [next(rest)] for a, n in enumerate(x.shape)]
    for place in itertools.product(*ranges):
        yield x[place]


def _spread(inputs: list[Array], i: Index, axis: list[int], keepdims: bool, shape: Any) -> Any:
    if keepdims:
        return inputs[0][tuple(0 if a in axis else n for a, n in enumerate(i))]
    return inputs[0][tuple(n for a, n in enumerate(i) if a not in axis)]


def _reshape(inputs: list[Array], i: Index, shape: list[int]) -> Any:
    return Array(shape, inputs[0].flat)[i]


def _transpose(inputs: list[Array], i: Index, axes: list[int]) -> Any:
    return inputs[0][tuple(i[axes.index(a)] for a in range(len(axes)))]


def _cumsum(inputs: list[Array], i: Index, axis: int, reverse: bool) -> Iterator[float]:
    (x,) = inputs
    for k in range(i[axis], x.shape[axis]) if reverse else range(i[axis] + 1):
        yield x[(*i[:axis], k, *i[axis + 1 :])]


def _slice(inputs: list[Array], i: Index, slices: list[Any]) -> Any:
    ranges = [range(n)[slice(*s)] for n, s in zip(inputs[0].shape, slices, strict=True)]
    return inputs[0][tuple(r[k] for r, k in zip(ranges, i, strict=True))]


def _place(inputs: list[Array], i: Index, slices: list[Any], shape: list[int]) -> Any:
    ranges = [range(n)[slice(*s)] for n, s in zip(shape, slices, strict=True)]
    if any(k not in r for r, k in zip(ranges, i, strict=True)):
        return 0.0
    return inputs[0][tuple(r.index(k) for r, k in zip(ranges, i, strict=True))]


def _wrapped(k: int, n: int) -> int:
    return k + n if k < 0 else k


def _take(inputs: list[Array], i: Index, axis: int) -> Any:
    x, places = inputs
    count = len(places.shape)
    k = _wrapped(places[i[axis : axis + count]], x.shape[axis])
    return x[(*i[:axis], k, *i[axis + count :])]


def _scatter_add(inputs: list[Array], i: Index, axis: int, size: int) -> Iterator[float]:
    x, places = inputs
    for at in itertools.product(*map(range, places.shape)):
        if _wrapped(places[at], size) == i[axis]:
            yield x[(*i[:axis], *at, *i[axis + 1 :])]


def _take_along(inputs: list[Array], i: Index, axis: int) -> Any:
    x, places = inputs
    return x[(*i[:axis], _wrapped(places[i], x.shape[axis]), *i[axis + 1 :])]


def _put_along(inputs: list[Array], i: Index, axis: int, size: int) -> Iterator[float]:
    x, places = inputs
    for k in range(places.shape[axis]):
        at = (*i[:axis], k, *i[axis + 1 :])
        if _wrapped(places[at], size) == i[axis]:
            yield x.like(at)


def _concat(inputs: list[Array], i: Index, axis: int) -> Any:
    k = i[axis]
    for x in inputs:
        if k < x.shape[axis]:
            return x[(*i[:axis], k, *i[axis + 1 :])]
        k -= x.shape[axis]
    raise IndexError(f"there is no element {list(i)}")


def _shift(inputs: list[Array], i: Index, reverse: bool) -> Any:
    x, start = inputs
    before = i[0] + (1 if reverse else -1)
    return x[(before, *i[1:])] if 0 <= before < x.shape[0] else start[i[1:]]


def _line(x: Array, i: Index, axis: Any, keepdims: bool) -> list[Any]:
    axes = axis if isinstance(axis, list) else [axis]
    return list(_sum([x], i, axes, keepdims))  # the elements that a sum would add


def _max(inputs: list[Array], i: Index, axis: Any, keepdims: bool) -> Any:
    line = _line(inputs[0], i, axis, keepdims)
    return math.nan if any(x != x for x in line) else max(line)


def _argmax(inputs: list[Array], i: Index, axis: int, keepdims: bool) -> int:
    line = _line(inputs[0], i, axis, keepdims)
    return next((k for k, x in enumerate(line) if x != x), line.index(max(line)))


def _argsort(inputs: list[Array], i: Index, axis: int) -> int:
    line = _line(inputs[0], i, axis, keepdims=True)
    return sorted(range(len(line)), key=lambda k: (line[k] != line[k], line[k]))[i[axis]]


def _log_softmax(attrs: dict[str, Any], inputs: list[Array], i: Index) -> Found:
    line = _line(inputs[0], i, attrs["axis"], keepdims=True)
    top, own = max(line), line[i[attrs["axis"]]]
    others = list(line)
    others.remove(top)
    log = math.log1p(math.fsum(math.exp(x - top) for x in others))
    return own - top - log, abs(own - top) + log


def _uniform(inputs: list[Array], i: Index, shape: list[int]) -> float:
    word = 2**64 - 1
    at = Array(shape, [0] * math.prod(shape)).place(i)
    z: int = (inputs[0][()] * 0xD1342543DE82EF95 + (at + 1) * 0x9E3779B97F4A7C15) & word
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & word
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & word
    return float((z ^ z >> 31) >> 11) * 2.0**-53


# Windows and convolution.


def _inside(
    x: Array, i: Index, size: list[int], stride: list[int], dilation: list[int]
) -> Iterator[tuple[Index, Index]]:
    """Give the places of a window's elements, for an index of a result with one per window."""
    lead = len(x.shape) - len(size)
    for k in itertools.product(*map(range, size)):
        moved = zip(i[lead:], k, stride, dilation, strict=True)
        yield (*i[:lead], *(p * s + q * d for p, q, s, d in moved)), k


def _windows(inputs: list[Array], i: Index, size: Any, stride: Any, dilation: Any) -> Any:
    (x,), axes = inputs, len(size)
    lead = len(x.shape) - axes
    moved = zip(i[lead + axes :], i[lead : lead + axes], stride, dilation, strict=True)
    return x[(*i[:lead], *(p * s + q * d for p, q, s, d in moved))]


def _fold(
    inputs: list[Array], i: Index, shape: Any, size: Any, stride: Any, dilation: Any
) -> Iterator[float]:
    (y,), axes = inputs, len(size)
    lead = len(y.shape) - 2 * axes
    counts = y.shape[lead + axes :]
    for k in itertools.product(*map(range, size)):
        places = _window_of(i[lead:], k, stride, dilation, [0] * axes, counts)
        if places is not None:
            yield y[(*i[:lead], *k, *places)]


def _window_of(
    at: Sequence[int], k: Sequence[int], stride: Any, dilation: Any, before: Any, counts: Any
) -> Index | None:
    """Give the window whose element k lies at a place, or None."""
    places = []
    for p, q, s, d, b, n in zip(at, k, stride, dilation, before, counts, strict=True):
        window, rest = divmod(p + b - q * d, s)
        if rest or not 0 <= window < n:
            return None
        places.append(window)
    return tuple(places)


def _window_max(inputs: list[Array], i: Index, **attrs: Any) -> Any:
    line = [inputs[0][at] for at, _ in _inside(inputs[0], i, **attrs)]
    return math.nan if any(x != x for x in line) else max(line)


def _window_argmax(inputs: list[Array], i: Index, **attrs: Any) -> int:
    (x,) = inputs
    lead = len(x.shape) - len(attrs["size"])
    listed = [(x[at], at[lead:]) for at, _ in _inside(x, i, **attrs)]
    best = next((at for value, at in listed if value != value), None)
    if best is None:
        best = max(listed, key=lambda pair: pair[0])[1]
    return Array(x.shape[lead:], [0] * math.prod(x.shape[lead:])).place(best)


def _window_places(inputs: list[Array], i: Index, size: Any, stride: Any, dilation: Any) -> int:
    x, axes = inputs[0], len(size)
    spatial = x.shape[len(x.shape) - axes :]
    moved = zip(i[axes:], i[:axes], stride, dilation, strict=True)
    at = tuple(p * s + q * d for p, q, s, d in moved)
    return Array(spatial, [0] * math.prod(spatial)).place(at)


def _conv(
    inputs: list[Array], i: Index, stride: Any, padding: Any, dilation: Any, groups: int
) -> Iterator[float]:
    x, w = inputs
    first = i[1] // (w.shape[0] // groups) * w.shape[1]
    for c, *k in itertools.product(*map(range, w.shape[1:])):
        at = [
            p * s + q * d - b
            for p, q, s, d, (b, _) in zip(i[2:], k, stride, dilation, padding, strict=True)
        ]
        if all(0 <= p < n for p, n in zip(at, x.shape[2:], strict=True)):
            yield x[(i[0], first + c, *at)] * w[(i[1], c, *k)]


def _conv_input(
    inputs: list[Array], i: Index, stride: Any, padding: Any, dilation: Any, groups: int, shape: Any
) -> Iterator[float]:
    g, w = inputs
    units, (group, c) = w.shape[0] // groups, divmod(i[1], w.shape[1])
    before = [b for b, _ in padding]
    for k in itertools.product(*map(range, w.shape[2:])):
        at = _window_of(i[2:], k, stride, dilation, before, g.shape[2:])
        if at is not None:
            for o in range(group * units, (group + 1) * units):
                yield g[(i[0], o, *at)] * w[(o, c, *k)]


def _conv_kernel(
    inputs: list[Array], i: Index, stride: Any, padding: Any, dilation: Any, groups: int, size: Any
) -> Iterator[float]:
    x, g = inputs
    channels = x.shape[1] // groups
    c = i[0] // (g.shape[1] // groups) * channels + i[1]
    for n, *q in itertools.product(range(g.shape[0]), *map(range, g.shape[2:])):
        at = [
            p * s + k * d - b
            for p, k, s, d, (b, _) in zip(q, i[2:], stride, dilation, padding, strict=True)
        ]
        if all(0 <= p < m for p, m in zip(at, x.shape[2:], strict=True)):
            yield x[(n, c, *at)] * g[(n, i[0], *q)]


# fmt: off
EACH: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "div": _divide,
    "pow": _power, "neg": lambda x: -x, "maximum": _larger, "minimum": _smaller, "abs": abs,
    "exp": math.exp, "expm1": math.expm1, "log": _log, "log1p": _log1p, "sqrt": _root,
    "sin": _wave(math.sin), "cos": _wave(math.cos), "tanh": math.tanh, "sigmoid": _sigmoid,
    "softplus": _softplus, "silu": _silu, "ndtr": lambda x: 0.5 * math.erfc(-x / math.sqrt(2)),
    "less": lambda x, y: x < y, "less_equal": lambda x, y: x <= y, "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y, "logical_and": lambda x, y: bool(x) and bool(y),
    "logical_or": lambda x, y: bool(x) or bool(y), "logical_not": lambda x: not x,
    "is_finite": math.isfinite, "sign": _sign,
    "floor": lambda x: math.floor(x) if math.isfinite(x) else x, "cast": lambda x: x,
    "stop_gradient": lambda x: x, "where": lambda c, x, y: x if c else y, "identity": lambda x: x,
}
RULES: dict[str, Rule] = {name: _each(f) for name, f in EACH.items()} | {
    "matmul": _added(_matmul), "sum": _added(_sum), "spread": _moved(_spread),
    "reshape": _moved(_reshape), "transpose": _moved(_transpose), "cumsum": _added(_cumsum),
    "slice": _moved(_slice), "place": _moved(_place), "take": _moved(_take),
    "scatter_add": _added(_scatter_add), "take_along": _moved(_take_along),
    "put_along": _added(_put_along), "concat": _moved(_concat), "shift": _moved(_shift),
    "max": _moved(_max), "argmax": _moved(_argmax), "argsort": _moved(_argsort),
    "log_softmax": _log_softmax, "uniform": _moved(_uniform),
    "size": lambda attrs, inputs, i: (math.prod(attrs["dims"]), 0.0), "windows": _moved(_windows),
    "fold": _added(_fold), "window_max": _moved(_window_max),
    "window_argmax": _moved(_window_argmax), "window_places": _moved(_window_places),
    "conv": _added(_conv), "conv_input": _added(_conv_input), "conv_kernel": _added(_conv_kernel),
}
# fmt: on


def computed(node: dict[str, Any], inputs: list[Array]) -> Iterator[Found]:
    """Compute all elements of a node, in order."""
    op, attrs, shape = node["op"], node["attrs"], node["shape"]
    if op in EACH:
        values = zip(*[x.stretched(shape) for x in inputs], strict=True)
        return (_applied(EACH[op], each) for each in values)
    if op == "matmul" and [len(x.shape) for x in inputs] == [2, 2]:
        rows = inputs[0].lines(attrs.get("transpose_a", False))
        columns = inputs[1].lines(not attrs.get("transpose_b", False))
        return (_total([*map(operator.mul, r, c)]) for r in rows for c in columns)
    return (RULES[op](attrs, inputs, i) for i in indices(shape))


# The checks.


def check(trace: dict[str, Any], *, work: int = MOST_WORK, seed: int = 0) -> list[str]:
    """Give what is wrong with a trace, in words; an empty list if nothing is.

    Every value is computed again. `work` limits how often the loss is, after moving a node.
    """
    rng = random.Random(seed)
    problems: list[str] = []
    nodes = trace["nodes"]
    arrays: list[Array] = []
    for k, node in enumerate(nodes):
        try:
            arrays.append(read(node))
            if node["op"] is not None:
                problems += _check_node(k, nodes, arrays)
        except Exception as error:  # a trace that makes no sense is wrong, whatever is raised
            problems.append(f"node {k} ({node['op']}): {type(error).__name__}: {error}")
            return problems
    try:
        problems += _check_links(trace, arrays, work, rng)
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")
    return problems


def _cost(k: int, nodes: list[dict[str, Any]], arrays: list[Array]) -> int:
    """Estimate the terms of an element: the largest input over the result, at least."""
    size: int = max(math.prod(nodes[k]["shape"]), 1)
    inputs: list[int] = [math.prod(arrays[j].shape) for j in nodes[k]["inputs"]]
    product: int = math.prod(inputs) if len(inputs) == 2 else 0
    return max(1, *(n // size for n in inputs), math.isqrt(product // size))


def _check_node(k: int, nodes: list[dict[str, Any]], arrays: list[Array]) -> list[str]:
    """Compute a node from its inputs, and compare."""
    node, stored = nodes[k], arrays[k]
    if any(not 0 <= j < k for j in node["inputs"]):
        return [f"node {k}: an input is not one of the nodes before it"]
    inputs = [arrays[j] for j in node["inputs"]]
    found = computed(node, inputs)
    for index, given, (value, size) in zip(indices(stored.shape), stored.flat, found, strict=True):
        if not _agree(given, value, size, node["dtype"]):
            return [f"node {k} ({node['op']}) at {list(index)}: {given}, but its inputs "
                    f"give {value}"]  # fmt: skip
    return []


def _agree(stored: Any, value: Any, size: float, dtype: str) -> bool:
    if dtype not in EPS:
        return bool(stored == value or (isinstance(value, float) and int(value) == stored))
    stored, value = float(stored), float(value)
    if stored != stored or value != value:
        return bool(stored != stored and value != value)
    if math.isinf(stored) or math.isinf(value):
        largest = {"float64": 1.7e308, "float32": 3.4e38, "float16": 65504}[dtype]
        same_sign = math.copysign(1.0, stored) == math.copysign(1.0, value)
        return same_sign and math.isinf(stored) and abs(value) >= largest
    return bool(abs(stored - value) <= 16 * EPS[dtype] * max(abs(value), size) + TINY[dtype])


def follow(
    nodes: list[dict[str, Any]], arrays: list[Array], changed: dict[int, Array], constant: str = ""
) -> list[Array]:
    """Compute again, in full, all nodes that depend on changed ones; gives all arrays.

    Results of the op `constant` stay as they are.
    """
    now = list(arrays)
    touched = set(changed)
    for k, array in changed.items():
        now[k] = array
    for k, node in enumerate(nodes):
        if k in touched or node["op"] in (None, constant) or not touched & set(node["inputs"]):
            continue
        inputs = [now[j] for j in node["inputs"]]
        now[k] = Array(node["shape"], [value for value, _ in computed(node, inputs)])
        touched.add(k)
    return now


def _check_links(
    trace: dict[str, Any], arrays: list[Array], work: int, rng: random.Random
) -> list[str]:
    """Check what a trace says about its nodes: gradients are slopes, the loss after is right."""
    nodes, loss = trace["nodes"], trace["loss"]
    problems = _check_settings(trace, arrays)
    if loss is None:
        return problems
    forward = _ancestors(nodes, loss)
    total = sum(
        math.prod(nodes[k]["shape"]) * _cost(k, nodes, arrays)
        for k in forward
        if nodes[k]["op"] is not None
    )
    part = nodes[: loss + 1]
    single = any(nodes[k]["dtype"] == "float32" for k in forward)
    before = arrays[loss].flat[0]
    if total <= work:
        changed = {p["node"]: arrays[p["new"]] for p in trace["parameters"]}
        after = follow(part, arrays, changed)[loss].flat[0]
        if not _near(after, float(trace["after"]), 2e-4 if single else 1e-9):
            problems.append(f"the loss afterwards is {after}, not {trace['after']}")
    times = min(int(5 * work / max(total, 1)), len(trace["gradients"]))
    for k, g in rng.sample(trace["gradients"], times):
        if arrays[k].shape != arrays[g].shape:
            problems.append(f"node {g} is no gradient of node {k}: their shapes differ")
        elif k in forward and math.isfinite(before) and k != loss:
            problems += _check_slope(part, arrays, (k, g, loss), rng)
    for d in trace["differences"]:
        given = trace["parameters"][d["parameter"]]
        stored = arrays[given["gradient"]][tuple(d["index"])]
        own, quotient = float(d["gradient"]), float(d["quotient"])
        if own != stored and not (own != own and stored != stored):
            problems.append(f"a gradient of {given['label']} is {stored}, not {own}")
        room = (1e-2 if single else 1e-4) * max(abs(own), 1e-2)
        sides = sorted(float(d[side]) for side in ("left", "right"))
        if not (_near(sum(sides) / 2, quotient, 1e-6) and _between(own, sides, room)):
            problems.append(f"the gradient of {given['label']} at {d['index']} is {own}, but the "
                            f"loss changes by {quotient}")  # fmt: skip
    return problems


def _check_settings(trace: dict[str, Any], arrays: list[Array]) -> list[str]:
    rows = trace["settings"]["rows"]
    wrong = [
        k for k, node in enumerate(trace["nodes"]) if node["rows"] and node["shape"][0] != rows
    ]
    problems = [f"node {k} has other than {rows} rows" for k in wrong]
    for p in trace["parameters"]:
        listed = [p["gradient"], p["new"], *(k for _, *pair in p["states"] for k in pair)]
        problems += [
            f"node {k} does not belong to {p['label']}: the shapes differ"
            for k in listed
            if arrays[k].shape not in (arrays[p["node"]].shape, ())
        ]
        if dict(trace["gradients"]).get(p["node"]) != p["gradient"]:
            problems.append(f"the gradient of {p['label']} is another node")
    return problems


def _near(a: float, b: float, tolerance: float) -> bool:
    if a != a or b != b or math.isinf(a) or math.isinf(b):
        return a == b or (a != a and b != b) or math.isinf(a) or math.isinf(b)
    return abs(a - b) <= tolerance * max(abs(a), abs(b), 1e-3)


def _between(x: float, sides: list[float], room: float) -> bool:
    """Whether a slope lies between those to the left and to the right."""
    if not all(map(math.isfinite, (x, *sides))):
        return True
    return sides[0] - room <= x <= sides[1] + room


def _ancestors(nodes: list[dict[str, Any]], last: int) -> set[int]:
    found, stack = set(), [last]
    while stack:
        k = stack.pop()
        if k not in found:
            found.add(k)
            stack += nodes[k]["inputs"]
    return found


def _check_slope(
    part: list[dict[str, Any]], arrays: list[Array], which: tuple[int, int, int], rng: random.Random
) -> list[str]:
    """Move an element of a node, and see whether the loss follows its gradient.

    Where the slopes to the left and to the right differ, as at the corner of a ReLU, the gradient
    may lie between them.
    """
    k, g, loss = which
    if not arrays[k].flat:
        return []
    at = max(range(len(arrays[k].flat)), key=lambda j: (abs(arrays[g].flat[j]), rng.random()))
    gradient, value = float(arrays[g].flat[at]), float(arrays[k].flat[at])
    if not math.isfinite(gradient) or not math.isfinite(value):
        return []
    h = 1e-5 * max(1.0, abs(value))
    middle = follow(part, arrays, {k: arrays[k]}, "stop_gradient")[loss].flat[0]
    sides = []
    for d in (h, -h):
        flat = list(arrays[k].flat)
        flat[at] = value + d
        moved = {k: Array(arrays[k].shape, flat)}
        now = follow(part, arrays, moved, "stop_gradient")[loss].flat[0]
        sides.append((now - middle) / d)
    room = 1e-3 * max(abs(gradient), 1e-3) + 1e-9 * abs(middle) / h
    if _between(gradient, sorted(sides), room):
        return []
    return [f"node {g}: the gradient of node {k} is {gradient}, but the loss changes by {sides[0]}"]


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        found = check(json.load(file))
    print("\n".join(found) or "every number agrees")
    sys.exit(bool(found))
