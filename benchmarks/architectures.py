"""Nets with convolution and recurrence for `speed.py`, the same in each library.

Weights are handed over by PyTorch's names, which chainrule shares. `sizes` of a recurrent net are
inputs, units and outputs; `shape` is that of a row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Architecture:
    """What a net is made of: the shape of a row, classes (0: one number), and its products."""

    shape: tuple[int, ...]
    classes: int
    products: tuple[tuple[int, int], ...]
    """Multiply-adds of each layer for a row, and whether its input has a gradient."""

    def flops(self, batch: int) -> int:
        """Operations of a step: forward, by weights, and by inputs but for the first layer."""
        return sum(2 * batch * n * (3 if inner else 2) for n, inner in self.products)


def _recurrent(gates: int, inputs: int, units: int, steps: int) -> tuple[tuple[int, int], ...]:
    return (gates * units * inputs * steps, 0), (gates * units * units * steps, 1)


ARCHITECTURES = {
    "lenet": Architecture(
        (1, 28, 28),
        10,
        ((6 * 25 * 784, 0), (16 * 150 * 100, 1), (400 * 120, 1), (120 * 84, 1), (84 * 10, 1)),
    ),
    "lstm": Architecture((64, 16), 0, _recurrent(4, 16, 128, 64)),
    "gru": Architecture((64, 16), 0, _recurrent(3, 16, 128, 64)),
    "bilstm": Architecture(
        (64, 16), 0,
        (*_recurrent(4, 16, 128, 64) * 2, *[(4 * 128 * (256 + 128) * 64, 1)] * 2),
    ),
    "cnn 1d": Architecture(
        (4, 150), 5, ((32 * 4 * 5 * 150, 0), (64 * 32 * 5 * 75, 1), (64 * 64 * 3 * 37, 1)),
    ),
}  # fmt: skip


def chainrule_model(name: str) -> Any:
    """Build the net of chainrule."""
    from chainrule import nn

    def relu() -> Any:
        return nn.Activation("relu")

    if name == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), relu(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), relu(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), relu(), nn.Linear(120, 84), relu(),
            nn.Linear(84, 10), seed=0,
        )  # fmt: skip
    if name == "cnn 1d":
        return nn.Sequential(
            nn.Conv1d(4, 32, 5, padding=2), relu(), nn.MaxPool1d(2),
            nn.Conv1d(32, 64, 5, padding=2),
            relu(), nn.MaxPool1d(2), nn.Conv1d(64, 64, 3, padding=1), relu(),
            nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 5), seed=0,
        )  # fmt: skip
    settings = {"batch_first": True, "returns": "last"}
    if name == "bilstm":
        layer = nn.LSTM(16, 128, 2, bidirectional=True, **settings)
        return nn.Sequential(layer, nn.Linear(256, 1), seed=0)
    kind = {"lstm": nn.LSTM, "gru": nn.GRU}[name]
    return nn.Sequential(kind(16, 128, **settings), nn.Linear(128, 1), seed=0)


def torch_model(name: str) -> Any:
    """Build the net of PyTorch."""
    import torch
    from torch import nn

    if name == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5),
            nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(),
            nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip
    if name == "cnn 1d":
        return nn.Sequential(
            nn.Conv1d(4, 32, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
            nn.Linear(64, 5),
        )  # fmt: skip
    base = nn.GRU if name == "gru" else nn.LSTM

    class Last(base):  # type: ignore[misc, valid-type]
        def forward(self, x: Any) -> Any:
            state = super().forward(x)[1]
            h = state if name == "gru" else state[0]
            return torch.cat([h[-2], h[-1]], 1) if self.bidirectional else h[-1]

    settings = {"num_layers": 2, "bidirectional": True} if name == "bilstm" else {}
    layer = Last(16, 128, batch_first=True, **settings)
    return nn.Sequential(layer, nn.Linear(256 if name == "bilstm" else 128, 1))


def jax_net(name: str) -> Callable[[Any, Any], Any]:
    """Give the net of JAX, a function of the weights and the rows."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    def linear(w: Any, i: int, x: Any) -> Any:
        return x @ w[f"{i}.weight"].T + w[f"{i}.bias"]

    def conv(w: Any, i: int, x: Any, padding: int) -> Any:
        axes = x.ndim - 2
        y = lax.conv(x, w[f"{i}.weight"], (1,) * axes, "SAME" if padding else "VALID")
        return jax.nn.relu(y + w[f"{i}.bias"].reshape(1, -1, *[1] * axes))

    def pool(x: Any) -> Any:
        window = (1, 1, *[2] * (x.ndim - 2))
        return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")

    def lenet(w: Any, x: Any) -> Any:
        x = pool(conv(w, 3, pool(conv(w, 0, x, 2)), 0)).reshape(x.shape[0], -1)
        return linear(w, 11, jax.nn.relu(linear(w, 9, jax.nn.relu(linear(w, 7, x)))))

    def cnn(w: Any, x: Any) -> Any:
        x = conv(w, 6, pool(conv(w, 3, pool(conv(w, 0, x, 2)), 2)), 1)
        return linear(w, 10, x.mean(2))

    def lstm_step(w: Any, end: str, carry: Any, z: Any) -> Any:
        h, c = carry
        z = z + h @ w[f"0.weight_hh_{end}"].T + w[f"0.bias_hh_{end}"]
        i, f, g, o = jnp.split(z, 4, 1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru_step(w: Any, end: str, h: Any, z: Any) -> Any:
        held = h @ w[f"0.weight_hh_{end}"].T + w[f"0.bias_hh_{end}"]
        (r, u, n), (r_h, u_h, n_h) = jnp.split(z, 3, 1), jnp.split(held, 3, 1)
        r, u = jax.nn.sigmoid(r + r_h), jax.nn.sigmoid(u + u_h)
        h = (1 - u) * jnp.tanh(n + r * n_h) + u * h
        return h, h

    def layer(w: Any, end: str, x: Any) -> Any:
        """Apply one direction to (steps, rows, inputs): all outputs, and the last."""
        z = x @ w[f"0.weight_ih_{end}"].T + w[f"0.bias_ih_{end}"]
        start = jnp.zeros((x.shape[1], 128), x.dtype)
        step, first = (gru_step, start) if name == "gru" else (lstm_step, (start, start))
        back = end.endswith("reverse")
        carry, h = lax.scan(lambda c, z: step(w, end, c, z), first, z, reverse=back)
        return h, carry if name == "gru" else carry[0]

    def recurrent(w: Any, x: Any) -> Any:
        x = x.swapaxes(0, 1)
        if name != "bilstm":
            return linear(w, 1, layer(w, "l0", x)[1])
        for i in range(2):
            both = [layer(w, f"l{i}{end}", x) for end in ("", "_reverse")]
            x = jnp.concatenate([h for h, _ in both], 2)
        return linear(w, 1, jnp.concatenate([last for _, last in both], 1))

    return {"lenet": lenet, "cnn 1d": cnn}.get(name, recurrent)
