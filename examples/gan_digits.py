"""Generation on demand: two nets play until one draws the digit that it is asked for.

    python examples/gan_digits.py

The generator gets noise and a class, the discriminator an image and the class that it should show
(Mirza and Osindero, 2014), on the 8 x 8 digits of scikit-learn. A third net, trained on real digits
alone, reads what was drawn. That images of one class differ as much as real ones is measured too: a
generator that has collapsed draws the same image again and again.
"""

import numpy as np
from sklearn.datasets import load_digits

from chainrule import NetClassifier, losses, nn, ops, optim

bce = losses.binary_cross_entropy_with_logits
NOISE, BATCH = 16, 64


def asked(classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise, and one 1 for the class: (rows, NOISE + 10)."""
    noise = rng.normal(size=(len(classes), NOISE))
    return np.concatenate([noise, np.eye(10)[classes]], axis=1).astype(np.float32)


def play(X: np.ndarray, y: np.ndarray, steps: int) -> nn.Module:
    """Train both nets on images X, from -1 to 1, and their classes; give the generator."""
    rng = np.random.default_rng(0)
    generator = nn.mlp([NOISE + 10, 128, 128, 64], "relu", batch_norm=True, seed=rng)
    discriminator = nn.mlp([64 + 10, 128, 64, 1], "leaky_relu", dropout=0.3, seed=rng)
    optimizer = optim.Adam(1e-3, beta1=0.5)
    updaters = [optim.Updater(net.parameters(), optimizer) for net in (generator, discriminator)]
    real, made_up = np.full((BATCH, 1), 0.9, np.float32), np.zeros((BATCH, 1), np.float32)
    generator.train(), discriminator.train()
    for t in range(steps):
        rows = rng.integers(0, len(X), BATCH)
        label = np.eye(10, dtype=np.float32)[y[rows]]
        drawn = ops.tanh(generator(asked(y[rows], rng)))
        bce(discriminator(ops.concat([drawn, label], axis=1)), real).backward()
        updaters[0].step(factor=1 - t / steps)
        discriminator.zero_grad()
        both = discriminator(np.concatenate([X[rows], label], axis=1)), real
        other = discriminator(ops.concat([drawn.detach(), label], axis=1)), made_up
        (bce(*both) + bce(*other)).backward()
        updaters[1].step(factor=1 - t / steps)
    return generator.eval()


def spread(X: np.ndarray, y: np.ndarray) -> float:
    """Mean standard deviation of a pixel among images of a class."""
    return float(np.mean([X[y == k].std(axis=0).mean() for k in range(10)]))


def main(steps: int = 4500) -> dict[str, float]:
    X, y = load_digits(return_X_y=True)
    X = (X / 8 - 1).astype(np.float32)
    reader = NetClassifier(epochs=60, random_state=0).fit(X[:1200], y[:1200])
    generator = play(X, y, steps)
    wanted = np.repeat(np.arange(10), 100)
    drawn = np.tanh(generator.predict(asked(wanted, np.random.default_rng(1))))
    figures = {
        "real digits read rightly": reader.score(X[1200:], y[1200:]),
        "drawn digits read as asked": reader.score(drawn, wanted),
        "spread within a class, drawn / real": spread(drawn, wanted) / spread(X, y),
    }
    for name, value in figures.items():
        print(f"{name:36s} {value:.3f}")
    for line in drawn[::100].reshape(10, 8, 8).transpose(1, 0, 2):
        print("  ".join("".join(" .:*#"[int(2.49 * (p + 1))] * 2 for p in row) for row in line[:5]))
    return figures


if __name__ == "__main__":
    main()
