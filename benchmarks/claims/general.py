"""Claims on generalisation, search, and the table of recommendations."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.claims.book import Run, Sample, claim, verdict
from benchmarks.claims.nets import Data, fitted, line, mlp, moons, mse, waves
from chainrule import EarlyStopping, functional, losses, ops, optim
from tools.errata.runs import descend, linear_fit

ADAM = optim.Adam(0.01)


@claim(
    "R06",
    "B:L767",
    "What's the effect of dropout rate on performance?",
    "40 rows whose noise has spread 1: the gap between test and training error is largest without "
    "dropout, the training error largest with p = 0.8",
)
def rate_of_dropout(run: Run) -> tuple[str, str]:
    gaps, inside, tests = {}, {}, {}
    for p in (0.0, 0.2, 0.5, 0.8):
        ends = []
        for seed in run.seeds(10):
            model, data = mlp([2, 64, 64, 1], "relu", seed, dropout=p), waves(seed, 40, 1.0)
            fitted(model, "mse", data, ADAM, run.amount(200, 20), seed=seed)
            ends.append((mse(model, data), mse(model, waves(seed + 1000, 1000))))
        inside[p], tests[p] = Sample(a for a, _ in ends), Sample(b for _, b in ends)
        gaps[p] = Sample(b - a for a, b in ends)
    text = "; ".join(f"p = {p}: training {inside[p]}, test {tests[p]}" for p in gaps)
    widest = all(gaps[p].below(gaps[0.0]) for p in (0.2, 0.5, 0.8))
    return text, verdict(widest and all(inside[p].below(inside[0.8]) for p in (0.0, 0.2, 0.5)))


def _powers(x: Any, degree: int) -> Any:
    return np.cos(np.arange(degree + 1) * np.arccos(x)[:, None])  # Chebyshev's, well conditioned


@claim(
    "R12",
    "B:L772",
    "Bias-variance tradeoff",
    "polynomials of rising degree: bias² falls, variance rises, the test error is least between, "
    "and bias² + variance + noise is the test error within 5 %",
)
def bias_and_variance(run: Run) -> tuple[str, str]:
    noise, grid, rng = 0.5, np.linspace(-0.95, 0.95, 101), np.random.default_rng(0)
    degrees, parts = (1, 3, 5, 9, 15), {}
    for degree in degrees:
        guesses = []
        for _ in range(run.amount(400, 60)):
            x = rng.uniform(-1, 1, 30)
            y = np.sin(3 * x) + noise * rng.normal(size=30)
            guesses.append(_powers(grid, degree) @ linear_fit(_powers(x, degree), y))
        middle = np.median(guesses, axis=0)  # rare wild fits have no finite mean to speak of
        kept = [g for g in guesses if np.max(np.abs(g - middle)) < 10]
        bias = float(np.mean((np.mean(kept, axis=0) - np.sin(3 * grid)) ** 2))
        variance = float(np.mean(np.var(kept, axis=0)))
        fresh = [np.sin(3 * grid) + noise * rng.normal(size=101) for _ in kept]
        error = float(np.mean([(g - t) ** 2 for g, t in zip(kept, fresh, strict=True)]))
        parts[degree] = (bias, variance, error)
    text = "degree: bias² + variance, test MSE: " + "; ".join(
        f"{d}: {b:.3f} + {v:.3f}, {e:.3f}" for d, (b, v, e) in parts.items()
    )
    biases, variances, errors = zip(*parts.values(), strict=True)
    sums = all(abs(b + v + noise**2 - e) < 0.05 * e for b, v, e in parts.values())
    falls = biases[0] > biases[1] > biases[2] and biases[2] > biases[-1] - 0.01
    middle_best = 0 < int(np.argmin(errors)) < len(degrees) - 1
    return text, verdict(sums and falls and list(variances) == sorted(variances) and middle_best)


def _penalty(model: Any, power: int, strength: float) -> Callable[[Any], Any]:
    weights = [p for p in model.parameters() if p.ndim == 2]
    size = ops.abs if power == 1 else ops.square

    def penalty(rows: Any) -> Any:
        return strength * sum(ops.sum(size(w)) for w in weights)

    return penalty


def _prevented(run: Run, noise: float) -> tuple[str, list[str]]:
    """Compare test errors with and without each method; give those that help in 4 of 5 seeds."""
    ends: dict[str, list[float]] = {}
    for seed in run.seeds(20):
        data, held, fresh = (
            waves(seed + start, rows, noise) for start, rows in ((0, 40), (500, 20), (1000, 1000))
        )
        for name in ("none", "L1", "L2", "dropout", "early stopping"):
            model = mlp([2, 64, 64, 1], "relu", seed, dropout=0.1 if name == "dropout" else 0.0)
            more: dict[str, Any] = {}
            if name in ("L1", "L2"):
                more["penalty"] = _penalty(model, int(name[1]), {"L1": 3e-4, "L2": 2e-3}[name])
            if name == "early stopping":
                more |= {"validation": held, "early_stopping": EarlyStopping(patience=30)}
            fitted(model, "mse", data, ADAM, run.amount(300, 20), seed=seed, **more)
            ends.setdefault(name, []).append(mse(model, fresh))
    plain = np.array(ends.pop("none"))
    shares = {name: float(np.mean(np.array(values) < plain)) for name, values in ends.items()}
    text = f"noise {noise}: test MSE without {Sample(plain)}, " + ", ".join(
        f"{name} {Sample(ends[name])} (lower in {share:.0%})" for name, share in shares.items()
    )
    return text, [name for name, share in shares.items() if share >= 0.8]


@claim(
    "R13",
    "A:L63, B:L766",
    "Techniques to prevent overfitting (L1, L2, dropout, early stopping)",
    "40 rows with noise of spread 0.3 and of 1: each lowers the test error in 4 of 5 seeds",
)
def prevention(run: Run) -> tuple[str, str]:
    (mild, few), (strong, many) = (_prevented(run, noise) for noise in (0.3, 1.0))
    condition = f"the noise is large, and it is {', '.join(many)}"
    return f"{mild}; {strong}", verdict(len(few) == len(many) == 4, only_if=(condition, bool(many)))


def _mixed(seed: int, rows: int) -> Data:
    """Ten inputs; targets mostly linear, with an interaction and a bend."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 10))
    y = x[:, 0] - x[:, 1] + 0.5 * x[:, 2] + x[:, 3] * x[:, 4] + np.abs(x[:, 5])
    return x.astype(np.float32), (y + 0.5 * rng.normal(size=rows)).astype(np.float32)[:, None]


def _curve(run: Run, sizes: tuple[int, ...], seeds: int = 6) -> dict[str, dict[int, Sample]]:
    """Test errors of an MLP with its best of three rates and of ridge with its best of four λ."""
    found: dict[str, dict[int, Sample]] = {"MLP": {}, "ridge": {}}
    for rows in sizes:
        tried: dict[tuple[str, float], list[float]] = {}
        for seed in run.seeds(seeds):
            (x, y), fresh = _mixed(seed, rows), _mixed(seed + 1000, 2000)
            epochs = max(10, min(300, 100_000 // rows))
            for rate in (0.001, 0.003, 0.01):
                model = mlp([10, 64, 1], "relu", seed)
                fitted(model, "mse", (x, y), optim.Adam(rate), epochs, seed=seed, schedule="cosine")
                tried.setdefault(("MLP", rate), []).append(mse(model, fresh))
            wide = np.column_stack([x, np.ones(rows)]).astype(float)
            for penalty in (0.1, 1.0, 10.0, 100.0):
                padded = np.vstack([wide, np.sqrt(penalty) * np.eye(11)[:10]])
                w = linear_fit(padded, np.concatenate([y[:, 0], np.zeros(10)]))
                guess = np.column_stack([fresh[0], np.ones(2000)]) @ w
                error = float(losses.mse(guess, fresh[1][:, 0].astype(float)))
                tried.setdefault(("ridge", penalty), []).append(error)
        for name, curve in found.items():
            samples = [Sample(values) for (kind, _), values in tried.items() if kind == name]
            curve[rows] = min(samples, key=lambda sample: sample.mean)
    return found


@claim(
    "T16",
    "B:L123-126",
    "ml works good with small data",
    "ten inputs: with 20 rows the test error of ridge is below that of an MLP, both at their best "
    "setting",
)
def small_data(run: Run) -> tuple[str, str]:
    found = _curve(run, (20, 50), seeds=30)
    text = "; ".join(
        f"{n} rows: ridge {found['ridge'][n]}, MLP {found['MLP'][n]}" for n in found["MLP"]
    )
    return text, verdict(found["ridge"][20].below(found["MLP"][20]))


@claim(
    "T16",
    "B:L123-126",
    "dl works good with big data",
    "the same task: with 20,000 rows the test error of an MLP is below that of ridge",
)
def big_data(run: Run) -> tuple[str, str]:
    sizes = (200, 1000, 5000, 20_000) if not run.quick else (200, 1000)
    found = _curve(run, sizes)
    text = "; ".join(f"{n} rows: MLP {found['MLP'][n]}, ridge {found['ridge'][n]}" for n in sizes)
    return text, verdict(found["MLP"][sizes[-1]].below(found["ridge"][sizes[-1]]))


@claim(
    "H04",
    "B:L771",
    "What’s the difference between grid search and random search?",
    "9 trials, one of two settings matters: random search tries 9 values of it, a grid 3, and "
    "finds a lower least value",
)
def grid_and_random(run: Run) -> tuple[str, str]:
    ends, distinct = [], {"grid": set[int](), "random": set[int]()}
    for seed in range(run.amount(2000, 400)):
        rng = np.random.default_rng(seed)
        best = rng.uniform(0, 1)
        cells = [(a, b) for a in (1 / 6, 0.5, 5 / 6) for b in (1 / 6, 0.5, 5 / 6)]
        trials = {"grid": np.array(cells), "random": rng.uniform(0, 1, (9, 2))}
        for name, points in trials.items():
            distinct[name].add(len(np.unique(points[:, 0])))
        ends.append([float(np.min((points[:, 0] - best) ** 2)) for points in trials.values()])
    grid, random = (Sample(column) for column in np.array(ends).T)
    text = (
        f"distinct values: grid {max(distinct['grid'])}, random {min(distinct['random'])}; least "
        f"squared distance: grid {grid}, random {random}"
    )
    more = max(distinct["grid"]) == 3 and min(distinct["random"]) == 9
    return text, verdict(more and random.below(grid))


@claim(
    "H10",
    "B:L117",
    "most of the ml hyperparameter tuning is done by neurones",
    "a training changes its own rate, or the loss with a poor rate comes within 20 % of the best",
)
def neurons_tune_nothing(run: Run) -> tuple[str, str]:
    found, changed = {}, False
    for rate in (0.0001, 0.01, 0.3):
        ends = []
        for seed in run.seeds(6):
            rule = optim.Adam(rate)
            model, data = mlp([2, 32, 1], "relu", seed), waves(seed, 200, 0.1)
            history = fitted(model, "mse", data, rule, run.amount(60, 10), seed=seed)
            changed |= rule.lr != rate or set(history["learning_rate"]) != {rate}
            ends.append(history["loss"][-1])
        found[rate] = Sample(ends)
    means = [sample.mean for sample in found.values()]
    text = "loss: " + ", ".join(f"η = {rate}: {found[rate]}" for rate in found)
    text += f"; rates changed by training: {'yes' if changed else 'no'}"
    return text, verdict(changed or max(means) < 1.2 * min(means))


@claim(
    "Q10",
    "B:L744",
    "None / ReLU (output activation of regression)",
    "targets -1, -2, 1, one free output each: MSE below 0.01 with both",
)
def relu_output(run: Run) -> tuple[str, str]:
    targets, ends = np.array([-1.0, -2.0, 1.0]), {}
    for name, f in (("none", functional.identity), ("ReLU", functional.relu)):
        z = descend(lambda v, f=f: losses.mse(f(v), targets), np.full(3, 0.5), optim.SGD(0.5), 200)
        ends[name] = float(losses.mse(f(z), targets))
    text = ", ".join(f"{name}: MSE {value:.5f}" for name, value in ends.items())
    return text, verdict(max(ends.values()) < 0.01,
                         only_if=("no output activation is used, or no target is negative",
                                  ends["none"] < 0.01))  # fmt: skip


def _classes(seed: int, rows: int, columns: int) -> Data:
    """Four classes around random centers."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(seed % 1000 + 77).normal(size=(4, columns)) * 2 / columns**0.25
    label = rng.integers(4, size=rows)
    return (centers[label] + rng.normal(size=(rows, columns))).astype(np.float32), label


def _shared_line(columns: int) -> Callable[[int], Data]:
    """Make training and test rows of one linear rule from one seed."""
    return lambda seed: line(seed, 1300, columns)


KINDS: dict[str, Callable[[float], optim.Optimizer]] = {
    "SGD": optim.SGD, "momentum": lambda rate: optim.SGD(rate, momentum=0.9),
    "Adagrad": optim.Adagrad, "RMSprop": optim.RMSprop, "Adam": optim.Adam,
}  # fmt: skip

# Row of the table, its optimizers, loss, outputs, rows to train on, and data of a seed.
ROWS: list[tuple[str, str, tuple[str, str], str, int, int, Callable[[int], Data]]] = [
    ("B:L744", "More independent features, regression", ("Adam", "RMSprop"), "mse", 1, 300,
     _shared_line(50)),
    ("B:L745", "Less independent features, regression", ("Adam", "SGD"), "mse", 1, 300,
     _shared_line(5)),
    ("B:L746", "Large dataset, binary classification", ("Adam", "RMSprop"),
     "binary_cross_entropy_with_logits", 1, 2000, lambda seed: moons(seed, 3000)),
    ("B:L747", "Small dataset, binary classification", ("Adam", "SGD"),
     "binary_cross_entropy_with_logits", 1, 60, lambda seed: moons(seed, 1060)),
    ("B:L748", "More independent features, multiclass classification", ("Adam", "RMSprop"),
     "cross_entropy", 4, 300, lambda seed: _classes(seed, 1300, 50)),
    ("B:L749", "Less independent features, multiclass classification", ("Adam", "SGD"),
     "cross_entropy", 4, 300, lambda seed: _classes(seed, 1300, 5)),
]  # fmt: skip


def _test_loss(kind: str, rate: float, row: Any, seed: int, epochs: int) -> float:
    _, _, _, loss, outputs, rows, data = row
    x, y = data(seed)
    model = mlp([x.shape[1], 32, outputs], "relu", seed)
    try:
        fitted(model, loss, (x[:rows], y[:rows]), KINDS[kind](rate), epochs, seed=seed)
    except ValueError:  # it diverged
        return 1e6
    return float(losses.get_loss(loss)(model.predict(x[rows:]), y[rows:]))


def _recommended(row: Any) -> Callable[[Run], tuple[str, str]]:
    def measure(run: Run) -> tuple[str, str]:
        best: dict[str, Sample] = {}
        rates: dict[str, float] = {}
        for kind in KINDS:
            tried = {
                rate: Sample(_test_loss(kind, rate, row, seed, run.amount(15, 3))
                             for seed in run.seeds(10))
                for rate in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
            }  # fmt: skip
            rates[kind] = min(tried, key=lambda rate: tried[rate].mean)
            best[kind] = tried[rates[kind]]
        order = sorted(best, key=lambda kind: best[kind].mean)
        text = "test loss: " + ", ".join(f"{k} {best[k]} (η = {rates[k]:g})" for k in order)
        beaten = {
            mine: any(
                best[other].below(best[mine]) and best[other].mean < 0.95 * best[mine].mean
                for other in KINDS
            )
            for mine in row[2]
        }
        fine = [name for name, lost in beaten.items() if not lost]
        condition = f"it is {' or '.join(fine)} here"
        return text, verdict(len(fine) == 2, only_if=(condition, bool(fine)))

    return measure


for _row in ROWS:
    claim("Q10", _row[0], f"{' and '.join(_row[2])} ({_row[1]})",
          "15 epochs of a net with 32 hidden units, best of six η: no optimizer has a test loss "
          "lower by over 5 % than these two")(_recommended(_row))  # fmt: skip
