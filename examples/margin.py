"""Linearly separable data: hinge loss and a small penalty find the widest margin.

    python examples/margin.py

The points are such that the widest margin is known: two rows of points at a distance of 2 m from
each other, along a line that is turned by a known angle, and others farther away. The mean of the
cross-entropy pulls the line elsewhere, since every point counts for it.
"""

import numpy as np

import chainrule as cr
from chainrule import nn, optim, penalties

MARGIN, ANGLE = 0.5, 0.6


def separable(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """20 points on the margin and 180 behind it; labels -1 and 1."""
    sign = np.repeat([-1.0, 1.0], 100)
    distance = MARGIN + np.where(np.arange(200) % 10 == 0, 0, rng.exponential(2, 200))
    distance[sign > 0] += np.where(distance[sign > 0] > MARGIN, 2, 0)
    along = rng.uniform(-2, 2, 200) + (distance - MARGIN)
    across = np.array([np.cos(ANGLE), np.sin(ANGLE)])
    line = np.array([-np.sin(ANGLE), np.cos(ANGLE)])
    return (sign * distance)[:, None] * across + along[:, None] * line, sign[:, None]


def main(epochs: int = 4000) -> dict[str, float]:
    X, sign = separable(np.random.default_rng(0))
    ways = {
        "hinge": ("hinge", sign),
        "cross-entropy": ("binary_cross_entropy_with_logits", (sign + 1) / 2),
    }
    figures = {"widest margin": MARGIN}
    for name, (loss, target) in ways.items():
        model = nn.Linear(2, 1, seed=0).astype(float)
        cr.train(model, loss, X, target, penalty=penalties.L2(1e-4), optimizer=optim.Adam(0.1),
                 schedule="cosine", batch_size=None, epochs=epochs, seed=0)  # fmt: skip
        distance = sign * model.predict(X) / np.linalg.norm(model.weight.value)
        figures[f"margin, {name}"] = float(distance.min())
    for name, value in figures.items():
        print(f"{name:22s} {value:.4f}")
    return figures


if __name__ == "__main__":
    main()
