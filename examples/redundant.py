"""Redundant examples: rows that repeat a hundred times, by small batches and by all rows at once.

    python examples/redundant.py

The gradient of all 20,000 rows is that of the 200 distinct ones: batch descent computes it a
hundred times over for each step. Small batches reach the same loss after a fraction of the rows.
Each way has the best of three rates. The loop is written out, as one does for a training of one's
own.
"""

import numpy as np

from chainrule import losses, nn, optim

TARGET = 0.005


def rows_until(batch: int, rate: float, limit: int, seed: int = 0) -> int:
    """Train until the loss of the distinct rows is at most TARGET; count the rows on the way."""
    rng = np.random.default_rng(seed)
    distinct = rng.normal(size=(200, 5))
    answers = np.tanh(distinct @ rng.normal(size=(5, 1)))
    X, y = np.tile(distinct, (100, 1)), np.tile(answers, (100, 1))
    model = nn.mlp([5, 16, 1], "tanh", seed=seed).astype(float)
    updater = optim.Updater(model.parameters(), optim.SGD(rate))
    seen = 0
    while seen < limit:
        for chosen in np.array_split(rng.permutation(len(X)), len(X) // batch):
            losses.mse(model(X[chosen]), y[chosen]).backward()
            updater.step()
            seen += batch
            looked_at = batch == len(X) or seen % 1000 == 0
            if looked_at and losses.mse(model.predict(distinct), answers) <= TARGET:
                return seen
    return limit


def main(limit: int = 10_000_000) -> dict[str, float]:
    figures = {}
    for name, batch in (("batches of 20", 20), ("all rows at once", 20_000)):
        found = {rate: rows_until(batch, rate, limit) for rate in (0.03, 0.1, 0.3)}
        best = min(found, key=found.get)
        figures[f"rows seen, {name}"] = found[best]
        print(f"{name:18s} rate {best:g}: a loss of {TARGET} after {found[best]:,} rows")
    few, many = figures.values()
    figures["ratio"] = many / few
    print(f"ratio: {many / few:.0f}")
    return figures


if __name__ == "__main__":
    main()
