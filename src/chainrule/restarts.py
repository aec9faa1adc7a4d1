"""Two ways out of a bad minimum: several starts, and simulated annealing.

>>> def well(x):  # two minima, of which that at -1.3 is lower
...     return x**4 - 3 * x**2 + x
>>> def descend(seed):
...     x = np.random.default_rng(seed).uniform(-2, 2)
...     for _ in range(500):
...         x -= 0.01 * (4 * x**3 - 6 * x + 1)
...     return well(x), x
>>> round(best_of(descend, 5, seed=0).result, 4)
-1.3008
>>> round(float(anneal(lambda x: well(x[0]), [2.0], scale=1.0, seed=0).x[0]), 1)
-1.3
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import ConfigError, DivergedError
from chainrule.graph import Array
from chainrule.nn.checks import check_size
from chainrule.nn.init import generator


class BestOf(NamedTuple):
    """What `best_of` found: the best result, its value, and the values and seeds of all runs."""

    result: Any
    value: float
    values: list[float]
    seeds: list[int]


def best_of(
    run: Callable[[int], tuple[float, Any]], restarts: int = 10, *, seed: Any = None
) -> BestOf:
    """Start several times and keep the run whose value is least.

    `run(seed)` builds, trains, and gives (value, result), such as the least validation loss and
    the model. Each run gets a seed of its own, drawn from `seed`. A run that diverges, or whose
    value is NaN, counts as infinite; a `DivergedError` is raised only if all of them are.

    If a start ends in the best minimum with probability p, all of them miss it with (1 - p)^k.

    >>> best_of(lambda seed: (seed % 10, f"the run of {seed}"), 4, seed=0)[1:3]
    (2.0, [5.0, 7.0, 2.0, 6.0])
    """
    check_size("restarts", restarts)
    seeds = [int(n) for n in np.random.default_rng(seed).integers(2**31, size=restarts)]
    values: list[float] = []
    best: Any = None
    failure: DivergedError | None = None
    for own in seeds:
        try:
            given = run(own)
        except DivergedError as error:
            failure = error
            values.append(np.inf)
            continue
        if not isinstance(given, tuple) or len(given) != 2:
            raise ConfigError(f"best_of: run(seed) gave {given!r}; expected (value, result)")
        value = float(given[0])
        values.append(np.inf if np.isnan(value) else value)
        if values[-1] < np.inf and values[-1] == min(values) and values.count(values[-1]) == 1:
            best = given[1]
    if min(values) == np.inf:
        raise DivergedError(f"none of {restarts} runs has a finite value") from failure
    return BestOf(best, min(values), values, seeds)


class Annealed(NamedTuple):
    """What `anneal` found: the best vector, its value, and the path.

    `values` has the value after each step, `accepted` the share of moves that were made.
    """

    x: Array
    value: float
    values: list[float]
    accepted: float


def anneal(
    function: Callable[[Array], Any],
    start: Any,
    *,
    steps: int = 5000,
    temperature: float = 1.0,
    final_temperature: float | None = None,
    scale: float = 0.1,
    seed: Any = None,
) -> Annealed:
    """Minimize by simulated annealing: random moves, some of them uphill while it is hot.

    A move adds normal numbers of standard deviation `scale` sqrt(T / temperature) to the vector. It
    is made if the function falls by it, and else with probability exp(-rise / T) (Metropolis et
    al., 1953; Kirkpatrick, Gelatt and Vecchi, 1983). T goes from `temperature` to
    `final_temperature`, by default a thousandth of it, by a constant factor; with temperature 0 no
    move goes uphill. The function needs no gradient; a value that is not finite is never accepted.

    For the weights of a model, `nn.parameters_to_vector` gives the vector, and
    `nn.vector_to_parameters` puts it back.

    >>> found = anneal(lambda x: ((x - 3) ** 2).sum(), [0.0, 0.0], seed=0)
    >>> found.x.round(1), len(found.values)
    (array([3., 3.]), 5000)
    """
    check_size("steps", steps)
    last = temperature / 1000 if final_temperature is None else final_temperature
    for name, value, low in (
        ("temperature", temperature, 0), ("scale", scale, np.nextafter(0, 1)),
        ("final_temperature", last, 0 if temperature == 0 else np.nextafter(0, 1)),
    ):  # fmt: skip
        if not (isinstance(value, int | float | np.number) and low <= value < np.inf):
            least = "of at least 0" if low == 0 else "above 0"
            raise ConfigError(f"{name}={value!r}: expected a number {least}")
    rng = generator(seed)
    x = np.array(start, float)
    value = best_value = _finite(function(x))
    best, values, made = x, [], 0
    factor = (last / temperature) ** (1 / max(steps - 1, 1)) if temperature else 1.0
    for step in range(steps):
        cooled = factor**step
        moved = x + rng.normal(0, scale * np.sqrt(cooled), x.shape)
        new = _finite(function(moved))
        rise, u = new - value, rng.random()
        if new < np.inf and (
            rise <= 0 or (temperature and u < np.exp(-rise / (temperature * cooled)))
        ):
            x, value, made = moved, new, made + 1
        if value < best_value:
            best, best_value = x, value
        values.append(value)
    return Annealed(best, best_value, values, made / steps)


def _finite(value: Any) -> float:
    number = float(value)
    return number if np.isfinite(number) else np.inf
