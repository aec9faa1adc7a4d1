"""Claims on depth: gradients that vanish or explode, starts of weights, batch normalization."""

import copy
import math
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.claims.book import Run, Sample, claim, verdict
from benchmarks.claims.nets import accuracy, fitted, moons
from chainrule import functional, grad, losses, nn, no_grad, ops, optim
from chainrule.nn.init import get_initializer

bce = losses.binary_cross_entropy_with_logits


def gradient_ratio(activation: str, spread: float, seed: int, depth: int = 30) -> float:
    """Gradient norm by the input over that by the output; 64 units, weights of spread / 8."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(64, 64)) * spread / 8 for _ in range(depth)]
    direction, f = rng.normal(size=64), functional.get_activation(activation)

    def stack(x: Any) -> Any:
        for w in weights:
            x = f(ops.matmul(w, x))
        return ops.sum(x * direction)

    return float(ops.norm(grad(stack)(rng.normal(size=64))) / ops.norm(direction))


def _ratios(activation: str, spread: float, run: Run) -> Sample:
    return Sample(gradient_ratio(activation, spread, seed) for seed in run.seeds(10))


@claim(
    "V01",
    "A:L107",
    "occurs when the gradients become extremely small during backpropagation",
    "30 sigmoid layers: gradient by the input below 1e-15 of that by the output",
)
def vanishing(run: Run) -> tuple[str, str]:
    ratio = _ratios("sigmoid", 1.0, run)
    slope = float(grad(ops.sigmoid)(0.0))
    text = f"ratio {ratio}; the slope is at most {slope}, and {slope}¹⁰ = {slope**10:.1e}"
    return text, verdict(ratio.values.max() < 1e-15)


@claim(
    "V02",
    "A:L107",
    "arises when the gradients become excessively large, leading to unstable updates "
    "and numerical instability",
    "30 linear layers of gain 2: ratio above 1e8",
)
def exploding(run: Run) -> tuple[str, str]:
    ratio = _ratios("identity", 2.0, run)
    return f"ratio {ratio}", verdict(ratio.values.min() > 1e8)


@claim(
    "V03",
    "A:L107",
    "the use of activation functions with well-behaved gradients (e.g., ReLU)",
    "30 layers: median ratio within [0.1, 10], with He's start and with a smaller one",
)
def relu_and_he(run: Run) -> tuple[str, str]:
    he, small = _ratios("relu", math.sqrt(2), run), _ratios("relu", 0.5, run)
    fine = [0.1 <= float(np.median(s.values)) <= 10 for s in (he, small)]
    text = f"ReLU, He's start: {he} (median {np.median(he.values):.2f}); spread 0.5/√n: {small}"
    return text, verdict(all(fine), only_if=("the weights start as He's", fine[0]))


def _loss_after(seed: int, clip: float | None, steps: int) -> float:
    """Train x_t = W x_{t-1} + u over 60 times by steps of 0.01, and give the loss."""
    rng = np.random.default_rng(seed)
    w, u = 1.2 * np.linalg.qr(rng.normal(size=(8, 8)))[0], rng.normal(size=8)
    target = rng.normal(size=8)

    def loss(w: Any) -> Any:
        x = np.zeros(8)
        for _ in range(60):
            x = ops.matmul(w, x) + u
        return losses.mse(x, target)

    with np.errstate(all="ignore"):
        for _ in range(steps):
            g = [grad(loss)(w)]
            if clip is not None:
                g, _ = optim.clip_by_norm(g, clip)
            w = w - 0.01 * g[0]
        return float(loss(w))


@claim(
    "V05",
    "A:L107",
    "techniques such as gradient clipping (for exploding gradients)",
    "linear recurrence over 60 times: the loss is not finite without clipping, finite and lower "
    "than at the start with it",
)
def clipping(run: Run) -> tuple[str, str]:
    steps = run.amount(100, 20)
    free = [_loss_after(s, None, steps) for s in run.seeds(5)]
    clipped = [_loss_after(s, 1.0, steps) for s in run.seeds(5)]
    start = [_loss_after(s, None, 0) for s in run.seeds(5)]
    broken = sum(not math.isfinite(v) for v in free)
    text = (
        f"not finite in {broken} of {len(free)} runs without; with clipping at norm 1 log10 of the "
        f"loss from {Sample(np.log10(start))} to {Sample(np.log10(clipped))}"
    )
    lower = all(c < s for c, s in zip(clipped, start, strict=True))
    return text, verdict(broken == len(free) and lower)


@claim(
    "V05",
    "A:L107",
    "techniques such as gradient clipping (for vanishing gradients)",
    "a gradient of norm 1e-9 is made larger by clipping at norm 1",
)
def clipping_small_gradients(run: Run) -> tuple[str, str]:
    small = np.array([6e-10, 8e-10])
    after = optim.global_norm(optim.clip_by_norm([small], 1.0)[0])
    return f"norm before 1e-09, after {after:.0e}", verdict(after > 1.01e-9)


@claim(
    "R17",
    "B:L773",
    "How do different initialization methods affect training? (variance)",
    "30 ReLU layers of 64 units: He's start keeps the spread within [0.1, 10], 0.01 falls below "
    "1e-10",
)
def variance_through_depth(run: Run) -> tuple[str, str]:
    found = {}
    for name in ("he_normal", "xavier_normal", "small_normal"):
        spreads = []
        for seed in run.seeds(10):
            rng = np.random.default_rng(seed)
            x = rng.normal(size=(64, 64))
            for _ in range(30):
                x = functional.relu(x @ get_initializer(name)((64, 64), rng).T)
            spreads.append(float(x.std()))
        found[name] = Sample(spreads)
    text = "spread after 30 layers: " + ", ".join(f"{name} {found[name]}" for name in found)
    he, small = found["he_normal"].values, found["small_normal"].values
    return text, verdict(bool(np.all((he > 0.1) & (he < 10)) and small.max() < 1e-10))


@claim(
    "R17",
    "B:L773",
    "How do different initialization methods affect training? (result)",
    "10 hidden ReLU layers on moons: higher accuracy with He's start than with spread 0.01",
)
def start_and_result(run: Run) -> tuple[str, str]:
    found = {}
    for name in ("he_normal", "xavier_normal", "small_normal"):
        scores = []
        for seed in run.seeds(6):
            sizes = [2, *[32] * 10, 1]
            layers: list[nn.Module] = []
            for a, b in pairwise(sizes):
                layers += [nn.Linear(a, b, init=name), nn.Activation("relu")]
            model, data = nn.Sequential(*layers[:-1]).initialize(seed), moons(seed, 300)
            fitted(model, bce, data, optim.SGD(0.05), run.amount(50, 5), seed=seed)
            scores.append(accuracy(model, moons(seed + 1000, 1000)))
        found[name] = Sample(scores)
    text = "accuracy: " + ", ".join(f"{name} {found[name]}" for name in found)
    return text, verdict(found["small_normal"].below(found["he_normal"]))


def _normalized(place: str, seed: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (2, 32, 32, 32, 32, 32):
        layers.append(nn.Linear(width, 32))
        norm, activation = nn.BatchNorm1d(32), nn.Activation("relu")
        layers += {"none": [activation], "before": [norm, activation],
                   "after": [activation, norm]}[place]  # fmt: skip
    return nn.Sequential(*layers, nn.Linear(32, 1)).initialize(seed)


@claim(
    "R08",
    "B:L768",
    "faster convergence (batch normalization)",
    "6 hidden layers on moons, best of four η: lower training loss after 10 epochs with "
    "normalization before the activation than without",
)
def batch_normalization(run: Run) -> tuple[str, str]:
    found, rates = {}, {}
    for place in ("none", "before", "after"):
        tried = {}
        for rate in (0.01, 0.03, 0.1, 0.3):
            ends = []
            for seed in run.seeds(6):
                try:
                    history = fitted(_normalized(place, seed), bce, moons(seed, 320),
                                     optim.SGD(rate), run.amount(10, 3), seed=seed)  # fmt: skip
                    ends.append(history["loss"][-1])
                except ValueError:  # it diverged
                    ends.append(10.0)
            tried[rate] = Sample(ends)
        rates[place] = min(tried, key=lambda rate: tried[rate].mean)
        found[place] = tried[rates[place]]
    text = ", ".join(f"{p}: {found[p]} (η = {rates[p]})" for p in found)
    return text, verdict(found["before"].below(found["none"]))


def _drift(place: str, seed: int, epochs: int) -> float:
    """Measure how far the mean input of the fourth layer moves in training, in its spreads."""
    model, data = _normalized(place, seed), moons(seed, 320)
    before_fourth = 6 if place == "none" else 9
    means, spreads = [], []
    for _ in range(epochs):
        probe = nn.Sequential(*list(copy.deepcopy(model))[:before_fourth])
        with no_grad():  # by the statistics of these rows, as in training
            x = probe(data[0]).numpy()
        means.append(x.mean(axis=0))
        spreads.append(float(x.std()))
        fitted(model, bce, data, optim.SGD(0.1), 1, seed=seed)
    moved = [float(np.linalg.norm(b - a)) for a, b in pairwise(means)]
    return float(np.mean(moved) / np.mean(spreads))


@claim(
    "R08",
    "B:L768",
    "Internal covariate shift (as what batch normalization removes)",
    "η = 0.1: the mean input of the fourth layer moves less from epoch to epoch than without",
)
def covariate_shift(run: Run) -> tuple[str, str]:
    epochs = run.amount(12, 4)
    found = {
        place: Sample(_drift(place, s, epochs) for s in run.seeds(8))
        for place in ("none", "before")
    }
    text = f"moves per epoch, in spreads: without {found['none']}, with {found['before']}"
    return text, verdict(found["before"].below(found["none"]))
