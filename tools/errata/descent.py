"""Errata of gradient descent, batches and automatic differentiation."""

from itertools import pairwise
from typing import Any

import numpy as np

from chainrule import Spec, grad, hessian, jvp, losses, nn, ops, optim, trace, train, vjp
from chainrule import training_step as make_step
from tools.errata import example
from tools.errata.book import Section
from tools.errata.numbers import below, holds, near, same
from tools.errata.runs import descend, double_well, linear_fit

section = Section("Gradient descent, batches, automatic differentiation")


@section.row(
    "E-18", "W", "A:L109",
    "\"Saddle points are points where the gradient is zero, but the loss function is not at a "
    "minimum\"",
    "Neither a minimum nor a maximum: the Hessian has eigenvalues of both signs.",
)  # fmt: skip
def saddle_points() -> str:
    def hill(x: Any) -> Any:
        return -ops.sum(x * x)

    def saddle(x: Any) -> Any:
        return ops.sum(x * x * np.array([1.0, -1.0]))

    zero = np.zeros(2)
    values = [np.linalg.eigvalsh(hessian(f)(zero)) for f in (hill, saddle)]
    below([grad(f)(zero) for f in (hill, saddle)], 0)
    return (
        f"-x²-y² at 0 fits the quoted words; its Hessian has eigenvalues {same(values[0], '-2 -2')}"
        f": a maximum. x²-y²: {same(values[1], '-2 2')}, a saddle."
    )


@section.row(
    "E-19", "D", "A:L30",
    "Error signal = \"difference between the predicted and actual outputs\"; it goes on \"until … "
    "the input layer\"",
    "δ = ∂C/∂z, which is ŷ-y only where loss and activation match; ∂C/∂a⁰ is not needed to train.",
)  # fmt: skip
def error_signal() -> str:
    state = example.forward()
    delta = grad(example.from_z3)(state["z3"])
    return f"Worked example: ŷ-y = {same(state['a3'] - example.Y, '-0.26088497')}, δ³ = " \
           f"{same(delta, '-0.05030488')}."  # fmt: skip


@section.row(
    "E-23", "D", "B:L729",
    "Batch gradient descent: \"Guaranteed convergence to global minimum for convex problems\"",
    "It needs η < 2/L, L being the largest curvature.",
)  # fmt: skip
def convex_and_divergent() -> str:
    ends = [descend(lambda x: x * x, 1.0, optim.SGD(rate), 20) for rate in (1.1, 0.9)]
    return f"f = x² (L = {same(hessian(lambda x: x * x)(1.0), '2')}) from 1, 20 steps: η = 1.1 → " \
           f"{same(ends[0], '38.3376')}, η = 0.9 → {same(ends[1], '0.011529')}."  # fmt: skip


@section.row(
    "E-25", "D", "A:L40", "Low learning rate: \"higher chance of finding the optimal solution\"",
    "Where the loss is not convex it tends to the nearest minimum.",
)  # fmt: skip
def low_rates() -> str:
    rates = (0.001, 0.01, 0.05, 0.12, 0.13)
    ends = [double_well(descend(double_well, 2.0, optim.SGD(rate), 5000)) for rate in rates]
    return (
        f"f = x⁴-3x²+x, x₀ = 2, 5000 steps: η = {', '.join(map(str, rates))} → f = "
        f"{same(ends, '-1.0702 -1.0702 -1.0702 -3.5139 -3.5139')}; the last is the global minimum."
    )


def _regression() -> tuple[Any, Any, Any]:
    """Rows, targets and least-squares weights of a noisy linear problem."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0]) + 0.5 * rng.normal(size=512)
    return x, y, linear_fit(x, y)


@section.row(
    "E-26", "D", "A:L50", "Convergence by \"magnitude of the gradient\"",
    "The gradient of a mini-batch does not go to 0; that of all rows does.",
)  # fmt: skip
def gradient_at_the_optimum() -> str:
    x, y, best = _regression()

    def norm(rows: Any) -> float:
        return float(ops.norm(grad(lambda w: losses.mse(ops.matmul(x[rows], w), y[rows]))(best)))

    full = below(norm(slice(None)), 1e-13)
    rng, sizes = np.random.default_rng(1), (1, 4, 16, 64)
    means = [
        np.sqrt(np.mean([norm(rng.integers(512, size=size)) ** 2 for _ in range(800)]))
        for size in sizes
    ]
    for one, next_one in pairwise(means):
        near(one / next_one, 2.0, 0.1)
    listed = ", ".join(f"{m:.2f}" for m in means)
    return (
        f"Linear regression at its optimum: norm of the full gradient {full}; root mean square "
        f"over batches of {', '.join(map(str, sizes))}: {listed}, half for each factor of 4."
    )


@section.row(
    "E-29", "D", "A:L119; B:L729",
    "The full batch is infeasible in memory; \"High memory requirements\"",
    "Gradients of chunks add up to the exact full gradient.",
)  # fmt: skip
def chunks_of_a_batch() -> str:
    chunks = [(example.LINE_X[rows], example.LINE_Y[rows]) for rows in ([0], [1, 2], [3])]
    slope = grad(example.line_error)
    mean = np.average([slope(0.0, x, y) for x, y in chunks], weights=[len(x) for x, _ in chunks])
    full = slope(0.0, example.LINE_X, example.LINE_Y)
    below(mean - full, 1e-14)
    return (
        f"The four rows of E-13 in chunks of 1, 2, 1: the weighted mean moves w to "
        f"{same(-0.02 * mean, '0.59')}, the full batch to {same(-0.02 * full, '0.59')}."
    )


@section.row(
    "E-74", "I", "B:L729; A:L121",
    "Full batch \"Easier to parallelize\" (B), against parallelism as an advantage of mini-batches "
    "over the full batch (A)",
    "Larger batches parallelise better: their rows are independent, consecutive steps are not.",
)  # fmt: skip
def rows_are_independent() -> str:
    layer = nn.Linear(8, 4, seed=0).astype(np.float64)
    x = np.random.default_rng(0).normal(size=(64, 8))
    single = np.concatenate([layer.predict(row[None]) for row in x])
    error = below(layer.predict(x) - single, 1e-14)
    return f"A layer on {len(x)} rows at once and row by row differ by {error}."


@section.row(
    "E-64", "W", "A:L103",
    "Forward mode gives \"gradients of intermediate variables with respect to the input\", reverse "
    "mode \"output variables with respect to the input\"",
    "Forward: one direction of the input to all outputs (JVP). Reverse: one output to all inputs "
    "(VJP). Both give derivatives of outputs by inputs. Backpropagation is reverse mode of a "
    "scalar.",
)  # fmt: skip
def forward_and_reverse() -> str:
    def f(x: Any) -> Any:
        return ops.sum(ops.sin(x) * x)

    x = np.arange(1.0, 51.0)
    forward = [jvp(f, (x,), (unit,))[1] for unit in np.eye(len(x))]
    reverse = [vjp(f, x)[1](np.float64(1.0))[0]]
    below(np.array(forward) - reverse[0], 1e-12)
    return (
        f"Gradient of a function of {len(x)} numbers: {len(forward)} forward sweeps or "
        f"{len(reverse)} reverse sweep, equal."
    )


@section.row(
    "E-89", "D", "A:L103",
    "\"gradients can be calculated analytically for simple functions, it becomes intractable\"",
    "Automatic differentiation is exact, and B derives the gradient of any MLP. What explodes is "
    "the formula written out without sharing.",
)  # fmt: skip
def size_of_the_formula() -> str:
    def f(x: Any) -> Any:
        for _ in range(20):
            x = x * ops.sin(x)
        return x

    graph = trace(grad(f), Spec((), np.float64))
    written: dict[int, int] = {}
    for node in graph.nodes:
        written[node.birth] = 1 + sum(written[x.birth] for x in node.inputs)
    size = written[graph.output.birth]
    holds(size > 1e6 and len(graph.nodes) < 300, "the formula is long and the graph short")
    return (
        f"x ← x·sin(x), 20 times: the graph of the derivative has {len(graph.nodes)} nodes, the "
        f"formula written out {size:.1e} terms."
    )


@section.row(
    "E-66", "D", "A:L107",
    "Clipping, initialisation and ReLU listed together as remedies for both problems",
    "Clipping treats exploding gradients only.",
)  # fmt: skip
def clipping_a_small_gradient() -> str:
    small, large = np.array([6e-10, 8e-10]), np.array([6e9, 8e9])
    ends = [optim.global_norm(optim.clip_by_norm([g], 1.0)[0]) for g in (small, large)]
    return f"Clipped at norm 1: a gradient of norm 1e-9 keeps {same(ends[0], '1.0e-9')}, one of " \
           f"1e10 gets {same(ends[1], '1.0')}."  # fmt: skip


@section.row(
    "E-65", "D", "A:L32",
    "Batch normalization, dropout and regularization to \"mitigate\" that backpropagation is "
    "expensive",
    "They add work to each step; what they help is generalisation and conditioning.",
)  # fmt: skip
def work_of_a_step() -> str:
    x, y = np.zeros((64, 20), np.float32), np.zeros((64, 1), np.float32)
    plain, *others = (
        len(step.plan().splitlines()) - 1
        for more in ({}, {"batch_norm": True}, {"dropout": 0.5})
        for step in [make_step(nn.mlp([20, 32, 1], seed=0, **more), "mse", x, y, compile="numpy")]
    )
    holds([more > plain for more in others], "they add work")
    return (
        f"A training step of a 20-32-1 net runs {plain} array operations; with batch normalization "
        f"{others[0]}, with dropout {others[1]}."
    )


@section.row(
    "E-87", "D", "A:L115",
    "The full batch \"takes into account the overall landscape of the loss function\"",
    "The full gradient is as local as any; it is exact over the data only.",
)  # fmt: skip
def full_gradient_is_local() -> str:
    end = double_well(descend(double_well, 2.0, optim.SGD(0.01), 5000))
    best = double_well(descend(double_well, -2.0, optim.SGD(0.01), 5000))
    return (
        f"E-25's function, exact gradients, η = 0.01: from 2 to f = {same(end, '-1.0702')}, though "
        f"{same(best, '-3.5139')} exists, reached from -2."
    )


@section.row(
    "E-91", "D", "A:L117", "Stochasticity \"preventing the model from overfitting\"",
    "It may help; it is no guarantee.",
)  # fmt: skip
def noise_is_no_guarantee() -> str:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 40)), rng.normal(size=(20, 1))
    new_x, new_y = rng.normal(size=(1000, 40)), rng.normal(size=(1000, 1))
    model = nn.Linear(40, 1, init="zeros").astype(np.float64)
    train(model, "mse", x, y, batch_size=1, optimizer=optim.SGD(0.005), epochs=300, seed=0,
          compile=False)  # fmt: skip
    errors = [losses.mse(model.predict(a), b) for a, b in ((x, y), (new_x, new_y))]
    holds(errors[0] < 0.01 and errors[1] > np.var(new_y), "the noise is learned by heart")
    return (
        f"20 rows of pure noise, 40 inputs, batches of one row: MSE {errors[0]:.2f} in training, "
        f"{errors[1]:.1f} on new rows, where predicting the mean has {np.var(new_y):.1f}."
    )
