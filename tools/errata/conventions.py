"""Errata of conventions and symbols."""

import numpy as np

from chainrule import grad, losses, nn, ops, optim
from chainrule.data import Rows, epoch_order
from tools.errata import example
from tools.errata.book import Section
from tools.errata.numbers import below, holds, same
from tools.errata.perceptron import AND, Perceptron

section = Section("Conventions and symbols")


@section.row(
    "E-30", "I", "A:L57; B:L381, 594, 713-719",
    "Squared error as (1/n)Σ, ½(·)ᵀ(·) and ½(·)²; Huber, hinge and cross-entropy unreduced; "
    "cross-entropy sums to \"n\" and means classes",
    "Each loss states reduction and factor; n counts samples, C classes.",
)  # fmt: skip
def reductions() -> str:
    p, t = np.array([0.1, 0.2, 0.4]), np.zeros(3)
    mean = losses.mse(p, t)
    half = losses.half_squared_error(p, t, reduction="sum")
    below(half - 3 / 2 * mean, 1e-15)
    return (
        f"½ΣSE = (n/2)·MSE: residuals (0.1, 0.2, 0.4) have MSE {same(mean, '0.07')}, half sum "
        f"{same(half, '0.105')}."
    )


@section.row(
    "E-31", "I", "A:L15", "Z = WA + b with b a vector",
    "With samples in columns b must broadcast over them as a column; a 1-d b silently goes along "
    "the samples where batch = units. chainrule has samples in rows.",
)  # fmt: skip
def broadcasting_of_the_bias() -> str:
    start, a = example.START, np.array([[0.5, 1.0], [0.8, 2.0]])
    wrong = ops.matmul(start["W1"], a) + start["b1"]
    layer = nn.Linear(2, 2).astype(np.float64)
    layer.load_state_dict({"weight": start["W1"], "bias": start["b1"]})
    right = layer(a.T).detach().numpy().T
    return (
        f"W, b of the worked example, samples (0.5, 0.8) and (1, 2): W@A + b = "
        f"{same(wrong, '0.52 1.2; 0.81 1.9')}, right {same(right, '0.52 1.1; 0.91 1.9')}."
    )


@section.row(
    "E-32", "I", "B:L24, 26, 72, 698-703, 720, 736; A:L85; B:L426, 188",
    "α is learning rate, momentum, and slope of leaky ReLU, ELU, PReLU; β slope of the logistic, "
    "of Swish, and Adam's; λ learning rate; σ activation, sigmoid, softmax; L layers and loss; C "
    "cost and classes; t target and iteration",
    "One name per thing: `lr`, `momentum`, `negative_slope`, `alpha`, `beta`, `beta1`, `beta2`.",
)  # fmt: skip
def glossary() -> str:
    names = {name for kind in (optim.SGD, optim.Adam) for name in vars(kind())}
    wanted = {"lr", "momentum", "beta1", "beta2"}
    holds(wanted <= names, "the optimizers have these settings")
    return f"Settings of `optim.SGD` and `optim.Adam` among them: {', '.join(sorted(wanted))}."


@section.row(
    "E-38", "W", "B:L167",
    "\"N x K matrix, with N observations … weight on the ith observation on the jth neuron\"",
    "N is the number of inputs, plus the bias: weights do not grow with observations. Also "
    "transposed against B:L253.",
)  # fmt: skip
def rows_of_the_weight_matrix() -> str:
    unit = Perceptron(2, rate=0.25)
    unit.train(AND, 10)
    return (
        f"AND: 4 observations, 2 inputs and the bias: {len(unit.weights)} weights "
        f"{same(unit.weights, '0.50 0.25 0.50')}."
    )


@section.row(
    "E-82", "I", "A:L42, 105; B:L730, 764",
    "SGD takes \"a single randomly selected example\" (with replacement) and \"Updates after each "
    "example\"; an epoch is a full pass",
    "The scheme is fixed: every row once per epoch, in a new order.",
)  # fmt: skip
def sampling() -> str:
    orders = [epoch_order(10, seed=0, epoch=epoch) for epoch in (1, 2)]
    holds([sorted(order) == list(range(10)) for order in orders], "each row comes once")
    holds(list(orders[0]) != list(orders[1]), "the orders differ")
    drawn = len(set(np.random.default_rng(0).integers(1000, size=1000).tolist()))
    return (
        f"An epoch of `train` over 10 rows has 10 different ones, in another order each time; 1000 "
        f"draws with replacement reach {drawn} of 1000 rows."
    )


@section.row(
    "E-27", "U", "A:L113; B:L731",
    "\"average gradient computed over each minibatch\", without a rule for a short last batch",
    "Means over an epoch weigh batches by their size.",
)  # fmt: skip
def short_last_batch() -> str:
    rows = Rows((np.arange(10.0),), np.arange(10.0))
    means = [target.mean() for _, target, _ in rows.batches(4)]
    sizes = [len(target) for _, target, _ in rows.batches(4)]
    return (
        f"0 to 9 in batches of {', '.join(map(str, sizes))}: mean of the means "
        f"{same(np.mean(means), '5.1667')}, weighted "
        f"{same(np.average(means, weights=sizes), '4.5')}."
    )


@section.row(
    "E-20", "I", "B:L732", "v = γv - η∇J; θ = θ + v (η inside), against v = γv + g; θ = θ - ηv",
    "Equal for a constant η only. `optim.SGD(rate_inside=True)` is the notes' form.",
)  # fmt: skip
def place_of_the_rate() -> str:
    ends = []
    for inside in (True, False):
        rule = optim.SGD(0.1, momentum=0.9, rate_inside=inside)
        x, state = np.ones(()), rule.init(np.ones(()))
        for t in range(1, 11):
            x, state = rule.update(
                x, grad(lambda v: v * v / 2)(x), state, t, 0.1 if t <= 5 else 0.01
            )
        ends.append(x)
    return (
        f"f = θ²/2, 10 steps from 1, η from 0.1 to 0.01 after step 5, γ = 0.9: inside "
        f"{same(ends[0], '-0.92964817')}, outside {same(ends[1], '-0.11583998')}."
    )


@section.row(
    "E-79", "I", "B:L367-429, 431-494",
    "\"Backpropagation in practice\" and the sigmoid example are printed twice", "One copy.",
)  # fmt: skip
def printed_twice() -> str:
    return (
        f"Lines 367 to 429 are repeated from 431 on, {429 - 367 + 1} lines; errata in them are "
        f"listed with both places, such as E-04 and E-05."
    )


@section.row("E-84", "W", "B:L163", '"McCullough and Pitts"', "McCulloch, as in B:L134.")
def name_of_mcculloch() -> str:
    return "A name; nothing to compute."


@section.row(
    "E-85", "I", "B:L188-191",
    "\"For each t in T iterations\" beside the target t_j; \"for each … input vector i\" beside "
    "the component x_i",
    "Separate symbols.",
)  # fmt: skip
def symbols_of_the_perceptron() -> str:
    unit = Perceptron(2, rate=0.25)
    mistakes = unit.train(AND, 10)
    return (
        f"AND took {len(mistakes)} iterations over {len(AND)} input vectors of "
        f"{len(AND[0][0])} components: three counts that need three letters."
    )


@section.row(
    "E-78", "I", "B:L358, 363, 365",
    "\"biases are treated as independent adjustments\" against \"on bias previous weight is also "
    "considered\"; \"[W^{m+1}ᵀ] is weight of previous layer … similarly for bias too\"",
    "∂C/∂b^m = ∂C/∂z^m contains W^{m+1}; b^{m+1} enters through z alone.",
)  # fmt: skip
def what_the_bias_depends_on() -> str:
    found = grad(example.cost)(example.START)["b1"]
    state = example.forward()
    delta = grad(example.from_z3)(state["z3"])
    by_hand = example.START["W2"] * delta * state["a2"] * (1 - state["a2"])
    below(found - by_hand, 1e-16)
    return (
        f"Worked example: ∂J/∂b¹ = (W²)ᵀδ³ ∘ σ'(z²) = {same(found, '-0.00588148 -0.00617636')}; b² "
        f"is not in the formula."
    )


@section.row(
    "E-80", "U", "B:L155, 169, 183, 232, 725; A:L36",
    "Images d.pr/…, theclevermachine…, attachment:z.jpeg, and a link to a shared page",
    "What they show is not in the notes, so pictures of one's own are needed.",
)  # fmt: skip
def missing_images() -> str:
    return "Pictures; nothing to compute."
