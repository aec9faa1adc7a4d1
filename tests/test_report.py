"""The HTML report: well-formed, safe, small, readable, and honest about what is missing."""

import functools
import html.parser
import math
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ShapeError
from chainrule.report import ClassRow, Report, ScoreRow, render, write_report
from chainrule.report.charts import (
    Series,
    bar_chart,
    calibration_chart,
    line_chart,
    residual_chart,
    scatter_chart,
)
from chainrule.report.scale import labels, log_ticks, number, percent, score, ticks
from chainrule.report.words import calibration_words, confusion_words, residual_words

NASTY = "<script>&\"'\u202e\x00\ud800😀" * 30
VOID = {"meta", "br", "rect", "line", "circle", "path", "wbr"}


def test_the_norm_of_the_gradients_has_a_curve():
    rows = [{"loss": 1.0 / n, "gradient_norm": 0.5**n} for n in range(1, 20)]
    page = render(report(history=rows))
    assert "<h3>Gradient norm, logarithmic</h3>" in page
    assert ">norm</text>" in page
    assert "Gradient norm" not in render(report(history=[{"loss": row["loss"]} for row in rows]))


def test_a_drawing_of_the_net_is_shown_beside_its_weights():
    page = render(report(drawing="<svg><title>net</title></svg>", summary="weights"))
    assert "<h3>The net</h3><svg><title>net</title></svg>" in page
    assert "<h3>Weights</h3>" in page
    assert "The net" not in render(report(summary="weights"))


def report(**changes):
    parts = {
        "title": "Penguins",
        "task": "classification",
        "target": "species",
        "score_name": "accuracy",
        "scores": [ScoreRow("network", test=0.985)],
    }
    return Report(**(parts | changes))


def full(names="class", classes=3, rows=500, epochs=30):
    random = np.random.default_rng(0)
    return report(
        title=names,
        target=names,
        scores=[
            ScoreRow(names, 0.99, 0.98, 0.97, names),
            ScoreRow(names, 0.9, 0.9, 0.9, names, "linear"),
            ScoreRow(names, 0.4, math.nan, None, names, "baseline"),
            *[ScoreRow(names, 0.1, role="other")] * 90,
        ],
        data=[(names, names)] * 90,
        history=[
            {
                "epoch": epoch,
                "loss": random.lognormal(),
                "validation_loss": random.lognormal(),
                "train_score": random.random(),
                "validation_score": random.random(),
                "learning_rate": random.random(),
            }
            for epoch in range(1, epochs + 1)
        ],
        best_epoch=7,
        choices=[(names, names, names)] * 90,
        columns=[{"name": names, "kind": names, "encoding": names, "missing": 0.1}] * 900,
        summary="\n".join([names] * 900),
        importance=[(names, random.normal(), random.random()) for _ in range(900)],
        classes=[f"{names} {index}" for index in range(classes)],
        confusion=random.integers(0, 10**6, (classes, classes)),
        per_class=[ClassRow(names, *random.random(3), 1234)] * classes,
        actual=random.normal(size=rows),
        predicted=random.normal(size=rows),
        calibration=[(index / 100, random.random(), index) for index in range(100)],
        notes=[names] * 90,
        versions={f"{names} {index}": names for index in range(90)},
        command=names,
        snippet="\n".join([names] * 900),
    )


def as_regression(given):
    parts = {name: getattr(given, name) for name in given.__dataclass_fields__}
    return Report(**(parts | {"task": "regression", "score_name": "R²"}))


@functools.cache
def page_of(name):
    return render(PAGES[name])


PAGES = {
    "full": full(),
    "full, regression": as_regression(full()),
    "20 classes": full(classes=20),
    "300 classes": full(classes=300),
    "nasty": full(names=NASTY, classes=12),
    "nasty, regression": as_regression(full(names=NASTY)),
    "minimal": report(),
    "nothing": report(title="", target="", score_name="", scores=[]),
}


class Balance(html.parser.HTMLParser):
    """Checks that every element is closed in order, as a browser's parser sees the page."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.seen = []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        assert tag in VOID

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def text_of(page):
    return " ".join("".join(ElementTree.fromstring(page).find("body").itertext()).split())


# ---------------------------------------------------------------- the page


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_well_formed(name):
    page = page_of(name)
    ElementTree.fromstring(page)
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert page.startswith("<!DOCTYPE html>\n<html")


@pytest.mark.parametrize("name", PAGES)
def test_pages_load_nothing_and_run_nothing(name):
    page = page_of(name)
    balance = Balance()
    balance.feed(page)
    tags = {tag for tag, _ in balance.seen}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "use"}
    for _, attributes in balance.seen:
        assert not {"src", "srcset", "onload", "onclick", "xlink:href"} & attributes.keys()
        assert attributes.get("href", "#").startswith("#")
    assert "http:" not in page
    assert "https:" not in page
    style = re.search(r"<style>(.*)</style>", page, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in page


@pytest.mark.parametrize("classes", [20, 400])
@pytest.mark.parametrize("regression", [False, True])
def test_the_largest_page_is_below_300_kilobytes(classes, regression):
    given = full(names=NASTY, classes=classes, rows=20_000, epochs=10_000)
    page = render(as_regression(given) if regression else given)
    assert len(page.encode()) < 300_000


def test_a_usual_page_is_small():
    usual = full(names="bill_length_mm")
    assert len(render(usual).encode()) < 100_000


def test_names_are_escaped_and_shortened():
    page = render(full(names=NASTY))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for forbidden in ("\x00", "\ud800", "\u202e"):
        assert forbidden not in page
    shortened = [node for node in ElementTree.fromstring(page).iter() if node.get("title")]
    assert len(shortened) > 100
    for node in shortened:
        assert len("".join(node.itertext())) <= 60
        assert len(node.get("title")) <= 80


def test_an_attribute_cannot_be_left():
    page = render(report(importance=[('x" onload="alert(1)' * 4, 0.1, 0.0)], title='"><b>'))
    balance = Balance()
    balance.feed(page)
    assert all("onload" not in attributes for _, attributes in balance.seen)


@pytest.mark.parametrize("name", PAGES)
def test_pages_have_one_heading_each_and_working_links(name):
    page = ElementTree.fromstring(page_of(name))
    ids = [node.get("id") for node in page.iter() if node.get("id")]
    assert len(ids) == len(set(ids))
    for link in page.iter("a"):
        assert link.get("href").removeprefix("#") in ids
    assert len(list(page.iter("h1"))) == 1
    for section in page.find("body/main"):
        assert section.get("aria-labelledby") in ids


@pytest.mark.parametrize("name", PAGES)
def test_pages_can_be_heard(name):
    page = ElementTree.fromstring(page_of(name))
    assert page.get("lang") == "en"
    for heading in page.iter("th"):
        assert heading.get("scope") in ("row", "col")
    for picture in page.iter("svg"):
        assert picture.get("role") == "img"
        assert picture.get("aria-label")


def test_a_minimal_page_has_no_empty_sections():
    page = render(report())
    for word in (
        "<main></main>",
        "How it learned",
        "Where it errs",
        "Columns",
        "<nav",
        "<svg",
        "<pre",
    ):
        assert (word in page) == (word == "<main></main>")
    parts = report(history=[{"note": 1.0}, {}], importance=[("x", math.nan, 0.0)])
    assert "<section" in render(parts)  # the scores
    assert "<h2" not in render(parts)
    assert "<h2" not in render(report(task="regression", actual=[math.nan], predicted=[1.0]))
    assert "<h2" not in render(report(calibration=[(math.nan, 0.5, 3)], notes=[], summary=" \n"))


def test_missing_and_undefined_scores():
    rows = [
        ScoreRow("network", train=math.nan, test=0.5),
        ScoreRow("linear", test=math.inf, role="linear"),
        ScoreRow("guess", role="baseline"),
    ]
    page = render(report(scores=rows))
    words = text_of(page)
    assert "Predicts species right for 50.0 % of the rows it never saw." in words
    assert "network.500linear–guess–" in words
    for absent in ("train", "validation", "nan", "inf"):
        assert absent not in words


def test_none_in_the_history_is_a_gap():
    history = [{"loss": 1.0, "validation_loss": None}, {"loss": 0.5}, {"loss": 0.4, "epoch": 3}]
    page = render(report(history=history))
    assert "train from 1 to .400" in page
    assert "3 epochs." in page


def test_epochs_without_validation_are_no_gap_but_nan_is():
    history = [{"loss": 1.0 / n} | ({"validation_loss": 0.5} if n % 3 == 0 else {})
               for n in range(1, 13)]  # fmt: skip
    drawn = re.search(r'class="line validation" d="([^"]*)"', render(report(history=history)))[1]
    assert (drawn.count("M"), drawn.count("L")) == (1, 3)
    history[5]["validation_loss"] = float("nan")
    drawn = re.search(r'class="line validation" d="([^"]*)"', render(report(history=history)))[1]
    assert (drawn.count("M"), drawn.count("L")) == (2, 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Predicts species right for 98.5 % of the rows it never saw."),
        (
            {"scores": [ScoreRow("network", validation=0.9, train=1.0)]},
            "right for 90.0 % of the validation rows, which it also used to choose the best epoch.",
        ),
        (
            {"scores": [ScoreRow("network", train=1.0)]},
            "right for 100 % of the rows it was trained on, which says little about new rows.",
        ),
        (
            {
                "scores": [
                    ScoreRow("network", test=0.985),
                    ScoreRow("logistic", test=0.97, role="linear"),
                    ScoreRow("guess", test=0.441, role="baseline"),
                ]
            },
            "never saw; always guessing the commonest class is right for 44.1 %, "
            "the linear model for 97.0 %. accuracy",
        ),
        (
            {
                "scores": [
                    ScoreRow("network", test=0.9),
                    ScoreRow("logistic", test=0.9, role="linear"),
                ]
            },
            "; the linear model is right for 90.0 %. "
            "The linear model does as well or better, and is simpler.",
        ),
        (
            {
                "scores": [
                    ScoreRow("network", test=0.4),
                    ScoreRow("guess", test=0.44, role="baseline"),
                ]
            },
            "is right for 44.0 %. It is no better than this baseline: do not rely on it.",
        ),
        (
            {
                "score_name": "R²",
                "scores": [
                    ScoreRow("network", test=0.8),
                    ScoreRow("ridge", test=0.7, role="linear"),
                    ScoreRow("mean", test=-0.01, role="baseline"),
                ],
            },
            "Explains 80.0 % of the variance of species in the rows it never saw; "
            "always predicting the mean explains 0 %, the linear model 70.0 %.",
        ),
        (
            {"score_name": "R²", "scores": [ScoreRow("network", test=-0.25)]},
            "Predicts species with R² −.250 on the rows it never saw.",
        ),
        (
            {
                "score_name": "mean absolute error",
                "greater_is_better": False,
                "scores": [
                    ScoreRow("network", test=12.5),
                    ScoreRow("ridge", test=9.4, role="linear"),
                    ScoreRow("the median", test=31.0, role="baseline"),
                ],
            },
            "with mean absolute error (lower is better) 12.5 on the rows it never saw; the median "
            "reaches 31, the linear model 9.400. The linear model does as well or better",
        ),
        ({"scores": [ScoreRow("guess", test=0.4, role="baseline")]}, "Penguins accuracy test"),
    ],
)
def test_the_first_sentence(changes, expected):
    page = re.sub(r"(</\w+>)", r"\1 ", render(report(**changes)))
    words = re.sub(r" (?=[;,.])", "", text_of(page).replace("\u202f", " "))
    assert expected in words.replace("  ", " ")


def test_many_classes_show_the_most_frequent_errors():
    counts = np.diag(np.full(30, 100))
    counts[3, 7] = 40
    rows = [ClassRow(f"kind {i}", 0.5, 0.5, 0.5 + i / 100, 100) for i in range(30)]
    page = render(
        report(classes=[f"kind {i}" for i in range(30)], confusion=counts, per_class=rows)
    )
    assert "Most frequent errors" in page
    assert "28.6\u202f%" in page
    assert "The 20 lowest F1; 10 more classes." in page
    assert 'class="confusion' not in page


def test_the_heat_map_has_counts_shares_and_shades():
    page = render(report(classes=["a", "b"], confusion=[[3, 1], [0, 0]]))
    cells = re.findall(r'<td class="(\w+)"(?: style="--share:([\d.]+)")?>(\d)', page)
    assert cells[:2] == [("right", "0.75", "3"), ("wrong", "0.25", "1")]
    assert cells[2:] == [("none", "", "0")] * 2
    assert "75.0\u202f%" in page
    assert "1 row (25.0" in page
    assert confusion_words([]) == "No row is predicted wrong."


def test_what_is_cut_is_counted():
    page = render(full())
    for text in (
        "66 more.",
        "69 more.",
        "840 more.",
        "820 more lines",
        "880 columns that matter less",
    ):
        assert text in page


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"actual": [1.0, 2.0], "predicted": [1.0]}, r"\(2,\) and predicted \(1,\)"),
        ({"actual": [[1.0]], "predicted": [[1.0]]}, r"expected both \(rows,\)"),
        ({"classes": ["a"], "confusion": [[1, 2], [3, 4]]}, r"expected \(1, 1\)"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, text):
    with pytest.raises(ShapeError, match=text):
        report(**changes)


def test_the_file_is_the_page(tmp_path):
    path = tmp_path / "report.html"
    given = full(names=NASTY)
    write_report(path, given)
    assert path.read_bytes().decode() == render(given)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


# ---------------------------------------------------------------- colors


def colors(block):
    found = re.findall(r"--([\w-]+): (#[0-9a-f]{6}|[\d.]+(?: \d+ \d+)?);", block)
    return {name: value for name, value in found}


def rgb(value):
    if value.startswith("#"):
        return np.array([int(value[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.array([int(part) for part in value.split()]) / 255


def luminance(color):
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_every_palette_has_the_contrast_that_text_needs():
    style = re.search(r"<style>(.*?)\*", render(report()), re.DOTALL).group(1)
    palettes = [colors(block) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)]
    assert len(palettes) == 3  # light, dark, print
    for palette in palettes:
        paper, panel, text = (rgb(palette[name]) for name in ("paper", "panel", "text"))
        assert contrast(text, paper) > 12
        for name in ("muted", "ours", "train", "other", "warning"):
            assert contrast(rgb(palette[name]), paper) > 4.5, name
        assert contrast(rgb(palette["muted"]), panel) > 4.5
        for name in ("right", "wrong"):  # the text of a cell, at the deepest shade
            depth = float(palette["depth"])
            assert contrast(text, depth * rgb(palette[name]) + (1 - depth) * panel) > 4.5, name


# ---------------------------------------------------------------- charts

numbers = st.floats(allow_nan=True, allow_infinity=True)


def assert_inside(svg):
    """Every coordinate of a chart lies in its box."""
    if not svg:
        return
    root = ElementTree.fromstring(svg)
    width, height = (float(side) for side in root.get("viewBox").split()[2:])
    for node in root.iter():
        across = [node.get(name) for name in ("x", "x1", "x2", "cx")]
        down = [node.get(name) for name in ("y", "y1", "y2", "cy")]
        for point in re.findall(r"[ML](\S+) ([-\d.]+)", node.get("d", "")):
            across.append(point[0])
            down.append(point[1])
        assert all(-1 <= float(value) <= width + 1 for value in across if value is not None)
        assert all(-1 <= float(value) <= height + 1 for value in down if value is not None)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30), st.booleans())
def test_charts_of_any_numbers_stay_in_their_box(pairs, log):
    first, second = np.array(pairs).T
    epochs = np.arange(1, len(pairs) + 1)
    lines = [Series("train", epochs, first), Series("validation", epochs, second, "validation")]
    assert_inside(line_chart(lines, "about", mark=3, log=log))
    positive = np.abs(first) + 1e-9, np.abs(second) + 1e-9
    assert_inside(scatter_chart(*(positive if log else (first, second)), "about", log))
    assert_inside(residual_chart(first, second, "about"))
    assert_inside(bar_chart([("name", *pair) for pair in pairs], "about"))
    points = [(abs(math.sin(a)), abs(math.cos(b)), 3) for a, b in pairs if math.isfinite(a + b)]
    assert_inside(calibration_chart(points, "about"))


def test_charts_of_nothing_are_empty():
    nan = [math.nan]
    assert line_chart([Series("train", [1], nan)], "about") == ""
    assert scatter_chart(nan, nan, "about") == ""
    assert residual_chart(nan, nan, "about") == ""
    assert bar_chart([("x", math.nan, 0.0)], "about") == ""
    assert calibration_chart([(0.5, math.nan, 1)], "about") == ""
    assert residual_words(nan, nan) == ""
    assert calibration_words([]) == ""


def test_a_long_line_keeps_its_spike_and_its_gap():
    y = np.ones(50_000)
    y[31_234] = 9.0
    y[20_000:20_500] = math.nan
    svg = line_chart([Series("train", np.arange(50_000), y)], "about")
    path = re.search(r'class="line train" d="([^"]*)"', svg).group(1)
    heights = [float(place) for place in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]
    assert min(heights) < 60
    assert path.count("M") == 2
    assert len(heights) <= 402


def test_names_at_the_ends_of_lines_do_not_overlap():
    lines = [Series(name, [1, 2], [1.0, 0.5]) for name in ("train", "validation", "other")]
    svg = line_chart(lines, "about")
    places = [float(y) for y in re.findall(r'y="([\d.]+)" class="line-name', svg)]
    assert len(places) == 3
    assert all(b - a >= 14.9 for a, b in pairwise(places))


def test_the_best_epoch_is_marked_only_where_it_is():
    line = [Series("train", [1, 2, 3], [3.0, 2.0, 1.0])]
    assert "best 2" in line_chart(line, "about", mark=2)
    assert "best" not in line_chart(line, "about", mark=9)


def test_a_scatter_shows_at_most_a_thousand_points_and_the_same_each_time():
    random = np.random.default_rng(0)
    truth, guess = random.normal(size=(2, 5000))
    svg = scatter_chart(truth, guess, "about")
    assert svg.count("h0") == 1000
    assert scatter_chart(truth, guess, "about") == svg
    assert scatter_chart(truth[:50], guess[:50], "about").count("h0") == 50


def test_a_histogram_counts_every_row_but_outliers():
    random = np.random.default_rng(0)
    error = random.normal(size=2000)
    svg = residual_chart(np.zeros(2001), np.append(error, 1e6), "about")
    counts = re.findall(r": ([\d,]+) rows", svg)
    assert sum(int(count.replace(",", "")) for count in counts) == 2000
    page = render(report(task="regression", actual=np.zeros(2001), predicted=np.append(error, 1e6)))
    assert "1 larger errors are not drawn." in page


def test_bars_are_sorted_and_limited():
    rows = [(f"column {index}", index / 10, 0.01) for index in range(30)]
    svg = bar_chart([*rows, ("a_long_name_of_a_column_7", 9.0, 0.1)], "about")
    shown = re.findall(r'class="name">(?:<title>[^<]*</title>)?([^<]*)<', svg)
    assert shown[:2] == ["a_long_n…column_7", "column 29"]
    assert len(shown) == 20


@pytest.mark.parametrize(
    ("points", "text"),
    [
        ([(0.9, 0.8, 10)], "differ by 10.0\u202f%: too sure."),
        ([(0.7, 0.9, 10)], "differ by 20.0\u202f%: not sure enough."),
        ([(0.9, 0.8, 10), (0.7, 0.8, 10)], "differ by 10.0\u202f%."),
    ],
)
def test_calibration_in_words(points, text):
    assert calibration_words(points).endswith(text)


# ---------------------------------------------------------------- ticks and numbers

finite = st.floats(-1e300, 1e300)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(finite, finite, st.integers(2, 24), st.booleans())
def test_ticks_are_even_round_and_cover_the_range(one, other, most, whole):
    low, high = sorted([one, other])
    found = ticks(low, high, most, whole)
    assert 2 <= len(found) <= most + 2
    assert all(a < b for a, b in pairwise(found))
    steps = np.diff(found)
    room = 1e-6 * steps[0] + 1e-12 * max(abs(low), abs(high))
    assert np.ptp(steps) <= room
    assert found[0] <= low + room
    assert found[-1] >= high - room
    mantissa = steps.mean() / 10.0 ** math.floor(math.log10(steps.mean()) + 1e-6)
    assert min(abs(mantissa - factor) for factor in (1, 2, 5)) < 1e-3
    if whole:
        assert all(tick == round(tick) for tick in found)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.floats(-200, 200), st.floats(-200, 200))
def test_log_ticks_are_round_and_cover_the_range(one, other):
    low, high = sorted([10.0**one, 10.0**other])
    found = log_ticks(low, high, 5)
    assert 2 <= len(found) <= 8
    assert all(a < b for a, b in pairwise(found))
    assert found[0] <= low * (1 + 1e-8)
    assert found[-1] >= high * (1 - 1e-8)
    for tick in found:
        mantissa = tick / 10.0 ** math.floor(math.log10(tick) + 1e-9)
        assert min(abs(mantissa - factor) for factor in (1, 2, 5)) < 1e-6


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_labels_tell_ticks_apart(low, span):
    found = ticks(low, low + span)
    assert len(set(labels(found))) == len(found)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.94712, ".947"),
        (-0.5, "−.500"),
        (0, "0"),
        (12, "12"),
        (98.46, "98.5"),
        (9.996, "10.0"),
        (0.001234, ".00123"),
        (0.0001234, "1.23×10⁻⁴"),
        (1234.5, "1,234"),
        (999_999, "999,999"),
        (1_234_567.0, "1.23×10⁶"),
        (-1.5e-9, "−1.50×10⁻⁹"),
        (math.nan, "–"),
        (None, "–"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers(value, expected):
    assert number(value) == expected


def test_scores_and_shares():
    assert [score(value) for value in (0.98529, 1, -0.0001, 0, math.nan, 12.3)] == [
        ".985", "1.000", ".000", ".000", "–", "12.3",
    ]  # fmt: skip
    assert [percent(value) for value in (0, 1, 0.5, math.nan)] == [
        "0\u202f%", "100\u202f%", "50.0\u202f%", "–",
    ]  # fmt: skip
    assert percent(-0.25) == "−25.0\u202f%"
