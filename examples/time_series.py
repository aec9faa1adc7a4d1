"""Recorded series: movements by a Conv1d, speakers by a GRU that reads series of any length.

    pip install --no-deps aeon
    python examples/time_series.py

Three sets of the archive of time series that come with the package aeon, of which only the files
are read; each has its own rows for the test. GunPoint: where a hand goes, 50 rows to learn from.
BasicMotions: six sensors of a watch, 40 rows. JapaneseVowels: twelve coefficients of speech at all
steps, 7 to 29 of them, of which the speaker is to be told.
"""

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule import NetClassifier, nn, optim


def parsed(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """Series of shape (channels, length), and their labels, from a file in the format ts."""
    lines = path.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().lower() == "@data") + 1
    series, labels = [], []
    for line in filter(str.strip, lines[start:]):
        *channels, label = line.split(":")
        series.append(np.array([c.split(",") for c in channels], np.float32))
        labels.append(label.strip())
    return series, labels


def load(name: str) -> list:
    """Series and class numbers of the training rows, and of the test rows."""
    found = []
    with as_file(files("aeon") / "datasets" / "data" / name) as folder:
        for part in ("TRAIN", "TEST"):
            series, labels = parsed(folder / f"{name}_{part}.ts")
            found += [series, np.unique(labels, return_inverse=True)[1]]
    return found


def network(channels: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(channels, 32, 9, padding=4), nn.BatchNorm1d(32), nn.Activation("relu"),
        nn.MaxPool1d(2),
        nn.Conv1d(32, 32, 9, padding=4), nn.BatchNorm1d(32), nn.Activation("relu"),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, outputs),
    )  # fmt: skip


def by_convolution(name: str, epochs: int) -> float:
    """Train a Conv1d on series of one length; give the accuracy on the test rows."""
    X, y, X_test, y_test = load(name)
    X, X_test = np.stack(X), np.stack(X_test)
    mean, std = X.mean((0, 2), keepdims=True), X.std((0, 2), keepdims=True)
    model = NetClassifier(network, lr=0.003, epochs=3 * epochs, batch_size=10,
                          schedule="cosine", average=0.99, random_state=0)  # fmt: skip
    return model.fit((X - mean) / std, y).score((X_test - mean) / std, y_test)


class Listener(nn.Module):
    """A GRU in both directions over the real steps, and a logit per speaker."""

    def __init__(self, channels: int, speakers: int, seed: int = 0) -> None:
        self.gru = nn.GRU(channels, 32, bidirectional=True, batch_first=True, returns="last",
                          seed=seed)  # fmt: skip
        self.drop = nn.Dropout(0.3, seed=seed)
        self.out = nn.Linear(64, speakers, seed=seed)

    def forward(self, x, lengths):
        return self.out(self.drop(self.gru(x, lengths=lengths)))


def padded(series: list[np.ndarray], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Series of shape (rows, longest, channels), filled up with 0, and their lengths."""
    rows = np.zeros((len(series), longest, len(series[0])), np.float32)
    for row, one in zip(rows, series, strict=True):
        row[: one.shape[1]] = one.T
    return rows, np.array([one.shape[1] for one in series])


def by_recurrence(name: str, epochs: int) -> float:
    """Train a GRU on series of any length; give the accuracy on the test rows."""
    series, y, series_test, y_test = load(name)
    longest = max(one.shape[1] for one in series + series_test)
    model = Listener(len(series[0]), y.max() + 1)
    cr.train(model, "cross_entropy", padded(series, longest), y, optimizer=optim.Adam(0.005),
             schedule="cosine", epochs=epochs, batch_size=30, clip_norm=1.0, seed=0)  # fmt: skip
    found = model.predict(*padded(series_test, longest)).argmax(axis=1)
    return float((found == y_test).mean())


def main(epochs: int = 60) -> dict[str, float]:
    figures = {
        "accuracy, GunPoint": by_convolution("GunPoint", epochs),
        "accuracy, BasicMotions": by_convolution("BasicMotions", epochs),
        "accuracy, JapaneseVowels": by_recurrence("JapaneseVowels", epochs),
    }
    for name, value in figures.items():
        print(f"{name:25s} {value:.3f}")
    return figures


if __name__ == "__main__":
    main()
