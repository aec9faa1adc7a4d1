"""Scripts that `speed.py` runs as whole processes, on digits read from a file.

Each is run as `python -c SCRIPT digits.npz`, with the rows `x` (float32, 0 to 1) and the classes
`y`. `FIRST_FIT` trains a net of 64-64-10 for 20 epochs and prints its loss on all rows. `SEARCH`
makes fits of different widths and prints their mean loss and their seconds; its second argument is
their number.
"""

FIRST_FIT = {
    "chainrule": """
import sys
import numpy as np
import chainrule as cr

with np.load(sys.argv[1]) as data:
    x, y = data["x"], data["y"]
model = cr.nn.mlp([64, 64, 10], "relu", seed=0)
adam = cr.optim.Adam(1e-3)
cr.train(model, "cross_entropy", x, y, optimizer=adam, epochs=20, batch_size=64, seed=0)
print(float(cr.losses.cross_entropy(model.predict(x), y)))
""",
    "scikit-learn": """
import sys
import warnings
import numpy as np
from sklearn.neural_network import MLPClassifier

warnings.simplefilter("ignore")
with np.load(sys.argv[1]) as data:
    x, y = data["x"], data["y"]
net = MLPClassifier((64,), alpha=0, batch_size=64, max_iter=20, random_state=0).fit(x, y)
print(-np.log(net.predict_proba(x)[np.arange(len(y)), y]).mean())
""",
    "PyTorch": """
import sys
import numpy as np
import torch

torch.manual_seed(0)
with np.load(sys.argv[1]) as data:
    x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
adam = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
for epoch in range(20):
    for rows in torch.randperm(len(x)).split(64):
        adam.zero_grad()
        torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        adam.step()
with torch.inference_mode():
    print(float(torch.nn.functional.cross_entropy(model(x), y)))
""",
    "JAX": """
import sys
import numpy as np
import jax
import jax.numpy as jnp
import optax

with np.load(sys.argv[1]) as data:
    x, y = jnp.array(data["x"]), jnp.array(data["y"])
rng = np.random.default_rng(0)
weights = [
    (jnp.array(rng.normal(0, (2 / i) ** 0.5, (i, o)), jnp.float32), jnp.zeros(o))
    for i, o in [(64, 64), (64, 10)]
]
adam = optax.adam(1e-3)


def loss(weights, x, y):
    (w, b), (v, c) = weights
    logits = jax.nn.relu(x @ w + b) @ v + c
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def step(carry, rows):
    weights, state = carry
    updates, state = adam.update(jax.grad(loss)(weights, x[rows], y[rows]), state)
    return (optax.apply_updates(weights, updates), state), None


@jax.jit
def fit(weights, orders, rests):
    def epoch(carry, order):
        full, rest = order
        carry, _ = jax.lax.scan(step, carry, full)
        return step(carry, rest)

    (weights, _), _ = jax.lax.scan(epoch, (weights, adam.init(weights)), (orders, rests))
    return weights, loss(weights, x, y)


orders = np.stack([rng.permutation(len(x)) for _ in range(20)])
full = len(x) // 64 * 64
print(float(fit(weights, orders[:, :full].reshape(20, -1, 64), orders[:, full:])[1]))
""",
}

_ESTIMATOR = """
import sys
import time
import warnings
import numpy as np
from {package} import MLPClassifier

warnings.simplefilter("ignore")
with np.load(sys.argv[1]) as data:
    x, y = data["x"], data["y"]
losses = []
started = time.perf_counter()
for width in range(10, 10 + int(sys.argv[2])):
    net = MLPClassifier((width,), batch_size=64, max_iter=10, random_state=0{options}).fit(x, y)
    losses.append(net.loss_)
seconds = time.perf_counter() - started
print(np.mean(losses), seconds)
"""

SEARCH = {
    "chainrule": _ESTIMATOR.format(package="chainrule", options=', compile="numba"'),
    "chainrule.train": """
import sys
import time
import numpy as np
import chainrule as cr

with np.load(sys.argv[1]) as data:
    x, y = data["x"], data["y"]
losses = []
cr.train  # imported before the clock runs
started = time.perf_counter()
for width in range(10, 10 + int(sys.argv[2])):
    model = cr.nn.mlp([64, width, 10], "relu", seed=0)
    history = cr.train(
        model, "cross_entropy", x, y, optimizer=cr.optim.Adam(1e-3), epochs=10, batch_size=64,
        seed=0, compile="numba",
    )
    losses.append(history["loss"][-1])
seconds = time.perf_counter() - started
print(np.mean(losses), seconds)
""",
    "scikit-learn": _ESTIMATOR.format(package="sklearn.neural_network", options=""),
}
