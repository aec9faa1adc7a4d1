"""Claims on losses."""

from typing import Any

import numpy as np

from benchmarks.claims.book import Run, Sample, claim, verdict
from benchmarks.claims.nets import fitted, line, mlp, moons, mse, seconds
from chainrule import functional, grad, losses, metrics, nn, ops, optim

bce = losses.binary_cross_entropy_with_logits


def best_constant(loss: Any, values: Any, steps: int = 4000) -> float:
    """Give the constant of least loss, by subgradient steps that become smaller."""
    c, slope = float(np.median(values)) + 0.5, grad(lambda v: loss(values * 0 + v, values))
    for t in range(steps):
        c -= slope(c) * 20 / (20 + t)
    return float(c)


@claim(
    "L06",
    "A:L65",
    "MSE is sensitive to outliers due to the squaring of the errors",
    "an outlier among 5 values moves the best constant of MSE by more than 10 times that of MAE "
    "and Huber",
)
def outlier(run: Run) -> tuple[str, str]:
    clean, dirty = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    ends = {
        name: [best_constant(losses.get_loss(name), v) for v in (clean, dirty)]
        for name in ("mse", "mae", "huber")
    }
    moved = {name: abs(b - a) for name, (a, b) in ends.items()}
    text = "1, 2, 3, 4 and 5 or 100: " + ", ".join(
        f"{name} {a:.2f} → {b:.2f}" for name, (a, b) in ends.items()
    )
    return text, verdict(moved["mse"] > 10 * max(moved["mae"], moved["huber"], 0.01))


@claim(
    "L06",
    "B:L713, 715",
    "Robust to outliers (L1, Huber)",
    "5 % outliers in training: test error of both below that of MSE",
)
def robust_losses(run: Run) -> tuple[str, str]:
    ends = {name: Sample(_robust(name, 0.05, s) for s in run.seeds(10))
            for name in ("mse", "mae", "huber")}  # fmt: skip
    text = "linear model, MSE on clean rows: " + ", ".join(f"{n} {ends[n]}" for n in ends)
    return text, verdict(all(ends[name].below(ends["mse"]) for name in ("mae", "huber")))


def _robust(loss: str, share: float, seed: int, **settings: float) -> float:
    """Error on clean rows of a linear model trained on rows with outliers."""
    x, y = line(seed, 400, 5)
    rng = np.random.default_rng(seed)
    dirty = y + np.where(rng.random(y.shape) < share, 30.0, 0.0).astype(np.float32)
    model = nn.Linear(5, 1, seed=seed)
    chosen = losses.get_loss(loss).having(**settings)
    fitted(model, chosen, (x[:200], dirty[:200]), optim.Adam(0.05), 60, seed=seed,
           schedule="cosine")  # fmt: skip
    return mse(model, (x[200:], y[200:]))


@claim("L08", "B:L713", "Not differentiable at zero (L1)", "slopes left and right of 0 differ")
def kink(run: Run) -> tuple[str, str]:
    zero = np.zeros(1)
    sides = [grad(lambda p: losses.mae(p, zero))(np.array([x]))[0] for x in (-1e-9, 1e-9)]
    return f"slopes {sides[0]:.0f} and {sides[1]:.0f}", verdict(sides[0] != sides[1])


@claim("L08", "B:L713", "Can lead to multiple solutions (L1)", "two constants of equal, least loss")
def several_medians(run: Run) -> tuple[str, str]:
    data, grid = np.array([0.0, 1.0]), np.linspace(-0.5, 1.5, 201)
    values = np.array([losses.mae(np.full(2, c), data) for c in grid])
    least = grid[values < values.min() + 1e-12]
    text = f"values 0 and 1: every c from {least.min():.2f} to {least.max():.2f} has {values.min()}"
    return text, verdict(len(least) > 1)


@claim("L09", "B:L714", "Unique solution (L2)", "no two different weights of least loss")
def unique_least_squares(run: Run) -> tuple[str, str]:
    y = np.array([1.0, 2.0])
    found = {}
    for name, corner in (("rank 1", 2.0), ("rank 2", 1.0)):
        x = np.array([[1.0, 1.0], [2.0, corner]])
        ends = []
        for start in ([0.0, 0.0], [3.0, -1.0]):
            w = np.array(start)
            slope = grad(lambda v, x=x: losses.mse(ops.matmul(x, v), y))
            for _ in range(4000):
                w = w - 0.15 * slope(w)
            ends.append(w)
        found[name] = ends
    text = "; ".join(
        f"{name}: from two starts to ({a[0]:.2f}, {a[1]:.2f}) and ({b[0]:.2f}, {b[1]:.2f})"
        for name, (a, b) in found.items()
    )
    same = {name: bool(np.allclose(a, b, atol=1e-3)) for name, (a, b) in found.items()}
    return text, verdict(all(same.values()), only_if=("the columns have full rank", same["rank 2"]))


@claim(
    "L09", "B:L714", "Differentiable everywhere (L2)", "slopes left and right of 0 agree to 1e-6"
)
def smooth_square(run: Run) -> tuple[str, str]:
    zero = np.zeros(1)
    sides = [grad(lambda p: losses.mse(p, zero))(np.array([x]))[0] for x in (-1e-9, 1e-9)]
    return f"slopes {sides[0]:.0e} and {sides[1]:.0e}", verdict(abs(sides[1] - sides[0]) < 1e-6)


def _rare(seed: int, rows: int) -> tuple[Any, Any]:
    """Two overlapping clouds; 3 % of the rows are positive."""
    rng = np.random.default_rng(seed)
    y = (rng.random((rows, 1)) < 0.03).astype(np.float32)
    return (rng.normal(size=(rows, 2)) + 1.2 * y).astype(np.float32), y


def _rare_scores(run: Run, kind: str) -> dict[str, Sample]:
    """Accuracy, recall, balanced accuracy on new rows, over seeds."""
    rows: dict[str, list[float]] = {"accuracy": [], "recall": [], "balanced accuracy": []}
    for seed in run.seeds(8):
        (x, y), (new_x, new_y) = _rare(seed, 3000), _rare(seed + 1000, 20_000)
        model, share = nn.Linear(2, 1, seed=seed), float(y.mean())
        weight = np.where(y[:, 0] == 1, 1 / share, 1 / (1 - share)).astype(np.float32)
        loss = losses.binary_focal.having(gamma=2.0, alpha=0.9) if kind == "focal" else bce
        fitted(model, loss, (x, y), optim.Adam(0.1), 80, batch_size=None, seed=seed,
               weight=weight if kind == "weights" else None)  # fmt: skip
        answer = functional.step(model.predict(new_x)[:, 0])
        cells = metrics.confusion_matrix(new_y[:, 0], answer)
        rows["accuracy"].append(cells.trace() / cells.sum())
        rows["recall"].append(cells[1, 1] / cells[1].sum())
        rows["balanced accuracy"].append(metrics.balanced_accuracy_score(new_y[:, 0], answer))
    return {name: Sample(values) for name, values in rows.items()}


@claim(
    "L24",
    "A:L97",
    "focus the model's attention on the minority classes and improve overall "
    "classification performance",
    "with class weights, and with focal loss: recall, accuracy and balanced accuracy rise",
)
def class_weights(run: Run) -> tuple[str, str]:
    found = {kind: _rare_scores(run, kind) for kind in ("plain", "weights", "focal")}
    text = "3 % positives: " + "; ".join(
        f"{kind}: " + ", ".join(f"{name} {sample}" for name, sample in scores.items())
        for kind, scores in found.items()
    )
    better = {name: all(found["plain"][name].below(found[kind][name]) for kind in
                        ("weights", "focal")) for name in found["plain"]}  # fmt: skip
    condition = "performance is recall or balanced accuracy; accuracy does not rise"
    some = better["recall"] and better["balanced accuracy"]
    return text, verdict(all(better.values()), only_if=(condition, some))


@claim(
    "L26",
    "B:L717",
    "Can be sensitive to class imbalance (cross-entropy)",
    "3 % positives: their recall below half that of negatives",
)
def imbalance(run: Run) -> tuple[str, str]:
    found = _rare_scores(run, "plain")
    other = Sample(2 * found["balanced accuracy"].values - found["recall"].values)
    text = f"recall of positives {found['recall']}, of negatives {other}"
    return text, verdict(found["recall"].mean < other.mean / 2)


def _share(logits: Any, labels: Any) -> float:
    return float(np.mean((logits > 0) == (labels > 0)))


def _sigmoid_square() -> losses.Loss:
    def formula(prediction: Any, target: Any) -> Any:
        return losses.half_squared_error.formula(ops.sigmoid(prediction), target)

    return losses.Loss("sigmoid_square", formula, "binary logits", "labels")


@claim(
    "L25",
    "B:L382",
    "can yield faster convergence (cross-entropy)",
    "fewer epochs to 95 % accuracy than squared error of a sigmoid, each with its best η of four",
)
def faster_convergence(run: Run) -> tuple[str, str]:
    most = run.amount(120, 10)
    epochs, best = {}, {}
    for name, loss in (("cross-entropy", bce), ("squared error", _sigmoid_square())):
        tried = {}
        for rate in (0.1, 0.3, 1.0, 3.0):
            found = []
            for seed in run.seeds(6):
                model, data = mlp([2, 32, 1], "tanh", seed), moons(seed, 300, 0.15)
                history = fitted(model, loss, data, optim.SGD(rate), most, seed=seed,
                                 validation=data, score=_share)  # fmt: skip
                reached = np.flatnonzero(np.array(history["validation_score"]) >= 0.95)
                found.append(reached[0] + 1 if len(reached) else most)
            tried[rate] = Sample(found)
        best[name] = min(tried, key=lambda rate: tried[rate].mean)
        epochs[name] = tried[best[name]]
    text = "epochs: " + ", ".join(f"{n} {epochs[n]} (η = {best[n]})" for n in epochs)
    return text, verdict(epochs["cross-entropy"].below(epochs["squared error"]))


@claim(
    "L30",
    "B:L719",
    "Computationally expensive for large number of classes",
    "time of loss and gradient grows more than half as fast as the number of classes from 4,000 "
    "to 64,000",
)
def many_classes(run: Run) -> tuple[str, str]:
    times = {}
    for classes in (4000, 16_000, 64_000):
        z = np.random.default_rng(0).normal(size=(64, classes)).astype(np.float32)
        y = np.arange(64) % classes
        times[classes] = 1e3 * seconds(
            lambda z=z, y=y: grad(lambda v: losses.cross_entropy(v, y))(z), run.amount(15, 3)
        )
    text = "64 rows: " + ", ".join(f"{n} classes {t:.1f} ms" for n, t in times.items())
    return text, verdict(times[64_000] / times[4000] > 8)


@claim(
    "L31", "B:L713", "Computationally efficient (L1)", "loss and gradient no slower than 1.2 × MSE"
)
def cheap_absolute_error(run: Run) -> tuple[str, str]:
    x = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    times = {
        loss.name: 1e9 / x.size * seconds(lambda f=loss: grad(lambda p: f(p, x * 0.5))(x),
                                          run.amount(30, 5))
        for loss in (losses.mae, losses.mse)
    }  # fmt: skip
    text = ", ".join(f"{name} {t:.1f} ns" for name, t in times.items()) + " per number, in NumPy"
    return text, verdict(times["mae"] <= 1.2 * times["mse"])


def _sweep(loss: str, setting: str, values: tuple[float, ...], run: Run) -> tuple[str, str]:
    """Whether the best value of a setting is better than the worst."""
    found = {v: Sample(_robust(loss, 0.2, s, **{setting: v}) for s in run.seeds(8)) for v in values}
    order = sorted(values, key=lambda v: found[v].mean)
    text = "20 % outliers, MSE on clean rows: " + ", ".join(
        f"{setting} {v:g}: {found[v]}" for v in values
    )
    return text, verdict(found[order[0]].below(found[order[-1]]))


@claim(
    "L31",
    "B:L715",
    "Requires tuning of δ parameter (Huber)",
    "test error of the best δ below that of the worst",
)
def tuning_of_huber(run: Run) -> tuple[str, str]:
    return _sweep("huber", "delta", (0.1, 1.0, 10.0, 100.0), run)


@claim(
    "L31",
    "B:L720",
    "Requires careful tuning of hyperparameters (adaptive loss)",
    "test error of the best α below that of the worst",
)
def tuning_of_the_adaptive_loss(run: Run) -> tuple[str, str]:
    return _sweep("adaptive", "alpha", (2.0, 1.0, 0.0, -2.0), run)


@claim(
    "L31",
    "B:L716",
    "Not probabilistic (hinge)",
    "a sigmoid of hinge scores has a larger calibration error than one of cross-entropy logits",
)
def calibration(run: Run) -> tuple[str, str]:
    errors: dict[str, list[float]] = {"hinge": [], "cross-entropy": []}
    for seed in run.seeds(8):
        (x, y), fresh = moons(seed, 600, 0.5), moons(seed + 1000, 4000, 0.5)
        for name, loss, target in (("hinge", "hinge", 2 * y - 1), ("cross-entropy", bce, y)):
            model = nn.Linear(2, 1, seed=seed)
            fitted(model, loss, (x, target), optim.Adam(0.05), 40, seed=seed)
            p = ops.sigmoid(model.predict(fresh[0]))[:, 0]
            bins = np.minimum((10 * p).astype(int), 9)
            gaps = [abs(p[bins == b].mean() - fresh[1][bins == b].mean()) * np.mean(bins == b)
                    for b in np.unique(bins)]  # fmt: skip
            errors[name].append(float(sum(gaps)))
    found = {name: Sample(values) for name, values in errors.items()}
    text = "calibration error: " + ", ".join(f"{name} {found[name]}" for name in found)
    return text, verdict(found["cross-entropy"].below(found["hinge"]))
