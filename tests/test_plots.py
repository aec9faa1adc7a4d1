"""Plots: every activation with its derivative, decision boundaries, and the files of both."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from chainrule import functional, nn, plots
from chainrule.errors import ConfigError, ShapeError
from tables import ACTIVATION_ROWS

SVG = "{http://www.w3.org/2000/svg}"
ROWS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def test_every_activation_is_plotted_with_its_derivative(tmp_path):
    plot = plots.activations()
    assert [title for title, _, _ in plot.charts] == list(functional.ACTIVATIONS)
    plot.save(tmp_path / "activations.svg")
    root = ET.fromstring((tmp_path / "activations.svg").read_text(encoding="utf-8"))
    charts = root.findall(SVG + "svg")
    assert len(charts) == len(functional.ACTIVATIONS) == 22
    for chart in charts:
        lines = [p.get("class") for p in chart.iter(SVG + "path")]
        assert lines == ["line validation", "line train"]
        assert chart.get("role") == "img"
    places = {(chart.get("x"), chart.get("y")) for chart in charts}
    assert len(places) == 22
    plot.save(tmp_path / "activations.html")
    assert "<script" not in (tmp_path / "activations.html").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=r"expected a name that ends in \.svg, \.html"):
        plot.save(tmp_path / "activations.png")


ELEMENTWISE = [
    r
    for r in ACTIVATION_ROWS
    if r.name not in ("softmax", "log_softmax", "maxout") and not r.settings
]


@pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda r: r.name)
def test_curves_are_those_of_the_function(row):
    x = np.linspace(-3.9, 4.1, 81)
    f = functional.ACTIVATIONS[row.name]
    y, slope = plots.value_and_slope(f, x)
    np.testing.assert_allclose(y, f(x), rtol=1e-12)
    h = 1e-6
    kinks = np.min(np.abs(x[:, None] - np.array([0.0, -3.0, 3.0])), axis=1) < 1e-3
    differences = (f(x + h) - f(x - h)) / (2 * h)
    np.testing.assert_allclose(slope[~kinks], np.asarray(differences)[~kinks], rtol=1e-5, atol=1e-8)


def test_activations_of_several_numbers_are_shown_for_x_and_0():
    x = np.linspace(-2, 2, 9)
    y, slope = plots.value_and_slope(functional.softmax, x)
    np.testing.assert_allclose(y, 1 / (1 + np.exp(-x)), rtol=1e-12)
    np.testing.assert_allclose(slope, y * (1 - y), rtol=1e-12)
    y, _ = plots.value_and_slope(functional.maxout, x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    notes = {title: note for title, note, _ in plots.activations().charts}
    marked = [title for title, note in notes.items() if note == "first result for x and 0"]
    assert sorted(marked) == ["log_softmax", "maxout", "softmax"]
    assert notes["relu"] == "max(0, x); the derivative at 0 is 0"


def test_a_bias_shifts_the_curve():
    biases = (-4.0, 0.0, 4.0)
    functions = {f"b = {b:g}": lambda x, b=b: functional.sigmoid(2.0 * x + b) for b in biases}
    plot = plots.curves(functions)
    root = ET.fromstring(plot.svg())
    lines = [p.get("d") for p in root.iter(SVG + "path")]
    assert len(set(lines)) == 3
    middle = []
    for line in lines:
        points = np.array(
            [[float(v) for v in p.split()] for p in re.split("[ML]", line)[1:] if "h" not in p]
        )
        half = (points[:, 1].min() + points[:, 1].max()) / 2
        middle.append(points[np.argmin(np.abs(points[:, 1] - half)), 0])
    steps = np.diff(middle)
    assert np.allclose(steps, steps[0], atol=3)  # -b / w: from 2 to 0 to -2
    assert steps[0] < 0
    names = [t.text for t in root.iter(SVG + "text") if "line-name" in (t.get("class") or "")]
    assert sorted(names) == sorted(functions)


def test_regions_are_those_of_the_model():
    plot = plots.boundary({"right half": lambda x: x[:, 0] > 0.5}, ROWS, [0, 0, 1, 1])
    ((title, note, chart),) = plot.charts
    assert (title, note) == ("right half", "4 of 4 rows right")
    regions = ET.fromstring(chart.replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1))
    paths = {p.get("class"): p.get("d") for p in regions.iter(SVG + "path")}
    edge = {}
    for k in (0, 1):
        cells = re.findall(r"M([\d.]+) [\d.]+H([\d.]+)V", paths[f"region class-{k}"])
        assert len(cells) == plots.CELLS
        edge[k] = {float(a) for a, _ in cells}, {float(b) for _, b in cells}
    assert edge[0][1] == edge[1][0]  # where one ends, the other begins, in every row
    assert len(edge[0][1]) == 1
    spots = [p.get("class") for p in regions.iter(SVG + "path") if "spot" in p.get("class")]
    assert spots == ["spot class-0"] * 2 + ["spot class-1"] * 2 + ["spot class-0", "spot class-1"]


@pytest.mark.filterwarnings("ignore:bias_input=0")
def test_a_boundary_without_bias_goes_through_the_origin(tmp_path):
    _, t = nn.truth_table("and")
    models = {
        "with bias": nn.Perceptron(init_std=0.0).fit(ROWS, t),
        "without": nn.Perceptron(init_std=0.0, bias_input=0.0).fit(ROWS, t),
    }
    plot = plots.boundary(models, ROWS, t)
    notes = [note for _, note, _ in plot.charts]
    assert notes[0] == "4 of 4 rows right"
    assert notes[1] != notes[0]
    w = models["without"].weights_.ravel()[:2]
    either_side = np.stack([w, -w]) * 1e-9  # of the origin
    assert models["without"].predict(either_side).tolist() == [1, 0]
    assert models["with bias"].predict(either_side).tolist() == [0, 0]
    plot.save(tmp_path / "boundary.svg")
    ET.fromstring((tmp_path / "boundary.svg").read_text(encoding="utf-8"))


def test_classes_may_be_words_and_many():
    names = np.array(["a<b", "c", "d", "e", "f", "g", "h"])
    rows = np.stack([np.arange(7.0), np.arange(7.0)], axis=1)
    plot = plots.boundary(
        lambda x: names[np.clip(np.round(x[:, 0]), 0, 6).astype(int)], rows, names
    )
    ET.fromstring(plot.svg())
    assert plot.charts[0][1] == "7 of 7 rows right"
    assert "a&lt;b" in plot.svg()
    flat = plots.boundary(lambda x: np.zeros(len(x)), np.zeros((3, 2)), [0, 0, 1])
    assert flat.charts[0][1] == "2 of 3 rows right"


def test_what_has_no_plane_is_refused():
    with pytest.raises(ShapeError, match=r"X of \(4, 3\) and y of \(4,\)"):
        plots.boundary(lambda x: x, np.zeros((4, 3)), np.zeros(4))
    with pytest.raises(ShapeError, match=r"gave shape \(4, 2\) for 4 rows"):
        plots.boundary(lambda x: x, ROWS, np.zeros(4))
    with pytest.raises(ConfigError, match="activation 'rleu' does not exist"):
        plots.activations(["rleu"])


def test_the_style_is_that_of_the_report_for_plots_alone():
    style = plots.activations(["relu"]).svg().split("<style>")[1].split("</style>")[0]
    assert ":root" not in style
    assert ".chart .line" in style
    assert "body" not in style
