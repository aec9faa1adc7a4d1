"""Compiled programs on the disk, and what running them costs: no compilation, no allocation."""

import hashlib
import json
import os
import runpy
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule
from chainrule import Callback, losses, nn, optim, train
from chainrule.data import Rows
from chainrule.errors import ConfigError
from chainrule.step import Step
from chainrule.step_graph import StepGraph
from chainrule.transforms.compile import language, tiles
from chainrule.transforms.compile.calls import comment
from chainrule.transforms.compile.program import Program
from chainrule.updating import Updater

PROGRAM = """
import sys
import numpy as np
import chainrule as cr
from chainrule import Spec, ops
from chainrule.transforms.compile import machine
x = np.arange(12.0).reshape(3, 4) / 7
g = lambda x: ops.sum(ops.matmul(ops.tanh(x), x, transpose_b=True), 1)
f = cr.compile(g, Spec((3, 4), float))
right = np.allclose(f(x), np.sum(np.tanh(x) @ x.T, 1), rtol=1e-12)
print(machine.compilations, right, "numba" in sys.modules)
"""
COMPILED = ["2", "True", "True"]  # the function, and the product that it calls
READ = ["0", "True", "False"]


def started(folder, code=PROGRAM):
    """Start a process that compiles into a folder."""
    environment = os.environ | {"CHAINRULE_CACHE": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def said(process):
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output.split()


def files(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Give a cache folder that holds one program."""
    pytest.importorskip("numba")
    folder = tmp_path_factory.mktemp("cache")
    assert said(started(folder)) == COMPILED
    return folder


@pytest.mark.slow
def test_another_process_compiles_nothing_and_does_not_load_numba(filled):
    assert said(started(filled)) == READ


# LLVM fuses products and sums of this step in one way or another, as the code around them is.
FRESH = """
import numpy as np
from chainrule import losses, nn, optim, penalties
from chainrule.data import Rows
from chainrule.plan import Plan
from chainrule.training import Training
class Last(nn.Module):
    def __init__(self):
        self.inner, self.outer = nn.GRU(2, 3, batch_first=True), nn.Linear(3, 1)
    def forward(self, x):
        return self.outer(self.inner(x)[0][:, -1])
x = np.random.default_rng(0).normal(size=(18, 4, 2)).astype("f4")
rows = Rows((x,), x[:, 0, :1] ** 2)
plan = Plan(optimizer=optim.Adadelta(0.02), epochs=3, batch_size=8, seed=0, clip_norm=0.5,
            penalty=penalties.L1(0.01), average=0.9, compile="numba")
training = Training(Last().initialize(0), losses.huber, rows, None, plan)
training.run()
state = training.updater.state_dict()["arrays"].values()
print(*(x.tobytes().hex() for x in (*[p.value for p in training.parameters], *state)))
"""


@pytest.mark.slow
def test_what_was_just_compiled_gives_the_bits_of_what_is_read_from_the_disk(tmp_path):
    pytest.importorskip("numba")
    fresh = said(started(tmp_path, FRESH))
    assert said(started(tmp_path, FRESH)) == fresh


# The C library copies rows: the first program of a process has to find its functions, too.
COPYING = """
import numpy as np
import chainrule as cr
from chainrule import Spec, nn
from chainrule.transforms.compile import machine
net = nn.Embedding(6, 16, seed=0)
f = cr.compile(net, Spec(("batch",), int))
rows = np.array([4, 0, 4])
right = np.array_equal(f(rows), net(rows).detach())
print(machine.compilations, right)
"""


@pytest.mark.slow
def test_the_first_program_of_a_process_is_read_and_calls_functions_of_c(tmp_path):
    pytest.importorskip("numba")
    assert said(started(tmp_path, COPYING)) == ["1", "True"]
    assert b"memcpy" in next(tmp_path.glob("*/program.o")).read_bytes()
    assert said(started(tmp_path, COPYING)) == ["0", "True"]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["empty", "half", "noise", "flipped"])
def test_a_torn_file_is_made_anew(filled, damage):
    names = {"program.py", "program.o", "entry.json", "sha256"}
    assert {path.name for path in files(filled)} == names
    for path in files(filled):
        whole = path.read_bytes()
        torn = {"empty": b"", "half": whole[: len(whole) // 2], "noise": os.urandom(len(whole))}
        middle = len(whole) // 2
        flipped = bytes([whole[middle] ^ 1])
        torn["flipped"] = whole[:middle] + flipped + whole[middle + 1 :]
        path.write_bytes(torn[damage])
        assert said(started(filled))[1] == "True", (path, damage)
        assert said(started(filled)) == READ, (path, damage)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_that_compile_at_once(tmp_path, count):
    pytest.importorskip("numba")
    found = [said(p) for p in [started(tmp_path) for _ in range(count)]]
    assert [right for _, right, _ in found] == ["True"] * count
    assert said(started(tmp_path)) == READ
    assert [p.name for p in tmp_path.rglob("*") if "tmp" in p.suffix] == []
    assert len(files(tmp_path)) == 8


def test_tidying_beside_another_process(tmp_path, monkeypatch):
    machine = pytest.importorskip("chainrule.transforms.compile.machine")
    monkeypatch.setattr(machine, "_KEPT", 2)
    for age, name in enumerate("abcd"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    (tmp_path / "new-gone").symlink_to(tmp_path / "nowhere")  # listed, and gone when looked at
    machine._tidy(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "new-gone"]


@pytest.mark.slow
def test_a_folder_that_cannot_be_made(tmp_path):
    pytest.importorskip("numba")
    (tmp_path / "file").write_text("")
    assert said(started(tmp_path / "file" / "cache")) == COMPILED


@pytest.mark.slow
def test_a_program_that_needs_what_is_not_there_is_made_anew(tmp_path):
    pytest.importorskip("numba")
    said(started(tmp_path))
    for path in tmp_path.rglob("entry.json"):
        entry, needs = json.loads(path.read_text())
        path.write_text(json.dumps([entry, [*needs, "numba_no_such_function"]]))
        digest = hashlib.sha256()
        for file in sorted(path.parent.iterdir()):
            if file.name != "sha256":
                digest.update(file.name.encode() + file.read_bytes())
        (path.parent / "sha256").write_text(digest.hexdigest())
    assert said(started(tmp_path)) == COMPILED
    assert said(started(tmp_path)) == READ


def test_a_numba_that_is_too_old_is_refused(monkeypatch):
    compiler = pytest.importorskip("chainrule.transforms.compile.compiler")
    monkeypatch.setattr("numba.__version__", "0.61.2")
    with pytest.raises(ConfigError, match=r"need numba 0.62 or newer, here is 0.61.2: pip install"):
        runpy.run_path(compiler.__file__)


def test_what_a_program_needs_from_outside(monkeypatch):
    machine = pytest.importorskip("chainrule.transforms.compile.machine")
    machine.product_address("float32")  # the engine knows the functions of the process
    machine._provide("sched_yield")
    with pytest.raises(RuntimeError, match="needs no_such_function, which is not there"):
        machine._provide("no_such_function")
    ended = []
    monkeypatch.setattr(machine.os, "write", lambda _, text: ended.append(text))
    monkeypatch.setattr(machine.os, "abort", lambda: ended.append("abort"))
    machine._failed()
    assert ended == [b"chainrule: a compiled program failed; please report this\n", "abort"]


# What makes a program another one.

X = np.random.default_rng(0).normal(size=(90, 3)).astype("f4")
Y = X[:, :2].copy()


class Net(nn.Module):
    def __init__(self, widths=(5, 6), p=0.3, name="hidden"):
        sizes = [3, *widths, 2]
        self.layers = {
            f"{name}{i}": nn.Linear(*pair, seed=i) for i, pair in enumerate(pairwise(sizes))
        }
        for key, layer in self.layers.items():
            setattr(self, key, layer)
        self.drop = nn.Dropout(p, seed=0)

    def forward(self, x):
        for layer in self.layers.values():
            x = self.drop(layer(x))
        return x


def made_of(batch=16, rows=90, optimizer=None, **net):
    model = Net(**net).train()
    updater = Updater(model.parameters(), optimizer or optim.Adam(0.01))
    graph = StepGraph(model, losses.mse, updater, Rows((X[:rows],), Y[:rows]))
    source = graph.program(Program).source
    return [line for line in source.splitlines() if not line.lstrip().startswith("#")]


SAME = {
    "widths": {"widths": (9, 40)},
    "equal widths": {"widths": (5, 5)},
    "width of the input": {"widths": (3, 2)},
    "width of the batch": {"widths": (16, 90)},
    "rows": {"rows": 33},
    "rate": {"optimizer": optim.Adam(0.003)},
    "betas": {"optimizer": optim.Adam(0.01, beta1=0.8)},
    "dropout": {"p": 0.17},
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_program(name):
    assert made_of(**SAME[name]) == made_of()


@pytest.mark.parametrize(
    "other",
    [
        {"widths": (5, 6, 7)},
        {"optimizer": optim.SGD(0.01)},
        {"optimizer": optim.Adam(weight_decay=0.1)},
    ],
    ids=str,
)
def test_another_program(other):
    assert made_of(**other) != made_of()


# What running it costs.


def step_of(rows, threads=1, batch=16, sizes=(3, 20, 2)):
    model = nn.mlp(list(sizes), "relu", seed=0)
    updater = Updater(model.parameters(), optim.Adam(0.01))
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(rows, n)).astype("f4") for n in (sizes[0], sizes[-1]))
    step = Step(
        StepGraph(model, losses.mse, updater, Rows((x,), y)), batch, Program, threads=threads
    )
    step.load(updater)
    step.order(None)
    step.numbers[:] = [[t + 1, 1, 0] for t in range(step.count)]
    return step


def allocated(step, count, threads):
    """Give the most bytes and blocks that were taken while steps ran."""
    step.run(0, 1, threads)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        blocks = sys.getallocatedblocks()
        step.run(0, count, threads)
        blocks = sys.getallocatedblocks() - blocks
        return tracemalloc.get_traced_memory()[1] - before, blocks
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_steps_allocate_nothing(threads):
    pytest.importorskip("numba")
    step = step_of(16 * 5000, threads)
    few, many = allocated(step, 50, threads), allocated(step, 5000, threads)
    assert max(few[0], many[0]) < 20_000  # what a call takes: futures, arguments
    assert abs(many[1] - few[1]) < 50


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(54, 256, 256, 7), (1024, 2048, 2048, 1000)])
def test_memory_of_a_step(sizes):
    pytest.importorskip("numba")
    batch = 256
    step = step_of(2 * batch, batch=batch, sizes=sizes)
    activations = 4 * batch * sum(sizes)
    parameters = sum(p.value.nbytes for p in step.graph.parameters)
    kept = sum(array.nbytes for array in step.memory.values())
    assert kept < 4 * parameters + 100  # with the state of Adam, and the gradients
    assert step.bound.arena_bytes < 1.5 * activations
    assert step.bound.scratch_bytes < 1.5e6  # a block of A that is turned, or what is in tiles


@given(st.integers(0, 10**9), st.integers(1, 100))
def test_shares_cover_all_once(n, threads):
    ends = [language.share(n, thread, threads) for thread in range(threads + 1)]
    assert (ends[0], ends[-1]) == (0, n)
    assert ends == sorted(ends)


@pytest.mark.slow
def test_more_threads_than_rows():
    pytest.importorskip("numba")
    found = []
    for threads in (1, 7):
        step = step_of(10, threads, batch=4)
        assert step.run(0, step.count, threads) == step.count
        found.append([step.losses.copy(), *(np.array(p.value) for p in step.graph.parameters)])
    for a, b in zip(*found, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("units", [2, 10, 300])
def test_threads_share_the_units_of_a_layer_with_many_inputs(units):
    """Each reads the weights that it writes, and sums up the squares of their gradients."""
    pytest.importorskip("numba")
    found = []
    for threads in (1, 2, 3):
        step = step_of(50, threads, sizes=(600, units, 3))
        shared = [call.by_columns for call in step.bound.text.calls]
        assert sum(shared) == 1
        for part in language.shares(units, threads):  # few columns are turned in scratch
            assert step.bound.scratch_bytes >= 4 * tiles.scratch_size(16, part, 600)
        assert step.run(0, step.count, threads) == step.count
        values = [step.losses, step.norms, *(p.value for p in step.graph.parameters)]
        found.append([np.array(x) for x in values])
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_means_without_a_gradient_end_at_zero(threads):
    """A processor takes a hundred times as long for numbers below the normal ones."""
    pytest.importorskip("numba")
    step = step_of(64, threads, sizes=(3, 300, 2))
    step.graph.rows.inputs[0][:] = 0
    means = [step.memory[x] for x, _, name, _ in step.graph.state if name == "mean"]
    first = next(x for x in means if x.shape == (300, 3))
    first[:] = 1.2e-38
    assert step.run(0, 1, threads) == 1
    assert not first.any()
    tiny = np.array([1.2e-38], np.float32)
    assert (tiny * np.float32(0.9) > 0).all(), "elsewhere they are kept"


@pytest.mark.slow
@pytest.mark.parametrize(("inputs", "shared"), [(300, False), (400, True)])
def test_sums_of_many_squares_are_shared(inputs, shared):
    pytest.importorskip("numba")
    calls = step_of(32, sizes=(inputs, 300, 3)).bound.text.calls
    sums = [c for c in calls if c.kernel is not None and comment(c) == "gradient norm: sum"]
    assert any(c.share is not None for c in sums) == shared


class Slow(ThreadPoolExecutor):
    """Takes its time to take work, so that others may come between."""

    def submit(self, *work):
        taken = super().submit(*work)
        time.sleep(0.001)
        return taken


@pytest.mark.slow
def test_two_programs_with_several_threads_at_once(monkeypatch):
    """Each has a part that waits for the others of its own: they may not take turns."""
    pytest.importorskip("numba")
    steps = [step_of(200, 3, batch=4) for _ in range(2)]
    pool = Slow(2)
    monkeypatch.setattr("chainrule.transforms.compile.bound._workers", lambda threads: pool)

    def run(step):
        for _ in range(20):
            step.run(0, step.count, 3)

    threads = [threading.Thread(target=run, args=[step], daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    for p, q in zip(*(step.graph.parameters for step in steps), strict=True):
        assert np.array_equal(p.value, q.value)


@pytest.mark.slow
def test_many_threads_call_one_function():
    pytest.importorskip("numba")
    model = nn.mlp([3, 8, 2], "tanh", seed=0).eval()
    function = chainrule.compile(model, chainrule.Spec(("rows", 3), np.float32), threads=2)
    rows = [np.resize(X, (n, 3)) for n in (1, 300, 900, 5000)]
    expected = [np.array(function(x)) for x in rows]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda i: np.array(function(rows[i % 4])), range(999)))
    assert all(np.array_equal(x, expected[i % 4]) for i, x in enumerate(found))


class Interrupting(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, event):
        if event.epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("way", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_an_interrupt_leaves_the_weights_of_the_epoch(way):
    if way == "numba":
        pytest.importorskip("numba")
    plan = {"seed": 0, "batch_size": 16, "compile": way, "optimizer": optim.Adam(0.01)}
    expected = nn.mlp([3, 4, 2], "tanh", seed=0)
    train(expected, "mse", X, Y, epochs=2, **plan)
    model = nn.mlp([3, 4, 2], "tanh", seed=0)
    with pytest.raises(KeyboardInterrupt):
        train(model, "mse", X, Y, epochs=5, callbacks=[Interrupting(2)], **plan)
    for name, value in expected.arrays().items():
        assert np.array_equal(model.arrays()[name], value), name
    assert not model.training
    before = model.arrays()
    kept = {name: value.copy() for name, value in before.items()}
    train(expected, "mse", X, Y, epochs=1, **plan)  # another training does not touch them
    assert all(np.array_equal(model.arrays()[name], value) for name, value in kept.items())
