"""The contestants of `speed.py`: each trains and predicts with the same net in its own process.

`speed.py` starts `python peers.py NAME` and sends one command a line as JSON; the answer is one
line of JSON. So every library is imported in its own process, no thread pool disturbs another,
and times are taken here, without the pipe. How each contestant is set up:

* chainrule: `chainrule.train` on modules, whose step is compiled; `chainrule.compile` of the model
  and `Module.predict` for predictions.
* scikit-learn: one `fit` of the estimator with `max_iter` epochs, `alpha=0`, no shuffling and no
  stopping; `_init_coef`, the method that draws the first weights, is overridden to give ours. Its
  loss is half of the mean squared error, so it is doubled; Adam does not mind the factor in the
  gradient, but for epsilon. `predict_proba` adds a softmax to what the others compute.
* PyTorch: eager mode with the fused Adam, `inference_mode` for predictions.
* torch.compile: forward, backward and Adam as one graph, with the C++ wrapper of the default mode.
* JAX: an epoch is one `jit` of `lax.scan` with `optax.adam`; weights and state are donated.

A training starts from the given weights with a new Adam; that is made before the clock runs, except
where the library makes it inside the call that is timed (scikit-learn's nets).
Inputs and outputs of predictions are arrays of the library itself. Where several ways to predict
are offered, the fastest counts.
"""

import gc
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import architectures
import numpy as np

RATE = 1e-3
CHUNK = 4000  # rows predicted at once, where a contestant predicts piece by piece
CHAINRULE_OPTIONS: dict[str, Any] = {"compile": "numba"}
"""What `chainrule.train` is given beyond the data and Adam, such as `{"compile": "numba"}`."""

Weights = list[tuple[np.ndarray, np.ndarray]]  # per layer: matrix (inputs, outputs), bias
State = dict[str, np.ndarray]  # of a net of `architectures.py`, by PyTorch's names
Run = Callable[[int], float]  # takes a number of epochs, gives the mean loss of the first


class Peer:
    """A library at work on rows `x`, targets `y`, the first weights, and a batch size."""

    def __init__(
        self, x: np.ndarray, y: np.ndarray, weights: Weights, batch: int, name: str = "",
        state: State | None = None,
    ) -> None:  # fmt: skip
        self.x, self.y, self.weights, self.batch = x, y, weights, batch
        self.name, self.state = name, state or {}  # of an architecture, else of layers
        if weights:
            self.sizes = [matrix.shape[0] for matrix, _ in weights] + [weights[-1][0].shape[1]]
        self.classes = y.ndim == 1  # else a column of numbers

    def start(self, rows: int) -> Run:
        """Prepare a training on the first rows."""
        raise NotImplementedError

    def predictors(self, x: np.ndarray) -> list[Callable[[], Any]]:
        """Give ways to predict rows."""
        raise NotImplementedError


class Chainrule(Peer):
    """Modules of chainrule."""

    def model(self) -> Any:
        """Build the net."""
        import chainrule

        if self.name:
            return architectures.chainrule_model(self.name).load_state_dict(self.state)
        state = {}
        for i, (matrix, bias) in enumerate(self.weights):
            state |= {f"{2 * i}.weight": matrix.T, f"{2 * i}.bias": bias}
        return chainrule.nn.mlp(self.sizes, "relu", seed=0).load_state_dict(state)

    def start(self, rows: int) -> Run:
        """Prepare a call of `train`."""
        import chainrule
        from chainrule.data import Rows
        from chainrule.plan import Plan
        from chainrule.training import Training

        loss = chainrule.losses.cross_entropy if self.classes else chainrule.losses.mse
        plan = Plan(
            chainrule.optim.Adam(RATE), batch_size=self.batch, shuffle=False, **CHAINRULE_OPTIONS
        )
        training = Training(self.model(), loss, Rows((self.x[:rows],), self.y[:rows]), None, plan)
        training.prepare()

        def run(epochs: int) -> float:
            training.plan = replace(plan, epochs=epochs)
            return training.run()["loss"][0]

        return run

    def predictors(self, x: np.ndarray) -> list[Callable[[], Any]]:
        """Give the compiled model, and `Module.predict`."""
        import chainrule

        model = self.model().eval()
        compiled = chainrule.compile(model, chainrule.Spec(("rows", x.shape[1]), x.dtype))
        return [lambda: compiled(x), lambda: model.predict(x)]


class ScikitLearn(Peer):
    """Estimators of scikit-learn, which start from the given weights."""

    def estimator(self, epochs: int) -> Any:
        """Build the net."""
        if self.name:
            raise ValueError("it has no such layers")
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        given = iter(self.weights)

        class Started(MLPClassifier if self.classes else MLPRegressor):
            def _init_coef(self, fan_in: int, fan_out: int, dtype: Any) -> Any:
                return tuple(array.copy() for array in next(given))

        return Started(
            hidden_layer_sizes=self.sizes[1:-1], alpha=0, batch_size=self.batch,
            learning_rate_init=RATE, max_iter=epochs, shuffle=False, n_iter_no_change=np.inf,
        )  # fmt: skip

    def start(self, rows: int) -> Run:
        """Prepare a call of `fit`."""
        x, y = self.x[:rows], self.y[:rows]
        y = y if self.classes else y.ravel()

        def run(epochs: int) -> float:
            loss = self.estimator(epochs).fit(x, y).loss_curve_[0]
            return loss if self.classes else 2 * loss

        return run

    def predictors(self, x: np.ndarray) -> list[Callable[[], Any]]:
        """Give `predict_proba`."""
        model = self.estimator(1).fit(self.x[:1000], self.y[:1000])
        for matrix, bias, (first, start) in zip(
            model.coefs_, model.intercepts_, self.weights, strict=True
        ):
            matrix[:], bias[:] = first, start
        return [lambda: model.predict_proba(x)]


class PyTorch(Peer):
    """Modules of PyTorch in eager mode."""

    def model(self) -> Any:
        """Build the net."""
        import torch

        if self.name:
            model = architectures.torch_model(self.name)
            model.load_state_dict({k: torch.from_numpy(v) for k, v in self.state.items()})
            return model
        layers: list[Any] = []
        for matrix, bias in self.weights:
            linear = torch.nn.Linear(*matrix.shape)
            linear.weight.data = torch.from_numpy(matrix.T.copy())
            linear.bias.data = torch.from_numpy(bias.copy())
            layers += [linear, torch.nn.ReLU()]
        return torch.nn.Sequential(*layers[:-1])

    def batches(self, rows: int) -> list[Any]:
        """Cut the first rows into batches."""
        import torch

        tensors = (torch.from_numpy(array[:rows]).split(self.batch) for array in (self.x, self.y))
        return list(zip(*tensors, strict=True))

    def start(self, rows: int) -> Run:
        """Prepare the usual loop."""
        step = self.step()
        batches = self.batches(rows)

        def run(epochs: int) -> float:
            first = 0.0
            for epoch in range(epochs):
                total = sum(step(x, y) for x, y in batches)
                if epoch == 0:
                    first = float(total) / len(batches)
            return first

        return run

    def step(self) -> Callable[[Any, Any], Any]:
        """Build the net, and what a batch does to it."""
        import torch

        model = self.model()
        optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)
        formula = (
            torch.nn.functional.cross_entropy if self.classes else torch.nn.functional.mse_loss
        )

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = formula(model(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step

    def predictors(self, x: np.ndarray) -> list[Callable[[], Any]]:
        """Give the net in eval mode."""
        return self.ways(self.model().eval(), x)

    def ways(self, model: Any, x: np.ndarray) -> list[Callable[[], Any]]:
        """Predict all rows at once, and piece by piece."""
        import torch

        rows = torch.from_numpy(x)

        @torch.inference_mode()
        def whole() -> Any:
            return model(rows)

        @torch.inference_mode()
        def pieces() -> Any:
            return torch.cat([model(piece) for piece in rows.split(CHUNK)])

        return [whole, pieces] if len(x) > CHUNK else [whole]


class TorchCompile(PyTorch):
    """PyTorch with the step compiled as one graph."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.compiled: Any = None

    def step(self) -> Callable[[Any, Any], Any]:
        """Compile the step when it is first needed; the weights are its arguments."""
        import torch

        whole = self.model()
        names = [name for name, _ in whole.named_parameters()]
        p = [q.detach() for q in whole.parameters()]
        m, v = ([torch.zeros_like(q) for q in p] for _ in range(2))
        t = torch.zeros(())
        formula = (
            torch.nn.functional.cross_entropy if self.classes else torch.nn.functional.mse_loss
        )

        def loss_of(p: list[Any], x: Any, y: Any) -> Any:
            if self.name:
                given = dict(zip(names, p, strict=True))
                return formula(torch.func.functional_call(whole, given, (x,)), y)
            for i in range(0, len(p), 2):
                x = torch.nn.functional.linear(torch.relu(x) if i else x, p[i], p[i + 1])
            return formula(x, y)

        def update(p: Any, m: Any, v: Any, t: Any, x: Any, y: Any) -> Any:
            gradients, loss = torch.func.grad_and_value(loss_of)(p, x, y)
            t.add_(1)
            rate, scale = RATE / (1 - 0.9**t), (1 - 0.999**t).sqrt()
            for i, g in enumerate(gradients):
                m[i].mul_(0.9).add_(g, alpha=0.1)
                v[i].mul_(0.999).addcmul_(g, g, value=0.001)
                p[i].sub_(rate * m[i] / (v[i].sqrt() / scale + 1e-8))
            return loss

        if self.compiled is None:
            torch._dynamo.reset()
            wrapper = {"cpp_wrapper": True}
            self.compiled = torch.compile(update, fullgraph=True, dynamic=False, options=wrapper)

        def step(x: Any, y: Any) -> Any:
            with torch.no_grad():
                return self.compiled(p, m, v, t, x, y)

        return step

    def predictors(self, x: np.ndarray) -> list[Callable[[], Any]]:
        """Compile the net in eval mode."""
        import torch

        torch._dynamo.reset()
        model = self.model().eval()
        wrapper = {"cpp_wrapper": True}
        return self.ways(torch.compile(model, dynamic=False, options=wrapper), x)


class Jax(Peer):
    """JAX and optax, an epoch in one call."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        import jax
        import jax.numpy as jnp
        import optax

        adam = optax.adam(RATE)

        def mlp(weights: Any, x: Any) -> Any:
            for matrix, bias in weights[:-1]:
                x = jax.nn.relu(x @ matrix + bias)
            matrix, bias = weights[-1]
            return x @ matrix + bias

        net = architectures.jax_net(self.name) if self.name else mlp

        def loss(weights: Any, x: Any, y: Any) -> Any:
            output = net(weights, x)
            if self.classes:
                return optax.softmax_cross_entropy_with_integer_labels(output, y).mean()
            return jnp.mean((output - y) ** 2)

        def epoch(weights: Any, state: Any, x: Any, y: Any) -> Any:
            def step(carry: Any, rows: Any) -> Any:
                weights, state = carry
                value, gradients = jax.value_and_grad(loss)(weights, *rows)
                updates, state = adam.update(gradients, state, weights)
                return (optax.apply_updates(weights, updates), state), value

            (weights, state), losses = jax.lax.scan(step, (weights, state), (x, y))
            return weights, state, losses.mean()

        self.net, self.new_state = net, adam.init
        self.epoch = jax.jit(epoch, donate_argnums=(0, 1))

    def arrays(self) -> Any:
        """Copy the first weights, for they are donated."""
        import jax.numpy as jnp

        if self.name:
            return {name: jnp.array(value) for name, value in self.state.items()}
        return [(jnp.array(matrix), jnp.array(bias)) for matrix, bias in self.weights]

    def start(self, rows: int) -> Run:
        """Put rows and weights into arrays of JAX."""
        import jax.numpy as jnp

        steps = rows // self.batch
        x, y = (
            jnp.array(a[:rows].reshape(steps, self.batch, *a.shape[1:])) for a in (self.x, self.y)
        )
        weights = self.arrays()
        state = self.new_state(weights)

        def run(epochs: int) -> float:
            now, first = (weights, state), None
            for _ in range(epochs):
                *now, loss = self.epoch(*now, x, y)
                first = loss if first is None else first
            loss.block_until_ready()
            return float(first)

        return run

    def predictors(self, x: np.ndarray) -> list[Callable[[], Any]]:
        """Predict all rows at once, and piece by piece."""
        import jax
        import jax.numpy as jnp

        weights, rows, net = self.arrays(), jnp.array(x), self.net
        whole = jax.jit(net)

        @jax.jit
        def pieces(weights: Any, x: Any) -> Any:
            return jax.lax.map(lambda row: net(weights, row), x, batch_size=CHUNK)

        ways = [whole, pieces] if len(x) > CHUNK else [whole]
        return [lambda way=way: way(weights, rows).block_until_ready() for way in ways]


PEERS: dict[str, type[Peer]] = {
    "chainrule": Chainrule,
    "scikit-learn": ScikitLearn,
    "PyTorch": PyTorch,
    "torch.compile": TorchCompile,
    "JAX": Jax,
}


class Worker:
    """Carries out the commands; a command is a method of this class."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.peer: Peer | None = None
        self.way: Callable[[], Any] | None = None

    def load(self) -> None:
        """Import the library, so that this is done by all contestants at once."""
        modules = {"scikit-learn": "sklearn.neural_network", "JAX": "optax"}
        torch = {"PyTorch": "torch", "torch.compile": "torch"}
        if self.kind in PEERS:
            __import__((modules | torch).get(self.kind, "chainrule"))

    def open(self, path: str, batch: int) -> None:
        """Read a workload."""
        self.peer = self.way = None
        with np.load(path) as found:
            name = str(found["name"]) if "name" in found.files else ""
            state = {k[6:]: found[k] for k in found.files if k.startswith("state.")}
            layers = range(sum(k.startswith("w") for k in found.files))
            weights = [(found[f"w{i}"], found[f"b{i}"]) for i in layers]
            self.peer = PEERS[self.kind](found["x"], found["y"], weights, batch, name, state)

    def train(self, rows: int, epochs: int) -> dict[str, float]:
        """Train from the first weights: the seconds, and the mean loss of the first epoch."""
        run = self.peer.start(rows)
        gc.collect()
        started = time.perf_counter()
        loss = run(epochs)
        return {"seconds": time.perf_counter() - started, "loss": float(loss)}

    def memory(self, path: str, batch: int, rows: int) -> float:
        """Train twice; give the bytes by which the second time makes the process grow.

        The first weights, of which everyone makes a copy to train, are there before.
        """
        for _ in range(2):
            self.peer = None
            self.open(path, batch)
            self.peer.x = self.peer.y = None
            gc.collect()
            Path("/proc/self/clear_refs").write_text("5")  # forgets how large it has been
            before = kilobytes("VmRSS")
            with np.load(path) as found:
                self.peer.x, self.peer.y = found["x"], found["y"]
            self.train(rows, epochs=2)
        return 1024.0 * (kilobytes("VmHWM") - before)

    def prepare_predictions(self, rows: int) -> list[list[float]]:
        """Choose the fastest way to predict rows; give the first probabilities, to compare."""
        x = np.random.default_rng(0).standard_normal((rows, self.peer.sizes[0]), np.float32)
        ways = self.peer.predictors(x)
        for way in ways * 2:  # compiles, and warms up
            output = np.asarray(way(), float)[:3]
        self.way = min(ways, key=lambda way: self.predict(max(1, 1000 // rows), way))
        if self.kind == "scikit-learn":
            return output.tolist()
        odds = np.exp(output - output.max(axis=1, keepdims=True))
        return (odds / odds.sum(axis=1, keepdims=True)).tolist()

    def predict(self, times: int, way: Callable[[], Any] | None = None) -> float:
        """Predict so many times; give the seconds."""
        way = way or self.way
        gc.collect()
        started = time.perf_counter()
        for _ in range(times):
            way()
        return time.perf_counter() - started

    def peak(self, seconds: float) -> float:
        """Give the GFLOP/s of a large product of float32 matrices."""
        n, times = 2048, []
        a, b = np.random.default_rng(0).standard_normal((2, n, n), np.float32)
        out = a @ b
        while sum(times) < seconds:
            started = time.perf_counter()
            np.matmul(a, b, out=out)
            times.append(time.perf_counter() - started)
        return 2e-9 * n**3 * len(times) / sum(times)


def kilobytes(key: str) -> int:
    """Give a line of what Linux says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def main(kind: str) -> None:
    """Answer commands until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    warnings.simplefilter("ignore")  # scikit-learn says that so few epochs do not converge
    worker = Worker(kind)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"value": getattr(worker, command.pop("do"))(**command)}
        except Exception as error:
            if "BENCHMARK_DEBUG" in os.environ:
                traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
