"""Rare classes: 3 % of the rows are positive; class weights and the focal loss find them.

    python examples/imbalanced.py

Trained plainly, a net that says "no" to nearly every row is right for 97 % of them. Weights and the
focal loss give accuracy away for recall: the balanced accuracy rises, the accuracy falls. How well
the rows are ranked (average precision) stays about the same; mostly the threshold moves.
"""

import numpy as np

from chainrule import NetClassifier, losses, metrics


def rare(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = (rng.random(rows) < 0.03).astype(int)
    X = rng.normal(size=(rows, 4)) + 0.8 * y[:, None]
    return X.astype(np.float32), y


def main(epochs: int = 30) -> dict[str, float]:
    rng = np.random.default_rng(0)
    X, y = rare(4000, rng)
    X_test, y_test = rare(10_000, rng)
    ways = {
        "plain": {},
        "weighted": {"class_weight": "balanced"},
        "focal": {"loss": losses.binary_focal.having(alpha=0.95)},
    }
    figures = {}
    print(f"{'':10s}accuracy  balanced  recall  precision  F1     average precision")
    for name, settings in ways.items():
        net = NetClassifier(epochs=epochs, lr=0.003, random_state=0, **settings).fit(X, y)
        found, score = net.predict(X_test), net.predict_proba(X_test)[:, 1]
        yes = found == 1
        row = {
            "accuracy": metrics.accuracy_score(y_test, found),
            "balanced accuracy": metrics.balanced_accuracy_score(y_test, found),
            "recall": yes[y_test == 1].mean(),
            "precision": y_test[yes].mean() if yes.any() else 0.0,
            "F1": metrics.precision_recall_f1(y_test, found, average=None)[2][1],
            "average precision": metrics.average_precision_score(y_test, score),
        }
        print(f"{name:10s}" + "     ".join(f"{value:.3f}" for value in row.values()))
        figures |= {f"{measure}, {name}": float(value) for measure, value in row.items()}
    return figures


if __name__ == "__main__":
    main()
