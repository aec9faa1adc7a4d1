"""MNIST-1D: digits drawn as 40 numbers, by a net of dense layers, a convolutional one and a GRU.

    python examples/mnist_1d.py

Made by the recipe of Greydanus ("Scaling down deep learning", 2020): ten templates of 12 points
are padded, stretched, scaled, shifted around, sheared, and sampled at 40 places with noise. 4,000
rows are learned, 1,000 held out. The templates here are drawn anew, so these figures stand beside
the published ones (68, 94 and 91 %), and do not repeat them. With the package of the paper
(`pip install mnist1d`), `python examples/mnist_1d.py --published` takes the rows that it makes.
"""

import sys

import numpy as np
from scipy.ndimage import gaussian_filter1d

from chainrule import NetClassifier, nn

TEMPLATES = np.array([
    [0, 2, 3, 4, 4, 4, 4, 4, 4, 3, 2, 0],  # how far right the pen is, from the top downwards
    [0, -4, -3, -2, -1, 0, 0, 1, 1, 1, 0, 0],
    [0, 2, 3, 3, 2, 0, -1, -2, -3, -3, -2, 0],
    [0, 2, 3, 3, 1, 0, 0, 1, 3, 3, 2, 0],
    [0, -1, -2, -3, -4, -4, 0, 0, 0, 0, 0, 0],
    [0, -4, -4, -4, -4, 0, 2, 3, 3, 2, -1, 0],
    [0, -2, -3, -4, -4, -4, -4, -4, -3, -3, -2, 0],
    [0, 4, 4, 3, 2, 2, 1, 0, 0, -1, -1, 0],
    [0, -2, -3, -3, -2, 0, 0, -2, -3, -3, -2, 0],
    [0, -2, -3, -3, -2, 0, 0, 0, 0, -1, -1, 0],
]) / 4.0  # fmt: skip


def drawn(digit: int, rng: np.random.Generator) -> np.ndarray:
    """One digit as 40 numbers."""
    padded = np.concatenate([TEMPLATES[digit], np.zeros(rng.integers(36, 60))])
    y = np.interp(np.linspace(0, len(padded) - 1, 72), np.arange(len(padded)), padded)
    y = np.roll(y * (1 + 0.4 * rng.normal()), rng.integers(48))
    y = y + gaussian_filter1d(0.25 * rng.normal(size=72), 2, mode="wrap")
    y = y - 0.75 * rng.uniform(-0.5, 0.5) * np.linspace(-0.5, 0.5, 72)
    y = np.interp(np.linspace(0, 71, 40), np.arange(72), y)
    return y + 0.02 * rng.normal(size=40)


def rows(published: bool) -> tuple[np.ndarray, ...]:
    """Training rows and classes, test rows and classes."""
    if published:
        from mnist1d.data import get_dataset_args, make_dataset

        data = make_dataset(get_dataset_args())
        X, y, X_test, y_test = (data[name] for name in ("x", "y", "x_test", "y_test"))
    else:
        rng = np.random.default_rng(0)
        y = rng.permutation(np.arange(5000) % 10)
        X = np.stack([drawn(digit, rng) for digit in y])
        X, X_test, y, y_test = X[:4000], X[4000:], y[:4000], y[4000:]
    mean, std = X.mean(), X.std()
    return (*(((x - mean) / std).astype(np.float32)[:, None] for x in (X, X_test)), y, y_test)


class Turned(nn.Module):
    """The axes of channels and places exchanged, as recurrent layers want them."""

    def forward(self, x):
        return x.transpose((0, 2, 1))


def networks() -> dict[str, tuple[nn.Module, dict[str, float]]]:
    dense = nn.Sequential(nn.Flatten(), *nn.mlp([40, 200, 200, 10], "relu", dropout=0.3))
    convolutional = nn.Sequential(
        nn.Conv1d(1, 32, 5, padding=2), nn.Activation("relu"), nn.MaxPool1d(2),
        nn.Conv1d(32, 32, 5, padding=2), nn.Activation("relu"), nn.MaxPool1d(2),
        nn.Conv1d(32, 32, 3, padding=1), nn.Activation("relu"),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(320, 10),
    )  # fmt: skip
    recurrent = nn.Sequential(
        Turned(), nn.GRU(1, 32, bidirectional=True, batch_first=True, returns="last"),
        nn.Linear(64, 10),
    )  # fmt: skip
    return {
        "MLP": (dense, {"lr": 0.003, "epochs": 40}),
        "CNN": (convolutional, {"lr": 0.005, "epochs": 30}),
        "GRU": (recurrent, {"lr": 0.02, "epochs": 30}),
    }


def main(share: float = 1.0, published: bool = False) -> dict[str, float]:
    """Train all three nets, for a share of the epochs."""
    X, X_test, y, y_test = rows(published)
    figures = {}
    for name, (module, settings) in networks().items():
        epochs = max(1, round(share * settings["epochs"]))
        net = NetClassifier(module, lr=settings["lr"], epochs=epochs, batch_size=100,
                            schedule="cosine", random_state=0, clip_norm=1.0)  # fmt: skip
        figures[f"accuracy, {name}"] = net.fit(X, y).score(X_test, y_test)
        print(f"{name}: {module.count_parameters():6d} weights, "
              f"accuracy {figures[f'accuracy, {name}']:.3f}")  # fmt: skip
    return figures


if __name__ == "__main__":
    main(published="--published" in sys.argv)
