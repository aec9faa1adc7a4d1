"""Errata of the worked 2-2-1 example."""

import numpy as np

from chainrule import grad, losses, nn, ops
from tools.errata import example
from tools.errata.book import Section
from tools.errata.numbers import below, holds, same

section = Section("The worked 2-2-1 example (B:L496-683)")


def _slopes_of_hidden() -> np.ndarray:
    return np.array([grad(ops.sigmoid)(z) for z in example.forward()["z2"]])


@section.row("E-16a", "W", "B:L648", "σ'(z²_2) = 0.713·(1-0.713) = 0.2047", "0.2046.")
def slope_of_unit_2() -> str:
    rounded = 0.713 * (1 - 0.713)
    return (
        f"0.713·0.287 = {same(rounded, '0.204631')}; exact "
        f"{same(_slopes_of_hidden()[1], '0.20463093')}."
    )


@section.row(
    "E-16b", "W", "B:L656, 659, 670, 674, 683",
    "∂J/∂z²_2 = -0.03018·0.2047 = -0.00617 (also ∂J/∂b¹_2, and in the summary)", "-0.00618.",
)  # fmt: skip
def delta_of_unit_2() -> str:
    exact = grad(example.from_z2)(example.forward()["z2"])[1]
    return (
        f"The printed product is {same(-0.03018 * 0.2047, '-0.00617785')}; exact "
        f"{same(exact, '-0.00617636')}."
    )


def _product(printed: float, exact: float, texts: tuple[str, str, str, str]) -> str:
    """Compare the product that is displayed with the gradient that it stands for."""
    product, rounded, gradient, as_printed = texts
    shown = same(printed, product)
    same(printed, rounded)
    return (
        f"The displayed factors give {shown}, rounded {rounded}; the exact gradient "
        f"{same(exact, gradient)} does round to {same(exact, as_printed)}."
    )


@section.row(
    "E-16c", "I", "B:L619", "-0.0503·0.627 = -0.03155",
    "That product is -0.03154: the displayed factors do not give the displayed result.",
)  # fmt: skip
def product_for_w2_1() -> str:
    exact = grad(example.cost)(example.START)["W2"][0]
    return _product(-0.0503 * 0.627, exact, ("-0.0315381", "-0.03154", "-0.03154860", "-0.03155"))


@section.row("E-16d", "I", "B:L622", "-0.0503·0.713 = -0.03587", "That product is -0.03586.")
def product_for_w2_2() -> str:
    exact = grad(example.cost)(example.START)["W2"][1]
    return _product(-0.0503 * 0.713, exact, ("-0.0358639", "-0.03586", "-0.03586739", "-0.03587"))


@section.row(
    "E-16e", "W", "B:L597", "J = ½(1-0.739)² = 0.03406",
    "0.03403 to four figures; a rounded ŷ was used.",
)  # fmt: skip
def cost_of_the_example() -> str:
    exact, rounded = example.cost(example.START), example.error(np.array(0.739))
    return f"Exact {same(exact, '0.03403048')}; ½·0.261² = {same(rounded, '0.0340605')}."


@section.row("E-16f", "W", "B:L670, 682", "∂J/∂W¹_2 = -0.00617·0.5 = -0.00308", "-0.00309.")
def gradient_of_w1_21() -> str:
    return f"Exact {same(grad(example.cost)(example.START)['W1'][1, 0], '-0.00308818')}."


@section.row(
    "E-16g", "D", "B:L576, 608, 645", "z³ = 1.0413, a³(1-a³) = 0.1929, σ'(z²_1) = 0.2339",
    "1.0414, 0.1928, 0.2338; rounded inputs were carried on.",
)  # fmt: skip
def rounded_inputs() -> str:
    z3 = example.forward()["z3"]
    exact = [z3, grad(ops.sigmoid)(z3), _slopes_of_hidden()[0]]
    return f"Exact {same(exact, '1.04137398 0.19282400 0.23383345')}."


@section.row(
    "E-17", "U", "B:L667-671, 682",
    "∂J/∂W¹ has only W¹_1 and W¹_2, the column of x₁; ΔW¹ is listed as 2×1",
    "∂J/∂W¹ is 2×2; its second column uses x₂ = 0.8.",
)  # fmt: skip
def whole_gradient_of_w1() -> str:
    found = grad(example.cost)(example.START)["W1"]
    return f"{same(found, '-0.00294074 -0.00470519; -0.00308818 -0.00494109')}."


@section.row(
    "E-75", "W", "B:L634, 640",
    "∂J/∂z² = (0.5; 0.6)·-0.0503 = (-0.02515; -0.03018); formula (W²)ᵀ·∂J/∂z³·σ'(z²)",
    "That vector is ∂J/∂a²; ∂J/∂z² is given again as another vector. The last product is ∘.",
)  # fmt: skip
def label_of_the_vector() -> str:
    state = example.forward()
    by_a2, by_z2 = grad(example.from_a2)(state["a2"]), grad(example.from_z2)(state["z2"])
    below(by_a2 * _slopes_of_hidden() - by_z2, 1e-16)
    return (
        f"∂J/∂a² = {same(by_a2, '-0.02515244 -0.03018293')}, ∂J/∂z² = "
        f"{same(by_z2, '-0.00588148 -0.00617636')}."
    )


@section.row(
    "E-76", "W", "B:L679-683", "\"Summary of Gradient Updates: ΔW² …\"",
    "These are gradients. The update is -η·gradient; there is neither η nor an updated weight.",
)  # fmt: skip
def gradients_are_no_updates() -> str:
    slopes = grad(example.cost)(example.START)
    points = (example.START, example.stepped(-1.0, slopes), example.stepped(1.0, slopes))
    costs = [example.cost(p) for p in points]
    return (
        f"η = 1: J before, after θ + g, after θ - g: "
        f"{same(costs, '0.03403048 0.03927467 0.02936257')}."
    )


@section.row(
    "E-77", "I", "B:L592-594",
    "\"cost function J (MSE): ½(y-ŷ)²\" with sigmoid and a target of 0 or 1",
    "Half the squared error of one sample is not the MSE (factor 2), and B:L382 recommends "
    "cross-entropy here.",
)  # fmt: skip
def name_of_the_cost() -> str:
    z3 = np.atleast_1d(example.forward()["z3"])
    cross = grad(lambda z: losses.binary_cross_entropy_with_logits(z, np.ones(1), reduction="sum"))(
        z3
    )[0]
    half = grad(example.from_z3)(z3[0])
    ratio = losses.mse(ops.sigmoid(z3), np.ones(1)) / example.from_z3(z3[0])
    return (
        f"MSE/J = {same(ratio, '2')}. ∂/∂z³: cross-entropy {same(cross, '-0.26088497')}, "
        f"{same(cross / half, '5.19')} times that of J, {same(half, '-0.05030488')}."
    )


@section.row(
    "E-39", "I", "B:L499-501, 539; B:L249-261",
    "Layers numbered 1 to 3 with W¹ producing z²; elsewhere W^m produces z^m and a⁰ is the input",
    "One convention: W^m produces z^m, and L does not count the input.",
)  # fmt: skip
def number_of_layers() -> str:
    model = nn.mlp([2, 2, 1], "sigmoid")
    weights = sum(isinstance(m, nn.Linear) for m in model)
    holds(weights == 2, "the net has two layers of weights")
    return (
        f"The example has {weights} layers of weights, so L = {weights} by B:L249, while B:L501 "
        f'calls its output "Layer 3".'
    )
