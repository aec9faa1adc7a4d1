"""Claims on activation functions."""

import math

import numpy as np

from benchmarks.claims.book import Run, Sample, claim, verdict
from benchmarks.claims.deep import gradient_ratio
from benchmarks.claims.nets import fitted, mlp, mse, normal_mean, seconds, slopes, waves
from chainrule import functional, grad, losses, nn, ops, optim
from chainrule.graph import no_grad

GRID = np.linspace(-8, 8, 16_001)


@claim(
    "A15",
    "B:L695",
    "Vanishing gradient problem (sigmoid)",
    "30 layers of 64 units: gradient by the input below 1e-15 of that by the output",
)
def sigmoid_vanishes(run: Run) -> tuple[str, str]:
    ratios = Sample(gradient_ratio("sigmoid", 1.0, s) for s in run.seeds(10))
    top = slopes("sigmoid", GRID).max()
    return f"{ratios}; largest slope {top:.3f}", verdict(ratios.values.max() < 1e-15)


def _centered(name: str, run: Run, **settings: float) -> tuple[str, bool]:
    f = functional.get_activation(name)
    mean = Sample(normal_mean(lambda x: f(x, **settings), run.seeds(20)))
    return f"mean over N(0, 1) {mean}", abs(mean.mean) < 2 * mean.error + 0.01


@claim(
    "A15", "B:L695", "Not zero-centered (sigmoid)", "mean over N(0, 1) beyond 0.01 and its error"
)
def sigmoid_is_not_centered(run: Run) -> tuple[str, str]:
    text, centered = _centered("sigmoid", run)
    return text, verdict(not centered)


def _times(names: tuple[str, ...], run: Run) -> dict[str, float]:
    """Nanoseconds per number of an activation and its derivative."""
    x = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)

    def both(name: str) -> float:
        f = functional.get_activation(name)
        return seconds(lambda: grad(lambda v: ops.sum(f(v)))(x), run.amount(30, 5))

    return {name: 1e9 / x.size * both(name) for name in names}


@claim(
    "A15", "B:L695", "Computationally expensive (sigmoid)", "slower than ReLU, with its derivative"
)
def sigmoid_is_slow(run: Run) -> tuple[str, str]:
    found = _times(("sigmoid", "relu"), run)
    text = ", ".join(f"{name} {t:.1f} ns" for name, t in found.items()) + " per number, in NumPy"
    return text, verdict(found["sigmoid"] > found["relu"])


@claim("A16", "B:L696", "Zero-centered (tanh)", "mean over N(0, 1) within 0.01 and its error")
def tanh_is_centered(run: Run) -> tuple[str, str]:
    text, centered = _centered("tanh", run)
    return text, verdict(centered)


@claim(
    "A16", "B:L696", "Stronger gradients than sigmoid", "slope above sigmoid's on all of [-8, 8]"
)
def tanh_is_steeper(run: Run) -> tuple[str, str]:
    steeper = slopes("tanh", GRID) > slopes("sigmoid", GRID)
    edge = np.abs(GRID[steeper]).max()
    text = f"steeper for |x| up to {edge:.3f}, less steep beyond"
    inside = bool(np.all(steeper == (np.abs(GRID) <= edge)))
    return text, verdict(bool(steeper.all()), only_if=(f"|x| < {edge:.2f}", inside))


@claim("A17", "B:L697", "Computationally efficient (ReLU)", "faster than sigmoid and tanh")
def relu_is_fast(run: Run) -> tuple[str, str]:
    found = _times(("relu", "sigmoid", "tanh"), run)
    text = ", ".join(f"{name} {t:.1f} ns" for name, t in found.items()) + " per number, in NumPy"
    faster = [found["relu"] < found[name] for name in ("sigmoid", "tanh")]
    condition = "it is compared with sigmoid, not with tanh"
    return text, verdict(all(faster), only_if=(condition, faster[0]))


@claim(
    "A17",
    "B:L697",
    "sparse activations that enhance learning efficiency",
    "zeros are about half, and the loss after 40 epochs is below softplus's, which has none",
)
def relu_is_sparse(run: Run) -> tuple[str, str]:
    zeros = Sample(
        float(np.mean(functional.relu(np.random.default_rng(s).normal(size=10_000)) == 0))
        for s in run.seeds(10)
    )
    ends = {}
    for name in ("relu", "softplus"):
        found = []
        for seed in run.seeds(8):
            model, data = mlp([2, 32, 1], name, seed), waves(seed, 400)
            history = fitted(model, "mse", data, optim.Adam(0.01), run.amount(40, 5), seed=seed)
            found.append(history["loss"][-1])
        ends[name] = Sample(found)
    text = f"zeros {zeros}; loss after 40 epochs: relu {ends['relu']}, softplus {ends['softplus']}"
    return text, verdict(abs(zeros.mean - 0.5) < 0.05 and ends["relu"].below(ends["softplus"]))


def _dead(name: str, bias: float, seed: int) -> float:
    """Share of hidden units whose gradient is 0 for all rows."""
    layer = nn.Linear(10, 64, seed=seed).astype(np.float64)
    with no_grad():
        layer.bias.assign(np.full(64, bias))
    z = layer.predict(np.random.default_rng(seed).normal(size=(500, 10)))
    return float(np.mean(np.all(slopes(name, z) == 0, axis=0)))


@claim(
    "A17",
    "B:L697",
    "Dying ReLU (problem)",
    "units dead for all rows appear at a bias of -10, none at 0",
)
def relu_dies(run: Run) -> tuple[str, str]:
    fresh, pushed = (Sample(_dead("relu", b, s) for s in run.seeds(10)) for b in (0.0, -10.0))
    text = f"share of dead units: bias 0 {fresh}, bias -10 {pushed}"
    return text, verdict(fresh.below(pushed) and fresh.mean < 0.01)


@claim(
    "V07",
    "B:L117, 697, 755",
    "dead neurons (dying ReLU)",
    "large steps kill ReLU units in training, small steps do not",
)
def units_die_in_training(run: Run) -> tuple[str, str]:
    shares = {}
    for rate in (0.01, 1.0):
        found = []
        for seed in run.seeds(8):
            model, data = mlp([2, 32, 1], "relu", seed), waves(seed, 200)
            fitted(model, "mse", data, optim.SGD(rate), run.amount(20, 5), seed=seed, clip_norm=5.0)
            z = model[0].predict(data[0])
            found.append(float(np.mean(np.all(z <= 0, axis=0))))
        shares[rate] = Sample(found)
    text = ", ".join(f"η = {rate}: {shares[rate]} of units dead" for rate in shares)
    return text, verdict(shares[0.01].below(shares[1.0]) and shares[0.01].mean < 0.05)


@claim("A18", "B:L698", "Zero-centered (leaky ReLU)", "mean over N(0, 1) within 0.01 and its error")
def leaky_relu_is_centered(run: Run) -> tuple[str, str]:
    text, centered = _centered("leaky_relu", run)
    other, at_one = _centered("leaky_relu", run, negative_slope=1.0)
    return f"α = 0.01: {text}; α = 1: {other}", verdict(centered, only_if=("α = 1", at_one))


@claim("A18", "B:L698", "Prevents dying ReLU problem", "no unit is dead where units of ReLU are")
def leaky_relu_lives(run: Run) -> tuple[str, str]:
    leaky, plain = (
        Sample(_dead(name, -10.0, s) for s in run.seeds(10)) for name in ("leaky_relu", "relu")
    )
    text = f"share of dead units at bias -10: leaky ReLU {leaky}, ReLU {plain}"
    return text, verdict(leaky.values.max() == 0 and plain.mean > 0.5)


@claim("A19", "B:L699", "Smooth function (ELU)", "no jump of the slope at 0")
def elu_is_smooth(run: Run) -> tuple[str, str]:
    jumps = {a: float(np.diff(slopes("elu", [-1e-9, 1e-9], alpha=a))[0]) for a in (0.5, 1.0, 2.0)}
    text = ", ".join(f"α = {a}: jump {jump:.3f}" for a, jump in jumps.items())
    smooth = {a: abs(jump) < 1e-6 for a, jump in jumps.items()}
    return text, verdict(all(smooth.values()), only_if=("α = 1", smooth[1.0]))


@claim("A19", "B:L699", "Computationally more expensive than ReLU", "slower, with its derivative")
def elu_is_slow(run: Run) -> tuple[str, str]:
    found = _times(("elu", "relu"), run)
    text = ", ".join(f"{name} {t:.1f} ns" for name, t in found.items()) + " per number, in NumPy"
    return text, verdict(found["elu"] > found["relu"])


def _softmax_slopes(run: Run) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    cases = [rng.normal(size=2 + i % 9) * 10 ** rng.uniform(-2, 2) for i in range(1000)]
    p = [ops.softmax(z) for z in cases]
    return [np.diag(q) - np.outer(q, q) for q in p]


@claim("A20", "B:L700", "Outputs sum to 1 (softmax)", "within 1e-12, for logits up to ±1000")
def softmax_sums_to_one(run: Run) -> tuple[str, str]:
    sums = [ops.sum(ops.softmax(np.random.default_rng(s).uniform(-1000, 1000, 50)))
            for s in range(500)]  # fmt: skip
    worst = float(np.max(np.abs(np.array(sums) - 1)))
    return f"largest difference {worst:.0e}", verdict(worst < 1e-12)


@claim("A20", "B:L700", "Can cause exploding gradients", "a Jacobian of spectral norm above 1")
def softmax_explodes(run: Run) -> tuple[str, str]:
    found = _softmax_slopes(run)
    norm = max(np.linalg.norm(s, 2) for s in found)
    entry = max(np.abs(s).max() for s in found)
    text = f"{len(found)} random logits: largest norm {norm:.4f}, largest entry {entry:.4f}"
    return text, verdict(norm > 1)


@claim(
    "A21",
    "B:L702",
    "Can overfit on small datasets (PReLU)",
    "30 rows: gap between test and training MSE larger than with ReLU",
)
def prelu_overfits(run: Run) -> tuple[str, str]:
    gaps = {}
    for name in ("relu", "prelu"):
        found = []
        for seed in run.seeds(12):
            kinds = [nn.PReLU() if name == "prelu" else nn.Activation("relu") for _ in range(2)]
            model = nn.Sequential(nn.Linear(2, 32), kinds[0], nn.Linear(32, 32), kinds[1],
                                  nn.Linear(32, 1)).initialize(seed)  # fmt: skip
            data, fresh = waves(seed, 30), waves(seed + 1000, 1000)
            fitted(model, "mse", data, optim.Adam(0.005), run.amount(300, 30), seed=seed)
            found.append(mse(model, fresh) - mse(model, data))
        gaps[name] = Sample(found)
    text = ", ".join(f"{name}: gap {gaps[name]}" for name in gaps)
    return text, verdict(gaps["relu"].below(gaps["prelu"]))


@claim("A22", "B:L703", "Non-monotonic (swish)", "the slope changes its sign")
def swish_turns(run: Run) -> tuple[str, str]:
    falling = slopes("swish", GRID) < 0
    turn = GRID[falling].max()
    text = f"falls below x = {turn:.3f}, rises above"
    return text, verdict(bool(falling.any() and not falling.all()))


@claim("A22", "B:L703", "Smooth function (swish)", "no jump of the first or second derivative at 0")
def swish_is_smooth(run: Run) -> tuple[str, str]:
    near = [-1e-6, 1e-6]
    first = float(np.diff(slopes("swish", near))[0])
    second = float(np.diff([grad(grad(functional.swish))(x) for x in near])[0])
    text = f"differences over 2e-6: {abs(first):.0e} and {abs(second):.0e}"
    return text, verdict(max(abs(first), abs(second)) < 1e-4)


@claim(
    "A22", "B:L703", "Computationally expensive (swish)", "slower than ReLU, with its derivative"
)
def swish_is_slow(run: Run) -> tuple[str, str]:
    found = _times(("swish", "relu"), run)
    text = ", ".join(f"{name} {t:.1f} ns" for name, t in found.items()) + " per number, in NumPy"
    return text, verdict(found["swish"] > found["relu"])


@claim("A23", "B:L704", "Generalizes ReLU and Leaky ReLU (maxout)", "equal to both within 1e-12")
def maxout_generalizes(run: Run) -> tuple[str, str]:
    gaps = [
        float(np.max(np.abs(functional.maxout(GRID[:, None] * np.array([1.0, slope]))[:, 0]
                            - functional.leaky_relu(GRID, slope))))
        for slope in (0.0, 0.01)
    ]  # fmt: skip
    return f"largest differences {max(gaps):.0e}", verdict(max(gaps) < 1e-12)


@claim("A23", "B:L704", "Doubles the number of parameters", "ratio to a plain layer is 2")
def maxout_doubles(run: Run) -> tuple[str, str]:
    plain = nn.Linear(4, 3).count_parameters()
    ratios = {k: nn.Linear(4, 3 * k).count_parameters() / plain for k in (2, 3, 4)}
    text = ", ".join(f"{k} pieces: × {ratio:g}" for k, ratio in ratios.items())
    doubled = {k: ratio == 2 for k, ratio in ratios.items()}
    return text, verdict(all(doubled.values()), only_if=("there are two pieces", doubled[2]))


@claim(
    "A23",
    "B:L704",
    "Does not have zero saturation",
    "no input where the gradient of all pieces is 0",
)
def maxout_never_saturates(run: Run) -> tuple[str, str]:
    shares = []
    for seed in run.seeds(10):
        rng = np.random.default_rng(seed)
        w, x = rng.normal(size=(64, 10)), rng.normal(size=(200, 10))
        slope = grad(lambda v, w=w: ops.sum(functional.maxout(ops.matmul(v, w, transpose_b=True))))
        shares.append(float(np.mean(np.all(slope(x) == 0, axis=1))))
    sample = Sample(shares)
    return f"share of inputs without gradient {sample}", verdict(sample.values.max() == 0)


@claim(
    "A24",
    "B:L705",
    "Smooth version of ReLU (softplus)",
    "within ln 2 of ReLU, no jump of the slope",
)
def softplus_follows_relu(run: Run) -> tuple[str, str]:
    gap = float(np.max(np.abs(ops.softplus(GRID) - functional.relu(GRID))))
    jump = abs(float(np.diff(slopes("softplus", [-1e-9, 1e-9]))[0]))
    text = f"largest difference {gap:.8f}, jump {jump:.0e}"
    return text, verdict(gap <= math.log(2) + 1e-12 and jump < 1e-6)


@claim("A24", "B:L705", "Always positive output (softplus)", "positive for every finite float64")
def softplus_is_positive(run: Run) -> tuple[str, str]:
    values = {x: float(ops.softplus(x)) for x in (-40.0, -745.0, -746.0)}
    text = ", ".join(f"softplus({x:g}) = {v:.1e}" for x, v in values.items())
    fine = values[-745.0] > 0
    return text, verdict(
        min(values.values()) > 0, only_if=("x > -745.2, below it underflows", fine)
    )


@claim(
    "A24", "B:L705", "Can suffer from vanishing gradient (softplus)", "slope below 1e-8 somewhere"
)
def softplus_vanishes(run: Run) -> tuple[str, str]:
    slope = float(slopes("softplus", -20.0))
    return f"slope at -20: {slope:.2e}", verdict(slope < 1e-8)


@claim(
    "L27",
    "B:L718",
    "Can suffer from vanishing gradients (sigmoid cross-entropy)",
    "gradient by a wrong logit of ±20 below 1e-3",
)
def sigmoid_cross_entropy_vanishes(run: Run) -> tuple[str, str]:
    z, y = np.array([-20.0]), np.array([1.0])
    f = losses.binary_cross_entropy_with_logits
    wrong = grad(lambda v: f(v, y, reduction="sum"))(z)[0]
    square = grad(lambda v: losses.half_squared_error(ops.sigmoid(v), y, reduction="sum"))(z)[0]
    text = f"z = -20, y = 1: {wrong:.3f}; squared error of a sigmoid {square:.2e}"
    return text, verdict(abs(wrong) < 1e-3)
