"""Optimizers by the table; trajectories of the notes and of PyTorch; the Updater; clipping."""

import copy
import pickle
from dataclasses import asdict, fields

import numpy as np
import pytest

import tables
from chainrule import grad, optim, tensor
from chainrule.errors import ConfigError
from chainrule.optim import (
    OPTIMIZERS,
    MovingAverage,
    Optimizer,
    Updater,
    clip_by_norm,
    clip_by_value,
    get_optimizer,
    global_norm,
)  # fmt: skip
from chainrule.testing import CheckError, check_optimizer

ROWS = pytest.mark.parametrize("row", tables.OPTIMIZER_ROWS, ids=lambda row: str(row.optimizer))
BOWL = np.array([1.0, 10.0])


def trajectory(optimizer, steps, start=(1.0, 1.0), gradient=lambda w: w * BOWL):
    """Points after each step, on J = (x^2 + 10 y^2) / 2 unless told."""
    w = tensor(start, requires_grad=True)
    updater = Updater([w], optimizer)
    path = []
    for _ in range(steps):
        updater.step([gradient(w.detach().numpy())])
        path.append(w.detach().numpy().copy())
    return np.array(path)


@ROWS
def test_optimizer(row):
    check_optimizer(row.optimizer)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_defaults(name):
    check_optimizer(get_optimizer(name), steps=500, shrink=0.999)


@pytest.mark.parametrize(
    "row", [r for r in tables.OPTIMIZER_ROWS if r.golden], ids=lambda r: str(r.optimizer)
)
def test_golden_steps(row):
    """G1."""
    np.testing.assert_allclose(trajectory(row.optimizer, len(row.golden)), row.golden, atol=6e-9)


@ROWS
def test_number_of_state_arrays(row):
    """O26."""
    assert len(row.optimizer.init(np.zeros(3))) == row.state_arrays


# The third step of PyTorch 2.13 in float64 from (1, -2, 0.5), for gradients that change.

GRADIENTS = np.array([[0.3, -1.2, 0.05], [-0.7, 0.4, 0.6], [1.1, 0.9, -0.2]])
TORCH_THIRD = [  # in the order of the rows that PyTorch has
    [0.965, -2.005, 0.4775],
    [0.97085, -1.9203999999999999, 0.446225],
    [0.975411548313664, -1.978233135427968, 0.474258573023392],
    [0.9876, -1.9641199999999999, 0.48524],
    [0.9322712065467131, -1.9833460527999078, 0.42012291628277115],
    [0.9096139694249897, -1.9901075218249333, 0.3320105218429737],
    [0.8524723886455434, -1.8880552959802543, 0.14079967142419586],
    [0.994270590079923, -2.001507370816585, 0.4921117494757199],
    [0.9079684378875864, -1.8718367072048947, 0.2819510025190103],
    [0.9053523294540281, -1.8679575069767198, 0.28059391199628286],
    [0.9051293183422169, -1.8660826270599769, 0.28073212063952174],
    [0.897471823449314, -1.983695333435038, 0.3178465608044434],
]


TORCH_ROWS = [row for row in tables.OPTIMIZER_ROWS if row.torch]


@pytest.mark.parametrize(("row", "expected"), list(zip(TORCH_ROWS, TORCH_THIRD, strict=True)))
def test_third_step_of_torch(row, expected):
    w = tensor([1.0, -2.0, 0.5], requires_grad=True)
    updater = Updater([w], row.optimizer)
    for g in GRADIENTS:
        updater.step([g])
    np.testing.assert_allclose(w.detach().numpy(), expected, rtol=1e-13)


@pytest.fixture
def torch():
    """PyTorch with float64 as its default, in which NAdam keeps a product of its own."""
    module = pytest.importorskip("torch")
    module.set_default_dtype(module.float64)
    yield module
    module.set_default_dtype(module.float32)


@pytest.mark.parametrize("row", TORCH_ROWS, ids=lambda row: str(row.optimizer))
def test_500_steps_of_torch(row, torch):
    rng = np.random.default_rng(0)
    start, x, y = rng.normal(size=7), rng.normal(size=(20, 7)), rng.normal(size=20)
    theirs = torch.tensor(start, requires_grad=True)
    name, arguments = row.torch
    other = getattr(torch.optim, name)([theirs], **arguments)
    ours = tensor(start, requires_grad=True)
    updater = Updater([ours], row.optimizer)
    for step in range(500):
        rows = rng.integers(20, size=5)
        w = ours.detach().numpy()
        updater.step([x[rows].T @ np.tanh(x[rows] @ w - y[rows]) / 5])
        w = theirs.detach().numpy()
        theirs.grad = torch.tensor(x[rows].T @ np.tanh(x[rows] @ w - y[rows]) / 5)
        other.step()
        np.testing.assert_allclose(
            ours.detach().numpy(),
            theirs.detach().numpy(),
            rtol=1e-12,
            atol=1e-12,
            err_msg=str(step),
        )


# What the notes say of optimizers (requirements.md, 1.7).


def test_descent_goes_against_the_gradient():
    """O02: the notes' plus sign would give 6.19."""
    path = trajectory(optim.SGD(lr=0.1), 10, (1.0,), lambda w: 2 * w)
    assert path[-1][0] == pytest.approx(0.10737418, abs=6e-9)


def test_the_gradient_is_the_direction_of_steepest_increase():
    """O01."""

    def f(x):
        return x[0] ** 2 + 3 * x[0] * x[1] + x[1] ** 4

    x = np.array([1.0, -0.5])
    g = grad(f)(x)
    best = f(x + 1e-4 * g / np.linalg.norm(g))
    for angle in np.linspace(0, 2 * np.pi, 1000, endpoint=False):
        assert f(x + 1e-4 * np.array([np.cos(angle), np.sin(angle)])) <= best + 1e-11


def test_both_forms_of_momentum_are_one_while_the_rate_stays():
    """O09."""
    inside = trajectory(optim.SGD(lr=0.01, momentum=0.9, rate_inside=True), 50)
    outside = trajectory(optim.SGD(lr=0.01, momentum=0.9), 50)
    np.testing.assert_allclose(inside, outside, rtol=1e-13, atol=1e-15)


def test_the_first_step_of_adam_is_the_rate():
    """O13, O14: without the correction it would be 3.162 times that."""
    for g in (1e-3, 1.0, 1e3):
        assert trajectory(optim.Adam(lr=0.1), 1, (0.0,), lambda w, g=g: w * 0 + g)[0][
            0
        ] == pytest.approx(-0.1, rel=1e-4)


def test_the_first_step_of_rmsprop_depends_on_the_accumulator():
    """O32."""

    def first(**settings):
        return trajectory(
            optim.RMSprop(lr=0.01, alpha=0.9, **settings), 1, (0.0,), lambda w: w * 0 + 2.0
        )[0][0]

    assert first() == pytest.approx(-0.03162, abs=1e-5)
    assert first(initial_accumulator=4.0) == pytest.approx(-0.01, abs=1e-6)


def test_weight_decay_coupled_and_apart():
    """O15, E-24."""

    def first(optimizer):
        return trajectory(optimizer, 1, (1.0,), lambda w: w * 0 + 0.1)[0][0]

    assert first(optim.Adam(lr=0.01, weight_decay=0.1)) == pytest.approx(0.99, abs=1e-6)
    assert first(optim.AdamW(lr=0.01, weight_decay=0.1)) == pytest.approx(0.989, abs=1e-6)
    assert first(optim.SGD(lr=0.01, weight_decay=0.1)) == pytest.approx(0.998, abs=1e-12)


def test_a_rate_above_one_diverges_on_a_parabola():
    """O16, E-23: x^2 with rates 0.9 and 1.1, 20 steps."""
    ends = [trajectory(optim.SGD(lr=lr), 20, (1.0,), lambda w: 2 * w)[-1][0] for lr in (0.9, 1.1)]
    assert ends == pytest.approx([0.01152922, 38.33759992], abs=6e-9)


def test_momentum_needs_fewer_steps():
    """O22: condition number 100, to 1e-6."""
    scales = np.array([1.0, 100.0])

    def needed(optimizer):
        path = trajectory(optimizer, 1500, (1.0, 1.0), lambda w: w * scales)
        return int((np.abs(path).max(axis=1) > 1e-6).sum())

    plain = min(needed(optim.SGD(lr=lr)) for lr in (0.01, 0.0198))
    momentum = min(needed(optim.SGD(lr=lr, momentum=0.8)) for lr in (0.01, 0.02, 0.03))
    assert momentum * 3 < plain


def test_adagrad_slows_down():
    """O23: the step of a constant gradient is lr / sqrt(t)."""
    path = trajectory(optim.Adagrad(lr=0.1), 100, (0.0,), lambda w: w * 0 + 1.0)
    assert path[-2][0] - path[-1][0] == pytest.approx(0.01, rel=1e-6)


def test_adadelta_does_not_see_the_scale_of_gradients():
    """O24."""
    ends = [
        trajectory(optim.Adadelta(eps=1e-12), 200, (1.0,), lambda w, k=k: 2 * k * w)[-1]
        for k in (1, 1000)
    ]
    np.testing.assert_allclose(ends[0], ends[1], rtol=0.01)


def test_adadelta_without_eps_never_moves():
    """E-22."""
    with np.errstate(invalid="ignore"):
        assert trajectory(optim.Adadelta(eps=0.0), 3)[-1].tolist() == [1.0, 1.0]


# The Updater.


def parameters():
    rng = np.random.default_rng(0)
    return [tensor(rng.normal(size=s), requires_grad=True) for s in [(3, 2), (2,), (), (4, 1)]] + [
        tensor(rng.normal(size=5).astype(np.float32), requires_grad=True)
    ]


def gradients(seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=p.shape).astype(p.dtype) for p in parameters()]


@ROWS
def test_blocks_give_what_single_parameters_give(row):
    together, alone = parameters(), parameters()
    joint = Updater(together, row.optimizer)
    single = [Updater([p], row.optimizer) for p in alone]
    for step in range(4):
        g = gradients(step)
        joint.step(g, factor=0.5)
        for updater, one in zip(single, g, strict=True):
            updater.step([one], factor=0.5)
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
        assert a.dtype == b.dtype


def test_groups_have_settings_of_their_own():
    together, alone = parameters(), parameters()
    change = {"lr": 0.5, "weight_decay": 0.0}
    joint = Updater(
        together,
        optim.AdamW(lr=0.1),
        groups=[(together[1:2], change), (together[3:4], {"lr": 0.0})],
    )
    joint.step(gradients())
    rest = optim.AdamW(lr=0.1)
    own = optim.AdamW(lr=0.5, weight_decay=0.0)
    for i, optimizer in enumerate([rest, own, rest, optim.AdamW(lr=0.0), rest]):
        Updater([alone[i]], optimizer).step([gradients()[i]])
        np.testing.assert_array_equal(together[i].detach().numpy(), alone[i].detach().numpy())


def test_equal_settings_make_one_block_in_whatever_order_they_are_given():
    a, b, c = parameters()[:3]
    updater = Updater([a, b, c], optim.SGD(), [([a], {"lr": 0.5, "momentum": 0.1}),
                                               ([b], {"momentum": 0.1, "lr": 0.5})])  # fmt: skip
    assert [block.members for block in updater.blocks] == [[0, 1], [2]]


@ROWS
@pytest.mark.parametrize("size", [np.inf, 1e38])
def test_huge_gradients_pass_without_warnings(row, size):
    w = tensor(np.ones(3, np.float32), requires_grad=True)
    updater = Updater([w], row.optimizer)
    for sign in (1, -1, 1):
        updater.step([np.full(3, sign * size, np.float32)])
    assert updater.t == 3


def test_gradients_of_backward_are_used_and_cleared():
    w, idle = tensor([1.0, 2.0], requires_grad=True), tensor([5.0], requires_grad=True)
    updater = Updater([w, idle], optim.SGD(lr=0.1))
    (w * w).sum().backward()
    updater.step()
    np.testing.assert_allclose(w.detach().numpy(), [0.8, 1.6])
    assert w.grad is None
    assert idle.detach().numpy().tolist() == [5.0]


def test_parameters_may_be_assigned_between_steps():
    ours, plain = parameters(), parameters()
    a, b = Updater(ours, optim.Adam(lr=0.1)), [Updater([p], optim.Adam(lr=0.1)) for p in plain]
    for step in range(3):
        g = gradients(step)
        for group in (ours, plain):
            group[0].renew(np.full((3, 2), float(step)))
        a.step(g)
        for updater, one in zip(b, g, strict=True):
            updater.step([one])
    assert abs(ours[0].detach().numpy() - 2.0).max() < 0.2
    for p, q in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_the_arrays_given_stay_as_they_are():
    start = np.ones(3)
    w = tensor(start, requires_grad=True)
    before, g = w.detach().numpy().copy(), np.ones(3)
    kept = w.detach()
    Updater([w], optim.SGD(lr=0.5)).step([g])
    assert kept.numpy().tolist() == before.tolist()
    assert g.tolist() == [1.0] * 3


@ROWS
def test_resuming_gives_the_same_bits(row):
    ends = []
    for pause in (False, True):
        ps = parameters()
        updater = Updater(ps, row.optimizer, groups=[(ps[:1], {"lr": 0.02})])
        for step in range(6):
            if pause and step == 3:
                state = pickle.loads(pickle.dumps(updater.state_dict()))
                updater = Updater(ps, row.optimizer, groups=[(ps[:1], {"lr": 0.02})])
                updater.load_state_dict(state)
            updater.step(gradients(step))
        ends.append([p.detach().numpy() for p in ps])
    for a, b in zip(*ends, strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_saved_state_does_not_change_with_later_steps():
    ps = parameters()
    updater = Updater(ps, optim.Adam())
    updater.step(gradients())
    state = updater.state_dict()
    before = copy.deepcopy(state)
    updater.step(gradients(2))
    assert state["t"] == before["t"] == 1
    for key, value in before["arrays"].items():
        np.testing.assert_array_equal(state["arrays"][key], value)


# Averages and clipping.


def test_moving_average():
    """S11."""
    average = MovingAverage(0.9)
    corrected, raw = [], []
    for x in range(1, 6):
        corrected.append(average.update(x))
        raw.append(average.raw)
    assert raw == pytest.approx([0.1, 0.29, 0.561, 0.9049, 1.31441])
    assert corrected == pytest.approx([1, 1.52631579, 2.07011070, 2.63128817, 3.20971405], abs=6e-9)
    arrays = MovingAverage(0.5)
    arrays.update(np.array([1.0, 2.0]))
    assert arrays.update(np.array([3.0, 2.0])).tolist() == pytest.approx([7 / 3, 2.0])
    assert MovingAverage().value == 0.0


def test_clipping_by_norm():
    g = [np.array([30.0, 0.0]), np.array([[40.0]])]
    clipped, length = clip_by_norm(g, 5.0)
    assert length == 50.0
    assert [c.tolist() for c in clipped] == [[3.0, 0.0], [[4.0]]]
    assert global_norm(clipped) == pytest.approx(5.0)
    assert [c.tolist() for c in g] == [[30.0, 0.0], [[40.0]]]


def test_clipping_leaves_short_gradients_alone():
    """E-66: it is no remedy for vanishing gradients."""
    g = [np.array([1e-9])]
    assert clip_by_norm(g, 1.0)[0][0] is g[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clipping_scales_nothing_when_a_gradient_is_not_finite(bad):
    clipped, length = clip_by_norm([np.array([3.0, 4.0]), np.array([bad])], 1.0)
    assert not np.isfinite(length)
    assert clipped[0].tolist() == [3.0, 4.0]


def test_clipping_keeps_float32_and_large_lengths():
    clipped, length = clip_by_norm([np.full(4, 1e30, np.float32)], 1.0)
    assert length == pytest.approx(2e30, rel=1e-6)
    assert clipped[0].dtype == np.float32
    assert clipped[0].tolist() == pytest.approx([0.5] * 4)


def test_clipping_by_value():
    assert clip_by_value([np.array([30.0, -2.0])], 5.0)[0].tolist() == [5.0, -2.0]


# Errors.

W = [tensor([1.0], requires_grad=True)]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: optim.SGD(lr=-1), r"SGD\(lr=-1\): expected a number from 0 to inf"),
        (lambda: optim.SGD(lr=np.inf), r"SGD\(lr=inf\)"),
        (lambda: optim.SGD(lr=np.nan), r"SGD\(lr=nan\)"),
        (lambda: optim.SGD(lr="fast"), r"SGD\(lr='fast'\)"),
        (lambda: optim.SGD(momentum=2), r"SGD\(momentum=2\): expected a number from 0 to 1"),
        (lambda: optim.SGD(nesterov=True), r"nesterov=True\) needs momentum > 0"),
        (lambda: optim.Adam(beta1=1.0), r"Adam\(beta1=1.0\)"),
        (lambda: optim.Adam(weight_decay=-1), r"Adam\(weight_decay=-1\)"),
        (lambda: optim.RMSprop(alpha=-0.1), r"RMSprop\(alpha=-0.1\)"),
        (lambda: Updater([], optim.SGD()), "an empty list was given"),
        (lambda: Updater(W + W, optim.SGD()), "a parameter was given twice"),
        (lambda: Updater([W[0] * 2], optim.SGD()), r"parameter 0 of shape \(1,\) is no leaf"),
        (lambda: Updater([tensor([1.0])], optim.SGD()), "no leaf that requires a gradient"),
        (lambda: Updater(W, optim.SGD(), [(W, {"beta1": 0.5})]), "SGD has no setting 'beta1'"),
        (lambda: Updater(W, optim.SGD(), [(W, {"lr": -1})]), r"SGD\(lr=-1\)"),
        (lambda: Updater(W, optim.Adam()).load_state_dict(Updater(W, optim.SGD()).state_dict()),
         "belongs to other parameters or settings"),
        (lambda: get_optimizer("adamm"), "optimizer 'adamm' does not exist; there are adadelta"),
    ],
)  # fmt: skip
def test_errors(call, text):
    with pytest.raises(ConfigError, match=text):
        call()


ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
DEFAULTS = {  # those of PyTorch; what is not named is 0 or False
    "sgd": {"lr": 1e-3},
    "adagrad": {"lr": 1e-2, "eps": 1e-10},
    "rmsprop": {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8},
    "adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6},
    "adam": {"lr": 1e-3} | ADAM,
    "adamw": {"lr": 1e-3, "weight_decay": 1e-2, "decoupled_weight_decay": True} | ADAM,
    "nadam": {"lr": 2e-3, "momentum_decay": 4e-3} | ADAM,
}


def test_settings_are_those_of_pytorch_unless_told():
    found = {name: asdict(make()) for name, make in OPTIMIZERS.items()}
    used = {name: {k: v for k, v in all_.items() if v} for name, all_ in found.items()}
    assert used == DEFAULTS
    assert MovingAverage() == MovingAverage(beta=0.9, raw=0.0, t=0)


INCLUSIVE = {"momentum": 1.0, "dampening": 1.0}
BELOW_ONE = ("beta1", "beta2", "rho", "alpha")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_setting_has_its_range(name):
    make = OPTIMIZERS[name]
    for item in fields(make):
        if not item.init or isinstance(item.default, bool):
            continue
        assert getattr(make(**{item.name: 0.0}), item.name) == 0.0
        most = INCLUSIVE.get(item.name, 0.999)
        assert getattr(make(**{item.name: most}), item.name) == most
        above = [1.5] if item.name in INCLUSIVE else [1.0] if item.name in BELOW_ONE else [np.inf]
        for wrong in (-0.001, -1.0, np.nan, "1", *above):
            with pytest.raises(ConfigError, match=f"{item.name}={wrong!r}".replace(".", r"\.")):
                make(**{item.name: wrong})


def test_get_optimizer():
    assert get_optimizer("sgd", lr=0.5, momentum=0.9) == optim.SGD(lr=0.5, momentum=0.9)
    assert get_optimizer(optim.Adam()) == optim.Adam()


# The checker finds what is wrong.


class _Base(Optimizer):
    slots = ("velocity",)

    def update(self, p, g, state, t, lr):
        v = state["velocity"] * 0.9 + g
        return p - lr * v, {"velocity": v}


class _InPlace(_Base):
    def update(self, p, g, state, t, lr):
        state["velocity"] *= 0.9
        state["velocity"] += g if isinstance(g, np.ndarray) else g.numpy()
        return p - lr * state["velocity"], {"velocity": state["velocity"]}


class _Uphill(_Base):
    def update(self, p, g, state, t, lr):
        new, state = super().update(p, g, state, t, lr)
        return p + (p - new), state


class _Coupled(_Base):
    def update(self, p, g, state, t, lr):
        return p - lr * g / (1 + (g * g).sum()), state


class _Double(_Base):
    def update(self, p, g, state, t, lr):
        return p - np.float64(lr) * np.ones(1) * g, state


class _Drifting(_Base):
    def update(self, p, g, state, t, lr):
        return p - lr * (g + 1e-3), state


class _Forgetful(_Base):
    def update(self, p, g, state, t, lr):
        return p - lr * g, {}


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (_InPlace, "update changed an argument"),
        (_Uphill, "ends at .* in 300 steps"),
        (_Coupled, "elements influence one another"),
        (_Double, "update turned float32"),
        (_Drifting, "without a gradient"),
        (_Forgetful, "name the state"),
    ],
)
def test_check_optimizer_finds(wrong, text):
    with np.errstate(over="ignore"), pytest.raises(CheckError, match=text):
        check_optimizer(wrong(lr=0.05))


def test_check_optimizer_passes_a_right_one():
    check_optimizer(_Base(lr=0.01))
