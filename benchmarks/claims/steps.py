"""Claims on learning rates and batches."""

import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.claims.book import Run, Sample, claim, verdict
from benchmarks.claims.nets import epochs_to, fitted, line, mlp, mse, seconds, waves
from chainrule import EarlyStopping, grad, losses, nn, ops, optim
from tools.errata.runs import descend, double_well, linear_fit


def _square(x: Any) -> Any:
    return x * x


@claim(
    "O16",
    "B:L729",
    "Guaranteed convergence to global minimum for convex problems",
    "f = x² from 1: |x| below 1e-3 after 200 steps for every η",
)
def convex(run: Run) -> tuple[str, str]:
    ends = {rate: abs(float(descend(_square, 1.0, optim.SGD(rate), 200)))
            for rate in (0.1, 0.5, 0.9, 1.1)}  # fmt: skip
    text = ", ".join(f"η = {rate}: |x| = {x:.1e}" for rate, x in ends.items())
    fine = {rate: x < 1e-3 for rate, x in ends.items()}
    stable = all(ok for rate, ok in fine.items() if rate < 1)
    return text, verdict(all(fine.values()), only_if=("η < 2/L, here 1", stable))


@claim(
    "S01",
    "A:L40",
    "potentially converging faster but risking overshooting the optimal solution",
    "f = x²: more rate needs fewer steps to 1e-6, until it diverges",
)
def high_rates(run: Run) -> tuple[str, str]:
    steps: dict[float, float] = {}
    for rate in (0.01, 0.1, 0.4, 1.1):
        x, n = 1.0, 0
        while 1e-6 < abs(x) < 1e6:
            x, n = x - rate * float(grad(_square)(x)), n + 1
        steps[rate] = n if abs(x) < 1 else np.inf
    text = ", ".join(f"η = {rate}: {n:g}" for rate, n in steps.items()) + " steps (inf: diverges)"
    falling = steps[0.01] > steps[0.1] > steps[0.4]
    return text, verdict(falling and np.isinf(steps[1.1]))


@claim(
    "S02",
    "A:L40",
    "a higher chance of finding the optimal solution (low rate)",
    "f = x⁴-3x²+x, starts in [-2, 2]: the global minimum is found more often with η = 0.01 than "
    "with η = 0.12",
)
def low_rates(run: Run) -> tuple[str, str]:
    starts = np.linspace(-2, 2, run.amount(81, 11))
    found = {}
    for rate in (0.01, 0.12):
        ends = descend(lambda x: ops.sum(double_well(x)), starts, optim.SGD(rate), 3000)
        found[rate] = Sample((double_well(ends) < -3.5).astype(float))
    text = ", ".join(f"η = {rate}: share {share}" for rate, share in found.items())
    return text, verdict(found[0.12].below(found[0.01]))


@claim(
    "O17",
    "B:L729",
    "Very slow for large datasets (batch gradient descent)",
    "time of an update grows more than half as fast as the rows",
)
def slow_full_batch(run: Run) -> tuple[str, str]:
    times = {
        rows: 1e3 * seconds(_gradient(rows), run.amount(7, 2)) for rows in (2000, 8000, 32_000)
    }
    text = ", ".join(f"{rows} rows {t:.1f} ms" for rows, t in times.items()) + " per update"
    return text, verdict(times[32_000] / times[2000] > 8)


def _gradient(rows: int, chunk: int | None = None) -> Any:
    """Give a function that computes the gradient over all rows, by chunks if told so."""
    x, y = line(0, rows, 20)
    model = mlp([20, 64, 1], "tanh")

    def compute() -> list[Any]:
        total = [np.zeros(p.shape) for p in model.parameters()]
        for start in range(0, rows, chunk or rows):
            part = slice(start, start + (chunk or rows))
            losses.mse(model(x[part]), y[part]).backward()
            for sum_, p in zip(total, model.parameters(), strict=True):
                sum_ += p.grad.value * (len(x[part]) / rows)
                p.grad = None
        return total

    return compute


@claim(
    "O17",
    "B:L729",
    "High memory requirements (batch gradient descent)",
    "peak memory of one exact full gradient grows with the rows, however it is computed",
)
def memory_of_full_batch(run: Run) -> tuple[str, str]:
    peaks, gaps = {}, []
    for rows in (2000, 8000):
        for chunk in (None, 500):
            compute = _gradient(rows, chunk)
            found = compute()
            if chunk:
                whole = _gradient(rows)()
                gaps += [float(np.max(np.abs(a - b))) for a, b in zip(whole, found, strict=True)]
            tracemalloc.start()
            compute()
            peaks[rows, chunk] = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
    text = ", ".join(
        f"{rows} rows {'at once' if chunk is None else f'by {chunk}'} {peak:.1f} MiB"
        for (rows, chunk), peak in peaks.items()
    )
    grows = {chunk: peaks[8000, chunk] > 2 * peaks[2000, chunk] for chunk in (None, 500)}
    text += f"; gradients of both differ by at most {max(gaps):.0e} (float32)"
    return text, verdict(all(grows.values()), only_if=("all rows go through at once", grows[None]))


@claim(
    "O18",
    "B:L730",
    "High variance in parameter updates (SGD)",
    "at the optimum the gradient's rms norm halves for each 4 times larger batch, within 10 %",
)
def noise_of_batches(run: Run) -> tuple[str, str]:
    sizes, found = (1, 4, 16, 64), {}
    for size in sizes:
        norms = []
        for seed in run.seeds(5):
            x, y = (a.astype(float) for a in line(seed, 512, 4))
            best, rng = linear_fit(x, y[:, 0]), np.random.default_rng(seed)
            residual = 2 * (x @ best - y[:, 0])[:, None] * x  # the gradient of each row
            draws = rng.integers(512, size=(run.amount(2000, 500), size))
            norms.append(np.sqrt(np.mean(np.sum(residual[draws].mean(axis=1) ** 2, axis=1))))
            slope = grad(lambda w, x=x, y=y: losses.mse(ops.matmul(x, w), y[:, 0]))(best)
            assert np.allclose(slope, residual.mean(axis=0), atol=1e-12)
        found[size] = Sample(norms)
    ratios = [found[a].mean / found[b].mean for a, b in pairwise(sizes)]
    text = "rms norm: " + ", ".join(f"B = {size}: {found[size]}" for size in sizes)
    return text, verdict(all(abs(ratio - 2) < 0.2 for ratio in ratios))


@claim(
    "O18",
    "B:L730",
    "May not reach the exact minimum (SGD)",
    "constant η: error above the least stays above 1e-4 with batches of 1, falls below 1e-8 with "
    "all rows",
)
def exact_minimum(run: Run) -> tuple[str, str]:
    ends: dict[Any, list[float]] = {1: [], None: []}
    for seed in run.seeds(6):
        x, y = (a.astype(float) for a in line(seed, 100, 4))
        least = float(losses.mse(x @ linear_fit(x, y[:, 0]), y[:, 0]))
        for size, found in ends.items():
            model = nn.Linear(4, 1, bias=False, seed=seed).astype(np.float64)
            fitted(model, "mse", (x, y), optim.SGD(0.05), 300, batch_size=size, seed=seed)
            found.append(mse(model, (x, y)) - least)
    one, whole = Sample(ends[1]), Sample(ends[None])
    text = f"error above the least: batches of 1 {one}, all rows {whole}"
    return text, verdict(one.values.min() > 1e-4 and whole.values.max() < 1e-8)


@claim(
    "O18",
    "B:L730",
    "Sensitive to feature scaling (SGD)",
    "epochs to the loss grow more than 5 times when one of 4 columns is 10 times larger, each "
    "with its best η",
)
def feature_scaling(run: Run) -> tuple[str, str]:
    most, found = run.amount(400, 100), {}
    for scale in (1.0, 10.0):
        tried = []
        for rate in (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1):
            epochs = []
            for seed in run.seeds(5):
                x, y = line(seed, 200, 4, 0.1)
                scaled = x * np.array([scale, 1, 1, 1], np.float32)
                model = nn.Linear(4, 1, init="zeros")
                try:
                    history = fitted(model, "mse", (scaled, y), optim.SGD(rate), most, seed=seed)
                    epochs.append(epochs_to(history, 0.02, most))
                except ValueError:  # it diverged
                    epochs.append(most)
            tried.append(Sample(epochs))
        found[scale] = min(tried, key=lambda sample: sample.mean)
    text = ", ".join(f"column × {scale:g}: {found[scale]} epochs" for scale in found)
    return text, verdict(found[10.0].mean > 5 * found[1.0].mean)


@claim(
    "O19",
    "A:L115",
    "ability to achieve faster convergence compared to full-batch gradient descent",
    "fewer rows processed until the loss than with all rows at once, each with its best η",
)
def minibatches_are_faster(run: Run) -> tuple[str, str]:
    most, found = run.amount(400, 30), {}
    for size in (16, None):
        tried = []
        for rate in (0.03, 0.1, 0.3):
            epochs = []
            for seed in run.seeds(5):
                model, data = mlp([2, 32, 1], "tanh", seed), waves(seed, 400, 0.1)
                try:
                    history = fitted(
                        model, "mse", data, optim.SGD(rate), most, batch_size=size, seed=seed
                    )
                    epochs.append(epochs_to(history, 0.1, most))
                except ValueError:  # it diverged
                    epochs.append(most)
            tried.append(Sample(epochs))
        found[size] = min(tried, key=lambda sample: sample.mean)
    text = f"epochs to MSE 0.1 (at most {most}): batches of 16 {found[16]}, all rows {found[None]}"
    return text, verdict(found[16].below(found[None]))


def _noisy_well(noise: float, rate: float, steps: int, seeds: range) -> Sample:
    """Share of runs from 2 that end in the global minimum, with noise in the gradient."""
    ends = []
    slope = grad(double_well)
    for seed in seeds:
        rng, x = np.random.default_rng(seed), 2.0
        for _ in range(steps):
            x -= rate * (float(slope(x)) + noise * rng.normal())
        ends.append(float(x < 0))
    return Sample(ends)


@claim(
    "O20",
    "A:L117",
    "can help the model escape from local minima and saddle points",
    "f = x⁴-3x²+x from 2, η = 0.01: noise in the gradient finds the global minimum more often "
    "than none",
)
def noise_escapes(run: Run) -> tuple[str, str]:
    seeds, steps = run.seeds(20), run.amount(3000, 300)
    found = {noise: _noisy_well(noise, 0.01, steps, seeds) for noise in (0.0, 3.0, 10.0, 20.0)}
    text = ", ".join(f"noise {noise:g}: share {found[noise]}" for noise in found)
    better = {noise: found[0.0].below(found[noise]) for noise in (3.0, 10.0, 20.0)}
    condition = (
        f"the noise is large, here from {min((n for n, b in better.items() if b), default=0):g}"
    )
    return text, verdict(all(better.values()), only_if=(condition, any(better.values())))


@claim(
    "O20",
    "A:L117",
    "escape from saddle points (noise)",
    "f = x²-y² from (1, 0), η = 0.01: |y| above 1 after 1000 steps with noise, not without",
)
def noise_leaves_saddles(run: Run) -> tuple[str, str]:
    signs = np.array([1.0, -1.0])
    found = {}
    for noise in (0.0, 0.01):
        ends = []
        for seed in run.seeds(20):
            rng, p = np.random.default_rng(seed), np.array([1.0, 0.0])
            slope = grad(lambda v: ops.sum(v * v * signs))
            for _ in range(1000):
                p = p - 0.01 * (slope(p) + noise * rng.normal(size=2))
                if abs(p[1]) > 1:
                    break
            ends.append(float(abs(p[1]) > 1))
        found[noise] = Sample(ends)
    text = ", ".join(f"noise {noise:g}: share {found[noise]} left it" for noise in found)
    return text, verdict(found[0.0].below(found[0.01]))


@claim(
    "O21",
    "A:L117",
    "The stochasticity acts as a regularization mechanism",
    "at equal training loss the test error is smaller with batches of 4 than with all rows",
)
def noise_regularizes(run: Run) -> tuple[str, str]:
    inside, tests = {}, {}
    for size, epochs, rate in ((4, 4000, 0.02), (None, 15_000, 0.1)):
        found = []
        for seed in run.seeds(8):
            model, data = mlp([2, 64, 1], "tanh", seed), waves(seed, 60, 1.0)
            stop = EarlyStopping(patience=epochs, target=0.7, restore_best=False)
            fitted(model, "mse", data, optim.SGD(rate), run.amount(epochs, 20), batch_size=size,
                   seed=seed, validation=data, early_stopping=stop)  # fmt: skip
            found.append((mse(model, data), mse(model, waves(seed + 1000, 1000))))
        inside[size], tests[size] = Sample(a for a, _ in found), Sample(b for _, b in found)
    text = "60 rows with noise of spread 1, trained until MSE 0.7: " + ", ".join(
        f"{name} training {inside[size]}, test {tests[size]}"
        for size, name in ((4, "batches of 4"), (None, "all rows"))
    )
    equal = abs(inside[4].mean - inside[None].mean) < 0.05
    return text, verdict(equal and tests[4].below(tests[None]))


@claim(
    "H08",
    "B:L765",
    "Trade-offs between small and large batch sizes? (memory, speed)",
    "larger batches take more memory a step and less time an epoch",
)
def batch_sizes(run: Run) -> tuple[str, str]:
    x, y = line(0, 4096, 20)
    peaks, times = [], []
    for size in (16, 128, 1024):
        model = mlp([20, 64, 1], "relu")
        tracemalloc.start()
        losses.mse(model(x[:size]), y[:size]).backward()
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**10)
        tracemalloc.stop()
        times.append(1e3 * seconds(lambda m=model, b=size: fitted(
            m, "mse", (x, y), optim.SGD(1e-3), 1, batch_size=b, compile="numpy"), 3))  # fmt: skip
    text = ", ".join(
        f"B = {size}: {p:.0f} KiB, {t:.0f} ms an epoch"
        for size, p, t in zip((16, 128, 1024), peaks, times, strict=True)
    )
    return text, verdict(sorted(peaks) == peaks and sorted(times, reverse=True) == times)
