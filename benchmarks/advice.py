"""Whether the hint "a linear model is likely to do as well" is right: verdict, then the real net.

python benchmarks/advice.py        print and write docs/benchmarks/advice.md

Each table is divided into five folds. The advice sees the training rows of the first fold only; net
and linear model are then trained and scored on all five. The hint is right where the net is not
clearly better (95 % interval of the paired gains) by more than the margin of the hint.
"""

from pathlib import Path

import numpy as np
from sklearn import datasets, linear_model, pipeline, preprocessing
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold

from chainrule import TabularClassifier, TabularRegressor, advise
from chainrule.advise.trials import MARGIN

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "advice.md"
T_95 = 2.776  # Student's t, 4 degrees of freedom


def tables():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 5))
    noise = rng.normal(size=600)
    yield "diabetes", *datasets.load_diabetes(return_X_y=True), False
    yield "wine", *datasets.load_wine(return_X_y=True), True
    yield "breast cancer", *datasets.load_breast_cancer(return_X_y=True), True
    digits = datasets.load_digits(return_X_y=True)
    yield "digits, 600 rows", digits[0][:600], digits[1][:600], True
    yield "a sum of columns", x, x @ [2, -1, 1, 0, 0] + noise, False
    yield "a product of columns", x, 2 * x[:, 0] * x[:, 1] + x[:, 2] + noise / 2, False
    yield "Friedman 1", *datasets.make_friedman1(600, noise=1.0, random_state=0), False
    yield "two moons", *datasets.make_moons(600, noise=0.2, random_state=0), True
    yield "only noise", x, noise, False


def measure(X, y, classes):
    """Give the verdict of the advice, and the paired gains of the net over the linear model."""
    kind = StratifiedKFold if classes else KFold
    splits = list(kind(5, shuffle=True, random_state=0).split(X, y))
    first = splits[0][0]
    verdict = advise.compare(X[first], y[first], classes=classes).verdict
    linear = linear_model.LogisticRegression(max_iter=1000) if classes else None
    linear = linear or linear_model.RidgeCV(np.logspace(-3, 3, 13))
    linear = pipeline.make_pipeline(preprocessing.StandardScaler(), linear)
    net = (TabularClassifier if classes else TabularRegressor)(random_state=0)
    scores = np.array(
        [
            [clone(m).fit(X[train], y[train]).score(X[held], y[held]) for m in (linear, net)]
            for train, held in splits
        ]
    )
    return verdict, scores


def main():
    lines = [
        "# Is the advice right?",
        "",
        "Written by `python benchmarks/advice.py`. The verdict comes from the training rows of one",
        "fold; the scores (accuracy of classes, R² of numbers) are those of five folds, the gain",
        "that of `TabularClassifier` or `TabularRegressor` over the linear model, with the 95 %",
        "interval of its mean. The verdict is right if the gain agrees: at most "
        f"{MARGIN} or within chance",
        "for linear and nothing, more than chance for nonlinear; undecided claims nothing.",
        "",
        "| table | rows | verdict | linear model | net | gain | right |",
        "| --- | ---: | --- | ---: | ---: | ---: | --- |",
    ]
    for name, X, y, classes in tables():
        verdict, scores = measure(X, y, classes)
        gain = scores[:, 1] - scores[:, 0]
        margin = T_95 * np.sqrt((1 / 5 + 1 / 4) * gain.var(ddof=1))
        better = gain.mean() > max(margin, MARGIN)
        right = (
            "–" if verdict == "undecided" else "yes" if (verdict == "nonlinear") == better else "no"
        )
        linear, net = scores.mean(axis=0)
        lines.append(
            f"| {name} | {len(y)} | {verdict} | {linear:.3f} | {net:.3f} "
            f"| {gain.mean():+.3f} ± {margin:.3f} | {right} |"
        )
        print(lines[-1], flush=True)
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
