"""Pictures of neurons: units, bias nodes, weights, and what is left out."""

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from chainrule import draw, nn
from chainrule.errors import ConfigError, NotFittedError, ShapeError

SVG = "{http://www.w3.org/2000/svg}"


def parts(drawing, name):
    return [
        g
        for g in ET.fromstring(drawing.svg()).iter(SVG + "g")
        if name in (g.get("class") or "").split()
    ]


def titles(drawing, name):
    return [g.find(SVG + "title").text for g in parts(drawing, name)]


def net():
    model = nn.Sequential(
        nn.Linear(2, 2), nn.Activation("sigmoid"), nn.Linear(2, 1), nn.Activation("sigmoid")
    ).astype(float)
    return model.load_state_dict({
        "0.weight": np.array([[0.2, 0.4], [-0.3, 0.7]]), "0.bias": np.array([0.1, 0.25]),
        "2.weight": np.array([[0.5, -0.6]]), "2.bias": np.array([0.35]),
    })  # fmt: skip


def test_a_net_of_two_inputs_two_hidden_units_and_an_output():
    drawing = draw(net(), kind="neurons")
    assert len(parts(drawing, "unit")) == 5
    assert len(parts(drawing, "bias")) == 2
    assert titles(drawing, "weight") == [
        "x₁ to h₁: 0.2", "x₂ to h₁: 0.4", "x₁ to h₂: −0.3", "x₂ to h₂: 0.7",
        "h₁ to y: 0.5", "h₂ to y: −0.6",
    ]  # fmt: skip
    assert titles(drawing, "bias-weight") == ["1 to h₁: 0.1", "1 to h₂: 0.25", "1 to y: 0.35"]
    written = [t.text for t in ET.fromstring(drawing.svg()).iter(SVG + "text")]
    for weight in ("0.2", "0.4", "−0.3", "0.7", "0.5", "−0.6", "0.1", "0.25", "0.35"):
        assert weight in written
    signs = [g.find(SVG + "path").get("class") for g in parts(drawing, "weight")]
    assert [s.split()[1] for s in signs] == [
        "positive", "positive", "negative", "positive", "positive", "negative",
    ]  # fmt: skip
    assert drawing.text().splitlines()[-1] == "  6 unit y sigmoid <- 3: 0.5, 4: −0.6, 5: 0.35"
    assert "9 weights, those of bias nodes included" in drawing.svg()


@pytest.mark.parametrize("sizes", [[2, 2, 1], [5, 7, 3], [3, 1], [40, 30, 20, 2]])
def test_lines_end_at_circles_and_circles_are_apart(sizes):
    drawing = draw(nn.mlp(sizes, seed=0), kind="neurons")
    root = ET.fromstring(drawing.svg())
    circles = [tuple(float(c.get(k)) for k in ("cx", "cy", "r")) for c in root.iter(SVG + "circle")]
    for i, (x, y, r) in enumerate(circles):
        for a, b, s in circles[:i]:
            assert math.hypot(x - a, y - b) > r + s
    for name in ("weight", "bias-weight"):
        for g in parts(drawing, name):
            start, end = g.find(SVG + "path").get("d")[1:].split("L")
            for point in (start, end):
                px, py = map(float, point.split())
                distances = [abs(math.hypot(px - x, py - y) - r) for x, y, r in circles]
                assert min(distances) < 0.2


def test_weights_are_not_written_on_one_another():
    root = ET.fromstring(draw(nn.mlp([3, 3, 2], seed=0), kind="neurons").svg())
    boxes = [
        tuple(float(r.get(k)) for k in ("x", "y", "width", "height"))
        for r in root.iter(SVG + "rect")
        if r.get("height") == "14"
    ]
    assert len(boxes) == 12 + 8
    for i, (x, y, w, h) in enumerate(boxes):
        for a, b, v, _ in boxes[:i]:
            assert x + w <= a + 0.11 or a + v <= x + 0.11 or abs(y - b) >= h - 0.11


def test_units_beyond_the_limit_are_counted():
    drawing = draw(nn.mlp([50, 64, 3], "relu", seed=0), kind="neurons", limit=6)
    more = [node.label for node in drawing.diagram.nodes if node.kind == "more"]
    assert more == ["… 44 more", "… 58 more"]
    assert len(parts(drawing, "unit")) == 6 + 6 + 3
    labels = [node.label for node in drawing.diagram.nodes if node.kind == "unit"]
    assert labels[:6] == ["x₁", "x₂", "x₃", "x₄", "x₅", "x₅₀"]
    total = 50 * 64 + 64 + 64 * 3 + 3
    assert f"{total:,} weights, those of bias nodes included, 63 drawn" in drawing.svg()
    assert [frame.detail for frame in drawing.diagram.frames] == [
        "50 units", "64 units, relu", "3 units",
    ]  # fmt: skip


def test_units_show_what_they_give():
    model, x = net(), np.array([[0.5, 0.8]])
    drawing = draw(model, x, kind="neurons", values=True)
    shown = [node.numbers[0] for node in drawing.diagram.nodes if node.kind == "unit"]
    hidden = nn.Sequential(*list(model)[:2]).predict(x).ravel()
    expected = [0.5, 0.8, *hidden, model.predict(x).item()]
    assert shown == [f"{value:.3g}" for value in expected]
    assert draw(model, x[0], kind="neurons", values=True).svg() == drawing.svg()
    for wrong in ((), (np.zeros(3),), (x, x)):
        with pytest.raises(ShapeError, match="needs one row of 2 inputs"):
            draw(model, *wrong, kind="neurons", values=True)


def test_a_perceptron_has_the_bias_node_that_it_learned_with():
    perceptron = nn.Perceptron(init_std=0.0).fit(*nn.truth_table("and"))
    drawing = draw(perceptron)
    assert titles(drawing, "weight") == ["x₁ to y: 0.5", "x₂ to y: 0.25"]
    assert titles(drawing, "bias-weight") == ["−1 to y: 0.5"]
    fired = draw(perceptron, np.array([1, 1]), values=True)
    assert fired.diagram.nodes[-1].numbers == ("1",)
    two = nn.Perceptron(seed=0, max_epochs=1).fit(np.eye(3), np.eye(3))
    assert len(parts(draw(two), "weight")) == 9
    with pytest.raises(NotFittedError, match="has not learned yet"):
        draw(nn.Perceptron())


def test_a_threshold_neuron_tells_threshold_and_inhibition():
    neuron = nn.McCullochPitts([1, 1, 1], 0.5, inhibitory=[False, False, True])
    drawing = draw(neuron)
    assert titles(drawing, "weight") == ["x₁ to y: 1", "x₂ to y: 1", "x₃ to y: inhibits"]
    assert titles(drawing, "unit")[-1] == "y fires above 0.5"
    assert parts(drawing, "bias") == []
    assert draw(neuron, [1, 0, 1], values=True).diagram.nodes[-1].numbers == ("0",)
    smooth = nn.McCullochPitts([0.2, 0.4], -0.1, activation="sigmoid")
    assert titles(draw(smooth), "unit")[-1] == "y sigmoid, threshold −0.1"


def test_other_nets_of_dense_layers():
    two = nn.TwoLayer(2, 3, 1, seed=0)
    drawing = draw(two)
    assert titles(drawing, "weight")[0] == f"x₁ to h₁: {two.v[0, 0]:.4g}".replace("-", "−")
    assert len(parts(drawing, "bias")) == 2
    neuron = draw(nn.Linear(3, 1, bias=False, seed=0), kind="neurons")
    assert len(parts(neuron, "unit")) == 4
    assert parts(neuron, "bias") == []
    dropped = nn.mlp([3, 4, 2], "tanh", dropout=0.5, seed=0)
    assert len(parts(draw(dropped, kind="neurons"), "unit")) == 9
    assert draw(dropped, np.ones(3), kind="neurons", values=True).diagram.valued


def test_what_has_no_units_is_refused():
    with pytest.raises(ConfigError, match="Conv2d is none of them"):
        draw(nn.Sequential(nn.Conv2d(1, 2, 3)), kind="neurons")
    with pytest.raises(ConfigError, match="no Linear layer"):
        draw(nn.Sequential(), kind="neurons")
    with pytest.raises(ConfigError, match="limit=1"):
        draw(net(), kind="neurons", limit=1)


def test_units_are_escaped_and_said():
    drawing = draw(net(), kind="neurons", title="<a & b>")
    root = ET.fromstring(drawing.svg())
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Neurons of <a & b>"
    assert root.find(SVG + "desc").text.splitlines()[0] == "<a & b>: 9 parameters"
    assert drawing.dot().count(" -> ") == 9
    assert '|"0.2"|' in drawing.mermaid()
