"""Errata of activation functions."""

import math
from typing import Any

import numpy as np

from chainrule import ChainruleError, functional, grad, jacobian, nn, ops, tensor
from tools.errata.book import Section
from tools.errata.numbers import DisagreementError, below, holds, near, same
from tools.errata.runs import linear_fit

section = Section("Activation functions")


@section.row(
    "E-33", "D", "B:L375, 697", "ReLU derivative \"1, z ≥ 0\"",
    "Undefined at 0, where [0, 1] are subgradients. PyTorch, TensorFlow and JAX take 0, as does "
    "chainrule.",
)  # fmt: skip
def relu_at_zero() -> str:
    h, relu = 1e-6, functional.relu
    sides = [-relu(-h) / h, relu(h) / h, (relu(h) - relu(-h)) / (2 * h)]
    return (
        f"Slope from the left, from the right, central: {same(sides, '0 1 0.5')}; chainrule "
        f"{same(grad(relu)(0.0), '0')}."
    )


def _normal_mean(f: Any) -> float:
    """Mean of f over a standard normal variable, by the trapezoid rule, kink on a node."""
    x = np.linspace(-12, 12, 240_001)
    weights = np.exp(-x * x / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    return float(np.sum(f(x) * weights))


@section.row(
    "E-34", "W", "B:L698",
    "Leaky ReLU \"Zero-centered\"; \"Inconsistent results for negative inputs\"",
    "Its mean over N(0, 1) is (1-α)/√(2π). The function is deterministic, so that the second "
    "remark says nothing.",
)  # fmt: skip
def mean_of_leaky_relu() -> str:
    f = functional
    leaky = [_normal_mean(lambda x, s=s: f.leaky_relu(x, s)) for s in (0.01, 0.3)]
    below(leaky[0] - 0.99 / math.sqrt(2 * math.pi), 1e-8)
    others = [_normal_mean(a) for a in (f.relu, f.elu, f.selu, f.tanh)]
    return (
        f"Means: leaky ReLU with α = 0.01 and 0.3 {same(leaky, '0.39495 0.27926')}; ReLU, ELU, "
        f"SELU, tanh {same(others, '0.39894 0.161 0.000 0.000')}."
    )


@section.row(
    "E-35", "D", "B:L696", "Tanh: \"Stronger gradients than sigmoid\"", "Only for |x| < 1.66289.",
)  # fmt: skip
def slope_of_tanh() -> str:
    slopes = [grad(f)(3.0) for f in (ops.tanh, ops.sigmoid)]
    low, high = 1.0, 3.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        stronger = grad(ops.tanh)(middle) > grad(ops.sigmoid)(middle)
        low, high = (middle, high) if stronger else (low, middle)
    return (
        f"Equal at {same(low, '1.66289')}; x = 3: tanh and sigmoid "
        f"{same(slopes, '0.00986604 0.04517666')}."
    )


@section.row(
    "E-36", "D", "B:L699", "ELU \"Smooth function\"",
    "Its slope is continuous for α = 1 only, its second derivative never.",
)  # fmt: skip
def smoothness_of_elu() -> str:
    def slopes(alpha: float) -> list[float]:
        return [float(grad(functional.elu)(x, alpha)) for x in (-1e-9, 1e-9)]

    second = [grad(grad(functional.elu))(x) for x in (-1e-9, 1e-9)]
    return (
        f"Slopes left and right of 0: α = 0.5 {same(slopes(0.5), '0.5 1.0')}, α = 2 "
        f"{same(slopes(2.0), '2.0 1.0')}, α = 1 {same(slopes(1.0), '1.0 1.0')}, there the second "
        f"derivative {same(second, '1 0')}."
    )


@section.row(
    "E-37", "W", "B:L700", "Softmax \"Can cause exploding gradients\"",
    "Entries of its Jacobian are at most ¼, its spectral norm at most ½; with cross-entropy the "
    "gradient's norm is at most √2. What can happen is overflow of the plain formula, and "
    "gradients that vanish where it is saturated.",
)  # fmt: skip
def softmax_never_explodes() -> str:
    rng = np.random.default_rng(0)
    cases = [rng.normal(size=2 + i % 9) * 10 ** rng.uniform(-2, 2) for i in range(3000)]
    p = [ops.softmax(z) for z in cases]
    slopes = [np.diag(q) - np.outer(q, q) for q in p]
    below(slopes[0] - jacobian(ops.softmax)(cases[0]), 1e-15)
    largest = max(abs(s).max() for s in slopes)
    norm = max(np.linalg.norm(s, 2) for s in slopes)
    holds(largest <= 0.25 + 1e-12 and norm <= 0.5 + 1e-12, "the bounds hold")
    holds([np.linalg.norm(q - np.eye(len(q))[0]) <= math.sqrt(2) for q in p], "√2 bounds them")
    with np.errstate(all="ignore"):
        powers = np.exp(np.array([1000.0, 0.0]))
        naive = powers / powers.sum()
    return (
        f"{len(cases)} random cases: largest entry {near(largest, 0.25, 0.01, 4)}, largest norm "
        f"{near(norm, 0.5, 0.01, 4)}. softmax(1000, 0) by plain formula {same(naive, 'nan 0')}, "
        f"here {same(ops.softmax(np.array([1000.0, 0.0])), '1 0')}."
    )


@section.row(
    "E-62", "U", "B:L702", "The row of PReLU lists f'(x) only; \"Learns the optimal slope\"",
    "∂f/∂α = x for x < 0, else 0; the slope is learned, which need not be optimal.",
)  # fmt: skip
def slope_of_prelu() -> str:
    by_slope = [grad(functional.prelu, 1)(x, 0.25) for x in (-2.0, 2.0)]
    return f"∂f/∂α at x = -2 and 2: {same(by_slope, '-2 0')}."


@section.row(
    "E-63", "W", "B:L704",
    "Maxout \"Doubles the number of parameters\"; derivative \"Piecewise linear\"",
    "Times k, which is 2 for two pieces only. f is piecewise linear, its derivative piecewise "
    "constant: w of the active piece.",
)  # fmt: skip
def parameters_of_maxout() -> str:
    counts = [nn.Linear(4, 3 * k).count_parameters() for k in (1, 2, 3, 4)]
    pieces = np.array([1.0, -0.5])
    slopes = [grad(lambda v: functional.maxout(v * pieces)[0])(x) for x in (-2.0, -1.0, 1.0, 2.0)]
    return (
        f"4 inputs, 3 units, k = 1 to 4: {same(counts, '15 30 45 60')} parameters. Slope of max(x, "
        f"-x/2) at -2, -1, 1, 2: {same(slopes, '-0.5 -0.5 1.0 1.0')}."
    )


@section.row(
    "E-68", "W", "B:L373", "Sigmoid squashes \"to the range [0, 1]\"",
    "The open interval (0, 1); closed by rounding only, and then (a-y)/(a(1-a)) is 0/0.",
)  # fmt: skip
def range_of_the_sigmoid() -> str:
    def first_one(dtype: Any) -> float:
        low, high = dtype(0.0), dtype(100.0)
        while (middle := dtype((low + high) / 2)) not in (low, high):
            low, high = (low, middle) if 1 / (1 + np.exp(-middle)) == 1 else (middle, high)
        return float(high)

    starts = [first_one(np.float64), first_one(np.float32)]
    a = ops.sigmoid(37.0)
    with np.errstate(invalid="ignore"):
        ratio = (np.float64(1.0) - 1) / (a * (1 - a))
    true = grad(ops.sigmoid)(37.0)
    return (
        f"1/(1+e^(-z)) is exactly 1 from z = {same(starts[0], '36.74')} on (float32 "
        f"{same(starts[1], '16.6')}); a(1-a) at 37 is {same(a * (1 - a), '0')}, chainrule's "
        f"derivative {same(true, '8.53e-17')}; a = y = 1: (a-y)/(a(1-a)) is {same(ratio, 'nan')}."
    )


@section.row(
    "E-69", "W", "B:L374", "Tanh \"Equivalent, up to scaling, to the sigmoid\"",
    "Scaling and shift: tanh z = 2σ(2z) - 1.",
)  # fmt: skip
def tanh_and_sigmoid() -> str:
    z = np.arange(-3.0, 4.0)
    error = below(ops.tanh(z) - (2 * ops.sigmoid(2 * z) - 1), 4e-16)
    s, t = ops.sigmoid(z)[:, None], ops.tanh(z)
    rest = t - s[:, 0] * linear_fit(s, t)[0]
    return (
        f"Error of the identity {error}; at z = -3, -2, …, 3 the best c·σ(z) leaves "
        f"{same(np.sum(rest**2), '3.45')} of tanh's sum of squares {same(np.sum(t**2), '5.00')}."
    )


@section.row(
    "E-70", "D", "B:L374, 696, 700, 705",
    "Formulas of tanh, softplus, softmax and sigmoid, used literally (the denominators of tanh are "
    "right)",
    "Stable forms, which chainrule's ops are.",
)  # fmt: skip
def literal_formulas() -> str:
    with np.errstate(all="ignore"):
        e = np.exp(np.float64(710.0))
        naive = [(e - 1 / e) / (e + 1 / e), np.log(1 + e), np.log(1 + np.exp(-40.0)),
                 np.log(np.sum(np.exp(np.array([1000.0, 1001.0]))))]  # fmt: skip
    both = np.array([1000.0, 1001.0])
    return (
        f"Literal and stable: tanh(710) {same(naive[0], 'nan')}, {same(ops.tanh(710.0), '1')}; "
        f"softplus(710) {same(naive[1], 'inf')}, {same(ops.softplus(710.0), '710')}; softplus(-40) "
        f"{same(naive[2], '0')}, {same(ops.softplus(-40.0), '4.248e-18')}; logsumexp(1000, 1001) "
        f"{same(naive[3], 'inf')}, {same(ops.logsumexp(both), '1001.3133')}."
    )


@section.row(
    "E-71", "D", "B:L705", "Softplus \"Always positive output\"", "In real numbers; it underflows.",
)  # fmt: skip
def softplus_underflows() -> str:
    naive = [np.log(1 + np.exp(x)) for x in (-36.0, -37.0)]
    holds(naive[0] > 0, "the literal formula is positive at -36")
    stable = [ops.softplus(x) for x in (-745.0, -746.0)]
    holds(stable[0] > 0, "the stable form is positive at -745")
    return (
        f"ln(1+e^x) is {same(naive[1], '0')} at -37; the stable form is positive down to -745 and "
        f"{same(stable[1], '0')} at -746."
    )


@section.row(
    "E-86", "D", "B:L701", "Argmax \"Not differentiable\"",
    "Piecewise constant: the gradient is 0 almost everywhere and undefined at ties, whose rule is "
    "not stated. chainrule takes the first index and refuses a gradient.",
)  # fmt: skip
def argmax_and_ties() -> str:
    first = ops.argmax(np.array([1.0, 3.0, 3.0]))
    try:
        grad(lambda x: ops.argmax(x))(np.array([1.0, 3.0, 2.0]))
    except ChainruleError as error:
        return f"argmax(1, 3, 3) = {same(first, '1')}, counted from 0. `grad` of it raises " \
               f"{type(error).__name__}."  # fmt: skip
    raise DisagreementError("the gradient of argmax was not refused")


@section.row(
    "E-97", "D", "B:L697",
    "The cell \"Advantages\" of ReLU has its drawback (\"potentially causing … dying ReLU\"); "
    "\"positive inputs\"",
    "Positive pre-activations.",
)  # fmt: skip
def positive_preactivations() -> str:
    layer = nn.Linear(2, 1).astype(np.float64)
    layer.load_state_dict({"weight": [[1.0, 1.0]], "bias": [-4.0]})
    z = layer(tensor([[1.0, 2.0]], dtype=np.float64))
    outputs = [z.item(), functional.relu(z).item()]
    return f"Inputs 1 and 2, both positive, weights 1, bias -4: z and a = {same(outputs, '-1 0')}."
