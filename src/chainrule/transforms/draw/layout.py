"""Layered layout of one level: boxes in ranks, few crossings, lines that no box is in the way of.

>>> plan = layered([Size(40, 20), Size(60, 20)], [Link(0, 1)])
>>> plan.corners
[(10.0, 0.0), (0.0, 54.0)]
>>> plan.routes
[[(30.0, 20.0), (30.0, 54.0)]]

After Sugiyama, Tagawa and Toda (1981). A rank holds boxes that do not depend on one another; a line
over several ranks passes each through a place of its own, or, where there would be too many of
those, through a lane beside all boxes. Lines bend between ranks only.
"""

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

GAP = 34.0  # between ranks
APART = 18.0  # between boxes of a rank
LANE = 9.0  # from lane to lane
PLACES = 8  # that long lines may take, per box; the rest of them go through lanes
LARGE = (400, 1500)  # boxes and places from which on there is less of the following
SWEEPS = (24, 24, 12)  # against crossings, at most
MOVES = (24, 12, 8)  # of all ranks, towards their neighbours

Point = tuple[float, float]
Chain = tuple[int, ...] | int  # the places that a line takes, or the number of its lane


class Size(NamedTuple):
    """Width and height of a box; `end` is -1 for one of the first rank, 1 for one of the last."""

    width: float
    height: float
    end: int = 0


class Link(NamedTuple):
    """A line from box to box; it leaves and enters at these distances from their middles, if given.

    A `light` line pulls its boxes together less than others do.
    """

    source: int
    target: int
    leaves: float | None = None
    enters: float | None = None
    light: bool = False


@dataclass
class Plan:
    """Where things are: upper left corners of boxes, points of lines, and the size of it all."""

    corners: list[Point]
    routes: list[list[Point]]
    width: float
    height: float
    ranks: int = 0
    places: int = 0
    """Places that long lines took."""
    lanes: int = 0


@dataclass
class _Grid:
    """Boxes, and places of long lines, in ranks."""

    widths: list[float] = field(default_factory=list)
    rank: list[int] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)
    above: list[list[tuple[int, float, float]]] = field(default_factory=list)
    below: list[list[tuple[int, float, float]]] = field(default_factory=list)
    x: list[float] = field(default_factory=list)

    def join(self, upper: int, lower: int, shift: float, weight: float) -> None:
        """Connect things of neighbouring ranks; `shift` is how far right the lower is to be."""
        self.below[upper].append((lower, -shift, weight))
        self.above[lower].append((upper, shift, weight))

    def add(self, width: float, rank: int) -> int:
        """Put one more thing into a rank."""
        self.widths.append(width)
        self.rank.append(rank)
        self.above.append([])
        self.below.append([])
        return len(self.widths) - 1


def layered(sizes: Sequence[Size], links: Sequence[Link]) -> Plan:
    """Place boxes and lines. Links go from lower to higher numbers, or are drawn upwards.

    None goes from a box to itself.
    """
    if not sizes:
        return Plan([], [], 0.0, 0.0)
    rank = ranks(sizes, links)
    grid = _Grid()
    for size, r in zip(sizes, rank, strict=True):
        grid.add(size.width, r)
    chains, lanes = _chains(grid, links)
    grid.rows = _first_order(grid)
    _order(grid)
    _move(grid)
    return _plan(grid, sizes, links, chains, lanes)


# ---------------------------------------------------------------- ranks


def ranks(sizes: Sequence[Size], links: Sequence[Link]) -> list[int]:
    """Give each box the length of the longest way to it, then move it down to what needs it.

    >>> ranks([Size(1, 1)] * 4, [Link(0, 1), Link(1, 3), Link(2, 3)])
    [0, 1, 1, 2]
    """
    into: list[list[int]] = [[] for _ in sizes]
    out: list[list[int]] = [[] for _ in sizes]
    for link in links:
        upper, lower = sorted((link.source, link.target))
        into[lower].append(upper)
        out[upper].append(lower)
    first = 1 if any(size.end < 0 for size in sizes) else 0
    rank = [0] * len(sizes)
    for i, size in enumerate(sizes):
        rank[i] = 0 if size.end < 0 else max((rank[j] + 1 for j in into[i]), default=first)
    last = max(rank) + 1
    for i in reversed(range(len(sizes))):
        if sizes[i].end > 0:
            rank[i] = last
        elif len(out[i]) > len(into[i]) and sizes[i].end == 0:
            rank[i] = min(rank[j] for j in out[i]) - 1
    used = {r: k for k, r in enumerate(sorted(set(rank)))}
    return [used[r] for r in rank]


def _chains(grid: _Grid, links: Sequence[Link]) -> tuple[list[Chain], int]:
    """Give each line a place in every rank that it passes, or a lane; the shortest lines first."""
    rank = grid.rank
    spans = [abs(rank[link.target] - rank[link.source]) for link in links]
    chains: list[Chain] = [()] * len(links)
    budget = max(200, PLACES * len(rank))
    long: list[int] = []
    for k in sorted(range(len(links)), key=lambda k: spans[k]):
        source, target, leaves, enters, light = links[k]
        if rank[source] > rank[target]:
            source, target, leaves, enters = target, source, enters, leaves
        budget -= max(spans[k] - 1, 0)
        if budget < 0 and spans[k] > 1:
            long.append(k)
            continue
        chain = tuple(grid.add(0.0, r) for r in range(rank[source] + 1, rank[target]))
        chains[k] = chain
        way = (source, *chain, target)
        for i in range(len(way) - 1):
            shift = (leaves or 0.0) * (i == 0) - (enters or 0.0) * (i == len(way) - 2)
            weight = 0.01 if light else 0.5 if chain else 4.0
            if 0 < i < len(chain):
                weight = 8.0
            grid.join(way[i], way[i + 1], shift, weight)
    return chains, _assign_lanes(chains, long, links, rank)


def _assign_lanes(
    chains: list[Chain], long: list[int], links: Sequence[Link], rank: list[int]
) -> int:
    """Let lines share a lane if one ends above the start of the next."""
    free: list[int] = []  # the rank down to which each lane is taken
    ends = [sorted((rank[links[k].source], rank[links[k].target])) for k in range(len(links))]
    for k in sorted(long, key=lambda k: (ends[k][0], ends[k][1], k)):
        start, stop = ends[k]
        lane = next((i for i, taken in enumerate(free) if taken < start), len(free))
        free[lane:] = [stop, *free[lane + 1 :]]
        chains[k] = lane
    return len(free)


# ---------------------------------------------------------------- order within ranks


def _first_order(grid: _Grid) -> list[list[int]]:
    """Put things into their ranks as a walk from the last box back to the first meets them."""
    rows: list[list[int]] = [[] for _ in range(max(grid.rank) + 1)]
    seen = [False] * len(grid.rank)
    for start in sorted(range(len(grid.rank)), key=lambda i: (-grid.rank[i], i)):
        stack = [start]
        while stack:
            i = stack.pop()
            if seen[i]:
                continue
            seen[i] = True
            rows[grid.rank[i]].append(i)
            stack.extend(j for j, _, _ in reversed(grid.above[i]) if not seen[j])
    return rows


def _order(grid: _Grid) -> None:
    """Order each rank by the means of neighbours, down and up, and keep the best order seen."""
    best, fewest = [row[:] for row in grid.rows], crossings(grid.rows, grid.below)
    stale = 0
    for sweep in range(SWEEPS[bisect_right(LARGE, len(grid.widths))]):
        if fewest == 0 or stale == 3:
            break
        down = sweep % 2 == 0
        _sweep(grid.rows, grid.above if down else grid.below, down)
        found = crossings(grid.rows, grid.below)
        stale += 1
        if found < fewest:
            best, fewest, stale = [row[:] for row in grid.rows], found, 0
    grid.rows = best


def _sweep(
    rows: list[list[int]], neighbours: list[list[tuple[int, float, float]]], down: bool
) -> None:
    place: dict[int, float] = {}
    for row in rows if down else reversed(rows):
        mean = {}
        for k, i in enumerate(row):
            near = [place[j] for j, _, _ in neighbours[i]]
            mean[i] = sum(near) / len(near) if near else float(k)
        row.sort(key=lambda i: mean[i])
        place.update((i, float(k)) for k, i in enumerate(row))


def crossings(rows: list[list[int]], below: list[list[tuple[int, float, float]]]) -> int:
    """Count the pairs of lines between neighbouring ranks that cross.

    >>> crossings([[0, 1], [2, 3]], [[(3, 0.0, 1.0)], [(2, 0.0, 1.0)], [], []])
    1
    """
    total = 0
    for upper, lower in itertools.pairwise(rows):
        place = {i: k for k, i in enumerate(lower)}
        seen: list[int] = []
        for i in upper:
            ends = sorted(place[j] for j, _, _ in below[i])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                seen.insert(bisect_right(seen, end), end)
    return total


# ---------------------------------------------------------------- coordinates


def _move(grid: _Grid) -> None:
    """Move things of a rank towards their neighbours, as far as they do not touch."""
    rows = [(row, _offsets(grid, row)) for row in grid.rows]
    grid.x = [0.0] * len(grid.widths)
    for row, offsets in rows:
        for i, offset in zip(row, offsets, strict=True):
            grid.x[i] = offset - offsets[-1] / 2
    both = [above + below for above, below in zip(grid.above, grid.below, strict=True)]
    turns = MOVES[bisect_right(LARGE, len(grid.widths))]
    for turn in range(turns):
        down = turn % 2 == 0
        near = both if turn >= turns - 2 else grid.above if down else grid.below
        for row, offsets in rows if down else reversed(rows):
            _settle(grid.x, row, offsets, near)


def _settle(
    x: list[float],
    row: list[int],
    offsets: list[float],
    neighbours: list[list[tuple[int, float, float]]],
) -> None:
    wanted, weights = [], []
    for i, offset in zip(row, offsets, strict=True):
        weight, place = 0.001, 0.001 * x[i]
        for j, shift, w in neighbours[i]:
            weight += w
            place += w * (x[j] + shift)
        wanted.append(place / weight - offset)
        weights.append(weight)
    for i, offset, y in zip(row, offsets, rising(wanted, weights), strict=True):
        x[i] = y + offset


def _offsets(grid: _Grid, row: list[int]) -> list[float]:
    """Give the least distances of the things of a row from the first."""
    found, at = [], 0.0
    for k, i in enumerate(row):
        if k:
            before = row[k - 1]
            at += (grid.widths[before] + grid.widths[i]) / 2
            at += APART if grid.widths[before] and grid.widths[i] else APART * 0.7
        found.append(at)
    return found


def rising(wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Give the numbers nearest to those wanted, by weighted squares, of which none falls.

    They are means of neighbouring wishes that contradict one another (pool adjacent violators).

    >>> rising([1.0, 5.0, 3.0, 9.0], [1.0, 1.0, 1.0, 1.0])
    [1.0, 4.0, 4.0, 9.0]
    """
    pools: list[tuple[float, float, int]] = []  # weighted sum, weight, members
    for wish, weight in zip(wanted, weights, strict=True):
        total, mass, members = wish * weight, weight, 1
        while pools and pools[-1][0] * mass > total * pools[-1][1]:
            before = pools.pop()
            total, mass, members = total + before[0], mass + before[1], members + before[2]
        pools.append((total, mass, members))
    return [total / mass for total, mass, members in pools for _ in range(members)]


# ---------------------------------------------------------------- the plan


def _plan(
    grid: _Grid,
    sizes: Sequence[Size],
    links: Sequence[Link],
    chains: list[Chain],
    lanes: int,
) -> Plan:
    left = min(x - width / 2 for x, width in zip(grid.x, grid.widths, strict=True))
    grid.x = [x - left for x in grid.x]
    right = max(x + width / 2 for x, width in zip(grid.x, grid.widths, strict=True))
    tops, bottoms, y = [], [], 0.0
    for row in grid.rows:
        height = max((sizes[i].height for i in row if i < len(sizes)), default=0.0)
        tops.append(y)
        bottoms.append(y + height)
        y += height + GAP
    corners = [
        (
            grid.x[i] - size.width / 2,
            (tops[grid.rank[i]] + bottoms[grid.rank[i]] - size.height) / 2,
        )
        for i, size in enumerate(sizes)
    ]
    routes = _routes(grid, sizes, links, chains, right, (tops, bottoms))
    width = right + (lanes + 1) * LANE * bool(lanes)
    places = len(grid.widths) - len(sizes)
    return Plan(corners, routes, width, bottoms[-1], len(grid.rows), places, lanes)


def _routes(
    grid: _Grid,
    sizes: Sequence[Size],
    links: Sequence[Link],
    chains: list[Chain],
    right: float,
    edges: tuple[list[float], list[float]],
) -> list[list[Point]]:
    """Give the points of every line; between two of them it falls straight, or bends in a gap."""
    tops, bottoms = edges
    enters = _spread(grid, sizes, links, chains)
    routes = []
    for k, (link, chain) in enumerate(zip(links, chains, strict=True)):
        upward = grid.rank[link.source] > grid.rank[link.target]
        upper, lower = (link.target, link.source) if upward else (link.source, link.target)
        start = grid.x[upper] + ((link.enters if upward else link.leaves) or 0.0)
        stop = grid.x[lower] + ((link.leaves or 0.0) if upward else enters[k])
        first, last = grid.rank[upper], grid.rank[lower]
        half = (bottoms[first] - tops[first] - sizes[upper].height) / 2
        points = [(start, bottoms[first] - half), (start, bottoms[first])]
        if isinstance(chain, int):
            x = right + (chain + 1) * LANE
            points += [(x, tops[first + 1]), (x, bottoms[last - 1])]
        else:
            for i in chain:
                r = grid.rank[i]
                points += [(grid.x[i], tops[r]), (grid.x[i], bottoms[r])]
        half = (bottoms[last] - tops[last] - sizes[lower].height) / 2
        points += [(stop, tops[last]), (stop, tops[last] + half)]
        points = [p for n, p in enumerate(points) if n == 0 or p != points[n - 1]]
        routes.append(points[::-1] if upward else points)
    return routes


def _spread(
    grid: _Grid,
    sizes: Sequence[Size],
    links: Sequence[Link],
    chains: list[Chain],
) -> list[float]:
    """Let lines enter a box side by side, in the order in which they come.

    Those that are not light are around the middle, so that a chain of boxes is straight.
    """
    found = [0.0] * len(links)
    arriving: dict[int, list[tuple[float, int]]] = {}
    for k, (link, chain) in enumerate(zip(links, chains, strict=True)):
        if link.enters is not None:
            found[k] = link.enters
        elif isinstance(chain, int):
            arriving.setdefault(link.target, []).append((float("inf"), k))
        else:
            before = chain[-1] if chain else link.source
            shift = (link.leaves or 0.0) if before == link.source else 0.0
            arriving.setdefault(link.target, []).append((grid.x[before] + shift, k))
    for target, lines in arriving.items():
        room = max(sizes[target].width - 12, 0.0) / 2
        step = min(16.0, 2 * room / len(lines))
        lines.sort()
        heavy = [n for n, (_, k) in enumerate(lines) if not links[k].light] or range(len(lines))
        low, high = (len(lines) - 1) * step - room, room
        first = min(max(sum(heavy) / len(heavy) * step, low), high)
        for n, (_, k) in enumerate(lines):
            found[k] = n * step - first
    return found
