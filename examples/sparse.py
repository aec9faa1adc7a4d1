"""Sparse features: rare words, which Adagrad gives larger steps than SGD does.

    python examples/sparse.py

Texts as bags of 2,000 words, of which the commonest are in every other text and most in few; each
word speaks for or against a class. SGD moves the weight of a rare word seldom, and by as little as
all others; Adagrad divides by what a weight has moved so far. The rows are a sparse matrix, made
dense batch by batch. Each optimizer has the best of eight rates, after three passes.
"""

import numpy as np
from scipy.sparse import csr_array

from chainrule import NetClassifier, metrics, nn

RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def bags(rows: int, rng: np.random.Generator, effect: np.ndarray) -> tuple[csr_array, np.ndarray]:
    """Words by Zipf's law, and a class by the words that are there."""
    share = 0.5 / np.arange(1, len(effect) + 1) ** 0.7
    X = (rng.random((rows, len(effect))) < share).astype(np.float32)
    logit = X @ effect
    y = rng.random(rows) < 1 / (1 + np.exp(-(logit - np.median(logit))))
    return csr_array(X), y.astype(int)


def main(rows: int = 4000, epochs: int = 3) -> dict[str, float]:
    rng = np.random.default_rng(0)
    effect = 1.5 * rng.normal(size=2000)
    X, y = bags(rows, rng, effect)
    X_test, y_test = bags(rows, rng, effect)
    figures = {"share of entries that are not 0": X.nnz / (X.shape[0] * X.shape[1])}
    for name in ("sgd", "adagrad"):
        found = {}
        for rate in RATES:
            net = NetClassifier(nn.Linear(2000, 1), optimizer=name, lr=rate, epochs=epochs,
                                batch_size=20, random_state=0)  # fmt: skip
            shares = net.fit(X, y).predict_proba(X_test)
            found[rate] = metrics.log_loss(y_test, shares)
        best = min(found, key=found.get)
        figures[f"loss, {name}"] = found[best]
        print(f"{name:8s} rate {best:<5g} loss {found[best]:.4f}")
    return figures


if __name__ == "__main__":
    main()
