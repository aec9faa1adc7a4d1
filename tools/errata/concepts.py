"""Errata of regularization, bias, initialization and concepts."""

from typing import Any

import numpy as np

from chainrule import EarlyStopping, functional, grad, losses, metrics, nn, ops, optim
from chainrule import train as train_net
from chainrule.optim import MovingAverage
from tools.errata.book import Section
from tools.errata.numbers import below, holds, near, same
from tools.errata.runs import XOR_INPUTS, XOR_TARGETS, descend, linear_fit

section = Section("Regularization, bias, initialization, concepts")


@section.row(
    "E-46", "W", "B:L121",
    "\"only the weights of neurons that significantly contribute to the prediction error are "
    "updated\"",
    "Every weight whose gradient is not 0 moves; ReLU blocks paths through inactive units only.",
)  # fmt: skip
def which_weights_move() -> str:
    counts = []
    x = np.random.default_rng(0).normal(size=(1, 10))
    for activation in ("sigmoid", "relu"):
        model = nn.mlp([10, 32, 32, 1], activation, seed=0).astype(np.float64)
        losses.mse(model(x), np.ones((1, 1))).backward()
        weights = [p.grad.value for p in model.parameters() if p.ndim == 2]
        counts.append((sum(np.count_nonzero(g) for g in weights), sum(g.size for g in weights)))
    (smooth, total), (kinked, _) = counts
    holds(0 < kinked < total, "ReLU blocks some paths")
    return (
        f"10-32-32-1, one row: weights of non-zero gradient with sigmoid "
        f"{same(smooth, '1376')} of {same(total, '1376')}, with ReLU {kinked}."
    )


@section.row(
    "E-54", "W", "B:L802",
    "With \"Layer Normalization or Batch Normalization, you may decide to omit bias\"",
    "A bias is redundant before batch normalization; before layer normalization only the mean of "
    "the bias vector is.",
)  # fmt: skip
def bias_before_normalization() -> str:
    x = np.random.default_rng(0).normal(size=(16, 3))
    bias, weights = np.array([3.0, -1.0, 0.5]), np.random.default_rng(1).normal(size=(16, 3))
    changes, slopes = [], []
    for axis in (0, 1):

        def normalized(b: Any, axis: int = axis) -> Any:
            return functional.normalize(x + b, axis)[0]

        changes.append(np.max(np.abs(normalized(bias) - normalized(np.zeros(3)))))
        slope = grad(lambda b, n=normalized: ops.sum(n(b) * weights))
        slopes.append(slope(np.zeros(3)))
    even = np.max(np.abs(normalized(np.full(3, 3.0)) - normalized(np.zeros(3))))
    holds(changes[1] > 0.1 and np.min(np.abs(slopes[1])) > 0.1, "the bias matters")
    return (
        f"Batch: normalized x + b differs from that of x by {below(changes[0], 1e-14)}, gradient "
        f"by b {below(slopes[0], 1e-13)}. Layer: up to {changes[1]:.2f}, gradient "
        f"({', '.join(f'{s:.2f}' for s in slopes[1])}); equal biases {below(even, 1e-14)}."
    )


@section.row(
    "E-55", "D", "B:L801-802", "\"Zero Initialization\" as a case of \"When Not to Use Bias\"",
    "A bias that starts at 0 is a bias.",
)  # fmt: skip
def bias_that_starts_at_zero() -> str:
    layer = nn.Linear(1, 1, init="zeros").astype(np.float64)
    x = np.array([[1.0], [2.0], [3.0]])
    before = layer.bias.item()
    train_net(layer, "mse", x, x + 5, optimizer=optim.SGD(0.1), epochs=1000, batch_size=None,
              compile=False)  # fmt: skip
    return f"y = x + 5: the bias starts at {same(before, '0')} and ends at " \
           f"{same(layer.bias.item(), '5.000')}."  # fmt: skip


@section.row(
    "E-56", "D", "B:L790",
    "Without bias the activation's output \"might be constrained to a specific range\"",
    "The range is unchanged; f(0) is fixed, and boundaries go through the origin.",
)  # fmt: skip
def line_through_the_origin() -> str:
    x = np.array([[1.0], [2.0], [3.0]])
    w = linear_fit(x, x[:, 0] + 5)
    error = losses.mse(x[:, 0] * w[0], x[:, 0] + 5)
    wide = [ops.sigmoid(w[0] * v) for v in (-20.0, 0.0, 20.0)]
    return (
        f"σ(wx) without bias at x = -20, 0, 20: {same(wide, '0.0 0.5 1.0')}. y = x + 5 at 1, 2, 3: "
        f"w = {same(w[0], '3.14285714')}, MSE {same(error, '3.57142857')}."
    )


def _sparse_problem() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5))
    return x, x @ np.array([2.0, -1.0, 0.5, 0.0, 0.0]) + 0.1 * rng.normal(size=60)


def _lasso(x: Any, y: Any, proximal: bool) -> Any:
    """Minimise ½|xw - y|² + 20 |w|₁ by steps of η = 0.005, and count exact zeros."""

    def smooth(w: Any) -> Any:
        return losses.half_squared_error(ops.matmul(x, w), y, reduction="sum")

    w, rate, penalty, slope = np.zeros(5), 0.005, 20.0, grad(smooth)
    for _ in range(500):
        w = w - rate * (slope(w) if proximal else slope(w) + penalty * np.sign(w))
        if proximal:
            w = np.sign(w) * np.maximum(np.abs(w) - rate * penalty, 0.0)
    return int(np.sum(w == 0))


@section.row(
    "E-57", "W", "B:L117-119",
    "\"deep learning automate the processs of ridge and lasso\" (\"Yes, that's a great way…\")",
    "There is no penalty unless one is added.",
)  # fmt: skip
def no_penalty_of_its_own() -> str:
    x, y = _sparse_problem()
    ordinary = linear_fit(x, y)
    padded = np.vstack([x, np.sqrt(10.0) * np.eye(5)])
    ridge = linear_fit(padded, np.concatenate([y, np.zeros(5)]))
    trained = descend(lambda w: losses.mse(ops.matmul(x, w), y), np.zeros(5), optim.SGD(0.2), 2000)
    away = np.linalg.norm(trained - ridge)
    holds(away > 0.1, "ridge is another point")
    zeros = [_lasso(x, y, proximal) for proximal in (True, False)]
    return (
        f"A linear neuron trained by gradient descent differs from least squares by "
        f"{below(trained - ordinary, 1e-12)}, from ridge (λ = 10) by {away:.2f}. Lasso: exact "
        f"zeros with proximal steps {same(zeros[0], '2')}, with subgradients {same(zeros[1], '0')}."
    )


@section.row(
    "E-58", "W", "B:L117", "\"handling categorical values at one neuron\"",
    "They need one-hot columns or an embedding.",
)  # fmt: skip
def categories_as_codes() -> str:
    codes, y = np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 0.0])
    columns = [np.column_stack([codes, np.ones(3)]), functional.one_hot([0, 1, 2], 3, np.float64)]
    scores = [metrics.r2_score(y, x @ linear_fit(x, y)) for x in columns]
    return f"Codes 0, 1, 2 with targets 0, 1, 0: R² {same(scores[0], '0.0')} as one number, " \
           f"{same(scores[1], '1.0')} one-hot."  # fmt: skip


@section.row(
    "E-59", "W", "B:L117", "\"most of the ml hyperparameter tuning is done by neurones\"",
    "Hyperparameters stay outside; the notes themselves list methods to tune them (B:L771).",
)  # fmt: skip
def hyperparameters_stay() -> str:
    ends, rates = [], (0.001, 0.1)
    for rate in rates:
        optimizer = optim.SGD(rate)
        layer = nn.Linear(1, 1, init="zeros").astype(np.float64)
        x = np.array([[1.0], [2.0], [3.0]])
        train_net(layer, "mse", x, x + 5, optimizer=optimizer, epochs=200, batch_size=None,
                  compile=False)  # fmt: skip
        holds(optimizer.lr == rate, "training leaves the rate as it is")
        ends.append(losses.mse(layer.predict(x), x + 5))
    holds(ends[0] > 100 * ends[1], "the choice matters")
    return f"y = x + 5, 200 steps: η = {rates[0]} is still {rates[0]} after training, MSE " \
           f"{ends[0]:.2f}; η = {rates[1]}: {ends[1]:.3f}."  # fmt: skip


@section.row(
    "E-60", "D", "B:L128",
    "Deep learning has \"millions or billions\" of parameters, machine learning \"hundreds or "
    "thousands\"",
    "Size is not the difference.",
)  # fmt: skip
def number_of_parameters() -> str:
    count = nn.mlp([2, 2, 1], "sigmoid").count_parameters()
    return f"The net of the notes has {same(count, '9')} parameters."


@section.row(
    "E-72", "U", "B:L767", "Dropout without scaling or a rule for prediction",
    "What is kept is divided by 1-p in training; in prediction nothing is done.",
)  # fmt: skip
def scaling_of_dropout() -> str:
    layer, ones = nn.Dropout(0.5, seed=0), np.ones((100, 100))
    scaled = layer(ones).numpy()
    means = [near(np.mean(scaled > 0), 0.5, 0.04, 2), near(np.mean(scaled), 1.0, 0.04, 2)]
    predicted = layer.predict(ones)
    return (
        f"10,000 ones, p = 0.5: mean {means[0]} without scaling, {means[1]} with it, "
        f"{same(np.mean(predicted), '1')} in prediction."
    )


@section.row(
    "E-73", "U/D", "B:L768",
    "Batch normalization without formula; \"internal covariate shift\" as the reason",
    "γ(x-μ)/√(σ²+ε) + β with the batch's μ, σ² in training and running ones in prediction. The "
    "explanation is disputed (Santurkar et al., 2018).",
)  # fmt: skip
def formula_of_batch_normalization() -> str:
    layer = nn.BatchNorm1d(2).astype(np.float64)
    x = np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 10.0]])
    rows = layer(x).detach().numpy()
    kept = layer.running_var.numpy()
    return (
        f"Rows (1, 2), (3, 6), (5, 10), ε = 1e-5: last {same(rows[2], '1.22474258 1.22474430')}; "
        f"running variances after one step from 1: {same(kept, '1.3 2.5')}."
    )


@section.row(
    "E-83", "U", "B:L769", "Stop \"when the validation error starts increasing\"",
    "With patience, and the best weights restored, for the error is noisy.",
)  # fmt: skip
def patience() -> str:
    best = []
    for wait in (1, 3):
        watch = EarlyStopping(patience=wait, monitor="loss").start()
        for epoch, value in enumerate((5, 4, 3, 3.1, 3.2, 2.9), start=1):
            if watch.update(epoch, {"loss": value}):
                break
        best.append(watch.best)
    return f"Errors 5, 4, 3, 3.1, 3.2, 2.9: stopping at once keeps {same(best[0], '3.0')}, " \
           f"patience 3 gets {same(best[1], '2.9')}."  # fmt: skip


@section.row(
    "E-61", "D", "B:L742-751",
    "A column mixes hidden and output activation; regression \"None / ReLU\"; RNN \"ReLU\"; rows "
    "by \"independent features\"",
    "A ReLU output cannot be negative; two columns are needed. The choice of optimizer per row is "
    "unsupported and to be measured.",
)  # fmt: skip
def relu_output() -> str:
    targets = np.array([-1.0, -2.0, 1.0])
    start = np.full(3, 0.5)
    ends = []
    for output in (functional.relu, functional.identity):
        z = descend(lambda v, f=output: losses.mse(f(v), targets), start, optim.SGD(0.5), 200)
        ends.append(losses.mse(output(z), targets))
    return f"Targets (-1, -2, 1), one free output each: MSE {same(ends[0], '1.66667')} with " \
           f"ReLU, {same(ends[1], '0.0')} linear."  # fmt: skip


@section.row(
    "E-93", "D", "B:L766", "Regularization = \"adding a penalty\", and then dropout is listed",
    "Dropout is no penalty term: it changes the net, not the loss.",
)  # fmt: skip
def dropout_is_no_penalty() -> str:
    plain = nn.mlp([2, 4, 1], seed=0).astype(np.float64)
    dropped = nn.Sequential(plain[0], plain[1], nn.Dropout(0.5), plain[2])
    x, y = np.ones((1, 2)), np.zeros((1, 1))
    values = [losses.mse(model.predict(x), y) for model in (plain, dropped)]
    below(values[0] - values[1], 0)
    penalty = sum(float((p.value**2).sum()) for p in plain.parameters()) / 2
    holds(penalty > 0, "a penalty is positive")
    return (
        f"The same weights, with and without dropout: losses in prediction differ by "
        f"{same(values[0] - values[1], '0')}; an L2 penalty with λ = 1 would add {penalty:.2f}."
    )


def _sine_of_pieces(pieces: int) -> Any:
    """Build the net of one hidden ReLU layer that meets sin at the ends of equal pieces."""
    knots = np.linspace(-np.pi, np.pi, pieces + 1)
    slopes = np.diff(np.sin(knots)) / np.diff(knots)
    model = nn.mlp([1, pieces, 1], "relu").astype(np.float64)
    turns = np.diff(slopes, prepend=0.0)
    model.load_state_dict({
        "0.weight": np.ones((pieces, 1)), "0.bias": -knots[:-1],
        "2.weight": turns[None], "2.bias": np.sin(knots[:1]),
    })  # fmt: skip
    return model


@section.row(
    "E-94", "D", "B:L106", "\"Universal approximation capability\", unqualified",
    "With an activation that is no polynomial, on a compact domain, wide enough; such weights "
    "exist, which does not say that training finds them.",
)  # fmt: skip
def universal_approximation() -> str:
    inputs = np.column_stack([XOR_INPUTS, np.ones(4)])
    linear = losses.mse(inputs @ linear_fit(inputs, XOR_TARGETS), XOR_TARGETS)
    x = np.linspace(-np.pi, np.pi, 100_001)[:, None]
    worst = np.max(np.abs(_sine_of_pieces(64).predict(x) - np.sin(x)))
    return f"Linear net: XOR has MSE {same(linear, '0.25')} at best; 64 ReLU pieces: sin on " \
           f"[-π, π] has error {same(worst, '0.00120')} at most."  # fmt: skip


@section.row(
    "E-95", "D", "B:L212, 229",
    "\"The latter [MLP] is more common\"; backpropagation \"may be the most common method\"",
    "Bound to their time, and not testable.",
)  # fmt: skip
def what_is_common() -> str:
    return "A matter of usage; nothing to compute."


@section.row(
    "E-96", "U", "B:L813", "\"what is exponential weighted avg?\"",
    "v = βv + (1-β)x, divided by 1-β^t; it looks back over about 1/(1-β) values: "
    "`optim.MovingAverage`.",
)  # fmt: skip
def exponentially_weighted_average() -> str:
    average = MovingAverage(0.9)
    corrected = [average.update(x) for x in (1.0, 2.0, 3.0)]
    return (
        f"β = 0.9, values 1, 2, 3: {same(corrected, '1.00000000 1.52631579 2.07011070')}, the last "
        f"without correction {same(average.raw, '0.561')}; window {same(1 / (1 - 0.9), '10')}."
    )
