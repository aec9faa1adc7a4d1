"""Random expressions and random nets go through every verb, and all have to say the same.

`make verbs` does it with 500 of each.
"""

import os
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import chainrule as cr
from apart import results_of
from chainrule import nn, ops, optim
from chainrule.graph import OPS
from chainrule.transforms.compile import Compiled
from chainrule.tree import flatten
from test_compile_random import Cook, agree, prepared, random_case
from test_onnx import agrees, answers, session
from test_scripts import script_of

pytest.importorskip("onnxruntime")
DRAWS = int(os.environ.get("CHAINRULE_DRAWS", "20"))


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def is_drawn(*what):
    for level in (0, 1, None):
        assert ET.fromstring(cr.draw(*what, level=level).svg()).tag.endswith("svg")


def is_explained(*what, **plan):
    verdict = cr.explain(*what, **plan).verify()
    assert verdict.ok, str(verdict)


# Expressions.


class Factor(nn.Module):
    """Multiplies by a number that an expression of parameters gives."""

    def __init__(self, case, arrays):
        self.case = case
        self.own = [nn.Parameter(x, dtype=float) for x in arrays]

    def forward(self, x):
        _, _, recipe, ends, _ = self.case
        pool = Cook(self.own).follow(recipe)
        return x * ops.sum(ops.tanh(pool[-1 - ends[0] % len(pool)]))


def test_random_expressions(tmp_path):
    jobs, expected, ones = [], [], np.ones((2, 1))
    for seed in range(10_000, 10_000 + DRAWS):
        case = random_case(seed)
        if (ready := prepared(case)) is None:
            continue
        graph, arrays, values, largest = ready
        agree(flatten(Compiled(graph, plain=True)(*arrays)), values, largest)
        is_drawn(graph)
        is_explained(Factor(case, arrays), None, ones)
        is_explained(Factor(case, arrays), "mse", ones, ones)
        if not any(node.op is OPS["uniform"] for node in graph.nodes):
            agrees(graph, arrays, values, scale=largest)
        jobs.append((script_of(graph, len(arrays)), "compute", [arrays], []))
        expected.append((values, largest))
    assert len(jobs) > DRAWS // 2
    for (values, largest), found in zip(expected, results_of(tmp_path, jobs), strict=True):
        for y, e in zip(found, values, strict=True):
            np.testing.assert_allclose(y, e, rtol=1e-9, atol=1e-11 * largest)


# Nets.


def random_net(seed):
    """Give a net, and rows for it."""
    rng = np.random.default_rng(seed)
    units, activation = int(rng.integers(2, 5)), str(rng.choice(["tanh", "relu", "gelu", "mish"]))
    kind = ["dense", "dense", "convolution", "recurrent", "words"][int(rng.integers(5))]
    if kind == "dense":
        extras = [nn.Dropout(0.3), nn.BatchNorm1d(units), nn.LayerNorm(units), nn.PReLU(units),
                  nn.Maxout(units, units, 2), nn.GroupNorm(1, units)]  # fmt: skip
        middle = [extras[int(i)] for i in rng.permutation(6)[: rng.integers(4)]]
        layers = [nn.Linear(3, units, bias=bool(rng.random() < 0.8)), *middle]
        x = rng.normal(size=(6, 3)).astype(np.float32)
    if kind == "convolution":
        pool = nn.MaxPool2d(2) if rng.random() < 0.5 else nn.AvgPool2d(2, 1)
        layers = [nn.Conv2d(1, units, 2, padding=int(rng.integers(2))), nn.BatchNorm2d(units), pool,
                  nn.AdaptiveAvgPool2d(1), nn.Flatten()]  # fmt: skip
        x = rng.normal(size=(6, 1, 4, 4)).astype(np.float32)
    if kind in ("recurrent", "words"):
        cell = [nn.RNN, nn.GRU, nn.LSTM][int(rng.integers(3))]
        layers = [cell(2, units, returns="last", batch_first=True)]
        x = rng.normal(size=(6, 3, 2)).astype(np.float32)
    if kind == "words":
        layers.insert(0, nn.Embedding(5, 2))
        x = rng.integers(0, 5, (6, 3))
    net = nn.Sequential(*layers, nn.Activation(activation), nn.Linear(units, 2)).initialize(seed)
    return net, x


def trained(net, x, seed, epochs, folder=None):
    """Train for some epochs, as a part of four; give the bits of the weights."""
    cr.train(net, "mse", x, np.ones((len(x), 2), np.float32) * x.reshape(len(x), -1)[:, :1],
             optimizer=optim.Adam(0.01), batch_size=3, epochs=epochs, seed=seed, compile=False,
             checkpoint=folder)  # fmt: skip
    return {name: value.tobytes() for name, value in net.arrays().items()}


def check_net(seed, folder):
    """Take a net through the verbs; give a script of it with what it has to compute."""
    folder.mkdir()
    again, x = random_net(seed)
    trained(again, x, seed, 2, folder / "checkpoints")
    again, _ = random_net(seed)
    net, _ = random_net(seed)
    bits = trained(net, x, seed, 4)
    assert trained(again, x, seed, 4, folder / "checkpoints") == bits

    net.eval()
    expected = net.predict(x)
    assert np.isfinite(expected).all()
    close(
        Compiled(cr.trace(net, cr.Spec(("rows", *x.shape[1:]), x.dtype)), plain=True)(x), expected
    )
    is_drawn(net, x)
    is_explained(net, None, x[:2])
    net.save(folder / "net.chainrule")
    loaded = cr.load(folder / "net.chainrule")
    assert loaded.predict(x).tobytes() == expected.tobytes()
    cr.to_onnx(net, folder / "net.onnx", x)
    (found,) = answers(session(folder / "net.onnx"), [x]).values()
    close(found, expected)
    close(cr.from_onnx(folder / "net.onnx").predict(x), expected)
    return (cr.to_python(net, x), "predict", [[x]], []), expected


def test_random_nets(tmp_path):
    checked = [check_net(seed, tmp_path / f"{seed}") for seed in range(DRAWS)]
    (tmp_path / "scripts").mkdir()
    scripts = results_of(tmp_path / "scripts", [job for job, _ in checked])
    for (_, expected), (found,) in zip(checked, scripts, strict=True):
        close(found, expected)
