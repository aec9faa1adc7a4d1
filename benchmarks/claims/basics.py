"""Claims on neurons, perceptrons, backpropagation and bias."""

from typing import Any

import numpy as np

from benchmarks.claims.book import Run, Sample, claim, verdict
from benchmarks.claims.nets import fitted, mlp, seconds
from chainrule import functional, grad, jvp, losses, nn, ops, optim, trace, value_and_grad, vjp
from tools.errata.perceptron import AND, OR, Perceptron
from tools.errata.runs import linear_fit


@claim(
    "F13",
    "B:L106",
    "Universal approximation capability",
    "largest error of a trained net on sin over [-π, π]: below 0.05 with 64 units, above 0.3 "
    "with 1",
)
def universal_approximation(run: Run) -> tuple[str, str]:
    x = np.linspace(-np.pi, np.pi, 257, dtype=np.float32)[:, None]
    worst: dict[tuple[str, int], Sample] = {}
    for activation, width in (("tanh", 1), ("tanh", 8), ("tanh", 64), ("identity", 64)):
        errors = []
        for seed in run.seeds(5):
            model = mlp([1, width, 1], activation, seed)
            fitted(model, "mse", (x, np.sin(x)), optim.Adam(0.02), run.amount(600, 60), seed=seed,
                   schedule="cosine")  # fmt: skip
            errors.append(float(np.max(np.abs(model.predict(x) - np.sin(x)))))
        worst[activation, width] = Sample(errors)
    text = "; ".join(f"{name}, {width} units: {worst[name, width]}" for name, width in worst)
    good = worst["tanh", 64].mean < 0.05 and worst["tanh", 1].mean > 0.3
    linear = worst["identity", 64].mean > 0.3
    condition = "the activation is no polynomial and the net wide enough"
    return text, verdict(good and not linear, only_if=(condition, good and linear))


@claim(
    "P12",
    "B:L179",
    "Having a learning rate less than one results in a more stable learning rate",
    "from weights 0 the mistakes of some epoch differ between η < 1 and η ≥ 1",
)
def rate_of_the_perceptron(run: Run) -> tuple[str, str]:
    histories = {}
    for rows in (AND, OR):
        for rate in (0.1, 0.25, 0.4, 1.0, 7.0):
            histories[id(rows), rate] = Perceptron(2, rate).train(rows, 100)
    same = all(
        histories[id(rows), rate] == histories[id(rows), 0.1]
        for rows in (AND, OR) for rate in (0.25, 0.4, 1.0, 7.0)
    )  # fmt: skip
    epochs: dict[float, list[int]] = {0.25: [], 4.0: []}
    for seed in run.seeds(20):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(60, 2))
        cloud = [(row, float(row.sum() > 0.3)) for row in x if abs(row.sum() - 0.3) > 0.2]
        start = 0.05 * rng.normal(size=3)
        for rate, found in epochs.items():
            found.append(len(Perceptron(2, rate, start=start).train(cloud, 500)))
    small, large = Sample(epochs[0.25]), Sample(epochs[4.0])
    listed = ", ".join(map(str, histories[id(AND), 0.1]))
    text = (
        f"AND and OR: the mistakes of each epoch are the same for η = 0.1, 0.25, 0.4, 1, 7 (AND: "
        f"{listed}): {'yes' if same else 'no'}. Clouds of points, start of spread 0.05, epochs "
        f"until free of mistakes: η = 0.25 {small}, η = 4 {large}"
    )
    return text, verdict(not same and small.below(large))


@claim(
    "P14",
    "B:L194",
    "This algorithm is O(Tmn)",
    "multiply-adds double when T, m, n double, and stay when the number of rows doubles",
)
def cost_of_the_perceptron(run: Run) -> tuple[str, str]:
    def work(iterations: int, inputs: int, units: int, rows: int) -> int:
        rng = np.random.default_rng(0)
        total = 0
        for _ in range(units):
            data = [(x, float(i % 2)) for i, x in enumerate(rng.normal(size=(rows, inputs - 1)))]
            data[1] = (data[0][0], 1.0)  # one row with both labels, so that it never settles
            unit = Perceptron(inputs - 1, 0.25)
            unit.train(data, iterations)
            total += unit.multiply_adds
        return total

    base = {"iterations": 5, "inputs": 4, "units": 2, "rows": 6}
    once = work(**base)
    factors = {name: work(**(base | {name: 2 * base[name]})) / once for name in base}
    text = ", ".join(f"{name} doubled: × {factor:g}" for name, factor in factors.items())
    per_row = all(factors[name] == 2 for name in ("iterations", "inputs", "units"))
    claimed = per_row and factors["rows"] == 1
    condition = "it is counted per row; in all it is O(T·N·m·n) for N rows"
    return text, verdict(claimed, only_if=(condition, per_row and factors["rows"] == 2))


@claim(
    "C18",
    "A:L103",
    "Reverse mode AD is particularly well-suited for deep learning",
    "gradient of one loss by 400 weights: reverse mode at least 10 times faster than forward; "
    "and not for 1 input and 400 outputs",
)
def reverse_and_forward(run: Run) -> tuple[str, str]:
    matrix = np.random.default_rng(0).normal(size=(400, 400)) / 20

    def loss(w: Any) -> Any:
        return ops.sum(ops.tanh(ops.matmul(matrix, w)) ** 2)

    def curve(t: Any) -> Any:
        return ops.tanh(np.linspace(-1, 1, 400) * t)

    w, units, repeats = np.full(400, 0.1), np.eye(400), run.amount(5, 2)
    forward = seconds(lambda: [jvp(loss, (w,), (unit,)) for unit in units], repeats)
    reverse = seconds(lambda: grad(loss)(w), repeats)
    one = np.float64(0.5)
    forward_curve = seconds(lambda: jvp(curve, (one,), (np.float64(1.0),)), repeats)

    def rows() -> list[Any]:
        _, pull = vjp(curve, one)
        return [pull(unit) for unit in units]

    reverse_curve = seconds(rows, repeats)
    gains = forward / reverse, reverse_curve / forward_curve
    text = (
        f"400 inputs, 1 output: 400 forward sweeps take {gains[0]:.0f} times as long as 1 reverse "
        f"sweep; 1 input, 400 outputs: 400 reverse sweeps {gains[1]:.0f} times as long as 1 forward"
    )
    return text, verdict(gains[0] > 10 and gains[1] > 10)


def _flops(f: Any, *arrays: Any) -> int:
    """Count the multiply-adds of the matrix products of a traced function."""
    total = 0
    for node in trace(f, *arrays).nodes:
        if node.op is not None and node.op.name == "matmul":
            first = node.inputs[0].shape
            inner = first[-2] if node.attrs.get("transpose_a") else first[-1]
            total += int(np.prod(node.shape)) * int(inner)
    return total


@claim(
    "C24",
    "A:L5",
    "matrix operations (in place of neuron by neuron)",
    "a layer of 256 units on 64 rows: the same numbers within 1e-12, over 10 times faster",
)
def products_and_loops(run: Run) -> tuple[str, str]:
    layer = nn.Linear(256, 256, seed=0).astype(float)
    x = np.random.default_rng(0).normal(size=(64, 256))
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()

    def neuron_by_neuron() -> Any:
        return [[weight[j] @ row + bias[j] for j in range(256)] for row in x]

    gap = float(np.max(np.abs(np.asarray(neuron_by_neuron()) - layer.predict(x))))
    ratio = seconds(neuron_by_neuron, 5) / seconds(lambda: layer.predict(x))
    text = f"largest difference {gap:.0e}; time of a loop over neurons: {ratio:.0f} times"
    return text, verdict(gap < 1e-12 and ratio > 10)


@claim(
    "C19",
    "A:L32",
    "backpropagation can be computationally expensive, especially for large networks",
    "forward and backward cost more than 5 forward passes, by multiply-adds",
)
def cost_of_backpropagation(run: Run) -> tuple[str, str]:
    ratios, times = {}, {}
    for width in (64, 256, 1024)[: run.amount(3, 2)]:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(64, width))
        weights = [rng.normal(size=(width, width)) / width**0.5 for _ in range(3)]

        def loss(w: Any, x: Any = x) -> Any:
            for matrix in w:
                x = ops.tanh(ops.matmul(x, matrix))
            return ops.mean(x * x)

        def both(*w: Any, f: Any = loss) -> Any:
            return value_and_grad(f)(list(w))

        forward = _flops(lambda *w, f=loss: f(list(w)), *weights)
        ratios[width] = _flops(both, *weights) / forward
        times[width] = seconds(lambda w=weights, f=both: f(*w), 5) / seconds(
            lambda w=weights, f=loss: f(w), 5)  # fmt: skip
    text = "; ".join(
        f"3 layers of {width}: {ratios[width]:.2f} times the multiply-adds, {times[width]:.1f} "
        f"times the time" for width in ratios
    )  # fmt: skip
    return text + " of the forward pass", verdict(max(ratios.values()) > 5)


@claim(
    "Q13",
    "B:L128",
    "traditional ML models might have hundreds or thousands",
    "every neural net here has more parameters than every linear model",
)
def number_of_parameters(run: Run) -> tuple[str, str]:
    models = {
        "the notes' 2-2-1 net": nn.mlp([2, 2, 1], "sigmoid"),
        "64-100-10 net for digits": nn.mlp([64, 100, 10]),
        "784-512-512-10 net for images": nn.mlp([784, 512, 512, 10]),
        "logistic regression on 50,000 words, 20 topics": nn.Linear(50_000, 20),
    }
    counts = [model.count_parameters() for model in models.values()]
    text = "; ".join(f"{name}: {n:,}" for name, n in zip(models, counts, strict=True))
    return text, verdict(counts[-1] < min(counts[:-1]))


@claim(
    "R21",
    "B:L793",
    "the bias b allows the model to fit data that doesn't necessarily pass through the origin",
    "MSE of y = x + 5 is 0 with a bias, above 1 without",
)
def through_the_origin(run: Run) -> tuple[str, str]:
    x = np.array([[1.0], [2.0], [3.0]])
    y = x[:, 0] + 5
    without = linear_fit(x, y)
    wide = np.column_stack([x, np.ones(3)])
    errors = [float(losses.mse(m @ linear_fit(m, y), y)) for m in (x, wide)]
    text = f"Without: w = {without[0]:.8f}, MSE {errors[0]:.8f}; with: MSE {errors[1]:.1e}"
    return text, verdict(errors[1] < 1e-12 and errors[0] > 1)


def _bias_gradient(axis: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    x, weights = rng.normal(size=(16, 8)), rng.normal(size=(16, 8))
    slope = grad(lambda b: ops.sum(functional.normalize(x + b, axis)[0] * weights))(np.zeros(8))
    return float(np.max(np.abs(slope)))


@claim(
    "R22",
    "B:L799, 802",
    "the bias might be redundant since normalization adjusts the output mean and variance",
    "largest gradient by the bias before the norm below 1e-12",
)
def bias_before_normalization(run: Run) -> tuple[str, str]:
    batch, layer = (Sample(_bias_gradient(a, s) for s in run.seeds(10)) for a in (0, 1))
    zero = [sample.values.max() < 1e-12 for sample in (batch, layer)]
    text = f"Batch normalization: {batch}; layer normalization: {layer}"
    return text, verdict(all(zero), only_if=("it is batch normalization", zero[0]))


@claim(
    "V08",
    "B:L121",
    "only the weights of neurons that significantly contribute to the prediction error are updated",
    "less than all weights have a gradient that is not 0",
)
def which_weights_move(run: Run) -> tuple[str, str]:
    shares = {}
    for name in ("sigmoid", "tanh", "relu"):
        found = []
        for seed in run.seeds(10):
            model = mlp([10, 32, 32, 1], name, seed).astype(np.float64)
            x = np.random.default_rng(seed).normal(size=(1, 10))
            losses.mse(model(x), np.ones((1, 1))).backward()
            slopes = np.concatenate([p.grad.value.ravel() for p in model.parameters()
                                     if p.ndim == 2 and p.grad is not None])  # fmt: skip
            found.append(np.count_nonzero(slopes) / slopes.size)
        shares[name] = Sample(found)
    text = "10-32-32-1, one row, share of weights with a gradient: "
    text += ", ".join(f"{name} {shares[name]}" for name in shares)
    some = [sample.mean < 1 for sample in shares.values()]
    return text, verdict(all(some), only_if=("the activation is ReLU", some[2]))
