"""Several classes: three spirals, by one logit per class and the softmax's cross-entropy.

python examples/multiclass.py
"""

import numpy as np

import chainrule as cr
from chainrule import functional, metrics, nn, optim


def spirals(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Three arms of one turn each, which no straight lines divide."""
    arm = rng.integers(0, 3, rows)
    radius = rng.uniform(0.1, 1, rows)
    angle = 2 * np.pi * (radius + arm / 3) + rng.normal(0, 0.15, rows)
    X = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return X.astype(np.float32), arm


def main(epochs: int = 100) -> dict[str, float]:
    rng = np.random.default_rng(0)
    X, y = spirals(1500, rng)
    X_test, y_test = spirals(1500, rng)
    figures = {}
    for name, sizes in (("softmax regression", [2, 3]), ("net", [2, 64, 64, 3])):
        model = nn.mlp(sizes, "relu", seed=0)
        cr.train(model, "cross_entropy", X, y, optimizer=optim.Adam(0.01), schedule="cosine",
                 epochs=epochs, seed=0)  # fmt: skip
        found = model.predict(X_test).argmax(axis=1)
        figures[f"accuracy of the {name}"] = metrics.accuracy_score(y_test, found)
    for name, value in figures.items():
        print(f"{name:35s} {value:.4f}")
    print("true class by row, predicted class by column:")
    print(metrics.confusion_matrix(y_test, found))
    shares = functional.softmax(model.predict(X_test[:1]))[0]
    print("probabilities of the first row:", ", ".join(f"{p:.3f}" for p in shares))
    return figures


if __name__ == "__main__":
    main()
