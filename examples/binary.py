"""Two classes: interleaved half moons, by one logit and the sigmoid's cross-entropy.

    python examples/binary.py

The loss takes the logit, not the probability, which keeps it exact where the net is sure.
"""

import numpy as np
from sklearn.datasets import make_moons

import chainrule as cr
from chainrule import metrics, nn, ops, optim


def moons(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = make_moons(rows, noise=0.15, random_state=seed)
    return X.astype(np.float32), y.astype(np.float32).reshape(-1, 1)


def main(epochs: int = 60) -> dict[str, float]:
    (X, y), (X_test, y_test) = moons(1000, 0), moons(1000, 1)
    model = nn.mlp([2, 32, 32, 1], "relu", seed=0)
    cr.train(model, "binary_cross_entropy_with_logits", X, y, optimizer=optim.Adam(0.01),
             epochs=epochs, seed=0)  # fmt: skip
    probability = ops.sigmoid(model.predict(X_test))
    figures = {
        "accuracy": metrics.accuracy_score(y_test[:, 0], probability[:, 0] > 0.5),
        "area under the ROC curve": metrics.roc_auc_score(y_test[:, 0], probability[:, 0]),
    }
    for name, value in figures.items():
        print(f"{name:25s} {value:.4f}")
    for point in ((0.5, -0.3), (0.5, 0.8), (-0.9, 0.3)):
        logit = model.predict(np.array([point], np.float32)).item()
        print(f"P(class 1 | x = {point}) = {ops.sigmoid(logit):.3f}")
    return figures


if __name__ == "__main__":
    main()
