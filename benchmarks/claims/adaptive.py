"""Claims on Adagrad, RMSprop and Adadelta."""

import numpy as np

from benchmarks.claims.book import Run, Sample, claim, verdict
from benchmarks.claims.contests import (
    RATES,
    bce,
    bowl,
    listed,
    net_loss,
    sparse_loss,
    tracking,
    tuned,
)
from benchmarks.claims.nets import fitted, mlp, moons
from chainrule import losses, ops, optim
from tools.errata.runs import descend, path


@claim(
    "O23",
    "B:L733",
    "Works well with sparse data (Adagrad)",
    "logistic model on rare columns, 5 epochs: lower loss than SGD, each with its best of eight η",
)
def adagrad_on_sparse_data(run: Run) -> tuple[str, str]:
    found = tuned(
        {"SGD": optim.SGD, "Adagrad": optim.Adagrad}, RATES, sparse_loss(run), run.seeds(6)
    )
    return listed(found), verdict(found["Adagrad"][1].below(found["SGD"][1]))


@claim(
    "O31",
    "B:L735",
    "Good performance on sparse data (RMSprop)",
    "same rows: lower loss than SGD, each with its best of eight η",
)
def rmsprop_on_sparse_data(run: Run) -> tuple[str, str]:
    found = tuned(
        {"SGD": optim.SGD, "RMSprop": optim.RMSprop}, RATES, sparse_loss(run), run.seeds(6)
    )
    return listed(found), verdict(found["RMSprop"][1].below(found["SGD"][1]))


@claim(
    "O23",
    "B:L733",
    "Eliminates manual tuning of learning rate (Adagrad)",
    "same rows: loss of the worst η of 0.01, 0.1, 1 within 20 % of the best",
)
def adagrad_needs_a_rate(run: Run) -> tuple[str, str]:
    score = sparse_loss(run)
    found = {r: Sample(score(optim.Adagrad(r), s) for s in run.seeds(6)) for r in (0.01, 0.1, 1.0)}
    means = [sample.mean for sample in found.values()]
    text = ", ".join(f"η = {rate}: {found[rate]}" for rate in found)
    return text, verdict(max(means) < 1.2 * min(means))


@claim(
    "O23",
    "B:L733",
    "May stop learning too early (Adagrad)",
    "constant gradient: step 100 at most η/10; drifting target: error above that of SGD",
)
def adagrad_stops(run: Run) -> tuple[str, str]:
    points = path(lambda x: x / 2, 0.0, optim.Adagrad(0.1), 100)
    share = float(points[-2] - points[-1]) / 0.1
    found = tracking({"SGD": optim.SGD, "Adagrad": optim.Adagrad}, run)
    text = f"step 100: {share:.3f} η; tracking error {listed(found)}"
    return text, verdict(share < 0.1 + 1e-9 and found["SGD"][1].below(found["Adagrad"][1]))


@claim(
    "O25",
    "B:L735",
    "Works well in online and non-stationary settings (RMSprop)",
    "walking target, one row at a time: lower error than Adagrad, each with its best of five η",
)
def rmsprop_tracks(run: Run) -> tuple[str, str]:
    found = tracking({"RMSprop": optim.RMSprop, "Adagrad": optim.Adagrad, "SGD": optim.SGD}, run)
    return listed(found), verdict(found["RMSprop"][1].below(found["Adagrad"][1]))


@claim(
    "O31",
    "B:L734",
    "May perform poorly in online learning scenarios (Adadelta)",
    "same stream: higher error than RMSprop and SGD",
)
def adadelta_online(run: Run) -> tuple[str, str]:
    found = tracking({"RMSprop": optim.RMSprop, "SGD": optim.SGD}, run)
    found |= tracking({"Adadelta": lambda rate: optim.Adadelta()}, run)
    worse = all(found[name][1].below(found["Adadelta"][1]) for name in ("RMSprop", "SGD"))
    return listed(found).replace("(η = 0.01)", "(η as given)"), verdict(worse)


@claim(
    "O24",
    "B:L734",
    "No need to set a default learning rate (Adadelta)",
    "moons, 20 epochs: loss as given no more than that with the best of eight η",
)
def adadelta_needs_no_rate(run: Run) -> tuple[str, str]:
    score = net_loss(run)
    default = Sample(score(optim.Adadelta(), s) for s in run.seeds(6))
    rate, best = tuned({"tuned": lambda r: optim.Adadelta(lr=r)}, RATES, score,
                        run.seeds(6))["tuned"]  # fmt: skip
    return f"as given {default}, best η = {rate:g} {best}", verdict(not best.below(default))


@claim(
    "O24",
    "B:L734",
    "Robust to large gradients (Adadelta)",
    "gradients × 1000 move the end after 200 steps by less than 1 %, with ε = 1e-6",
)
def adadelta_and_large_gradients(run: Run) -> tuple[str, str]:
    ends = {
        name: [descend(lambda x, s=scale: s * bowl(x), np.ones(2), optimizer, 200)
               for scale in (1.0, 1000.0)]
        for name, optimizer in (("Adadelta", optim.Adadelta()), ("Adam", optim.Adam(0.01)))
    }  # fmt: skip
    gaps = {name: float(np.max(np.abs(a / b - 1))) for name, (a, b) in ends.items()}
    text = ", ".join(f"{name}: largest relative difference {gap:.1e}" for name, gap in gaps.items())
    return text, verdict(gaps["Adadelta"] < 0.01)


@claim(
    "O24",
    "B:L734",
    "May be slower than other adaptive methods (Adadelta)",
    "moons, 20 epochs: higher loss, as given, than Adam and RMSprop as given",
)
def adadelta_is_slow(run: Run) -> tuple[str, str]:
    score = net_loss(run)
    kinds = {"Adadelta": optim.Adadelta(), "Adam": optim.Adam(), "RMSprop": optim.RMSprop()}
    found = {name: Sample(score(o, s) for s in run.seeds(6)) for name, o in kinds.items()}
    text = ", ".join(f"{name} {found[name]}" for name in found)
    return text, verdict(all(found[name].below(found["Adadelta"]) for name in ("Adam", "RMSprop")))


@claim(
    "O31",
    "B:L734",
    "Sensitive to initial conditions (Adadelta)",
    "ε of 1e-8, 1e-6, 1e-4: the worst loss more than twice the best",
)
def adadelta_and_epsilon(run: Run) -> tuple[str, str]:
    score = net_loss(run)
    found = {eps: Sample(score(optim.Adadelta(eps=eps), s) for s in run.seeds(6))
             for eps in (1e-8, 1e-6, 1e-4)}  # fmt: skip
    means = [sample.mean for sample in found.values()]
    text = ", ".join(f"ε = {eps:g}: {found[eps]}" for eps in found)
    return text, verdict(max(means) > 2 * min(means))


@claim(
    "O31",
    "B:L733",
    "Automatically adapts to feature importance (Adagrad)",
    "two columns of one scale, weights 3 and 0.3: the ratio of the first 20 moves is that of the "
    "weights within 20 %",
)
def adagrad_and_importance(run: Run) -> tuple[str, str]:
    moves = {}
    for name, importance, scale in (("importance", [3.0, 0.3], [1.0, 1.0]),
                                    ("scale", [1.0, 1.0], [1.0, 0.1])):  # fmt: skip
        ratios = []
        for seed in run.seeds(8):
            x = np.linalg.qr(np.random.default_rng(seed).normal(size=(200, 2)))[0] * scale * 14
            y = x @ np.array(importance)
            w = descend(lambda v, x=x, y=y: losses.mse(ops.matmul(x, v), y), np.zeros(2),
                        optim.Adagrad(0.01), 20)  # fmt: skip
            ratios.append(float(w[0] / w[1]))
        moves[name] = Sample(ratios)
    text = (
        f"ratio of moves: importance 10 : 1 {moves['importance']}, scale 10 : 1 {moves['scale']}; "
        f"it divides out the size of gradients"
    )
    return text, verdict(abs(moves["importance"].mean - 10) < 2)


@claim(
    "O31",
    "B:L735",
    "Can suffer from slowing down at the end of training (RMSprop)",
    "bowl, constant η: stays above 1e-6, where SGD falls below",
)
def rmsprop_at_the_end(run: Run) -> tuple[str, str]:
    ends = {}
    for name, rule in (
        ("RMSprop", optim.RMSprop(0.01)),
        ("SGD", optim.SGD(0.015)),
    ):
        points = path(bowl, np.ones(2), rule, 3000)
        ends[name] = max(float(np.linalg.norm(p)) for p in points[-50:])
    text = ", ".join(f"{name}: distance {d:.1e} after 3000 steps" for name, d in ends.items())
    return text, verdict(ends["RMSprop"] > 1e-6 > ends["SGD"])


@claim(
    "O31",
    "B:L734",
    "Can have trouble making progress on deep networks (Adadelta)",
    "moons, 8 hidden layers, 30 epochs: higher loss, as given, than Adam",
)
def adadelta_on_deep_nets(run: Run) -> tuple[str, str]:
    found = {}
    for name, rule in (("Adadelta", optim.Adadelta()), ("Adam", optim.Adam())):
        ends = []
        for seed in run.seeds(6):
            model, data = mlp([2, *[32] * 8, 1], "relu", seed), moons(seed, 300)
            history = fitted(model, bce, data, rule, run.amount(30, 3), seed=seed)
            ends.append(history["loss"][-1])
        found[name] = Sample(ends)
    text = ", ".join(f"{name} {found[name]}" for name in found)
    return text, verdict(found["Adam"].below(found["Adadelta"]))
