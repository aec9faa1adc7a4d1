"""Checks of rows of the study notes that no other test makes; each names its rows."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_circles, make_moons
from sklearn.model_selection import train_test_split

import chainrule as cr
from chainrule import functional, losses, metrics, nn, ops, optim, penalties
from chainrule.nn.init import fans, generator, he_normal
from chainrule.testing import check_gradient, check_layer

DOCS = Path(__file__).parents[1] / "docs"


def stack(sizes, names, seed=0):
    """Linear layers, each followed by the activation of that name."""
    layers = []
    for i, name in enumerate(names):
        layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.Activation(name)]
    return nn.Sequential(*layers).initialize(seed).astype(float)


def worked_example():
    model = stack([2, 2, 1], ["sigmoid", "sigmoid"])
    model.load_state_dict({"0.weight": [[0.2, 0.4], [0.3, 0.7]], "0.bias": [0.1, 0.2],
                           "2.weight": [[0.5, 0.6]], "2.bias": [0.3]})  # fmt: skip
    return model


# Layers (F03 to F05, F14, F16).


def test_every_layer_shows_what_goes_through_it():
    """F03, F05, F16, W02: weights of (out, in), z and a of every layer, and their composition."""
    model = stack([3, 5, 2], ["tanh", "relu"])
    assert [model[i].weight.shape for i in (0, 2)] == [(5, 3), (2, 5)]
    x = np.random.default_rng(0).normal(size=(4, 3))
    z1 = model[0].predict(x)
    a1 = model[1].predict(z1)
    z2 = model[2].predict(a1)
    np.testing.assert_array_equal(a1, np.tanh(z1))
    np.testing.assert_array_equal(model[3].predict(z2), model.predict(x))
    example = worked_example()
    hidden = nn.Sequential(*list(example)[:2])
    np.testing.assert_allclose(example[0].predict(np.array([[0.5, 0.8]])), [[0.52, 0.91]])
    a2 = hidden.predict(np.array([[0.5, 0.8]]))
    np.testing.assert_allclose(a2, [[0.6271477663131956, 0.7130001627522816]], rtol=1e-14)


def test_configurations_at_random():
    """F04, F14: any depth, width and activation per layer is built, runs, and has its gradient."""
    rng = np.random.default_rng(0)
    smooth = ["tanh", "sigmoid", "softplus", "swish", "elu", "gelu", "relu"]
    for trial in range(20):
        sizes = [int(n) for n in rng.integers(1, 7, rng.integers(2, 6))]
        names = [smooth[i] for i in rng.integers(len(smooth), size=len(sizes) - 1)]
        model = stack(sizes, names, seed=trial)
        x = rng.normal(size=(3, sizes[0]))
        assert model.predict(x).shape == (3, sizes[-1])
        assert check_layer(model, x) < 1e-6
    ends_in_softmax = stack([3, 4, 4, 2], ["tanh", "relu", "softmax"], seed=1)
    assert check_layer(ends_in_softmax, rng.normal(size=(2, 3))) < 1e-6


# Backpropagation (C03, C04, C06, C07, C10, C14, C25, W07).


def backpropagate(model, x, delta):
    """Walk back through sigmoid and tanh layers by the formulas; delta is dC/dz of the last."""
    activations, slopes = [x], []
    for layer, activation in zip(list(model)[::2], list(model)[1::2], strict=True):
        a = activation.predict(layer.predict(activations[-1]))
        activations.append(a)
        slopes.append(a * (1 - a) if activation.name == "sigmoid" else 1 - a * a)
    found = {}
    weights = [p.detach().numpy() for p in model.parameters()][::2]
    for m in reversed(range(len(weights))):
        found[f"{2 * m}.weight"] = delta.T @ activations[m]
        found[f"{2 * m}.bias"] = delta.sum(axis=0)
        if m:
            delta = (delta @ weights[m]) * slopes[m - 1]
    return found


@pytest.mark.parametrize("names", [["sigmoid"] * 3, ["tanh", "sigmoid", "tanh", "sigmoid"]])
def test_the_recursion_of_the_notes_is_the_gradient(names):
    """C06, C07, C14: delta^m = (W^(m+1)' delta^(m+1)) * slope, from a - y."""
    rng = np.random.default_rng(0)
    model = stack([3, 5, 4, 3, 2][-len(names) - 1 :], names)
    x = rng.normal(size=(6, model[0].in_features))
    y = rng.uniform(size=(6, 2))
    losses.binary_cross_entropy(model(x), y, reduction="sum").backward()
    found = backpropagate(model, x, model.predict(x) - y)
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), found[name], atol=1e-12, err_msg=name)


@pytest.mark.parametrize("rows", [1, 7])
def test_gradients_of_weights_and_biases(rows):
    """C03, C04: delta a' and the sum of delta, for one row and for several."""
    rng = np.random.default_rng(rows)
    layer = nn.Linear(3, 2, seed=0).astype(float)
    x, delta = rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))
    ops.sum(layer(x) * delta).backward()
    np.testing.assert_allclose(layer.weight.grad.numpy(), delta.T @ x, atol=1e-14)
    np.testing.assert_allclose(layer.bias.grad.numpy(), delta.sum(axis=0), atol=1e-14)
    assert layer.weight.grad.shape == layer.weight.shape


def test_the_worked_example_goes_on():
    """C10, W07: one row at a time; the loss after 1, 10, 100 and 1000 steps of size 1."""
    golden = {1: 0.0293625701, 10: 0.0119390409, 100: 0.0013108224, 1000: 0.0001100341}
    x, y = np.array([[0.5, 0.8]]), np.array([[1.0]])
    for steps, expected in golden.items():
        model = worked_example()
        plan = {"optimizer": optim.SGD(1.0), "epochs": steps, "batch_size": 1}
        cr.train(model, "half_squared_error", x, y, **plan)
        loss = losses.half_squared_error(model.predict(x), y)
        assert loss == pytest.approx(expected, abs=6e-11)


def test_the_example_prints_every_number():
    """W01, W03, W04, W05, W06: the golden values of the requirements, to ten digits."""
    script = DOCS.parent / "examples" / "worked_example.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    printed = dict(re.findall(r"^(\S+(?: \d+)?) +(-?\d.*)$", done.stdout, re.MULTILINE))
    golden = {
        "z1": (0.52, 0.91), "a1": (0.6271477663, 0.7130001628), "z2": (1.0413739808,),
        "a2": (0.7391150296,), "J": (0.0340304839,), "dJ/da2": (-0.2608849704,),
        "dJ/dz2": (-0.0503048842,), "dJ/da1": (-0.0251524421, -0.0301829305),
        "dJ/dz1": (-0.0058814822, -0.0061763612), "dJ/dx": (-0.0030292048, -0.0066760457),
        "dJ/dW1": (-0.0029407411, -0.0047051858, -0.0030881806, -0.0049410889),
        "dJ/db1": (-0.0058814822, -0.0061763612), "dJ/dW2": (-0.0315485958, -0.0358673906),
        "dJ/db2": (-0.0503048842,), "J 1": (0.0293625701,), "J 10": (0.0119390409,),
        "J 100": (0.0013108224,), "J 1000": (0.0001100341,),
    }  # fmt: skip
    assert {key: tuple(map(float, text.split())) for key, text in printed.items()} == golden


def test_the_rows_of_a_batch_are_learned_as_the_formula_says():
    """C10, O28: batches of one row give w - lr * gradient of that row, one after the other."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 2)), rng.normal(size=(5, 1))
    model = nn.Linear(2, 1, bias=False, seed=0).astype(float)
    w = model.weight.detach().numpy()[0].copy()
    for row, target in zip(x, y[:, 0], strict=True):
        w -= 0.1 * 2 * (w @ row - target) * row
    plan = {"optimizer": optim.SGD(0.1), "epochs": 1, "batch_size": 1, "shuffle": False}
    cr.train(model, "mse", x, y, **plan)
    np.testing.assert_allclose(model.weight.detach().numpy()[0], w, rtol=1e-12)


def test_targets_are_constants_unless_asked():
    """C25."""
    prediction = cr.tensor([0.3, 0.9], requires_grad=True)
    target = cr.tensor([1.0, 0.0])
    losses.mse(prediction, target).backward()
    assert target.grad is None
    assert prediction.grad is not None
    asked = cr.tensor([1.0, 0.0], requires_grad=True)
    losses.mse(prediction.detach(), asked).backward()
    np.testing.assert_allclose(asked.grad.numpy(), [0.7, -0.9])


# Activations (A08, V09).


def test_a_learned_slope_finds_that_of_the_data():
    """A08: from 0.25 to the 0.6 that the rows have below 0."""
    x = np.random.default_rng(0).normal(size=(200, 1))
    layer = nn.PReLU().astype(float)
    assert layer.weight.item() == 0.25
    y = np.where(x > 0, x, 0.6 * x)
    cr.train(layer, "mse", x, y, optimizer=optim.SGD(0.1), epochs=60, seed=0)
    assert layer.weight.item() == pytest.approx(0.6, abs=0.05)


def test_a_saturated_sigmoid():
    """V09: a (1 - a) is exactly 0 in float64; the library's derivative, and that by logits, not."""
    a = functional.sigmoid(np.array(37.0))
    assert a * (1 - a) == 0
    assert cr.grad(functional.sigmoid)(37.0) == pytest.approx(8.533e-17, rel=1e-3)
    loss = losses.binary_cross_entropy_with_logits
    assert cr.grad(lambda z: loss(z, np.array(0.0)))(37.0) == 1


# Losses (L03, L13, L17, L18, L21, T13).


def test_least_squares_is_most_likely_under_normal_errors():
    """L03: the negative log likelihood has no slope at the least squares solution."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4))
    y = x @ rng.normal(size=4) + rng.normal(size=50)
    w = np.linalg.lstsq(x, y, rcond=None)[0]
    spread = np.sqrt(np.mean((x @ w - y) ** 2))

    def likelihood(w):
        errors = (ops.matmul(x, w) - y) / spread
        return ops.sum(errors * errors) / 2 + len(y) * np.log(spread * np.sqrt(2 * np.pi))

    assert np.abs(cr.grad(likelihood)(w)).max() < 1e-10
    assert np.abs(cr.grad(likelihood)(w + 0.1)).max() > 1


def test_a_linear_support_vector_machine_has_the_largest_margin():
    """L13, T14: hinge and a small L2; (1, 1) and (-1, -1) support the line x + y = 0."""
    x = np.array([[1.0, 1.0], [2.0, 3.0], [3.0, 0.5], [-1.0, -1.0], [-2.0, -1.5], [-1.0, -4.0]])
    y = np.array([[1.0]] * 3 + [[-1.0]] * 3)
    model = nn.Linear(2, 1, seed=0).astype(float)
    plan = {"optimizer": optim.SGD(0.5), "schedule": "cosine", "epochs": 4000, "batch_size": None}
    cr.train(model, "hinge", x, y, penalty=penalties.L2(1e-3), **plan)
    length = np.linalg.norm(model.weight.detach().numpy())
    margin = (y * model.predict(x)).min() / length
    assert 0.99 * np.sqrt(2) < margin <= np.sqrt(2)


def test_cross_entropies_are_one_another():
    """L16, L17, L18, L21."""
    p, t = np.array([0.9, 0.2, 0.6]), np.array([1.0, 0.0, 1.0])
    by_unit = (t - 1) * np.log(1 - p) - t * np.log(p)
    total = losses.binary_cross_entropy(p, t, reduction="sum")
    assert by_unit.sum() == pytest.approx(total) == pytest.approx(3 * 0.27977656, abs=3e-8)
    both, hot = np.stack([1 - p, p], axis=1), np.stack([1 - t, t], axis=1)
    assert losses.categorical_cross_entropy(both, hot, reduction="sum") == pytest.approx(total)
    z = np.array([-3.0, 0.2, 40.0])
    loss = losses.binary_cross_entropy_with_logits
    slope = cr.grad(lambda z: loss(z, t, reduction="sum"))(z)
    np.testing.assert_allclose(slope, functional.sigmoid(z) - t, atol=1e-15)
    assert losses.binary_cross_entropy(p, t, weight=np.ones(3)) == losses.binary_cross_entropy(p, t)


def test_a_line_through_outliers():
    """T13: 20 % outliers; the error of the slope is less than a fifth of that of squared error."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (200, 1))
    y = 3 * x + 0.1 * rng.normal(size=x.shape)
    y[(x > 0) & (rng.random(x.shape) < 0.4)] = -10
    error = {}
    for name, loss in {"mse": losses.mse, "adaptive": nn.AdaptiveLoss().astype(float),
                       "fixed": losses.adaptive.having(alpha=0.0, scale=0.1)}.items():  # fmt: skip
        model = nn.Linear(1, 1, seed=0).astype(float)
        cr.train(model, loss, x, y, optimizer=optim.Adam(0.05), epochs=150, seed=0)
        error[name] = abs(model.weight.item() - 3)
    assert max(error["adaptive"], error["fixed"]) < error["mse"] / 5


# Initialisation (R16).


def test_fans_of_convolutions():
    """R16: a unit of a convolution has k * k * channels inputs."""
    assert fans((32, 16, 3, 3)) == (16 * 9, 32 * 9)
    w = he_normal((256, 16, 3, 3), generator(0))
    assert w.std() == pytest.approx(np.sqrt(2 / (16 * 9)), rel=0.02)


# Architectures (N01, N03, N04, N08, P17, R19).


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "jordan"])
def test_gradients_through_five_steps(kind):
    """N03, N04, P17."""
    made = {
        "rnn": lambda: nn.RNN(2, 3, returns="sequence", seed=0),
        "lstm": lambda: nn.LSTM(2, 3, forget_bias=1.0, returns="sequence", seed=0),
        "gru": lambda: nn.GRU(2, 3, returns="sequence", seed=0),
        "jordan": lambda: nn.Jordan(2, 3, 2, seed=0),
    }
    x = np.random.default_rng(0).normal(size=(5, 1, 2))
    assert check_layer(made[kind](), x, rows=()) < 1e-6


def test_biases_can_be_left_out():
    """N06, R19: of dense, convolutional and recurrent layers; one per unit or gate."""
    for make, biases in (
        (lambda **b: nn.Linear(3, 4, **b), 4),
        (lambda **b: nn.Conv2d(3, 4, 3, **b), 4),
        (lambda **b: nn.LSTM(3, 4, **b), 2 * 4 * 4),  # two per gate, as in PyTorch
    ):
        assert make().count_parameters() - make(bias=False).count_parameters() == biases


def test_categories_need_columns_or_vectors():
    """N08: three categories whose targets are 0, 1, 0."""
    codes, y = np.arange(300) % 3, np.where(np.arange(300) % 3 == 1, 1.0, 0.0).reshape(-1, 1)
    hot = functional.one_hot(codes, 3, dtype=float)
    as_number = (codes - 1.0).reshape(-1, 1)

    def r2(model, x):
        model.astype(float)
        cr.train(model, "mse", x, y, optimizer=optim.Adam(0.05), epochs=60, seed=0)
        return metrics.r2_score(y[:, 0], model.predict(x)[:, 0])

    assert abs(r2(nn.Linear(1, 1, seed=0), as_number)) < 0.01
    assert r2(nn.Linear(3, 1, seed=0), hot) > 0.999
    assert r2(nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 1), seed=0), codes) > 0.99
    table = nn.Embedding(3, 2, seed=0)
    ops.sum(table(np.array([0, 2, 0, 0]))).backward()
    assert table.weight.grad.numpy().tolist() == [[3, 3], [0, 0], [1, 1]]  # once per use


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_multi_layer_perceptron_on_moons_and_digits():
    """N01, T02: what the perceptron cannot tell apart."""
    moons = make_moons(600, noise=0.1, random_state=0)
    for (x, y), settings, least in (
        (moons, {"max_iter": 200, "learning_rate_init": 0.03}, 0.97),
        (load_digits(return_X_y=True), {"max_iter": 60}, 0.95),
    ):
        parts = train_test_split(x / np.abs(x).max(), y, test_size=0.25, random_state=0)
        net = cr.MLPClassifier((64,), random_state=0, **settings).fit(parts[0], parts[2])
        assert net.score(parts[1], parts[3]) > least


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_features_are_made_by_hand_or_learned():
    """N11: two circles; a linear model needs the squares of the columns, a net does not."""
    x, y = make_circles(800, noise=0.05, factor=0.5, random_state=0)
    parts = train_test_split(x, y, test_size=0.25, random_state=0)

    def score(layers, change=lambda x: x):
        net = cr.MLPClassifier(layers, learning_rate_init=0.03, max_iter=100, random_state=0)
        return net.fit(change(parts[0]), parts[2]).score(change(parts[1]), parts[3])

    assert score(()) < 0.7
    assert score((), np.square) > 0.98
    assert score((16,)) > 0.98


# Tasks (T01, T03, T04, T15).


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_numbers_classes_and_labels():
    """T01, T03, T04: R² above 0.95, accuracy above 0.95, F1 above 0.9 with dependent labels."""
    rng = np.random.default_rng(0)
    plan = {"learning_rate_init": 0.02, "max_iter": 150, "random_state": 0}
    x, new = rng.uniform(-2, 2, (2, 1000, 2))

    def height(x):
        return np.sin(2 * x[:, 0]) + x[:, 1] ** 2

    regressor = cr.MLPRegressor(hidden_layer_sizes=(32, 32), **plan).fit(
        x, height(x) + 0.1 * rng.normal(size=1000)
    )
    assert metrics.r2_score(height(new), regressor.predict(new)) > 0.95
    assert metrics.mean_absolute_error(height(new), regressor.predict(new)) < 0.2

    def arm(x):
        """Three arms of a spiral: the angle, turned by the distance."""
        turned = np.arctan2(x[:, 1], x[:, 0]) + np.linalg.norm(x, axis=1)
        return (turned // (2 * np.pi / 3)).astype(int) % 3

    classifier = cr.MLPClassifier((64, 64), **plan).fit(x, arm(x))
    assert classifier.score(new, arm(new)) > 0.95
    assert classifier.predict_proba(new).sum(axis=1) == pytest.approx(1)

    labels = [np.stack([at[:, 0] > 0, (at[:, 0] > 0) & (at[:, 1] > 0), at.sum(axis=1) > 0], axis=1)
              .astype(int) for at in (x, new)]  # fmt: skip
    several = cr.MLPClassifier((32,), **plan).fit(x, labels[0])
    assert metrics.f1_score(labels[1], several.predict(new), average="macro") > 0.9
    assert np.ptp(several.predict_proba(new).sum(axis=1)) > 1  # of each row what it is


def test_redundant_rows_cost_batches_nothing():
    """T15: every row 100 times; rows seen until the loss is within a tenth of its least."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(64, 4)), 100, axis=0)
    y = x @ np.array([[1.0], [-2.0], [0.5], [0.0]]) + np.repeat(rng.normal(size=(64, 1)), 100, 0)
    least = ((x @ np.linalg.lstsq(x, y, rcond=None)[0] - y) ** 2).mean()

    def rows(batch_size, rate):
        model, seen = nn.Linear(4, 1, seed=0).astype(float), 0
        order = rng.permutation(len(x))
        updater = optim.Updater(model.parameters(), optim.SGD(rate))
        while losses.mse(model.predict(x), y) > 1.1 * least:
            batch = np.take(order, np.arange(seen, seen + batch_size), mode="wrap")
            losses.mse(model(x[batch]), y[batch]).backward()
            updater.step()
            seen += batch_size
        return seen

    alone = min(rows(16, rate) for rate in (0.03, 0.1))
    assert 20 * alone < min(rows(len(x), rate) for rate in (0.1, 0.3, 0.5))


# Scores (H09).


def test_scores_of_a_table_by_hand():
    """H09: 6 true and 3 false positives, 2 missed, 9 true negatives."""
    truth = np.repeat([1, 0, 1, 0], [6, 3, 2, 9])
    labels = np.repeat([1, 1, 0, 0], [6, 3, 2, 9])
    assert metrics.confusion_matrix(truth, labels).tolist() == [[9, 3], [2, 6]]
    assert metrics.accuracy_score(truth, labels) == pytest.approx(15 / 20)
    precision, recall, f1, _ = metrics.precision_recall_f1(truth, labels, average=None)
    assert [precision[1], recall[1]] == pytest.approx([6 / 9, 6 / 8])
    assert f1[1] == pytest.approx(2 * 6 / (2 * 6 + 3 + 2))
    assert metrics.balanced_accuracy_score(truth, labels) == pytest.approx((6 / 8 + 9 / 12) / 2)


# Gradients of a loss with a penalty (L29), and of the distance of softmax (C05).


def test_gradient_of_a_loss_with_a_penalty():
    """L29: data term and penalty together, against differences."""
    x, y = np.random.default_rng(0).normal(size=(2, 6, 3))

    def loss(w):
        return losses.mse(ops.matmul(x, w), y) + 0.1 * ops.sum(w * w) + 0.2 * ops.sum(ops.abs(w))

    assert check_gradient(loss, np.sin(np.arange(1.0, 10.0)).reshape(3, 3)) < 1e-6


# The tables of the notes (Z07).


def test_every_row_of_the_tables_is_in_the_reference():
    """Z07: the page is written from the registries."""
    names = set(re.findall(r"^\| `([\w.]+)`", (DOCS / "reference.md").read_text(), re.MULTILINE))
    assert names >= {
        "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softmax", "ops.argmax", "prelu", "swish",
        "maxout", "softplus", "selu",
        "mae", "mse", "huber", "hinge", "cross_entropy", "binary_cross_entropy_with_logits",
        "categorical_cross_entropy", "adaptive",
        "SGD", "Adagrad", "Adadelta", "RMSprop", "Adam",
    }  # fmt: skip


def test_every_question_and_topic_has_code_that_runs():
    """Q16, Q17: the pages run as tests; here, no part of them is without a block of code."""
    for name, level, count in (("questions", "### ", 28), ("topics", "## ", 7)):
        text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        parts = re.split(rf"^{level}(?=\d+\. )", text, flags=re.MULTILINE)[1:]
        assert [int(part.split(".")[0]) for part in parts] == list(range(1, count + 1))
        for part in parts:
            words, _, code = part.partition("```python\n>>> ")
            assert len(words.split()) > 15, words
            assert code, words
