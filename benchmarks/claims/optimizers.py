"""Claims on momentum and Adam."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.claims.book import Run, claim, verdict
from benchmarks.claims.contests import (
    CURVATURES,
    RATES,
    bce,
    bowl,
    listed,
    net_loss,
    sparse_loss,
    tuned,
)
from benchmarks.claims.nets import fitted, mlp, mse, waves
from chainrule import nn, optim
from tools.errata.runs import descend, double_well, first_step, path


@claim(
    "O14",
    "B:L736",
    "Bias correction helps in the initial stages of training (Adam)",
    "without it the first step is more than twice η",
)
def bias_correction(run: Run) -> tuple[str, str]:
    adam, g = optim.Adam(lr=1.0), np.array(1.0)
    _, state = adam.update(np.zeros(()), g, adam.init(g), 1, 1.0)
    plain = float(state["mean"] / (np.sqrt(state["mean_square"]) + adam.eps))
    corrected = -first_step(adam, 1.0)
    text = f"first step: {corrected:.3f} η with, {plain:.3f} η without"
    return text, verdict(plain > 2 and abs(corrected - 1) < 1e-3)


def _steps(momentum: float) -> tuple[int, int]:
    """Give the steps to a value of 1e-6 on the bowl at the best rate, and turns on the way."""
    best = (10**9, 0)
    best_in_theory = 2 / 101, 4 / 121
    for rate in (*np.geomspace(0.003, 0.08, 15), *best_in_theory):
        with np.errstate(all="ignore"):
            rule = optim.SGD(float(rate), momentum=momentum)
            points = np.array(path(bowl, np.ones(2), rule, 1000))
            values = points**2 @ CURVATURES / 2
        if not np.all(np.isfinite(values)) or values[-1] > 1e-6:
            continue
        needed = int(np.flatnonzero(values > 1e-6)[-1]) + 1
        turns = int(np.sum(np.diff(np.sign(points[:needed, 1])) != 0))
        if needed < best[0]:
            best = (needed, turns)
    return best


@claim(
    "O22",
    "B:L732",
    "Faster convergence (momentum)",
    "bowl of curvatures 1 and 100: fewer steps to a value of 1e-6, each with its best η",
)
def momentum_is_faster(run: Run) -> tuple[str, str]:
    plain, quick = _steps(0.0), _steps(0.67)
    return f"γ = 0: {plain[0]} steps, γ = 0.67: {quick[0]}", verdict(quick[0] < plain[0])


@claim(
    "O22",
    "B:L732",
    "Reduces oscillations in SGD (momentum)",
    "the same bowl: fewer changes of sign of the steep coordinate until 1e-6, each with its best η "
    "and at one η for both",
)
def momentum_oscillates(run: Run) -> tuple[str, str]:
    plain, quick = _steps(0.0), _steps(0.67)
    paths = [
        np.array(path(bowl, np.ones(2), optim.SGD(0.0005, momentum=m), 400)) for m in (0.0, 0.67)
    ]
    turns = [int(np.sum(np.diff(np.sign(p[:, 1])) != 0)) for p in paths]
    text = (
        f"best η: γ = 0 {plain[1]} changes in {plain[0]} steps, γ = 0.67 {quick[1]} in {quick[0]}; "
        f"η = 0.0005, 400 steps: {turns[0]} and {turns[1]}"
    )
    fewer = quick[1] < plain[1]
    return text, verdict(fewer and turns[1] <= turns[0],
                         only_if=("η is as large as plain descent bears", fewer))  # fmt: skip


@claim(
    "O22",
    "B:L732",
    "Can overshoot the minimum (momentum)",
    "f = x² from 1, η = 0.01: crosses 0 with γ = 0.9, not with 0",
)
def momentum_overshoots(run: Run) -> tuple[str, str]:
    least = [float(min(path(lambda x: x * x, 1.0, optim.SGD(0.01, momentum=m), 300)))
             for m in (0.0, 0.9)]  # fmt: skip
    return f"least x: γ = 0 {least[0]:.3f}, γ = 0.9 {least[1]:.3f}", verdict(
        least[1] < 0 <= least[0]
    )


@claim(
    "O22",
    "B:L85",
    "Momentum helps avoid local minima",
    "f = x⁴-3x²+x from 2, η = 0.01: every γ reaches the global minimum, γ = 0 does not",
)
def momentum_escapes(run: Run) -> tuple[str, str]:
    ends = {m: float(descend(double_well, 2.0, optim.SGD(0.01, momentum=m), 2000))
            for m in (0.0, 0.5, 0.7, 0.8, 0.9)}  # fmt: skip
    escaped = {m: x < 0 for m, x in ends.items()}
    text = ", ".join(f"γ = {m}: {x:.4f}" for m, x in ends.items())
    large = min((m for m, out in escaped.items() if out), default=0.0)
    return text, verdict(all(out for m, out in escaped.items() if m) and not escaped[0.0],
                         only_if=(f"γ is large, here {large}", large > 0))  # fmt: skip


@claim(
    "O31",
    "B:L732",
    "May perform poorly with sparse data (momentum)",
    "same rows: higher loss than without momentum, each with its best of eight η",
)
def momentum_on_sparse_data(run: Run) -> tuple[str, str]:
    kinds = {"SGD": optim.SGD, "momentum 0.9": lambda rate: optim.SGD(rate, momentum=0.9)}
    found = tuned(kinds, RATES, sparse_loss(run), run.seeds(6))
    return listed(found), verdict(found["SGD"][1].below(found["momentum 0.9"][1]))


@claim(
    "O26",
    "B:L736",
    "Works well in practice for many problems (Adam)",
    "moons, waves, rare columns: with its best η no worse than SGD with its best on any",
)
def adam_works(run: Run) -> tuple[str, str]:
    def wave_loss(optimizer: optim.Optimizer, seed: int) -> float:
        model, data = mlp([2, 32, 1], "tanh", seed), waves(seed, 300)
        fitted(model, "mse", data, optimizer, run.amount(20, 3), seed=seed)
        return mse(model, data)

    tasks = {"moons": net_loss(run), "waves": wave_loss, "rare columns": sparse_loss(run)}
    kinds = {"SGD": optim.SGD, "Adam": optim.Adam}
    found = {n: tuned(kinds, RATES[:-2], score, run.seeds(5)) for n, score in tasks.items()}
    text = "; ".join(f"{name}: {listed(parts)}" for name, parts in found.items())
    return text, verdict(
        not any(parts["SGD"][1].below(parts["Adam"][1]) for parts in found.values())
    )


@claim(
    "O26",
    "B:L736",
    "Can be outperformed by SGD in some cases (Adam)",
    "linear regression without noise, 3 epochs with a cosine schedule: SGD has the lower error",
)
def adam_is_outperformed(run: Run) -> tuple[str, str]:
    def score(optimizer: optim.Optimizer, seed: int) -> float:
        x = np.random.default_rng(seed).normal(size=(400, 5)).astype(np.float32)
        model = nn.Linear(5, 1, seed=seed)
        fitted(model, "mse", (x, x[:, :1] * 2), optimizer, 3, seed=seed, schedule="cosine")
        return mse(model, (x, x[:, :1] * 2))

    found = tuned({"SGD": optim.SGD, "Adam": optim.Adam}, RATES[:-2], score, run.seeds(6))
    return listed(found), verdict(found["SGD"][1].below(found["Adam"][1]))


@claim(
    "O26",
    "B:L736",
    "May have high memory requirements (Adam)",
    "more arrays of state per weight than SGD, momentum, Adagrad and RMSprop",
)
def memory_of_adam(run: Run) -> tuple[str, str]:
    kinds: dict[str, optim.Optimizer] = {
        "SGD": optim.SGD(), "momentum": optim.SGD(momentum=0.9), "Adagrad": optim.Adagrad(),
        "RMSprop": optim.RMSprop(), "Adadelta": optim.Adadelta(), "Adam": optim.Adam(),
    }  # fmt: skip
    arrays = {name: len(o.init(np.zeros(4))) for name, o in kinds.items()}
    text = ", ".join(f"{name} {n}" for name, n in arrays.items())
    others = ("SGD", "momentum", "Adagrad", "RMSprop")
    return text, verdict(all(arrays["Adam"] > arrays[name] for name in others))


@claim(
    "O31",
    "B:L731",
    "May struggle with very small datasets (mini-batch)",
    "20 rows, 300 steps: higher test error with batches of 4 than with all rows, each at its "
    "best η",
)
def minibatches_of_few_rows(run: Run) -> tuple[str, str]:
    def score_of(size: int | None) -> Callable[[optim.Optimizer, int], float]:
        def score(optimizer: optim.Optimizer, seed: int) -> float:
            model, data = mlp([2, 16, 1], "tanh", seed), waves(seed, 20)
            epochs = 60 if size else 300
            fitted(model, "mse", data, optimizer, epochs, batch_size=size, seed=seed)
            return mse(model, waves(seed + 1000, 500))

        return score

    found = {name: tuned({name: optim.SGD}, (0.01, 0.03, 0.1, 0.3), score_of(size),
                          run.seeds(8))[name]
             for name, size in (("batches of 4", 4), ("all rows", None))}  # fmt: skip
    return listed(found), verdict(found["all rows"][1].below(found["batches of 4"][1]))


@claim(
    "O31",
    "B:L732",
    "Can accumulate too much momentum in wrong directions",
    "gradient that turns its sign after 100 steps: momentum 0.9 goes on for more than 5 steps",
)
def momentum_goes_on(run: Run) -> tuple[str, str]:
    later = {}
    for momentum in (0.0, 0.9):
        rule, x, state, xs = optim.SGD(0.01, momentum=momentum), np.zeros(()), None, []
        state = rule.init(x)
        for t in range(1, 201):
            x, state = rule.update(x, np.array(-1.0 if t <= 100 else 1.0), state, t, rule.lr)
            xs.append(float(x))
        later[momentum] = int(np.argmax(xs)) - 99
    text = ", ".join(f"γ = {m}: {n} steps further" for m, n in later.items())
    return text, verdict(later[0.9] > 5 and later[0.0] == 0)


def _recalled(
    layer_of: Callable[[], nn.Module], run: Run
) -> Callable[[optim.Optimizer, int], float]:
    """Recall the sign of the first of six numbers: the loss after some epochs."""

    def score(optimizer: optim.Optimizer, seed: int) -> float:
        x = np.random.default_rng(seed).normal(size=(200, 6, 1)).astype(np.float32)
        data = x, (x[:, 0] > 0).astype(np.float32)
        model = nn.Sequential(layer_of(), nn.Linear(16, 1), seed=seed)
        fitted(model, bce, data, optimizer, run.amount(20, 2), batch_size=20, seed=seed)
        return float(bce(model.predict(data[0]), data[1]))

    return score


@claim(
    "O31",
    "B:L732",
    "Works well with RNNs (momentum)",
    "sign of the first of six numbers, 20 epochs, RNN and LSTM: lower loss than without momentum, "
    "each with its best of five η",
)
def momentum_of_recurrent_nets(run: Run) -> tuple[str, str]:
    makers = {"SGD": optim.SGD, "momentum 0.9": lambda rate: optim.SGD(rate, momentum=0.9)}
    rates = (0.01, 0.03, 0.1, 0.3, 1.0)
    last: dict[str, Any] = {"batch_first": True, "returns": "last"}
    kinds: dict[str, Callable[[], nn.Module]] = {
        "RNN": lambda: nn.RNN(1, 16, **last),
        "LSTM": lambda: nn.LSTM(1, 16, forget_bias=1.0, **last),
    }
    texts, better = [], {}
    for name, layer_of in kinds.items():
        found = tuned(makers, rates, _recalled(layer_of, run), run.seeds(12))
        texts.append(f"{name}: {listed(found)}")
        better[name] = found["momentum 0.9"][1].below(found["SGD"][1])
    only = next((name for name, holds in better.items() if holds), "")
    return "; ".join(texts), verdict(all(better.values()), only_if=(f"it is an {only}", bool(only)))
