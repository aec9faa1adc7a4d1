"""The verb *compile* by JAX: a graph runs on the device that JAX has, such as a GPU.

A graph is written in NumPy, as for a script, and JAX reads that with its own `np`. All steps
between two looks at the clock are one call. Rows and what steps change stay on the device.

>>> from chainrule import Spec, ops, trace
>>> x = (graph := trace(lambda x: ops.sum(ops.exp(x), axis=1), Spec(("rows", 2)))).inputs[0]
>>> print(written([x], [graph.output], {x.birth: "x"}).source)
import jax
import jax.numpy as np
<BLANKLINE>
<BLANKLINE>
def step(x):
    return np.sum(np.exp(x), axis=1)
<BLANKLINE>
"""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from chainrule.dims import product, resolve
from chainrule.errors import need
from chainrule.graph import Array, Tensor, ancestors
from chainrule.transforms.compile.beside import Beside
from chainrule.transforms.compile.language import module_of
from chainrule.transforms.python import finished, text
from chainrule.transforms.python.function import Writer
from chainrule.transforms.run import Graph, given_values
from chainrule.tree import flatten, rebuild

_WIDTH = 96
_KEPT = 64
"""How many functions are kept, for graphs of which the text is the same."""


def import_jax() -> Any:
    """Import JAX, or say how it is installed."""
    return need("jax", extra="jax", why="to run on a GPU")


@contextmanager
def _exactly(jax: Any) -> Iterator[None]:
    """Let JAX keep the dtypes of the graph, such as float64, and all digits of products."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


# ---------------------------------------------------------------- the text


class Text(NamedTuple):
    """A module in source with a function `step`, and the names of what that takes."""

    source: str
    names: list[str]


def written(arguments: Sequence[Tensor], ends: Sequence[Tensor], names: Mapping[int, str]) -> Text:
    """Write the function that computes the ends; `names` are names of tensors by their birth."""
    writer = Writer({}, lambda scope: scope.path() if scope else "", jax=True)
    own = {x.birth: writer.fresh(names.get(x.birth, "array")) for x in arguments}
    inside = {birth: name for birth, name in names.items() if birth not in own}
    lines = writer.function(arguments, own, ends, nodes=inside)
    body = [text.wrapped(f"    {line}") for line in lines]
    parts = finished(writer, [[*_head(list(own.values())), *body]])
    arrays = [text.array_statement(name, x) for name, (_, x) in parts.arrays.items()]
    top = "\n".join(["import jax", "import jax.numpy as np", *parts.modules])
    blocks = ["\n\n".join([top, *arrays]), parts.functions]
    return Text("\n\n\n".join(blocks) + "\n", list(own.values()))


def _head(names: Sequence[str]) -> list[str]:
    """Write the first lines of the function."""
    whole = f"def step({', '.join(names)}):"
    if len(whole) <= _WIDTH:
        return [whole]
    lines = textwrap.wrap(", ".join(names), _WIDTH - 4, break_long_words=False)
    return ["def step(", *[f"    {line}" for line in lines], "):"]


def _function(source: str) -> Callable[..., tuple[Any, ...]]:
    """Give the function of a text, which always gives several results."""
    step = module_of(source, "chainrule_jax", "<step>", {}).step

    def several(*arguments: Any) -> tuple[Any, ...]:
        found = step(*arguments)
        return found if isinstance(found, tuple) else (found,)

    return several


def _arguments(given: Sequence[Tensor], ends: Sequence[Tensor]) -> list[Tensor]:
    """Give what the text of a graph takes: what is given, and leaves that hold arrays."""
    held = [x for x in ancestors(ends) if x.op is None and x.value is not None]
    numbers = [type(x) is Tensor and not x.requires_grad and x.shape == () for x in held]
    read = [*given, *(x for x, number in zip(held, numbers, strict=True) if not number)]
    return list({x.birth: x for x in read}.values())


# ---------------------------------------------------------------- steps


class Form(NamedTuple):
    """What steps do with the arguments and results of a function.

    The first arguments change; of the others, `given` says what a step takes: all (None), or of
    rows for many steps as many as the second number says, beginning at the first times the number
    of the step, or one of many numbers (0, 0). The first results come out, and those of `checks`
    have to be finite; the last ones are the new values of what changes.
    """

    changing: int
    given: tuple[tuple[int, int] | None, ...]
    outputs: int
    checks: tuple[int, ...]


@lru_cache(_KEPT)
def _steps(source: str, form: Form) -> Callable[..., Any]:
    """Give the function that runs steps; JAX compiles it for the shapes that it meets."""
    jax, step = import_jax(), _function(source)
    xp = jax.numpy

    def part(x: Any, how: tuple[int, int] | None, i: Any) -> Any:
        if how is None:
            return x
        begin, rows = how
        return jax.lax.dynamic_slice_in_dim(x, i * begin, rows) if rows else x[i]

    def once(i: Any, memory: Any, outputs: Any, given: Any) -> Any:
        taken = [part(x, how, i) for x, how in zip(given, form.given, strict=True)]
        results = step(*memory, *taken)
        fine = xp.all(xp.stack([xp.isfinite(results[k]) for k in form.checks]))
        news = results[len(results) - form.changing :]
        return (
            i + fine,  # a step that failed is not done, and has changed nothing
            fine,
            [xp.where(fine, y, x).astype(x.dtype) for x, y in zip(memory, news, strict=True)],
            [
                x.at[i].set(xp.asarray(y, x.dtype))
                for x, y in zip(outputs, results[: form.outputs], strict=True)
            ],
        )

    def run(start: Any, stop: Any, memory: Any, outputs: Any, given: Any) -> Any:
        return jax.lax.while_loop(
            lambda state: state[1] & (state[0] < stop),
            lambda state: once(state[0], state[2], state[3], given),
            (start, True, memory, outputs),
        )

    return jax.jit(run, donate_argnums=(2,))  # type: ignore[no-any-return]


class JaxProgram:
    """The graph of a step as a function for JAX; the arguments are those of `program.Program`.

    The outputs are numbers, of which each step gives one.
    """

    runs = "jax"
    """How it runs, in the words of `Training.runs`."""

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        updates: Mapping[Tensor, Tensor] | None = None,
        *,
        streams: Sequence[Tensor] = (),
        checks: Sequence[Tensor] = (),
        names: Mapping[int, str] | None = None,
        beside: Beside | None = None,
    ) -> None:
        also = beside or Beside((), {})
        names, updates = dict(names or {}), dict(updates or {}) | also.updates
        self.outputs, self.changing = [*outputs, *also.outputs], list(updates)
        self.results = list({x.birth: x for x in self.outputs}.values())
        results = list({x.birth: x for x in (*self.results, *checks)}.values())
        ends = [*results, *updates.values()]
        self.given = [x for x in _arguments(inputs, ends) if x not in updates]
        self.leaves = {x.birth: x for x in (*self.changing, *self.given)}
        self.streams = {x.birth for x in streams}
        self.checks = tuple(results.index(x) for x in checks)
        for old, new in updates.items():
            if old.birth in names:
                names.setdefault(new.birth, f"new_{names[old.birth]}")
        self.source, self.names = written([*self.leaves.values()], ends, names)

    def bind(
        self, sizes: Mapping[str, int], short: Mapping[str, int] | None = None, threads: int = 1
    ) -> "JaxBound":
        """Prepare for named dimensions of these sizes; `short` are those of a last step."""
        return JaxBound(self, dict(sizes), dict(short or sizes))


class JaxBound:
    """A program for JAX with its arrays, here and on the device.

    An array is read in the first run after it was set, and in every run if it has a number for
    each step. After a run, arrays that steps change hold what the device holds.
    """

    def __init__(self, program: JaxProgram, sizes: dict[str, int], short: dict[str, int]) -> None:
        self.program, self.sizes = program, (sizes, short)
        self.jax = import_jax()
        self.arrays: dict[int, Array] = {
            x.birth: np.asarray(x.value) for x in program.given if x.value is not None
        }
        self.moves: dict[int, int] = {}
        self._held: dict[int, Any] = {}

    def set(self, leaf: Tensor, array: Array) -> None:
        """Let a leaf or an output be this array."""
        self.arrays[leaf.birth] = array
        self._held.pop(leaf.birth, None)

    def move(self, leaf: Tensor, elements: int) -> None:
        """Say how many elements of an input or output of many steps one step takes."""
        self.moves[leaf.birth] = elements

    def output(self, end: Tensor) -> tuple[int, Any]:
        """Say which result an output is; none is known before."""
        return end.birth, None

    def plan(self) -> str:
        """Say where steps run, and what lies there."""
        device = self.jax.devices()[0]
        named = zip(self.program.names, self.program.leaves, strict=True)
        arrays = {name: self.arrays[birth] for name, birth in named if birth in self.arrays}
        lines = [
            f"{name}: {x.dtype}{list(x.shape)}, {x.nbytes:,} bytes" for name, x in arrays.items()
        ]
        head = f"run by JAX on {device.platform} ({device.device_kind}), where these lie:"
        total = sum(x.nbytes for x in arrays.values())
        return "\n".join([head, *lines, f"in all: {total:,} bytes"])

    def run(self, start: int = 0, stop: int = 1, short: int = -1, threads: int = 1) -> int:
        """Run steps; gives stop, or the step at which a check failed. JAX minds the threads."""
        turn = short if start <= short < stop else stop
        with _exactly(self.jax):
            end = self._run(start, turn, 0) if start < turn else start
            return self._run(turn, stop, 1) if end == turn < stop else end

    def _run(self, start: int, stop: int, which: int) -> int:
        program = self.program
        given = tuple(how for x in program.given for how in [self._way(x, which)])
        form = Form(len(program.changing), given, len(program.results), program.checks)
        inputs = [self._on_device(x) for x in program.given]
        outputs = [np.array(self.arrays[x.birth]) for x in program.results]
        memory = [self._taken(x) for x in program.changing]
        end, _, memory, outputs = _steps(program.source, form)(start, stop, memory, outputs, inputs)
        self._held |= {x.birth: new for x, new in zip(program.changing, memory, strict=True)}
        results = self.jax.device_get([*memory, *outputs])
        for x, new in zip([*program.changing, *program.results], results, strict=True):
            self.arrays[x.birth][...] = new
        return int(end)

    def _way(self, x: Tensor, which: int) -> tuple[int, int] | None:
        """Say what a step takes of an input, as `Form` does."""
        if x.birth not in self.program.streams:
            return None
        if not x.shape:
            return 0, 0
        rows, *width = resolve(x.shape, self.sizes[which])
        return self.moves[x.birth] // int(product(tuple(width))), int(rows)

    def _on_device(self, x: Tensor) -> Any:
        if x.birth in self.program.streams and not x.shape:
            return np.array(self.arrays[x.birth])
        if x.birth not in self._held:
            self._held[x.birth] = self.jax.device_put(self.arrays[x.birth])
        return self._held[x.birth]

    def _taken(self, x: Tensor) -> Any:
        """Give what changes away: JAX writes the new values over it."""
        held = self._held.pop(x.birth, None)
        return self.jax.device_put(np.array(self.arrays[x.birth])) if held is None else held


# ---------------------------------------------------------------- functions


@lru_cache(_KEPT)
def _compiled(source: str, dtypes: tuple[np.dtype[Any], ...]) -> Callable[..., Any]:
    """Give the function of a text, with results of these dtypes, compiled by JAX."""
    jax, step = import_jax(), _function(source)
    return jax.jit(  # type: ignore[no-any-return]
        lambda *arguments: [
            jax.numpy.asarray(y, dtype) for y, dtype in zip(step(*arguments), dtypes, strict=True)
        ]
    )


class JaxFunction:
    """A function that was traced, run by JAX: a call takes and gives arrays of NumPy.

    Parameters of a module that the function uses may change: a call takes their newest values.
    """

    def __init__(self, graph: Graph) -> None:
        self.jax = import_jax()
        self.graph = graph
        self.outputs = flatten(graph.output)
        self._ends = [*self.outputs, *graph.updates.values()]
        self._arguments = _arguments(graph.inputs, self._ends)
        names = {x.birth: "input" for x in graph.inputs}
        self.source = written(self._arguments, self._ends, names).source
        self._held: dict[int, tuple[int, Any]] = {}

    def __call__(self, *arrays: Any) -> Any:
        """Compute the outputs for arrays of the traced shapes."""
        given, _ = given_values(self.graph, arrays)
        with _exactly(self.jax):
            function = _compiled(self.source, tuple([x.dtype for x in self._ends]))
            taken = [given.get(x.birth, self._on_device(x)) for x in self._arguments]
            found = [np.array(y) for y in function(*taken)]
        for x, new in zip(self.graph.updates, found[len(self.outputs) :], strict=True):
            x.renew(new)
        return rebuild(self.graph.output, iter(found))

    def _on_device(self, x: Tensor) -> Any:
        """Give what a leaf holds, which is sent again if it was renewed."""
        known, held = self._held.get(x.birth, (-1, None))
        if x.value is not None and known != x.changed:
            held = self.jax.device_put(np.asarray(x.value))
            self._held[x.birth] = x.changed, held
        return held
