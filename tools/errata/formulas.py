"""Errata of formulas and signs."""

from typing import Any

import numpy as np

from chainrule import ChainruleError, functional, grad, jacobian, losses, nn, ops, optim, tensor
from tools.errata import example
from tools.errata.book import Section
from tools.errata.numbers import DisagreementError, below, holds, quotient, same
from tools.errata.runs import XOR_INPUTS, XOR_TARGETS, descend, first_step, path

section = Section("Formulas and signs")


@section.row(
    "E-01", "W", "B:L720",
    "L = |x|^p/p where p = 2 - 2/(1+(x/c)²); \"Adapts between L1 and L2 … Robust to outliers and "
    "inliers\"",
    "p → 0 at x = 0, so L → ∞; p → 2 for large x, so outliers count as in L2: not robust. The "
    "published adaptive loss is Barron's (2019), `losses.adaptive`: "
    "(|α-2|/α)·[((x/c)²/|α-2| + 1)^(α/2) - 1].",
)  # fmt: skip
def adaptive_loss() -> str:
    def printed(x: Any) -> Any:
        p = 2 - 2 / (1 + x * x)
        return ops.abs(x) ** p / p

    with np.errstate(divide="ignore", invalid="ignore"):
        at_zero = printed(np.float64(0.0))
    near = same(printed(1e-4), "4.9999992e7")
    values = same([printed(x) for x in (0.1, 1.0, 10.0)], "48.249 1.000 48.249")
    slopes = same([grad(printed)(x) for x in (0.1, 0.5, 10.0, 100.0)], "-989.4 -6.23 9.894 99.99")
    far = same(printed(1000.0), "499993.59")
    barron = [losses.adaptive(np.array([x]), np.array([0.0])) for x in (0.0, 10.0)]
    return (
        f"c = 1: L(0) = {same(at_zero, 'inf')}, L(1e-4) = {near}; L(0.1, 1, 10) = {values}, least "
        f"at 1; L(1000) = {far}, about x²/2. Slopes at 0.1, 0.5, 10, 100: {slopes}. Barron's with "
        f"α = 1: {same(barron, '0.000 9.050')} at 0 and 10."
    )


def _one_unit(w: Any) -> Any:
    return losses.half_squared_error(ops.sigmoid(w), np.ones(()), reduction="sum")


def _xor_outputs(sign: float) -> Any:
    """Train XOR with four hidden units for 4000 epochs of all rows, down or up the error."""
    model = nn.mlp([2, 4, 1], "sigmoid", seed=1).astype(np.float64)
    updater = optim.Updater(model.parameters(), optim.SGD(2.0))
    for _ in range(4000):
        output = ops.sigmoid(model(XOR_INPUTS))
        losses.half_squared_error(output, XOR_TARGETS[:, None], reduction="sum").backward()
        gradients = [sign * p.grad.value for p in updater.parameters]
        for p in updater.parameters:
            p.grad = None
        updater.step(gradients)
    return ops.sigmoid(model.predict(XOR_INPUTS))[:, 0]


@section.row(
    "E-02", "W", "B:L46, 53, 59, 63, 68",
    "δ_k = (t_k - y_k)y_k(1-y_k) with w_jk ← w_jk - ηδ_k a_j and v_ij ← v_ij - ηδ_hj x_i",
    "This δ is minus ∂E/∂h, so the update is + ηδa; or δ = (y-t)y(1-y) with minus. B:L177 has the "
    "correct plus.",
)  # fmt: skip
def sign_of_delta() -> str:
    descent = optim.SGD(1.0)
    up, down = (path(_one_unit, 0.2, descent, 100, sign) for sign in (-1.0, 1.0))
    errors = same([_one_unit(x) for x in (up[0], up[1], down[1])],
                  "0.10132471 0.11418004 0.08936610")  # fmt: skip
    ends = same([ops.sigmoid(up[-1]), ops.sigmoid(down[-1])], "0.0118 0.9190")
    wrong, right = _xor_outputs(-1.0), _xor_outputs(1.0)
    squares = [np.sum((outputs - XOR_TARGETS) ** 2) for outputs in (wrong, right)]
    holds(squares[0] > 0.9, "the sum of squares with the printed sign stays above 0.9")
    holds(squares[1] < 0.01, "the sum of squares with the corrected sign falls below 0.01")
    return (
        f"w = 0.2, x = t = η = 1: error before, after the printed, after the corrected step "
        f"{errors}; outputs after 100 steps {ends}. XOR, 4 hidden units, 4000 epochs: sum of "
        f"squares {squares[0]:.2f} with the printed sign, {squares[1]:.4f} corrected."
    )


@section.row(
    "E-03", "W", "B:L34, 40; L46, 53",
    "a_j = 1/(1+e^(-βh_j)) with the derivative a_j(1-a_j)",
    "β·a(1-a); a(1-a) is right for β = 1 only.",
)  # fmt: skip
def slope_of_the_logistic() -> str:
    a = functional.logistic(0.3, 2.0)
    slope = grad(functional.logistic)(0.3, 2.0)
    below(slope - quotient(lambda h: functional.logistic(h, 2.0), 0.3), 1e-8)
    printed = same(a * (1 - a), "0.22878424")
    return f"β = 2, h = 0.3: a(1-a) = {printed}, derivative {same(slope, '0.45756848')}."


@section.row(
    "E-04", "W", "B:L381, 445",
    "∂C/∂a^L = y - a^L for C = ½(y-a)ᵀ(y-a)",
    "a^L - y, which B:L602 uses.",
)  # fmt: skip
def slope_of_the_squared_error() -> str:
    a, y = np.array([0.3]), np.array([1.0])
    slope = grad(lambda p: losses.half_squared_error(p, y, reduction="sum"))(a)[0]
    return f"a = 0.3, y = 1: ∂C/∂a = {same(slope, '-0.7')}, y - a = {same((y - a)[0], '0.7')}."


@section.row(
    "E-05", "W", "B:L373, 403, 437, 467",
    "Sigmoid 1/(1+e^(z^m)) with derivative a(1-a)",
    "1/(1+e^(-z)), as in B:L34, 502, 695. The printed form has derivative -a(1-a), and ∂C/∂z of "
    "cross-entropy would be y - a, so that \"= a^L - y\" fails.",
)  # fmt: skip
def sign_in_the_sigmoid() -> str:
    def printed(z: Any) -> Any:
        return 1 / (1 + ops.exp(z))

    values = same([printed(2.0), ops.sigmoid(2.0)], "0.11920292 0.88079708")
    a = printed(0.7)
    slope = same([grad(printed)(0.7), a * (1 - a)], "-0.22171287 0.22171287")
    cross = grad(lambda z: -ops.log(printed(z)))(0.7)
    return (
        f"z = 2: printed and correct {values}. z = 0.7: derivative of the printed form, and "
        f"a(1-a), {slope}; cross-entropy with y = 1: ∂C/∂z = {same(cross, '0.66818777')}, "
        f"a - y = {same(a - 1, '-0.66818777')}."
    )


@section.row(
    "E-06", "W", "B:L24",
    "x_{i+1} = x_i + α∇f(x_i) under \"Gradient Descent\"",
    "x - α∇f(x), as in A:L48.",
)  # fmt: skip
def sign_of_descent() -> str:
    def square(x: Any) -> Any:
        return x * x

    up, down = (path(square, 1.0, optim.SGD(0.1), 10, sign)[-1] for sign in (-1.0, 1.0))
    return (
        f"f = x², x₀ = 1, α = 0.1, 10 steps: plus {same(up, '6.1917')} (f = "
        f"{same(up * up, '38.34')}), minus {same(down, '0.1074')} (f = "
        f"{same(down * down, '0.01153')})."
    )


def _refused(call: Any, words: str) -> str:
    """Give the words if the call is refused by the library."""
    try:
        call()
    except (ChainruleError, IndexError):
        return words
    raise DisagreementError(f"not refused: {words}")


@section.row(
    "E-07", "W", "B:L280, 285, 311",
    "z^m_k = Σ_{l=1}^{N^m} W^m_kl a_l^{m-1} + b^m_k",
    "The upper limit is N^{m-1}; L348's, for layer m+1, is right.",
)  # fmt: skip
def limit_of_the_sum() -> str:
    tall, wide = tensor(np.zeros((3, 2))), np.arange(6.0).reshape(2, 3)
    a = np.array([1.0, 2.0, 3.0])
    refused = _refused(lambda: tall[0, 2], "a 3×2 W has no third column")
    truncated = ops.sum(wide[0, :2] * a[:2])
    full = ops.matmul(wide, a)[0]
    return (
        f"{refused}; first row (0, 1, 2) of a 2×3 W with a = (1, 2, 3): as printed "
        f"{same(truncated, '2')}, true {same(full, '8')}."
    )


@section.row(
    "E-08", "W", "B:L293",
    "\"The fact that ∂C/∂a^m_k is 0 unless k=i causes the summation above to collapse\"",
    "It is ∂z^m_k/∂W^m_ij that is 0 unless k = i.",
)  # fmt: skip
def what_collapses() -> str:
    slopes = jacobian(lambda w: ops.matmul(w, example.X))(example.START["W1"])
    holds(slopes[1, 0] == 0, "∂z_2/∂W_1j is 0")
    by_a2 = same(grad(example.from_a2)(example.forward()["a2"]), "-0.02515244 -0.03018293")
    return f"Worked example: ∂J/∂a² = {by_a2}, both not 0; ∂z_2/∂W_1j = (0, 0)."


@section.row(
    "E-09", "W", "B:L313",
    "→ ∂z^m_i/∂b^m_i = {0 k≠i; 1 k=i}",
    "The left side must be ∂z^m_k/∂b^m_i; as printed it is always 1.",
)  # fmt: skip
def index_of_the_bias() -> str:
    slopes = jacobian(lambda b: ops.matmul(example.START["W1"], example.X) + b)(np.zeros(2))
    return f"∂z_k/∂b_i of the worked example's hidden layer: {same(slopes, '1 0; 0 1')}."


@section.row(
    "E-10", "W", "B:L261; L393, 457; L269",
    "a^m = σ^m(h^m); ∂C/∂W^m = ∂C/∂z^m_i a^{m-1}ᵀ; \"gradient of each of the parameters with "
    "respect to the cost\"",
    "σ^m(z^m); no index i in the vector form; gradient of the cost with respect to the parameters.",
)  # fmt: skip
def shape_of_the_gradient() -> str:
    found = grad(example.cost)(example.START)["W1"]
    by_z2 = grad(example.from_z2)(example.forward()["z2"])
    below(found - np.outer(by_z2, example.X), 1e-15)
    indexed = np.shape(by_z2[0] * example.X[None, :])
    holds(indexed == (1, 2) and found.shape == (2, 2), "the shapes differ")
    return (
        f"Worked example: one ∂C/∂z_i times a^{{m-1}}ᵀ has shape {indexed}, the gradient of W¹ "
        f"{found.shape}; the whole column ∂C/∂z times a^{{m-1}}ᵀ equals it."
    )


@section.row(
    "E-11", "W", "B:L333, 339, 389",
    "∂C/∂z^L = ∂C/∂a^L ∂a^L/∂z^L, unit by unit, as if it were general",
    "The product is ∘, and it holds for element-wise σ only; softmax needs Jᵀ·∂C/∂a.",
)  # fmt: skip
def softmax_is_not_element_wise() -> str:
    z, y = np.array([0.2, -0.4, 0.9]), np.array([0.0, 1.0, 0.0])

    def cost(v: Any) -> Any:
        return losses.half_squared_error(ops.softmax(v), y, reduction="sum")

    slopes, a = jacobian(ops.softmax)(z), ops.softmax(z)
    true = grad(cost)(z)
    below(true - slopes.T @ (a - y), 1e-15)
    per_unit = np.diag(slopes) * (a - y)
    return (
        f"softmax and ½ squared error, z = (0.2, -0.4, 0.9), y = (0, 1, 0): ∂C/∂z = Jᵀ(a-y) = "
        f"{same(true, '0.00356839 -0.17160116 0.16803277')}; per unit "
        f"{same(per_unit, '0.05667436 -0.11024284 0.13890655')}."
    )


@section.row(
    "E-12", "U", "B:L733, 735, 736",
    "Adagrad: \"G(t) is the sum of squares of past gradients\"; ε inside the root here and in "
    "RMSprop, outside in Adam",
    "G includes the current gradient. The place of ε is said per optimizer: `eps_inside` of "
    "`optim.Adagrad` and `optim.RMSprop`.",
)  # fmt: skip
def adagrad_sum_and_epsilon() -> str:
    settings = {"lr": 1.0, "eps": 1e-8}
    inside = optim.Adagrad(**settings, eps_inside=True)
    with_current = -first_step(inside, 0.5)
    without = 0.5 / ops.sqrt(0.0 + inside.eps)
    small = [-first_step(o, 1e-6) for o in (inside, optim.Adagrad(**settings))]
    return (
        f"g = 0.5, first step/η: {same(with_current, '1.0000')} with the current gradient, "
        f"{same(without, '5000')} without (ε = 1e-8). g = 1e-6: ε inside the root "
        f"{same(small[0], '0.0099995')}, outside {same(small[1], '0.9900990')}."
    )


@section.row(
    "E-13", "W", "A:L121",
    "\"Since the gradients are computed independently for each minibatch … multiple minibatches "
    "can be processed simultaneously\"",
    "SGD is sequential: mini-batch k+1 needs the weights after k. Valid is to share one batch "
    "among workers and take the mean weighted by size, or to accept stale gradients. The "
    "statistics of batch normalization differ between shards too.",
)  # fmt: skip
def parallel_minibatches() -> str:
    shards = example.LINE_X, example.LINE_Y
    rate = optim.SGD(0.02)
    w = np.zeros(())
    for x, y in zip(*(np.split(part, 2) for part in shards), strict=True):
        w = descend(lambda v, x=x, y=y: example.line_error(v, x, y), w, rate, 1)
    slope = grad(example.line_error)
    halves = [slope(0.0, x, y) for x, y in zip(*(np.split(p, 2) for p in shards), strict=True)]
    uneven = [slope(0.0, x, y) for x, y in zip(*(np.split(p, [3]) for p in shards), strict=True)]
    steps = {
        "parallel": np.mean(halves), "full": slope(0.0, *shards),
        "plain": np.mean(uneven), "weighted": np.average(uneven, weights=[3, 1]),
    }  # fmt: skip
    moved = {name: -0.02 * g for name, g in steps.items()}
    spread = [example.LINE_SPREAD.std(), *(h.std() for h in np.split(example.LINE_SPREAD, 2))]
    return (
        f"y ≈ wx on four rows, η = 0.02, w₀ = 0: two steps one after the other w = "
        f"{same(w, '1.10')}; in parallel and averaged {same(moved['parallel'], '0.59')} = full "
        f"batch {same(moved['full'], '0.59')}. Shards of 3 and 1: plain mean "
        f"{same(moved['plain'], '0.87333')}, weighted {same(moved['weighted'], '0.59')}. Standard "
        f"deviation of a channel: all rows {same(spread[0], '2.2913')}, shards "
        f"{same(spread[1:], '1.1180 1.1180')}."
    )


@section.row(
    "E-14", "I", "B:L524-531, 570-573, 637",
    "W² = (0.5; 0.6) as 2×1, then z³ = W²a² + b²",
    "W² is the 1×2 row (0.5 0.6); then (W²)ᵀ is the column, and ∂J/∂W² is 1×2, not 2×1.",
)  # fmt: skip
def shape_of_w2() -> str:
    column, row = np.array([[0.5], [0.6]]), np.array([[0.5, 0.6]])
    a2 = tensor(example.forward()["a2"][:, None])
    refused = _refused(lambda: ops.matmul(column, a2), "(2×1)·(2×1) is refused")
    z3 = ops.matmul(row, a2).item() + 0.3
    return f"{refused}; (1×2)·(2×1) + 0.3 = {same(z3, '1.04137398')}."


@section.row(
    "E-15", "D", "A:L24; B:L220, 363",
    "\"adjusting the weights along the way\", \"moving backward updating weights\", \"update "
    "process occurs simultaneously during backpropagation\"",
    "First all gradients with the old weights, then all updates.",
)  # fmt: skip
def gradients_before_updates() -> str:
    right = grad(example.cost)(example.START)
    early = example.START | {"W2": example.START["W2"] - right["W2"]}
    by_a2 = early["W2"] * grad(example.from_z3)(example.forward()["z3"])
    a2 = example.forward()["a2"]
    wrong = np.outer(by_a2 * a2 * (1 - a2), example.X)
    return (
        f"Worked example, η = 1, W² updated first: ∂J/∂W¹ = "
        f"{same(wrong, '-0.00312629 -0.00500207; -0.00327279 -0.00523646')} instead of "
        f"{same(right['W1'], '-0.00294074 -0.00470519; -0.00308818 -0.00494109')}."
    )
