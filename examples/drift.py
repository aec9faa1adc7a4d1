"""A stream that changes: the target walks on, and RMSprop follows where Adagrad stops.

    python examples/drift.py

One row at a time, and each is learned once. The steps of Adagrad shrink with all the gradients that
it ever saw, those of RMSprop with the latest ones. The rate of each is the best of seven for the
first thousand rows, as one would choose it for a stream. The figures are the mean distances to the
weights of the moment: while the rate was chosen, and in the last thousand rows.
"""

import numpy as np

import chainrule as cr
from chainrule import losses, optim

RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
FIRST = 1000


def distances(optimizer: optim.Optimizer, steps: int, seed: int = 0) -> np.ndarray:
    """Follow a target that walks at random; give the distance to it after each row."""
    rng = np.random.default_rng(seed)
    target = rng.normal(size=5)
    w = cr.tensor(np.zeros(5), requires_grad=True)
    updater = optim.Updater([w], optimizer)
    away = []
    for _ in range(steps):
        target = target + 0.03 * rng.normal(size=5)
        x = rng.normal(size=5)
        losses.mse((w * x).sum(), x @ target + 0.1 * rng.normal()).backward()
        updater.step()
        away.append(np.linalg.norm(w.value - target))
        if away[-1] > 100:  # the rate is too high: it diverges
            return np.array([np.inf])
    return np.array(away)


def main(steps: int = 10_000) -> dict[str, float]:
    figures = {}
    kinds = {"SGD": optim.SGD, "Adagrad": optim.Adagrad, "RMSprop": optim.RMSprop}
    for name, kind in kinds.items():
        tries = {rate: distances(kind(rate), FIRST).mean() for rate in RATES}
        best = min(tries, key=tries.get)
        late = distances(kind(best), steps)[-1000:].mean()
        figures |= {f"distance at first, {name}": tries[best], f"distance at last, {name}": late}
        print(f"{name:8s} rate {best:<5g} distance {tries[best]:.3f} at first, {late:.3f} at last")
    return {name: float(value) for name, value in figures.items()}


if __name__ == "__main__":
    main()
