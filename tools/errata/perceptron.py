"""Errata of the perceptron and its history."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import functional, grad, losses, nn, ops
from tools.errata.book import Section
from tools.errata.numbers import below, holds, same
from tools.errata.runs import XOR_INPUTS, XOR_TARGETS, linear_fit

section = Section("Perceptron and history")

Rows = list[tuple[Any, float]]


def _table(targets: Sequence[float]) -> Rows:
    return [(x, float(t)) for x, t in zip(XOR_INPUTS, targets, strict=True)]


AND, OR, XOR, NAND = (_table(t) for t in ((0, 0, 0, 1), (0, 1, 1, 1), (0, 1, 1, 0), (1, 1, 1, 0)))


class Perceptron:
    """One threshold unit with the rule w = w + rate (t - y) x; the last input is the bias.

    >>> Perceptron(2, rate=0.25).train(AND, 10)
    [1, 3, 3, 2, 1, 0]
    """

    def __init__(self, inputs: int, rate: float, bias_input: float = -1.0, start: Any = 0.0):
        self.weights = np.zeros(inputs + 1) + start
        self.rate, self.bias_input, self.multiply_adds = rate, bias_input, 0

    def output(self, x: Any) -> Any:
        """Fire if the weighted sum is above 0."""
        return functional.step(ops.sum(self.weights * np.append(x, self.bias_input)))

    def train(self, rows: Rows, epochs: int) -> list[int]:
        """Learn row by row until an epoch is free of mistakes; give the mistakes of each epoch."""
        mistakes: list[int] = []
        while len(mistakes) < epochs and (not mistakes or mistakes[-1]):
            wrong = 0
            for x, t in rows:
                error = t - self.output(x)
                self.weights += self.rate * error * np.append(x, self.bias_input)
                self.multiply_adds += 2 * len(self.weights)
                wrong += int(error != 0)
            mistakes.append(wrong)
        return mistakes


@section.row(
    "E-40", "W", "B:L136-153",
    "The model of 1943 has \"a set of weights w_i\" and \"may take any of several forms, such as a "
    "logistic function\"",
    "The unit of 1943 has binary inputs, equal excitatory weights, absolute inhibition and a "
    "threshold; graded weights and the logistic came later.",
)  # fmt: skip
def unit_of_1943() -> str:
    def fires(excitatory: Any, inhibitory: Any, threshold: float) -> float:
        fired = functional.step(ops.sum(np.asarray(excitatory, float)), threshold)
        return float(fired * (1.0 - ops.max(np.asarray(inhibitory, float))))

    outputs = [fires((1, 1), (0,), 1.5), fires((1, 1), (1,), 1.5)]
    return f"Threshold 1.5, inputs 1 and 1: {same(outputs[0], '1')}; one inhibitory input: " \
           f"{same(outputs[1], '0')}."  # fmt: skip


@section.row(
    "E-41", "W", "B:L157",
    "\"A single neuron … cannot learn\"; \"Only when neurons are joined as a network can they "
    "perform useful work\"",
    "One unit with the perceptron rule learns every separable function. It contradicts B:L165: "
    "neurons are independent.",
)  # fmt: skip
def one_neuron_learns() -> str:
    epochs = [len(Perceptron(2, 0.25).train(rows, 100)) for rows in (AND, OR)]
    return (
        f"One unit, bias input -1: AND in {same(epochs[0], '6')} epochs, OR in "
        f"{same(epochs[1], '4')}, the last one free of mistakes."
    )


@section.row(
    "E-42", "W", "B:L181", "Bias input \"a constant value (usually -1, 0, or 1)\"",
    "0 gives no bias: Δw = η(t-y)·0 = 0.",
)  # fmt: skip
def bias_input_of_zero() -> str:
    ends = [Perceptron(2, 0.25, bias).train(AND, 100) for bias in (-1.0, 1.0)]
    holds([len(e) == 6 and e[-1] == 0 for e in ends], "AND is learned in 6 epochs")
    zero = [Perceptron(2, 0.25, 0.0).train(rows, 100) for rows in (AND, NAND, OR)]
    holds([zero[0][-1], zero[1][-1]], "AND and NAND are not learned")
    return (
        f"AND: with -1 and +1 no mistakes after {len(ends[0])} epochs; with 0 still "
        f"{same(zero[0][-1], '3')} at epoch {len(zero[0])}, NAND {same(zero[1][-1], '4')}; OR is "
        f"learned ({same(zero[2][-1], '0')} mistakes)."
    )


@section.row(
    "E-43", "D", "B:L179",
    "\"learning rate less than one results in a more stable learning rate … Typical … 0.1-0.4\"",
    "For a threshold unit that starts at 0, η scales w and changes no prediction. It matters for "
    "the delta rule with a sigmoid.",
)  # fmt: skip
def rate_of_the_perceptron() -> str:
    rates = (0.1, 0.25, 0.4, 1.0, 7.0)
    units = [Perceptron(2, rate) for rate in rates]
    mistakes = [unit.train(AND, 100) for unit in units]
    holds([m == mistakes[0] for m in mistakes], "the mistakes are those of the first rate")
    for unit, rate in zip(units, rates, strict=True):
        below(unit.weights / rate - units[0].weights / rates[0], 1e-12)
    return (
        f"AND, η = 0.1, 0.25, 0.4, 1, 7: mistakes per epoch {same(mistakes[0], '1 3 3 2 1 0')} "
        f"each time, w/η = {same(units[0].weights / rates[0], '2 1 2')} each time."
    )


@section.row(
    "E-44", "U", "B:L194", "\"This algorithm is O(Tmn)\"",
    "m and n are undefined, and the number N of training vectors is missing: O(T·N·m·n) with m "
    "inputs, the bias among them, and n neurons. T·m·n holds per vector.",
)  # fmt: skip
def cost_of_the_perceptron() -> str:
    counts = []
    for repeats in (1, 2):
        unit = Perceptron(2, 0.25)
        unit.train(AND * repeats, 1)
        counts.append(unit.multiply_adds)
    return (
        f"Multiply-adds counted for (T, N, m, n) = (1, 4, 3, 1): {same(counts[0], '24')}; (1, 8, "
        f"3, 1): {same(counts[1], '48')}."
    )


@section.row(
    "E-45", "D", "B:L205",
    "\"make a perceptron more complex is to simply add more weights\"",
    "Layers without a nonlinearity add nothing.",
)  # fmt: skip
def more_weights() -> str:
    inputs = np.column_stack([XOR_INPUTS, np.ones(4)])
    fitted = inputs @ linear_fit(inputs, XOR_TARGETS)
    stack = nn.mlp([2, 5, 5, 1], "identity", seed=0).astype(np.float64)
    whole = grad(lambda x: ops.sum(stack(x)))(np.zeros((1, 2))).detach().numpy()
    outputs, at_zero = stack.predict(XOR_INPUTS)[:, 0], stack.predict(np.zeros((1, 2))).item()
    below(outputs - (XOR_INPUTS @ whole[0] + at_zero), 1e-12)
    return (
        f"Best linear fit of XOR: {same(fitted, '0.5 0.5 0.5 0.5')}, MSE "
        f"{same(losses.mse(fitted, XOR_TARGETS), '0.25')}; a stack of three linear layers equals "
        f"one, so depth does not change that."
    )


@section.row(
    "E-11b", "D", "B:L179", "\"repeated until the performance no longer improves\"",
    "It needs a limit: on data that cannot be separated it never settles.",
)  # fmt: skip
def xor_never_settles() -> str:
    mistakes = Perceptron(2, 0.25).train(XOR, 100)
    holds(all(m > 0 for m in mistakes), "no epoch is free of mistakes")
    return (
        f"XOR, mistakes per epoch: {', '.join(map(str, mistakes[:5]))}, …, {mistakes[-1]} at "
        f"epoch {same(len(mistakes), '100')}; the first five {same(mistakes[:5], '2 3 4 4 4')}."
    )
