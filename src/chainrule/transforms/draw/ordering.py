"""The order of boxes: each after what it takes, and those of a frame together.

>>> trails = {"x": ("x",), "w": ("net", "w"), "sum": ("net", "sum"), "out": ("out",)}
>>> rank = {"w": 0, "x": 1, "sum": 2, "out": 3}
>>> ordered(trails, [("x", "sum"), ("w", "sum"), ("sum", "out")], rank)
['x', 'w', 'sum', 'out']
"""

import heapq
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

Trail = tuple[Hashable, ...]


def ordered(
    trails: Mapping[Hashable, Trail],
    links: Iterable[tuple[Hashable, Hashable]],
    rank: Mapping[Hashable, Any],
) -> list[Hashable]:
    """Sort boxes; a trail has the frames around a box, from the outermost, and the box itself.

    Of those that may come next, the one of the lowest rank does. Where boxes take from one another
    in a circle, as in a scope that is entered again, rank alone decides.
    """
    children: dict[Trail, dict[Trail, Any]] = {(): {}}
    for key, trail in trails.items():
        for depth in range(len(trail)):
            inside = children.setdefault(trail[:depth], {})
            place = trail[: depth + 1]
            inside[place] = min(inside.get(place, rank[key]), rank[key])
    after: dict[Trail, dict[Trail, set[Trail]]] = {}
    for source, target in links:
        a, b = trails[source], trails[target]
        depth = 0
        while depth < min(len(a), len(b)) - 1 and a[depth] == b[depth]:
            depth += 1
        if a[depth] != b[depth]:
            at = after.setdefault(a[:depth], {})
            at.setdefault(a[: depth + 1], set()).add(b[: depth + 1])
    found: list[Hashable] = []
    stack: list[Trail] = [()]
    while stack:
        trail = stack.pop()
        if trail in children:
            stack += reversed(_sorted(children[trail], after.get(trail, {})))
        else:
            found.append(trail[-1])
    return found


def _sorted(ranks: dict[Trail, Any], after: dict[Trail, set[Trail]]) -> list[Trail]:
    """Sort the things of one frame by Kahn's method."""
    waits = dict.fromkeys(ranks, 0)
    for targets in after.values():
        for target in targets:
            waits[target] += 1
    numbered = {thing: n for n, thing in enumerate(ranks)}
    ready = [(ranks[x], numbered[x], x) for x in ranks if not waits[x]]
    heapq.heapify(ready)
    left = sorted(ranks, key=lambda x: ranks[x], reverse=True)
    done: dict[Trail, None] = {}
    while len(done) < len(ranks):
        if ready:
            thing = heapq.heappop(ready)[2]
        else:
            while left[-1] in done:
                left.pop()
            thing = left[-1]
        done[thing] = None
        for target in sorted(after.get(thing, ()), key=lambda x: numbered[x]):
            waits[target] -= 1
            if not waits[target] and target not in done:
                heapq.heappush(ready, (ranks[target], numbered[target], target))
    return list(done)
