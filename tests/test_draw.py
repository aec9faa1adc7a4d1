"""Pictures of graphs: what is in them, that nothing overlaps, that drawing changes nothing."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import FrozenInstanceError, replace
from itertools import chain, combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import Spec, draw, grad, losses, nn, ops, tensor, trace
from chainrule.errors import ConfigError, GraphError
from chainrule.graph import Scope, scope
from chainrule.scan import scan
from chainrule.transforms.draw import Diagram, Drawing, Edge, Frame, Node, arrange, layout
from chainrule.transforms.draw.labels import detail_text, short
from chainrule.transforms.draw.layout import PLACES, Link, Plan, Size, crossings, layered, ranks
from chainrule.transforms.draw.nested import PAD
from chainrule.transforms.draw.ordering import ordered
from chainrule.transforms.draw.style import BOLD, RAMP, SMALL, shade, style_sheet, widest, width
from golden import golden
from pictures import loose_ends, problems
from tables import LAYER_ROWS, OP_ROWS

SVG = "{http://www.w3.org/2000/svg}"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4)).astype(np.float32)
Y = np.array([0, 1, 2, 1, 0])


def xml(drawing):
    return ET.fromstring(drawing.svg())


def kinds(drawing):
    return Counter(node.kind for node in drawing.diagram.nodes)


def labels(drawing, kind="group"):
    return [node.label for node in drawing.diagram.nodes if node.kind == kind]


def wrong(drawing):
    return problems(drawing.diagram, arrange(drawing.diagram))


def classifier():
    return nn.mlp([4, 8, 3], activation="tanh", seed=0)


def residual():
    block = nn.Sequential(nn.Linear(4, 4, seed=1), nn.LayerNorm(4), nn.Activation("relu"))
    return nn.Sequential(nn.Residual(block), nn.Linear(4, 3, seed=2))


NET, BLOCKS = classifier(), residual()


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Activation("relu"), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Activation("relu"), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 120), nn.Activation("relu"), nn.Linear(120, 10),
    )  # fmt: skip


class Tagger(nn.Module):
    def __init__(self):
        self.cells = nn.LSTM(6, 5, batch_first=True, seed=0)
        self.out = nn.Linear(5, 2, seed=1)

    def forward(self, x):
        return self.out(self.cells(x)[0])


PICTURES = {
    "mlp": lambda level: draw(classifier(), level=level),
    "residual": lambda level: draw(residual(), X, level=level),
    "lenet": lambda level: draw(lenet(), Spec(("batch", 1, 28, 28)), level=level),
    "lstm": lambda level: draw(Tagger(), Spec(("batch", 7, 6)), level=level),
    "loss": lambda level: draw(losses.cross_entropy(residual()(X), Y), level=level, values=True),
    "gradient": lambda level: draw(grad(lambda x: losses.cross_entropy(NET(x), Y)), X, level=level),
    "values": lambda level: draw(classifier(), X, level=level, values=True),
    "function": lambda level: draw(lambda x: (ops.sin(x) * x, {"sum": ops.sum(x)}), X, level=level),
}


# What a picture looks like.


@pytest.mark.parametrize("level", [0, 1, 2, None])
@pytest.mark.parametrize("name", PICTURES)
def test_boxes_are_apart_and_lines_attached(name, level):
    assert wrong(PICTURES[name](level)) == []


@pytest.mark.parametrize("name", PICTURES)
def test_svg_is_xml_and_shows_every_node_and_edge(name):
    drawing = PICTURES[name](None)
    root = xml(drawing)
    assert root.tag == SVG + "svg"
    groups = [g.get("class").split()[0] for g in root.iter(SVG + "g") if g.get("class")]
    assert groups.count("node") == len(drawing.diagram.nodes)
    assert groups.count("edge") == len(drawing.diagram.edges)
    assert groups.count("frame") == len(drawing.diagram.frames)
    assert not re.search(r"(href|src)=|url\(|<script", drawing.svg())


def test_boxes_of_the_svg_are_those_of_the_layout():
    drawing = draw(classifier(), level=2)
    layout = arrange(drawing.diagram)
    boxes = [
        r
        for r in xml(drawing).iter(SVG + "rect")
        if r.get("class") == "box" and r.get("height") != "10"
    ]
    assert len(boxes) == len(layout.nodes)
    for rect, box in zip(boxes, layout.nodes, strict=True):
        shown = [float(rect.get(key)) for key in ("x", "y", "width", "height")]
        np.testing.assert_allclose(shown, [box.x, box.y, box.width, box.height], atol=0.051)


def test_the_checker_finds_what_is_planted():
    drawing = draw(residual(), X, level=2)
    assert wrong(drawing) == []
    layout = arrange(drawing.diagram)
    layout.nodes[3].y = layout.nodes[2].y
    layout.nodes[3].x = layout.nodes[2].x + 5
    found = " ".join(problems(drawing.diagram, layout))
    assert "node 2 overlaps node 3" in found
    assert "does not start at node 3" in found
    layout = arrange(drawing.diagram)
    layout.routes[0][-1] = (0.0, 0.0)
    assert any("edge 0 does not end" in text for text in problems(drawing.diagram, layout))
    layout = arrange(drawing.diagram)
    far = len(drawing.diagram.nodes) - 1
    layout.nodes[far].width += 1000
    assert any(f"node {far} is outside" in text for text in problems(drawing.diagram, layout))
    layout = arrange(drawing.diagram)
    title = layout.frames[1]
    layout.routes[0].insert(1, (title.x + 20, title.y + 10))
    assert any("the title of frame 1" in text for text in problems(drawing.diagram, layout))
    layout = arrange(drawing.diagram)
    box = layout.nodes[4]
    layout.routes[0].insert(1, (box.x + box.width / 2, box.y + box.height / 2))
    assert any("crosses node 4" in text for text in problems(drawing.diagram, layout))


def random_graph(data, size):
    """Trace a random function, with scopes inside of scopes."""
    plan = data.draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 5)),
                              min_size=1, max_size=size))  # fmt: skip

    def f(x, y):
        values, open_ = [x, y], []
        for a, b, what in plan:
            left, right = values[-1 - a % len(values)], values[-1 - b % len(values)]
            if what == 4:
                open_.append(scope(f"part {len(open_)}"))
                open_[-1].__enter__()
            if what == 5 and open_:
                open_.pop().__exit__()
            values.append(ops.tanh(left) if what % 2 else ops.add(left, right))
        for part in reversed(open_):
            part.__exit__()
        return values[-1], values[len(values) // 2]

    return trace(f, Spec((3,)), Spec((3,)))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_random_graphs_are_drawn_without_overlap(data):
    graph = random_graph(data, 40)
    for level in (0, 1, 2, None):
        drawing = draw(graph, level=level)
        assert wrong(drawing) == []
        ET.fromstring(drawing.svg())
    assert kinds(drawing)["op"] == sum(node.op is not None for node in graph.nodes)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=150))
@settings(max_examples=60, deadline=None)
def test_many_long_lines_go_through_lanes(pairs):
    links = [Link(min(a, b), max(a, b)) for a, b in pairs if a != b]
    links += [Link(i, i + 1) for i in range(60)]
    plan = layered([Size(30, 20)] * 61, links)
    assert plan.places <= max(200, PLACES * 61)
    diagram = Diagram("links", [Node("op", "sin")] * 61, [Edge(a, b) for a, b, *_ in links])
    assert wrong(Drawing(diagram)) == []


def test_crossings_are_few_where_none_is_needed():
    grid = [[0, 1, 2], [3, 4, 5]]
    below = [[(5, 0, 1)], [(4, 0, 1)], [(3, 0, 1)], [], [], []]
    assert crossings(grid, below) == 3
    plan = layered([Size(30, 20)] * 6, [Link(0, 5), Link(1, 4), Link(2, 3)])
    starts = [route[0][0] for route in plan.routes]
    ends = [route[-1][0] for route in plan.routes]
    assert np.argsort(starts).tolist() == np.argsort(ends).tolist()


def test_fewer_sweeps_leave_a_picture_that_is_right(monkeypatch):
    graph = grad(lambda x: losses.cross_entropy(BLOCKS(x), Y))

    def crossed():
        drawing = draw(graph, X, level=None)
        assert wrong(drawing) == []
        return arrange(drawing.diagram)

    best = crossed()
    monkeypatch.setattr("chainrule.transforms.draw.layout.SWEEPS", (1, 1, 1))
    assert crossed().routes != best.routes


def test_a_chain_is_a_straight_line():
    drawing = draw(classifier())
    ends = {round(x, 6) for route in arrange(drawing.diagram).routes for x, _ in route}
    assert len(ends) == 1


def test_the_work_of_a_large_graph_is_bounded():
    net = nn.mlp([8] + [8] * 100 + [1], activation="tanh", seed=0)
    drawing = draw(grad(lambda x: ops.sum(net(x))), np.zeros((5, 8), np.float32), level=None)
    layout = arrange(drawing.diagram)
    nodes = len(drawing.diagram.nodes)
    assert nodes > 1000
    for plan in layout.plans:
        assert plan.places <= max(200, PLACES * len(plan.corners))
    assert sum(plan.lanes for plan in layout.plans) > 0
    assert len(drawing.svg()) < 1200 * nodes
    assert list(loose_ends(drawing.diagram, layout)) == []


def test_two_processes_write_the_same_bytes():
    code = (
        "import numpy as np; from chainrule import draw, nn; "
        "net = nn.mlp([4, 8, 3], seed=0); x = np.ones((5, 4), np.float32); "
        "print([draw(net, x, level=level, values=True).svg() for level in (1, 2)] "
        "+ [draw(net, kind='neurons').svg()])"
    )
    run = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True,
                       env={"PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert run[0] == run[1]
    net = classifier()
    assert draw(net, X, values=True).svg() == draw(net, X, values=True).svg()


# What is in a picture.


@pytest.mark.parametrize("row", OP_ROWS, ids=str)
def test_every_op_is_drawn(row):
    op = cr.graph.OPS[row.name]
    drawing = draw(lambda *x: op(*x, **row.attrs), *row.inputs, level=None)
    assert any(f"= {row.name}(" in node.about for node in drawing.diagram.nodes)
    assert wrong(drawing) == []
    ET.fromstring(drawing.svg())


@pytest.mark.parametrize("row", LAYER_ROWS, ids=str)
def test_every_layer_is_drawn_with_its_parameters_counted_once(row):
    layer = row.layer()
    inputs = [x.astype(np.float32) if x.dtype.kind == "f" else x for x in row.inputs]
    for level in (0, 1, None):
        drawing = draw(layer, *inputs, level=level)
        assert drawing.diagram.parameters == layer.count_parameters() == row.parameters
        assert wrong(drawing) == []


def test_shared_parameters_are_counted_once():
    first, second = nn.Linear(4, 4, seed=0), nn.Linear(4, 4, seed=1)
    second.weight = first.weight
    net = nn.Sequential(first, second, first)
    for level in (0, 1, 2, None):
        drawing = draw(net, level=level)
        assert drawing.diagram.parameters == net.count_parameters() == 24
        if drawing.diagram.frames:
            assert drawing.diagram.frames[0].parameters == 24
    assert labels(draw(net), "parameter") == ["0.weight"]
    assert "24 parameters" in draw(net).svg()
    gradient = draw(grad(lambda x: ops.sum(ops.tanh(net(x)))), X)
    assert gradient.diagram.parameters == 24


def worked():
    sigmoid = nn.Activation("sigmoid")
    net = nn.Sequential(nn.Linear(2, 2), sigmoid, nn.Linear(2, 1), sigmoid).astype(float)
    net.load_state_dict({
        "0.weight": np.array([[0.2, 0.4], [0.3, 0.7]]), "0.bias": np.array([0.1, 0.2]),
        "2.weight": np.array([[0.5, 0.6]]), "2.bias": np.array([0.3]),
    })  # fmt: skip
    return net


def test_the_worked_example_has_each_op_once():
    net, x, y = worked(), np.array([[0.5, 0.8]]), np.array([[1.0]])
    loss = losses.half_squared_error(net(x), y)
    drawing = draw(loss, level="ops", values=True)
    made = [node.about.split("=")[1].split("(")[0].strip()
            for node in drawing.diagram.nodes if node.kind == "op"]  # fmt: skip
    assert made[:6] == ["matmul", "add", "sigmoid", "matmul", "add", "sigmoid"]
    recorded = [node.op.name for node in cr.graph.ancestors([loss]) if node.op]
    assert Counter(made) == Counter(recorded)
    formulas = [node.about for node in drawing.diagram.nodes]
    assert len(set(formulas)) == len(formulas)
    assert kinds(drawing)["parameter"] == 4
    assert f"{float(loss):.4g} | 1" in drawing.svg()
    assert all(edge.source < edge.target for edge in drawing.diagram.edges)


def test_levels_unfold_scopes_one_by_one():
    net = residual()
    assert labels(draw(net, X, level=0)) == ["Sequential"]
    assert labels(draw(net, X, level=1)) == ["0: Residual", "1: Linear"]
    assert labels(draw(net, X, level=2)) == ["0.module: Sequential"]
    assert labels(draw(net, X, level=3)) == [
        "0.module.0: Linear", "0.module.1: LayerNorm", "0.module.2: Activation",
    ]  # fmt: skip
    everything = draw(net, X, level="ops")
    assert labels(everything) == []
    names = [frame.label for frame in everything.diagram.frames]
    assert names[:3] == ["Sequential", "0: Residual", "0.module: Sequential"]
    assert draw(net, X, level=9).svg() == everything.svg()


def test_a_loss_is_a_box_among_layers():
    loss = losses.mse(classifier()(X), np.ones((5, 3), np.float32))
    assert labels(draw(loss)) == ["0: Linear", "1: Activation", "2: Linear", "mse"]
    assert labels(draw(loss, level=0)) == ["Sequential", "mse"]
    assert [frame.label for frame in draw(loss, level=2).diagram.frames][-1] == "mse"
    assert kinds(draw(loss))["data"] == 2


def test_kinds_of_leaves_are_told_apart():
    norm = nn.BatchNorm1d(4)
    drawing = draw(lambda x: norm(x) * 2.0 + np.ones(4, np.float32), X, level=None)
    found = kinds(drawing)
    assert found["input"] == 1
    assert found["parameter"] == 2
    assert found["buffer"] == found["update"] == 3
    assert labels(drawing, "data") == ["data"]
    assert "2" in labels(drawing, "constant")
    assert {"new running_mean", "new running_var"} <= set(labels(drawing, "update"))
    swatches = drawing.svg().split("</desc>")[1]
    for kind in ("input", "parameter", "buffer", "constant", "data"):
        assert f">{kind}</text>" in swatches


def test_a_gradient_mirrors_the_layers():
    drawing = PICTURES["gradient"](1)
    assert labels(drawing) == [
        "0: Linear", "1: Activation", "2: Linear", "cross_entropy",
        "∂cross_entropy", "2: ∂Linear", "1: ∂Activation", "0: ∂Linear",
    ]  # fmt: skip
    shown = {(drawing.diagram.nodes[e.source].label, drawing.diagram.nodes[e.target].label): e.shape
             for e in drawing.diagram.edges}  # fmt: skip
    assert shown["0: Linear", "0: ∂Linear"] == "(8, 4)"
    assert shown["1: Activation", "1: ∂Activation"] == "(5, 8)"
    second = draw(grad(lambda x: ops.sum(grad(lambda x: ops.sum(NET(x) ** 2))(x))), X)
    assert "0: ∂∂Linear" in labels(second)
    assert wrong(second) == []


def test_the_step_of_a_recurrence_is_unfolded():
    inputs = Spec(("batch", 7, 6))
    folded, whole = draw(Tagger(), inputs, level=2), draw(Tagger(), inputs, level="ops")
    assert labels(folded) == ["scan, each step"]
    assert labels(folded, "op").count("tanh") == 0
    gates = Counter(labels(whole, "op"))
    assert (gates["sigmoid"], gates["tanh"], gates["scan"]) == (3, 2, 1)
    assert [f.label for f in whole.diagram.frames] == [
        "Tagger", "cells: LSTM", "scan, each step", "out: Linear",
    ]  # fmt: skip
    assert folded.diagram.parameters == whole.diagram.parameters == Tagger().count_parameters()
    assert draw(Tagger(), inputs).html().count("<svg") == 4
    valued = draw(Tagger(), np.ones((2, 7, 6), np.float32), level="ops", values=True)
    assert [n.numbers == () for n in valued.diagram.nodes if n.label == "sigmoid"] == [True] * 3
    assert all(n.numbers for n in valued.diagram.nodes if n.label == "scan")


def test_a_graph_without_its_function_has_inputs_all_the_same():
    drawing = draw(trace(lambda x: ops.sin(x), Spec((3,))).output)
    assert kinds(drawing) == {"input": 1, "op": 1, "output": 1}
    assert labels(drawing, "input") == ["input"]
    assert wrong(drawing) == []


def test_a_graph_of_nothing_is_a_title():
    drawing = draw(trace(lambda: {}))
    assert drawing.diagram.nodes == drawing.diagram.edges == []
    shown = [t.text for t in xml(drawing).iter(SVG + "text")]
    assert shown == ["a traced function", "no parameters"]


def test_an_op_that_takes_a_thing_twice_has_two_lines():
    a = tensor(3.0, requires_grad=True)
    drawing = draw(a * a)
    assert [(e.source, e.target) for e in drawing.diagram.edges] == [(0, 1), (0, 1), (1, 2)]
    assert drawing.text().splitlines()[2] == "1 × <- 0, 0"
    ends = [route[-1] for route in arrange(drawing.diagram).routes[:2]]
    assert ends[0] != ends[1]


def test_inputs_and_outputs_have_names():
    def f(price, amount):
        return {"total": price * amount, "both": [price, amount]}

    drawing = draw(f, np.ones(3), np.ones(3))
    assert labels(drawing, "input") == ["price", "amount"]
    assert labels(drawing, "output") == [
        "output['total']",
        "output['both'][0]",
        "output['both'][1]",
    ]
    assert drawing.diagram.title == "f"
    assert draw(f, np.ones(3), np.ones(3), title="cost").text().startswith("cost: ")
    graph = trace(f, np.ones(3), np.ones(3))
    assert labels(draw(graph), "input") == ["input 0", "input 1"]
    a = tensor(3.0, requires_grad=True)
    square = a * a
    named = draw(square + 1.0, names={"a": a, "a²": square})
    assert labels(named, "variable") == ["a"]
    assert labels(named, "op") == ["a² = ×", "+"]


# Values.


def test_values_and_gradients_are_those_of_backward():
    w = tensor(-1.5, requires_grad=True)
    b = tensor(np.array([1.0, 2.0]), requires_grad=True)
    y = ops.sum(ops.tanh(w * b))
    drawing = draw(y, values=True)
    y.backward()
    shown = {node.label: node for node in drawing.diagram.nodes if node.kind == "op"}
    assert shown["sum"].numbers == (f"{y.item():.4g} | 1".replace("-", "−"),)
    leaves = [node for node in drawing.diagram.nodes if node.kind == "variable"]
    assert leaves[0].numbers == (f"−1.5 | {w.grad.item():.4g}",)
    norm = np.linalg.norm(b.grad.numpy())
    assert leaves[1].numbers == (f"1.5 ± 0.5 | ‖{norm:.4g}‖",)
    assert leaves[1].gradient == pytest.approx(norm, rel=1e-12)


def test_traced_and_recorded_graphs_show_the_same_numbers():
    net = classifier()
    traced = draw(lambda x: losses.cross_entropy(net(x), Y), X, values=True)
    recorded = draw(losses.cross_entropy(net(X), Y), values=True)
    boxes = [[n.numbers for n in d.diagram.nodes if n.kind == "group"] for d in (traced, recorded)]
    assert boxes[0] == boxes[1]
    assert all("weights | ‖" in n.numbers[1] for n in traced.diagram.nodes if n.parameters)


def test_no_gradient_is_not_a_gradient_of_zero():
    a, b = tensor([1.0, 2.0], requires_grad=True), tensor([3.0, 4.0], requires_grad=True)
    drawing = draw(lambda a, b: ops.sum(a * 0.0 + ops.stop_gradient(b)), a, b, values=True)
    by = {node.label: node for node in drawing.diagram.nodes}
    assert by["a"].gradient == 0.0
    assert by["a"].numbers == ("1.5 ± 0.5 | ‖0‖",)
    assert by["b"].gradient is None
    assert by["b"].numbers == ("3.5 ± 0.5 | no gradient",)
    svg = drawing.svg()
    assert 'class="node input none"' in svg
    assert ">no gradient</text>" in svg


def test_before_backward_a_net_has_no_gradient_and_afterwards_it_has():
    net = classifier()
    before = draw(net, X, level=None, values=True)
    assert all(node.gradient is None for node in before.diagram.nodes)
    layers = [n for n in draw(net, X, values=True).diagram.nodes if n.parameters]
    assert layers
    assert all(n.numbers[1] == "weights | no gradient" for n in layers)
    assert "logarithmic" not in before.svg()
    losses.cross_entropy(net(X), Y).backward()
    after = draw(net, X, level=None, values=True)
    weights = [node for node in after.diagram.nodes if node.kind == "parameter"]
    for node, (_, p) in zip(sorted(weights, key=lambda n: n.label),
                            sorted(net.named_parameters()), strict=True):  # fmt: skip
        assert node.gradient == pytest.approx(np.linalg.norm(p.grad.value), rel=1e-6)
    assert "size of the gradient, logarithmic" in after.svg()


def test_dead_units_and_numbers_that_are_not_finite_have_a_red_ring():
    net = nn.Sequential(nn.Linear(4, 8, seed=0), nn.Activation("relu"), nn.Linear(8, 3, seed=0))
    with cr.no_grad():
        net[0].bias.assign(np.full(8, -100.0))
    drawing = draw(net, X, values=True)
    assert [n.label for n in drawing.diagram.nodes if n.alarm] == ["1: Activation"]
    assert drawing.svg().count('class="ring"') == 2  # the box, and the legend
    assert "! all zero" in drawing.text()
    healthy = draw(classifier(), X, values=True)
    assert 'class="ring"' not in healthy.svg()
    with np.errstate(divide="ignore"):
        broken = draw(ops.log(tensor([0.0, 1.0], requires_grad=True)), values=True)
    assert [n.alarm for n in broken.diagram.nodes if n.kind == "op"] == ["not finite"]
    with np.errstate(divide="ignore"):
        steep = draw(ops.sqrt(tensor(0.0, requires_grad=True)) * 2.0, values=True)
    fills = dict(re.findall(r'class="node (\w+) strong".*?style="fill:(#\w+)"', steep.svg(), re.S))
    assert fills["variable"] == RAMP[-1]  # a gradient of inf has the color of the largest
    zeros = draw(lambda x: ops.tanh(x), np.zeros(3), level=None, values=True)
    assert {n.alarm for n in zeros.diagram.nodes} == {""}


def test_color_tells_the_size_of_the_gradient_to_every_eye():
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in map(linear, RAMP)]
    assert light == sorted(light, reverse=True)
    for part in np.linspace(0, 1, 101):
        color, white = shade(float(part))
        assert contrast("#ffffff" if white else "#000000", color) >= 4.5
    a = tensor(1.0, requires_grad=True)
    drawing = draw(((a * 1e-3) * 1e-3) * 1e-3, values=True)
    shades = re.findall(r'class="box"[^>]*style="fill:(#\w+)"', drawing.svg())
    assert shades[0] == RAMP[0]
    assert shades[-1] == RAMP[-1]
    assert len(set(shades)) == 4


def linear(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def contrast(a, b):
    weights = (0.2126, 0.7152, 0.0722)
    lights = sorted(sum(w * c for w, c in zip(weights, linear(x), strict=True)) for x in (a, b))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_text_is_legible_in_light_and_in_dark():
    rules = style_sheet("g")
    light, dark = rules.split("@media (prefers-color-scheme: dark)")
    for half in (light, dark):
        colors = {
            (where, what): color
            for where, what, color in re.findall(r"\.g ([^{]+?) \{ (\w+): (#\w+); \}", half)
        }
        ink, muted, paper = (colors[k, "fill"] for k in ("text", ".muted", ".paper"))
        fills = [
            color
            for (where, what), color in colors.items()
            if what == "fill" and where.endswith(" .box") and where != ".output .box"
        ]
        for fill in [*fills, paper, colors[".box", "fill"], colors[".frame rect", "fill"]]:
            assert contrast(ink, fill) >= 7
            assert contrast(muted, fill) >= 4.5
        assert contrast(colors[".output text", "fill"], colors[".output .box", "fill"]) >= 7


# Drawing changes nothing.


def test_drawing_changes_nothing():
    net = nn.mlp([4, 8, 3], "relu", batch_norm=True, dropout=0.3, seed=0)
    twin = nn.mlp([4, 8, 3], "relu", batch_norm=True, dropout=0.3, seed=0)
    net.parameters()[0].grad = tensor(np.ones((8, 4), np.float32))
    grads = [p.grad for p in net.parameters()]
    state = np.random.get_state()[1].tolist()
    for level in (0, 1, None):
        draw(net, X, level=level, values=True).html()
        draw(lambda x: losses.cross_entropy(net(x), Y), X, level=level, values=True).svg()
        draw(grad(lambda x: ops.sum(net(x))), X, level=level, values=True).dot()
    for name, array in net.arrays().items():
        assert array.tobytes() == twin.arrays()[name].tobytes(), name
    assert [p.grad for p in net.parameters()] == grads
    assert net.training
    assert np.random.get_state()[1].tolist() == state
    np.testing.assert_array_equal(net(X).value, twin(X).value)
    y = losses.cross_entropy(twin(X), Y)
    draw(y, values=True)
    y.backward()


def test_other_graphs_are_not_held():
    assert cr.graph.state.scope is None
    draw(classifier(), X, values=True)
    assert cr.graph.state.tracing is None
    assert cr.graph.state.scope is None


# Files, notebooks, other languages.


def test_save_writes_what_the_suffix_says(tmp_path):
    drawing = draw(classifier())
    wanted = {
        "svg": drawing.svg(), "html": drawing.html(), "dot": drawing.dot(),
        "mmd": drawing.mermaid(), "txt": str(drawing),
    }  # fmt: skip
    for suffix, text in wanted.items():
        drawing.save(tmp_path / f"net.{suffix}")
        assert (tmp_path / f"net.{suffix}").read_text() == text.rstrip("\n") + "\n"
    assert len(list(tmp_path.iterdir())) == 5
    with pytest.raises(ConfigError, match=r"expected a name that ends in \.svg, \.html"):
        drawing.save(tmp_path / "net.png")
    with pytest.raises(FileNotFoundError):
        drawing.save(tmp_path / "none" / "net.svg")
    assert drawing._repr_svg_() == drawing._repr_html_() == drawing.svg()
    assert repr(drawing) == "<drawing of Sequential: 5 nodes, 4 edges>"


def test_a_page_has_every_level_that_differs():
    page = draw(residual(), X, level=2).html()
    assert re.findall(r'id="l(\w+)"', page) == ["0", "1", "2", "3", "ops"]
    assert re.findall(r'id="l(\w+)" checked', page) == ["2"]
    assert page.count("<svg") == 5
    assert "<script" not in page
    chosen = draw(residual(), X, level=2).svg()
    assert chosen in page
    flat = draw(lambda x: ops.sin(x), X)
    for drawing in (flat, Drawing(flat.diagram)):  # of one level, or of none but this
        assert drawing.html().count("<svg") == 1
        assert 'type="radio"' not in drawing.html()


def test_a_screen_reader_and_a_keyboard_get_the_order_of_the_graph():
    drawing = draw(classifier())
    root = xml(drawing)
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Graph of Sequential. 67 parameters · 3 boxes"
    assert root.find(SVG + "title").text == "Graph of Sequential"
    assert root.find(SVG + "desc").text == drawing.text()
    stops = [g for g in root.iter(SVG + "g") if g.get("tabindex") == "0"]
    shown = [g.find(SVG + "text").text for g in stops]
    assert shown == ["x (batch, 4)", "0: Linear", "1: Activation", "2: Linear", "output (batch, 3)"]


def test_dot_and_mermaid_have_all_nodes_edges_and_frames():
    drawing = draw(residual(), X, level=2)
    d = drawing.diagram
    dot, mermaid = drawing.dot(), drawing.mermaid()
    assert dot.count(" -> ") == mermaid.count("-->") == len(d.edges)
    assert len(re.findall(r"^ *n\d+ \[label=", dot, re.M)) == len(d.nodes)
    assert len(re.findall(r'^ *n\d+\(?\["', mermaid, re.M)) == len(d.nodes)
    assert dot.count("subgraph cluster_") == mermaid.count("subgraph f") == len(d.frames)
    assert dot.count("{") == dot.count("}")
    assert mermaid.count("end\n") == len(d.frames)
    lines = drawing.text().splitlines()
    assert len(lines) == 1 + len(d.nodes) + len(d.frames)


def test_names_are_escaped_everywhere():
    name = '<b>&"quoted"\\ \n\x00]end'

    def f(x):
        with scope(name):
            return ops.sin(x)

    for level in (1, None):
        drawing = draw(f, X, level=level, title=name)
        root = xml(drawing)
        assert "<b>" not in drawing.svg()
        assert any("quoted" in (t.text or "") for t in root.iter(SVG + "text"))
        assert "<b>" not in drawing.html()
        assert "<b>" not in drawing.mermaid().replace("<br>", "")
        assert '\\"quoted\\"\\\\' in drawing.dot()


# Bad input.


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ConfigError, match="draw\\(\\) got a str; expected a tensor, a function"):
        draw("net")
    with pytest.raises(ConfigError, match=r"draw\(Sequential\) needs inputs to trace it"):
        draw(lenet())
    with pytest.raises(ConfigError, match=r"names=\{'a': ...\} names a float; expected a tensor"):
        draw(tensor(1.0), names={"a": 1.0})
    with pytest.raises(ConfigError, match="takes no inputs"):
        draw(tensor(1.0), X)
    for level in (-1, 1.5, True, "all"):
        with pytest.raises(ConfigError, match="level="):
            draw(classifier(), level=level)
    with pytest.raises(ConfigError, match="kind='tree': expected one of graph, neurons"):
        draw(classifier(), kind="tree")
    with pytest.raises(ConfigError, match="values=True needs numbers"):
        draw(classifier(), values=True)
    with pytest.raises(ConfigError, match="a traced tensor has no values"):
        draw(trace(ops.sin, X).output, values=True)
    y = losses.cross_entropy(classifier()(X), Y)
    y.backward()
    with pytest.raises(GraphError, match="used up by backward"):
        draw(y)


def test_small_and_odd_graphs():
    assert kinds(draw(tensor([1.0, 2.0]))) == {"data": 1, "output": 1}
    assert kinds(draw(lambda x: x, X)) == {"input": 1, "output": 1}
    assert kinds(draw(lambda x, y: y * 2, X, X))["input"] == 2
    assert kinds(draw([tensor(1.0), tensor([2.0])])) == {"constant": 1, "data": 1, "output": 2}
    for drawing in (draw(tensor(1.0)), draw(lambda x: x, X, values=True)):
        assert wrong(drawing) == []
        ET.fromstring(drawing.svg())


def test_scopes_that_are_entered_again_are_drawn():
    outer = Scope("outer", None)

    def f(x):
        y = ops.sin(x)
        z = ops.cos(y)
        return ops.tan(z) if hasattr(ops, "tan") else ops.tanh(z)

    graph = trace(f, X)
    first, between, last = [node for node in graph.nodes if node.op]
    first.scope = last.scope = outer
    for level in (0, None):
        drawing = draw(graph, level=level)
        ET.fromstring(drawing.svg())
    assert [n.label for n in draw(graph, level=0).diagram.nodes] == [
        "input",
        "outer",
        "cos",
        "output",
    ]
    assert between.scope is None


def test_edges_name_shapes_that_boxes_do_not():
    split = draw(Tagger(), Spec(("batch", 7, 6)), level=None)
    assert any(
        edge.shape == "(7, batch, 6)" or "batch" in edge.shape for edge in split.diagram.edges
    )
    diagram = Diagram("two", [Node("group", "halves"), Node("op", "sin"), Node("op", "cos")],
                      [Edge(0, 1, "(2,)"), Edge(0, 2, "(3,)")])  # fmt: skip
    svg = Drawing(diagram).svg()
    assert 'class="small muted halo"' in svg
    assert ">(2,)</text>" in svg
    told = replace(diagram, nodes=[Node("op", "x", shape="(2,)"), *diagram.nodes[1:]])
    assert ">(2,)</text>" in Drawing(told).svg()


# Whole pictures.


def all_kinds():
    """Boxes of every kind, gradients from none to endless, frames in frames, lines of all sorts."""
    nodes = [
        Node("input", "x", shape="(5, 4)"),
        Node("data", "rows", shape="(5,)", numbers=("2 ± 1",)),
        Node("constant", "2"),
        Node("parameter", "weight", shape="(4, 4)", frame=1, parameters=16, gradient=1e-3,
             numbers=("0 ± 0.5 | ‖0.001‖",)),
        Node("buffer", "mean", shape="(4,)", frame=1),
        Node("op", "matmul", "axes=(1,0)", "(5, 4)", 1, numbers=("1 ± 2 | ‖0.1‖",), gradient=0.1,
             about="%5 = matmul(%0, %3)"),
        Node("op", "log", shape="(5, 4)", frame=1, numbers=("inf ± nan | ‖inf‖",),
             gradient=float("inf"), alarm="not finite"),
        Node("group", "1: Linear", "4, 4", "(5, 4)", 0, 20, ("0.5 ± 0.1 | ‖10‖", "weights | ‖4‖"),
             gradient=10.0, about="a layer"),
        Node("variable", "a", numbers=("3 | 0",), gradient=0.0),
        Node("group", "split", frame=0, alarm="all zero: relu, not finite: log"),
        Node("op", "×", shape="(5, 4)", numbers=("0 ± 0 | no gradient",)),
        Node("op", "add", about="%11 = add(%10, %2)"),
        Node("output", "loss"),
        Node("update", "new mean", shape="(4,)"),
    ]  # fmt: skip
    edges = [
        Edge(0, 5, "(5, 4)"), Edge(3, 5, "(4, 4)"), Edge(5, 6, "(5, 4)"), Edge(6, 7, "(5, 4)"),
        Edge(4, 6, "(4,)"), Edge(7, 9, "(5, 4)"), Edge(9, 10, "(2, 4)"), Edge(9, 10, "(2, 4)"),
        Edge(8, 10), Edge(10, 11, "(5, 4)"), Edge(2, 11), Edge(0, 11, "(5, 4)"), Edge(11, 12),
        Edge(6, 13, "(4,)"),
    ]  # fmt: skip
    frames = [Frame("Net", parameters=36), Frame("0: Block", "width=4", 0, 16)]
    return Drawing(Diagram("All kinds", nodes, edges, frames, valued=True))


class Skips(nn.Module):
    """Each layer takes what all before it gave."""

    def __init__(self):
        self.layers = [nn.Linear(4 * n, 4, seed=n) for n in (1, 2, 3)]

    def forward(self, x):
        known = [x]
        for layer in self.layers:
            known.append(layer(ops.concat(known, axis=1)))
        return known[-1]


def worked_loss():
    return losses.half_squared_error(worked()(np.array([[0.5, 0.8]])), np.array([[1.0]]))


def both_ways():
    return nn.LSTM(3, 2, bidirectional=True, batch_first=True, seed=0)


def normed(x):
    return nn.BatchNorm1d(4)(x) * 2.0 + np.ones(4, np.float32)


ROWS = Spec(("batch", 7, 6))
WHOLE = {
    "kinds": all_kinds,
    "step": lambda: draw(worked_loss(), level="ops", values=True),
    "gradient": lambda: PICTURES["gradient"](1),
    "residual": lambda: draw(residual(), X, level=2),
    "skips": lambda: draw(Skips(), Spec(("batch", 4))),
    "recurrence": lambda: draw(Tagger(), ROWS, level=2),
    "neurons": lambda: draw(worked(), kind="neurons"),
    "one": lambda: draw(lambda x: x, X),
    "none": lambda: draw(trace(lambda: {})),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_picture(name):
    svg = WHOLE[name]().svg().replace(style_sheet("chainrule-graph"), "")
    golden(f"draw_{name}.svg", svg + "\n")


def test_the_whole_style():
    golden("draw_style.css", style_sheet("graph") + "\n")
    letters = "ijl|'.,:;! frt()[]{}/- _ ABCQ mwMW@%×÷−=<>±≤≥≠+ abc 123 \u2e7f\u2e80"
    assert [round(width(letter, 100)) for letter in letters] == [
        *[33] * 10, 41, *[41] * 11, 41, 50, 41, *[73] * 4, 41, *[87] * 17, 41, *[63] * 3, 41,
        *[63] * 3, 41, 63, 105,
    ]  # fmt: skip
    assert [shade(part) for part in (-1, 0.1, 0.25, 0.5, 0.75, 0.9, 2)] == [
        ("#f6f3d0", False), ("#dfeac0", False), ("#b0d8b6", False), ("#4eabb9", False),
        ("#296aa4", True), ("#224589", True), ("#1d2f6f", True),
    ]  # fmt: skip


def test_every_level_in_words():
    drawn = {
        "residual": lambda level: draw(residual(), X, level=level),
        "loss": lambda level: draw(worked_loss(), level=level, values=True),
        "gradient": PICTURES["gradient"],
        "normed": lambda level: draw(normed, X, level=level),
        "recurrence": lambda level: draw(Tagger(), ROWS, level=level),
        "both ways": lambda level: draw(both_ways(), Spec(("batch", 7, 3)), level=level),
    }
    parts = []
    for name, drawing in drawn.items():
        for level in (0, 1, 2, None):
            text = drawing(level).text()
            if not parts or text not in parts[-1]:
                parts.append(f"{name}, level {level}\n\n{text}\n")
    golden("draw_levels.txt", "\n".join(parts))


def test_a_whole_page_and_other_languages():
    net = nn.Sequential(nn.Linear(2, 1))
    page = draw(net, level=0).html()
    for number, svg in enumerate(re.findall("<svg.*?</svg>", page, re.S)):
        page = page.replace(svg, f"picture {number}")
    golden("draw_page.html", page)
    for drawing, name in ((draw(residual(), X, level=2), "residual"), (all_kinds(), "kinds")):
        golden(f"draw_{name}.dot", drawing.dot() + "\n")
        golden(f"draw_{name}.mmd", drawing.mermaid() + "\n")


# Layouts.


def boxes(count):
    return [Size(20 + 5 * (7 * i % 11), 20 + 4 * (3 * i % 5)) for i in range(count)]


def mixed(count, number, seed):
    """Links at random, some of them upwards, light, or with places where they leave or enter."""
    rng = np.random.default_rng(seed)
    ends = [sorted(rng.integers(0, count, 2).tolist()) for _ in range(number)]
    return boxes(count), [
        Link(*(pair[::-1] if k % 11 == 0 else pair), -6.0 if k % 5 == 0 else None,
             7.0 if k % 7 == 0 else None, k % 3 == 0)
        for k, pair in enumerate(ends)
        if pair[0] != pair[1]
    ]  # fmt: skip


def rows_of(count, across):
    """Rows of boxes; each box but those of the first row takes from two of the row above."""
    rng = np.random.default_rng(across)
    links = []
    for i in range(across, count):
        above = i // across * across - across
        links += [Link(above + int(k), i) for k in rng.integers(0, across, 2)]
    return boxes(count), links


def every_pair(count):
    return boxes(count), [Link(i, k) for i in range(count) for k in range(i + 1, count)]


def tree(count, turned=False):
    pairs = [((i - 1) // 2, i) for i in range(1, count)]
    turn = [(count - 1 - b, count - 1 - a) for a, b in pairs]
    return boxes(count), [Link(*pair) for pair in (turn if turned else pairs)]


def lattice(side):
    across = [(i, i + 1) for i in range(side * side) if (i + 1) % side]
    down = [(i, i + side) for i in range(side * side - side)]
    return boxes(side * side), [Link(*pair) for pair in across + down]


def two_rows(side):
    return boxes(2 * side), [Link(i, side + k) for i in range(side) for k in range(side)]


def crossed(plan):
    """Count the pairs of lines that change sides between two heights."""
    legs = {}
    for route in plan.routes:
        for a, b in pairwise(route):
            (x0, y0), (x1, y1) = sorted((a, b), key=lambda point: point[1])
            legs.setdefault((y0, y1), []).append((x0, x1))
    return sum(
        (a - c) * (b - d) < 0 for leg in legs.values() for (a, b), (c, d) in combinations(leg, 2)
    )


LAYOUTS = {
    "tree": tree(31), "tree turned": tree(31, True), "lattice": lattice(5), "two rows": two_rows(4),
    "every pair": every_pair(7), "lanes": every_pair(22), "mixed": mixed(24, 32, 0),
    "more": mixed(60, 90, 1), "399": rows_of(399, 40), "400": rows_of(400, 40),
    "1499": rows_of(1499, 300), "1500": rows_of(1500, 300),
}  # fmt: skip


def test_layouts_in_numbers():
    lines = []
    for name, (sizes, links) in LAYOUTS.items():
        plan = layered(sizes, links)
        length = sum(abs(a[0] - b[0]) for route in plan.routes for a, b in pairwise(route))
        crosses = f"{crossed(plan)} crossings, " if len(sizes) < 400 else ""
        lines.append(
            f"{name}: {plan.ranks} ranks, {plan.places} places, {plan.lanes} lanes, {crosses}"
            f"{plan.width:.1f} x {plan.height:.1f}, lines run {length:.1f} to the side"
        )
    golden("layouts.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize(("name", "fewest"), [
    ("tree", 0), ("tree turned", 0), ("lattice", 0), ("two rows", 36),
])  # fmt: skip
def test_no_more_lines_cross_than_have_to(name, fewest):
    assert crossed(layered(*LAYOUTS[name])) == fewest


@given(st.integers(2, 30), st.integers(1, 50), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_lines_fall_from_rank_to_rank(count, number, seed):
    sizes, links = mixed(count, number, seed)
    rank = ranks(sizes, links)
    assert set(rank) == set(range(max(rank) + 1))
    plan = layered(sizes, links)
    points = [*plan.corners, *chain(*plan.routes)]
    assert min(x for x, _ in points) == pytest.approx(0, abs=1e-9)
    for link, route in zip(links, plan.routes, strict=True):
        upper, lower = sorted((link.source, link.target))
        assert rank[upper] < rank[lower]
        falling = [y for _, y in (route if link.source == upper else route[::-1])]
        assert falling == sorted(falling)
        for (x, y), box, wanted in (
            (route[0], link.source, link.leaves or 0.0),
            (route[-1], link.target, link.enters),
        ):
            left, top = plan.corners[box]
            aside = x - left - sizes[box].width / 2
            if wanted is None:
                assert abs(aside) <= sizes[box].width / 2
            else:
                assert aside == pytest.approx(wanted, abs=1e-9)
            assert y == pytest.approx(top + sizes[box].height * (box == upper))


def test_words_are_cut_where_they_are_too_long():
    for text, cut in (("x" * 34, "x" * 34), ("x" * 35, "x" * 33 + "…"), ("x, " * 12, None)):
        assert short(text) == (cut or "x, " * 10 + "x…")
    graph = trace(lambda x: ops.sum(x, axis=(0, 1), keepdims=True), Spec((2, 3), float))
    assert detail_text(graph.nodes[-1]) == "axis=(0,1) keepdims=True"


def test_parts_of_a_diagram_do_not_change():
    diagram = all_kinds().diagram
    for part in (diagram, diagram.nodes[0], diagram.edges[0], diagram.frames[0]):
        with pytest.raises(FrozenInstanceError):
            part.label = "other"


@pytest.mark.parametrize(("count", "more"), [(59, []), (60, ["… 1 more lines"])])
def test_the_description_has_the_first_lines(count, more):
    drawing = Drawing(Diagram("ops", [Node("op", "sin")] * count, []))
    said = xml(drawing).find(SVG + "desc").text.splitlines()
    assert said == drawing.text().splitlines()[:60] + more


@pytest.mark.parametrize(("most", "levels"), [
    (29, ["0", "1", "2", "3", "ops"]), (28, ["0", "1", "2", "3"]), (9, ["0", "1", "2"]), (2, []),
])  # fmt: skip
def test_a_page_leaves_out_levels_that_are_too_large(monkeypatch, most, levels):
    drawing = draw(residual(), X, level=1)
    monkeypatch.setattr("chainrule.transforms.draw.drawing.MOST_BOXES", most)
    assert re.findall(r'id="l(\w+)"', drawing.html()) == levels


@pytest.mark.parametrize("edges", [[], [Edge(0, 1)]])
def test_a_frame_is_as_wide_as_its_title(edges):
    frame = Frame("a title that is wider than what it is above")
    diagram = Diagram("t", [Node("op", name, frame=0) for name in ("sin", "cos")], edges, [frame])
    layout = arrange(diagram)
    assert problems(diagram, layout) == []
    assert layout.frames[0].width == widest([(frame.label, SMALL * BOLD)]) + 2 * PAD


@given(st.permutations(range(7)), st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))))
@settings(max_examples=50, deadline=None)
def test_boxes_come_after_what_they_take(rank, links):
    left, expected = set(range(7)), []
    while left:
        free = {b for b in left if not any(a in left for a, c in links if c == b != a)}
        expected.append(min(free or left, key=rank.__getitem__))
        left.remove(expected[-1])
    flat = {key: (key,) for key in range(7)}
    assert ordered(flat, links, dict(enumerate(rank))) == expected


def test_the_search_for_an_order_ends_soon(monkeypatch):
    swept = []
    monkeypatch.setattr(layout, "_sweep", lambda *given: swept.append(given))
    for name, sweeps in (("tree", 0), ("mixed", 3), ("two rows", 3)):
        swept.clear()
        layered(*LAYOUTS[name])
        assert len(swept) == sweeps, name
    assert layered([], []) == Plan([], [], 0.0, 0.0, 0, 0, 0)


@pytest.mark.parametrize("heavy", range(5))
@pytest.mark.parametrize(
    ("across", "step", "low", "high"), [(200, 16, -30, 94), (40, 5.6, 8.4, 14)]
)
def test_lines_enter_a_box_side_by_side_the_heavy_one_in_the_middle(heavy, across, step, low, high):
    sizes = [Size(30, 20)] * 5 + [Size(across, 20)]
    plan = layered(sizes, [Link(i, 5, light=i != heavy) for i in range(5)])
    found = sorted((route[0][0], route[-1][0], k) for k, route in enumerate(plan.routes))
    middle = plan.corners[5][0] + across / 2
    place = [k for _, _, k in found].index(heavy)
    first = min(max(place * step, low), high)
    assert [x - middle for _, x, _ in found] == pytest.approx([n * step - first for n in range(5)])


def test_the_alarm_of_a_recurrence_that_is_folded():
    def grown(x):
        return scan(lambda s, x: s * x, np.full((2, 1), 1e300), [x])

    with np.errstate(all="ignore"):
        drawing = draw(grown, np.full((3, 2, 1), 1e300), values=True)
    boxes = [node for node in drawing.diagram.nodes if node.kind == "group"]
    assert [(node.label, node.alarm) for node in boxes] == [("scan, each step", "not finite: scan")]


def test_a_page_shows_a_gradient_that_is_no_number():
    net = nn.mlp([2, 3, 1], "tanh", seed=0)
    with np.errstate(all="ignore"):
        drawing = draw(lambda x: ops.sum(net(x)), np.array([[np.nan, 2.0]]), values=True)
    assert drawing.html().count("checked=") == 1
