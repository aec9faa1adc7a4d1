"""Schedules by the table, and PyTorch's where it has the same."""

import math
import pickle
from dataclasses import dataclass

import pytest

import tables
from chainrule import schedules
from chainrule.errors import ConfigError
from chainrule.schedules import SCHEDULES, Schedule, get_schedule
from chainrule.testing import CheckError, check_schedule


@pytest.mark.parametrize(("schedule", "factors"), tables.SCHEDULE_ROWS, ids=str)
def test_schedule(schedule, factors):
    check_schedule(schedule)
    for t, expected in factors.items():
        assert schedule(t) == pytest.approx(expected, abs=1e-8), t


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_by_name(name):
    schedule = get_schedule(name)
    assert type(schedule).__name__.lower() == name
    check_schedule(schedule)
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_rates_of_the_notes():
    """G4, with a rate of 0.1."""
    rates = {
        schedules.Step(every=10, factor=0.5): {0: 0.1, 9: 0.1, 10: 0.05, 25: 0.025},
        schedules.InverseTime(k=0.1): {0: 0.1, 1: 0.09090909, 10: 0.05},
        schedules.Exponential(k=0.05): {0: 0.1, 1: 0.09512294, 10: 0.06065307},
    }
    for schedule, golden in rates.items():
        for t, expected in golden.items():
            assert 0.1 * schedule(t) == pytest.approx(expected, abs=6e-9)


def test_warm_up_hands_the_rest_of_the_time_on():
    schedule = schedules.WarmUp(4, schedules.Linear()).over(24)
    assert [schedule(t) for t in (0, 2, 4, 14, 24)] == [0, 0.5, 1.0, 0.5, 0.0]
    own = schedules.WarmUp(2, lambda t: 0.5**t)
    assert own.over(10) is own
    assert own(3) == 0.5


def test_one_cycle_has_its_peak_where_it_says():
    schedule = schedules.OneCycle(total=100, rise=0.25, start=10, end=100)
    assert schedule(0) == pytest.approx(0.1)
    assert schedule(25) == pytest.approx(1.0)
    assert schedule(100) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: schedules.Cosine()(1),
            r"Cosine needs to know the end: Cosine\(total=100\), or Cosine\(\)\.over",
        ),
        (lambda: schedules.Step(every=0), r"Step\(every=0\): expected a number above 0"),
        (lambda: schedules.WarmUp(-1), r"WarmUp\(time=-1\)"),
        (
            lambda: get_schedule("cosin"),
            "schedule 'cosin' does not exist; there are constant, cosine",
        ),
    ],
)
def test_errors(call, text):
    with pytest.raises(ConfigError, match=text):
        call()


def test_a_function_is_a_schedule():
    assert get_schedule(math.cos) is math.cos


class _TooHigh(Schedule):
    def __call__(self, t):
        return 1.5


class _Whole(Schedule):
    def __call__(self, t):
        return 1


@dataclass(frozen=True)
class _Moving(Schedule):
    total: float = 1.0

    def over(self, total):
        return _Moving(total)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (_TooHigh(), "gives 1.5 at t = 0.0"),
        (_Whole(), "gives a int"),
        (_Moving(), "changes an end that is set already"),
    ],
)
def test_check_schedule_finds(wrong, text):
    with pytest.raises(CheckError, match=text):
        check_schedule(wrong)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (schedules.Step(every=7, factor=0.3), lambda s, o: s.StepLR(o, 7, 0.3)),
        (schedules.Exponential(k=0.1), lambda s, o: s.ExponentialLR(o, math.exp(-0.1))),
        (schedules.Linear(total=12, final=0.1), lambda s, o: s.LinearLR(o, 1.0, 0.1, 12)),
        (schedules.Cosine(total=20), lambda s, o: s.CosineAnnealingLR(o, 20)),
        (schedules.InverseTime(k=0.2), lambda s, o: s.LambdaLR(o, lambda t: 1 / (1 + 0.2 * t))),
        (
            schedules.OneCycle(total=19, rise=5 / 19),
            lambda s, o: s.OneCycleLR(o, 1.0, 20, cycle_momentum=False),
        ),
    ],
    ids=["step", "exponential", "linear", "cosine", "inverse-time", "one-cycle"],
)
def test_equals_torch(ours, theirs):
    """PyTorch's OneCycleLR counts one step less in its rise: 0.3 * 20 - 1."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = theirs(torch.optim.lr_scheduler, optimizer)
    for t in range(20):
        assert ours(t) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12), t
        optimizer.step()
        if t < 19:
            scheduler.step()
