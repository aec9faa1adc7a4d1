"""What a thread is doing: recording or not, inside which trace, and in which scope.

>>> with scope("layer"), scope("activation"):
...     print(current_scope().path())
layer/activation
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Scope:
    """A named group of nodes, such as a layer or an activation, inside another or none.

    A group of nodes of a gradient goes back `through` one of the nodes that it is the gradient of.
    """

    __slots__ = ("name", "owner", "parent", "through")

    def __init__(self, name: str, parent: "Scope | None", owner: object = None) -> None:
        self.name = " ".join(name.split())  # one line, since it is a comment in generated code
        self.parent = parent
        self.owner = owner
        self.through: Scope | None = None

    def path(self) -> str:
        """Names from the outermost scope to this one, such as `Sequential/Linear`."""
        names = []
        scope: Scope | None = self
        while scope is not None:
            names.append(scope.name)
            scope = scope.parent
        return "/".join(reversed(names))


class State(threading.local):
    """What the current thread is doing: recording or not, inside which trace and scope."""

    recording = True
    tracing: dict[Any, Any] | None = None
    scope: "Scope | None" = None


state = State()


class no_grad:  # noqa: N801 (PyTorch's name)
    """Compute without recording, inside a `with` block.

    >>> from chainrule import tensor
    >>> w = tensor(3.0, requires_grad=True)
    >>> with no_grad():
    ...     (w * 2).requires_grad
    False
    """

    def __enter__(self) -> None:
        self._before = state.recording
        state.recording = False

    def __exit__(self, *exception: object) -> None:
        state.recording = self._before


class scope:  # noqa: N801 (a context manager, as no_grad)
    """Name the nodes that are made inside a `with` block."""

    def __init__(self, name: str, owner: object = None) -> None:
        self._name = name
        self._owner = owner

    def __enter__(self) -> None:
        self._before = state.scope
        state.scope = Scope(self._name, self._before, self._owner)

    def __exit__(self, *exception: object) -> None:
        state.scope = self._before


@contextmanager
def resumed(known: Scope | None) -> Iterator[None]:
    """Go on in a scope that exists, inside a `with` block."""
    before = state.scope
    state.scope = known
    try:
        yield
    finally:
        state.scope = before


def current_scope() -> Scope | None:
    """Give the scope that nodes are made in now."""
    return state.scope


@contextmanager
def tracing() -> Iterator[dict[Any, Any]]:
    """Record every op of the block, and collect what `assign` would change."""
    before = state.tracing
    updates: dict[Any, Any] = {}
    state.tracing = updates
    try:
        yield updates
    finally:
        state.tracing = before
