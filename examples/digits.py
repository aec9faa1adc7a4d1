"""Images: the 1,797 handwritten digits of scikit-learn, 8 x 8 pixels, by a small convolutional net.

    python examples/digits.py

The figure is the accuracy on a fifth of the rows that were held out, with a linear model beside it.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from chainrule import NetClassifier, nn


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.Activation("relu"),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.Activation("relu"),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.Activation("relu"),
        nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 2 * 2, 10),
    )  # fmt: skip


def digits() -> list[np.ndarray]:
    """Training images, test images (rows, 1, 8, 8), and their classes."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)


def main(epochs: int = 30) -> dict[str, float]:
    X, X_test, y, y_test = digits()
    settings = {"schedule": "cosine", "batch_size": 64, "random_state": 0}
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    ways = {"linear model": (linear, 0.03), "convolutional net": (network(), 0.003)}
    figures = {}
    for name, (module, lr) in ways.items():
        net = NetClassifier(module, lr=lr, epochs=epochs, **settings).fit(X, y)
        figures[f"accuracy of the {name}"] = net.score(X_test, y_test)
        print(f"{name:18s} {module.count_parameters():6d} weights, "
              f"accuracy {net.score(X_test, y_test):.4f}")  # fmt: skip
    for i in np.flatnonzero(net.predict(X_test) != y_test)[:3]:
        shares = net.predict_proba(X_test[i : i + 1])[0]
        print(f"a {y_test[i]} taken for a {shares.argmax()}, with probability {shares.max():.2f}")
    return figures


if __name__ == "__main__":
    main()
