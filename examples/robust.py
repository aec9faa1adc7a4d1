"""Outliers: a line through points of which a fifth are far off, by the adaptive robust loss.

    python examples/robust.py

The loss of Barron (2019) has a shape alpha: 2 is the squared error, 1 a smooth absolute error, and
below 0 an error counts no more once it is large enough.
"""

import numpy as np

import chainrule as cr
from chainrule import losses, nn, optim

SLOPE, START = 2.0, 1.0


def points(rng: np.random.Generator, rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Draw a line with noise; a fifth of the points, mostly to the right, lie far below."""
    x = np.sort(rng.uniform(-1, 1, rows))
    y = START + SLOPE * x + rng.normal(0, 0.1, rows)
    off = rng.choice(rows, rows // 5, replace=False, p=(x + 1.2) / (x + 1.2).sum())
    y[off] -= rng.uniform(4, 8, len(off))
    return x.reshape(-1, 1), y.reshape(-1, 1)


def main(epochs: int = 400, seeds: int = 5) -> dict[str, float]:
    adaptive = losses.adaptive.having(alpha=-1.0, scale=0.3)
    ways = {"MSE": losses.mse, "MAE": losses.mae, "adaptive": adaptive}
    errors: dict[str, list[float]] = {name: [] for name in ways}
    for seed in range(seeds):
        x, y = points(np.random.default_rng(seed))
        for name, loss in ways.items():
            line = nn.Linear(1, 1, seed=seed).astype(float)
            cr.train(line, loss, x, y, optimizer=optim.Adam(0.05), schedule="cosine",
                     batch_size=None, epochs=epochs, seed=seed)  # fmt: skip
            errors[name].append(abs(line.weight.value.item() - SLOPE))
    figures = {f"error of the slope, {name}": float(np.mean(e)) for name, e in errors.items()}
    for name, value in figures.items():
        print(f"{name:32s} {value:.4f}")
    return figures


if __name__ == "__main__":
    main()
