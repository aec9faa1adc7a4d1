"""Errata of optimizers."""

import math

import numpy as np

from chainrule import optim
from tools.errata.book import Section
from tools.errata.numbers import below, same
from tools.errata.runs import descend, double_well, first_step, path

section = Section("Optimizers")


@section.row(
    "E-21", "U", "B:L736", "Adam's \"m̂(t)\", \"v̂(t)\" are never defined",
    "m̂ = m/(1-β1^t), v̂ = v/(1-β2^t).",
)  # fmt: skip
def bias_correction() -> str:
    adam, g = optim.Adam(lr=1.0), np.array(1.0)
    _, state = adam.update(np.zeros(()), g, adam.init(g), 1, 1.0)
    without = state["mean"] / (math.sqrt(state["mean_square"]) + adam.eps)
    return f"First step/η: {same(-first_step(adam, 1.0), '1.00000')} with the correction, " \
           f"{same(without, '3.16227666')} without."  # fmt: skip


@section.row(
    "E-22", "U", "B:L734", "Adadelta's RMS without ε and ρ",
    "RMS[x] = √(E[x²] + ε) with ε > 0, E a running mean with decay ρ.",
)  # fmt: skip
def epsilon_of_adadelta() -> str:
    still = descend(lambda x: x / 2, 0.0, optim.Adadelta(rho=0.95, eps=0.0), 100)
    first = first_step(optim.Adadelta(rho=0.95, eps=1e-6), 0.5)
    return f"g = 0.5: ε = 0 has moved by {same(still, '0')} after 100 steps; ε = 1e-6, ρ = 0.95: " \
           f"first step {same(first, '-0.00447196')}."  # fmt: skip


@section.row(
    "E-24", "I", "B:L766", "L2 regularization and weight decay as one concept",
    "Equal for plain SGD only: `weight_decay` of `optim.Adam` is coupled, of `optim.AdamW` "
    "decoupled.",
)  # fmt: skip
def decay_and_penalty() -> str:
    def moved(optimizer: optim.Optimizer) -> float:
        one = np.ones(())
        return float(optimizer.update(one, one * 0.1, optimizer.init(one), 1, 0.01)[0])

    ends = [moved(kind(lr=0.01, weight_decay=0.1)) for kind in (optim.Adam, optim.AdamW, optim.SGD)]
    decoupled = 1.0 * (1 - 0.01 * 0.1) + first_step(optim.SGD(0.01), 0.1)
    return (
        f"θ = 1, g = 0.1, λ = 0.1, η = 0.01: Adam {same(ends[0], '0.99')}, AdamW "
        f"{same(ends[1], '0.989')}; SGD {same(ends[2], '0.998')}, decoupled "
        f"{same(decoupled, '0.998')}."
    )


@section.row(
    "E-74b", "I", "B:L733",
    "Adagrad for \"Computer vision tasks\" but \"Not suitable for non-convex optimization in deep "
    "learning\"; \"Eliminates manual tuning of learning rate\" though η is in the rule",
    "η is still to be set; it is used on losses that are not convex.",
)  # fmt: skip
def rate_of_adagrad() -> str:
    def last_step(rate: float) -> float:
        points = path(lambda x: x / 2, 0.0, optim.Adagrad(rate), 100)
        return float(points[-2] - points[-1])

    ratios = [last_step(rate) / rate for rate in (0.1, 0.5)]
    return f"Constant gradient, step 100 over η: {same(ratios, '0.1 0.1')} for η = 0.1 and 0.5, " \
           f"so η/10 and proportional to η."  # fmt: skip


@section.row(
    "E-74c", "I", "B:L734",
    "Adadelta \"Robust to … architecture choices\", for \"Deep neural networks\", against "
    "\"trouble making progress on deep networks\", \"Sensitive to initial conditions\"",
    "They contradict each other.",
)  # fmt: skip
def adadelta_and_scale() -> str:
    scales = [-first_step(optim.Adadelta(eps=1e-6), g) for g in (0.5, 500.0)]
    epsilons = [-first_step(optim.Adadelta(eps=eps), 0.5) for eps in (1e-6, 1e-8)]
    return (
        f"First step for g = 0.5 and 500: {same(scales, '0.003162 0.003162')}, the scale does not "
        f"matter; for ε = 1e-6 and 1e-8: {same(epsilons, '0.00316 0.00032')}, the start does."
    )


@section.row(
    "E-67", "D", "A:L109; B:L85, 732",
    "Momentum \"(e.g., Adam)\", \"escape local minima\"; \"Momentum helps avoid local minima\"",
    "Adam is adaptive and has momentum; an escape is not guaranteed.",
)  # fmt: skip
def escape_by_momentum() -> str:
    ends = [descend(double_well, 2.0, optim.SGD(0.01, momentum=m), 3000) for m in (0.0, 0.5, 0.9)]
    values = [double_well(x) for x in ends]
    return (
        f"f = x⁴-3x²+x, x₀ = 2, η = 0.01: γ = 0, 0.5, 0.9 end at "
        f"{same(ends, '1.1309 1.1309 -1.3008')}, f = {same(values, '-1.0702 -1.0702 -3.5139')}."
    )


@section.row(
    "E-92", "D", "B:L731-732",
    "\"Momentum: Problems with small, frequent features\"; mini-batch \"Typically uses a fixed "
    "learning rate\"",
    "Unsupported. Momentum multiplies the rate of every feature by the same 1/(1-γ).",
)  # fmt: skip
def momentum_and_small_features() -> str:
    sizes = np.array([1.0, 0.001])
    points = path(lambda x: (x * sizes).sum(), np.zeros(2), optim.SGD(0.01, momentum=0.9), 300)
    gain = (points[-2] - points[-1]) / (0.01 * sizes)
    below(gain - 1 / (1 - 0.9), 1e-9)
    return f"Constant gradients 1 and 0.001, γ = 0.9: step over ηg {same(gain, '10 10')}."
