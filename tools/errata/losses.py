"""Errata of losses."""

from typing import Any

import numpy as np

from chainrule import functional, grad, losses, metrics, nn, ops, optim, train
from tools.errata.book import Section
from tools.errata.numbers import below, holds, same

section = Section("Losses")

cross_entropy_of_logit = losses.binary_cross_entropy_with_logits


@section.row(
    "E-47", "D", "B:L714", "L2 \"Unique solution\"",
    "For a strictly convex problem only: linear, with columns of full rank.",
)  # fmt: skip
def several_solutions() -> str:
    x, y = np.array([[1.0, 1.0], [2.0, 2.0]]), np.array([1.0, 2.0])
    found = [
        losses.mse(ops.matmul(x, np.array(w)), y) for w in ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5))
    ]
    return f"X = [(1, 1), (2, 2)], y = (1, 2): MSE of w = (1, 0), (0, 1), (½, ½): " \
           f"{same(found, '0 0 0')}."  # fmt: skip


@section.row(
    "E-48", "U", "B:L716", "Hinge \"max(0, 1 - y·ŷ)\"",
    "y ∈ {-1, +1}; elsewhere the notes use {0, 1}, which `losses.hinge` refuses.",
)  # fmt: skip
def labels_of_the_hinge() -> str:
    def literal(scores: Any, label: float) -> Any:
        return losses.hinge.value(scores, np.full(3, label), reduction="none")

    scores = np.array([-2.0, 0.0, 3.0])
    slopes = grad(lambda s: ops.sum(literal(s, 0.0)))(scores)
    below(slopes, 0)
    return (
        f"Scores -2, 0, 3: with label 0 the formula gives {same(literal(scores, 0.0), '1 1 1')}, "
        f"gradient 0; with -1 {same(literal(scores, -1.0), '0 1 4')}."
    )


@section.row(
    "E-49", "W", "B:L716", "Hinge \"Only for binary classification\"",
    "Crammer and Singer (2001), Weston and Watkins (1999): `losses.multiclass_hinge`.",
)  # fmt: skip
def hinge_of_several_classes() -> str:
    scores, label = np.array([[2.0, 1.0, 0.0]]), np.array([1])
    found = [losses.multiclass_hinge(scores, label, variant=v) for v in
             ("crammer-singer", "weston-watkins")]  # fmt: skip
    below(found[0] - found[1], 0)
    high = losses.multiclass_hinge(scores, np.array([2]), variant="weston-watkins")
    return (
        f"Scores (2, 1, 0), class 1: Crammer-Singer {same(found[0], '2')}, Weston-Watkins "
        f"{same(found[1], '2')}; class 2: Weston-Watkins {same(high, '5')}."
    )


@section.row(
    "E-88", "D", "B:L716", "Hinge \"Maximizes margin\"", "Only with an L2 penalty on w.",
)  # fmt: skip
def margin_of_the_hinge() -> str:
    points, labels = np.array([[2.0, 0.0], [-2.0, 0.0]]), np.array([1.0, -1.0])
    weights = np.array([[1.0, 0.0], [1.0, 3.0]])
    values = [losses.hinge(ops.matmul(points, w), labels) for w in weights]
    margins = [np.min(labels * (points @ w)) / ops.norm(w) for w in weights]
    return (
        f"Points (±2, 0): w = (1, 0) and (1, 3) have hinge {same(values, '0 0')}, margins "
        f"{same(margins, '2.0 0.632')}."
    )


@section.row(
    "E-50", "U", "A:L75, 83; B:L382, 717", "Formulas of cross-entropy without a guard",
    "0·log 0 = 0; a bounded logarithm, or the form with logits.",
)  # fmt: skip
def logarithm_of_zero() -> str:
    with np.errstate(all="ignore"):
        one = np.float64(1.0)
        naive = -(one * np.log(one) + (1 - one) * np.log(1 - one))
        saturated = -np.log(1 - 1 / (1 + np.exp(np.float64(-40.0))))
    here = losses.binary_cross_entropy(np.array([1.0]), np.array([1.0]))
    exact = losses.categorical_cross_entropy(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]]))
    logit = cross_entropy_of_logit(np.array([40.0]), np.array([0.0]))
    return (
        f"y = ŷ = 1: literal {same(naive, 'nan')}, here {same(here, '0')}; exact one-hot here "
        f"{same(exact, '0')}; -log(1-σ(40)): literal {same(saturated, 'inf')}, here "
        f"{same(logit, '40')}."
    )


@section.row(
    "E-52", "U", "B:L719", "Gradient of softmax cross-entropy a - y; labels unsaid",
    "p - y holds for Σy = 1 only; in general p·Σy - y. Several labels per row need sigmoids.",
)  # fmt: skip
def gradient_of_several_labels() -> str:
    z, y = np.array([[0.2, -0.4, 0.9]]), np.array([[1.0, 0.0, 1.0]])
    slope = grad(lambda v: losses.cross_entropy(v, y, reduction="sum"))(z)
    p = ops.softmax(z)
    below(slope - (p * 2 - y), 1e-15)
    return (
        f"y = (1, 0, 1), z = (0.2, -0.4, 0.9): gradient "
        f"{same(slope[0], '-0.43860663 0.30809921 0.13050742')}, p - y "
        f"{same((p - y)[0], '-0.719 0.154 -0.435')}."
    )


@section.row(
    "E-53", "W", "B:L718", "Sigmoid cross-entropy \"Can suffer from vanishing gradients\"",
    "The gradient by the logit, σ(z) - y, does not vanish where the answer is wrong; that of "
    "squared error and sigmoid does.",
)  # fmt: skip
def gradient_of_a_wrong_answer() -> str:
    z, y = np.array([-20.0]), np.array([1.0])
    cross = grad(lambda v: cross_entropy_of_logit(v, y, reduction="sum"))(z)[0]
    square = grad(lambda v: losses.half_squared_error(ops.sigmoid(v), y, reduction="sum"))(z)[0]
    return f"z = -20, y = 1: cross-entropy {same(cross, '-1.0')}, half squared error " \
           f"{same(square, '-2.06e-9')}."  # fmt: skip


@section.row(
    "E-28", "D", "A:L69", "Cross-entropy \"measures the dissimilarity\", which is minimised",
    "Cross-entropy is H(y) + KL; its minimum is H(y), which is 0 for hard labels only.",
)  # fmt: skip
def least_cross_entropy() -> str:
    y = np.array([[0.3, 0.7]])
    return f"y = ŷ = (0.3, 0.7): {same(losses.categorical_cross_entropy(y, y), '0.61086430')}."


def _rare_class(seed: int, rows: int) -> tuple[Any, Any]:
    """Rows of two normal clouds that overlap; about 3 % are positive."""
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < 0.03).astype(np.float64)
    return rng.normal(size=(rows, 2)) + 1.2 * y[:, None], y


@section.row(
    "E-51", "D", "A:L97", "Weights and focal loss \"improve overall classification performance\"",
    "They raise the recall of the rare class, and usually cost accuracy.",
)  # fmt: skip
def weights_of_a_rare_class() -> str:
    (x, y), (new_x, new_y) = _rare_class(0, 4000), _rare_class(1, 20_000)
    scores = []
    for weight in (None, np.where(y == 1, 1 / y.mean(), 1 / (1 - y.mean()))):
        model = nn.Linear(2, 1, seed=0).astype(np.float64)
        train(model, cross_entropy_of_logit, x, y[:, None], weight=weight, batch_size=None,
              optimizer=optim.SGD(1.0, momentum=0.9), epochs=300, compile=False)  # fmt: skip
        answer = functional.step(model.predict(new_x)[:, 0])
        cells = metrics.confusion_matrix(new_y, answer)
        recall = cells[1, 1] / cells[1].sum()
        balanced = metrics.balanced_accuracy_score(new_y, answer)
        scores.append((metrics.accuracy_score(new_y, answer), recall, balanced))
    before, after = scores
    holds(after[0] < before[0] - 0.05, "accuracy falls")
    holds(after[1] > before[1] + 0.3 and after[2] > before[2] + 0.1, "the others rise")
    parts = (
        f"{name} {b:.2f} → {a:.2f}"
        for name, b, a in zip(
            ("accuracy", "recall", "balanced accuracy"), before, after, strict=True
        )
    )
    return (
        f"{100 * y.mean():.1f} % positives, logistic model, without and with balanced class "
        f"weights: {', '.join(parts)}."
    )


@section.row(
    "E-90", "I", "A:L75; B:L716-719",
    "ŷ is a probability in A:L75, a logit in B:L718-719, a margin in B:L716",
    "Names say it: losses that end in `_with_logits`, and what `losses.NAME.output` tells.",
)  # fmt: skip
def what_a_prediction_is() -> str:
    listed = [losses.binary_cross_entropy, cross_entropy_of_logit, losses.hinge]
    holds(len({loss.output for loss in listed}) == 3, "the three differ")
    return "; ".join(f"`{loss.name}` takes {loss.output}" for loss in listed) + "."
