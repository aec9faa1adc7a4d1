"""Nested tuples, lists and dictionaries of tensors, taken apart and put together again.

>>> flatten({"a": 1, "b": [2, 3]})
[1, 2, 3]
>>> rebuild({"a": 1, "b": [2, 3]}, iter([10, 20, 30]))
{'a': 10, 'b': [20, 30]}
"""

from collections.abc import Callable, Iterator
from typing import Any


def flatten(tree: Any) -> list[Any]:
    """List the leaves of a tree, in order."""
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in flatten(value)]
    if isinstance(tree, tuple | list):
        return [leaf for value in tree for leaf in flatten(value)]
    return [] if tree is None else [tree]


def rebuild(tree: Any, leaves: Iterator[Any]) -> Any:
    """Give a tree of the same form with other leaves."""
    if isinstance(tree, dict):
        return {key: rebuild(value, leaves) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)([rebuild(value, leaves) for value in tree])
    return None if tree is None else next(leaves)


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function to every leaf."""
    return rebuild(tree, iter([function(leaf) for leaf in flatten(tree)]))
