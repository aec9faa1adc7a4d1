"""What the statistics of an epoch say, and how they are printed."""

import numpy as np
import pytest

from chainrule.statistics import SATURATED, EpochStatistics, Norms, Statistics

NAMES = ["0.weight", "0.bias", "10.weight", "2.inner.weight"]
SQUARES = np.array([[9.0, 16, 4], [16, 9, 0], [1, 4, 1e-6], [0, 0, 1]])
SLOPES = {"1": np.array([0.0, 0.5, SATURATED, 0.0, 0.01]), "10": np.array([1.0])}


def an_epoch(number=3):
    return EpochStatistics(NAMES, SQUARES.ravel(), SLOPES, number, 7, 210)


def test_norms_are_given_by_the_name_of_the_parameter():
    norms = Norms(NAMES, SQUARES)
    assert norms.gradient_norm == dict(zip(NAMES, [3, 4, 1, 0], strict=True))
    assert norms.weight_norm == dict(zip(NAMES, [4, 3, 2, 0], strict=True))
    assert norms.update_norm == dict(zip(NAMES, [2, 0, 1e-3, 1], strict=True))
    assert norms.update_ratio == dict(zip(NAMES, [0.5, 0, 5e-4, np.inf], strict=True))


def test_weights_of_0_that_stay_0_have_no_ratio():
    assert np.isnan(Norms(["w"], np.array([1.0, 0, 0])).update_ratio["w"])


def test_dead_and_saturated_units():
    each = an_epoch()
    assert {name: x.tolist() for name, x in each.dead.items()} == {"1": [0, 3], "10": []}
    assert {name: x.tolist() for name, x in each.saturated.items()} == {"1": [0, 3, 4], "10": []}


TABLE = """\
layer    gradient  weight  update/weight  units  dead  saturated
0               5       5            0.4
1                                             5     2          3
2.inner         0       0            inf
10              1       2         0.0005      1     0          0"""


def test_the_table_has_a_row_for_each_layer_in_the_order_of_their_names():
    assert str(an_epoch()) == TABLE
    assert an_epoch().table()[1] == {"layer": "1", "units": 5, "dead": 2, "saturated": 3}


def test_those_of_a_training_print_the_last_epoch():
    statistics = Statistics()
    assert str(statistics) == "no step was looked at"
    statistics.epochs += [an_epoch(2), an_epoch(3)]
    assert str(statistics) == f"epoch 3, 7 steps of 210 rows\n{TABLE}"
    assert repr(statistics) == "<Statistics of 2 epochs>"
    assert (len(statistics), statistics[0].epoch, statistics[-1].epoch) == (2, 2, 3)
    assert [each.epoch for each in statistics] == [2, 3]


def test_a_data_frame_has_a_row_for_each_layer_and_epoch():
    pytest.importorskip("pandas")
    statistics = Statistics()
    statistics.epochs += [an_epoch(2), an_epoch(3)]
    frame = statistics.to_frame()
    assert frame["epoch"].tolist() == [2] * 4 + [3] * 4
    assert frame["layer"].tolist() == ["0", "1", "2.inner", "10"] * 2
    assert frame["dead"].dropna().tolist() == [2, 0, 2, 0]
    assert list(frame.columns[2:5]) == ["gradient", "weight", "update/weight"]
