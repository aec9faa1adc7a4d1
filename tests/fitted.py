"""Fitted estimators of every kind, and rows to predict, for what takes models out of chainrule."""

import warnings
from functools import cache

import numpy as np
import pandas as pd

from chainrule import (
    MLPClassifier,
    MLPRegressor,
    NetClassifier,
    NetRegressor,
    TabularClassifier,
    TabularRegressor,
    nn,
)


def table(n=90):
    """Numbers, some missing, text of few and many categories, truth values, numbers as classes."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "age": rng.normal(40, 9, n).round(1),
        "constant but once": np.where(np.arange(n) == 3, 5.0, 1.0),
        "city, or village": rng.choice(["Rome", "Oslo", "Bern", "Ávila"], n),
        "zip": [f"z{i % 12}" for i in range(n)],
        "is 'new'": rng.random(n) < 0.5,
        "floors": rng.choice([1, 2, 3], n),
        "type": rng.choice([10, 20], n),
        "sigmoid": rng.normal(size=n),
    })  # fmt: skip
    frame.loc[::7, "age"] = np.nan
    frame["city, or village"] = frame["city, or village"].where(np.arange(n) % 5 > 0)
    return frame


KINDS = {"floors": "category", "type": "category"}
SMALL = {"members": 2, "hidden": (5,), "epochs": 2, "random_state": 0, "kinds": KINDS}


@cache
def tabular():
    """Fitted estimators of tables, by name."""
    frame = table()
    three = np.array(["a", "b", "c"])[np.arange(len(frame)) % 3]
    several = np.stack([frame["age"].fillna(40), frame["sigmoid"]], axis=1)
    several_labels = (several > several.mean(0)).astype(int)
    return {
        "binary": TabularClassifier(**SMALL).fit(frame, frame["sigmoid"] > 0),
        "multiclass": TabularClassifier(**SMALL).fit(frame, three),
        "multilabel": TabularClassifier(**SMALL).fit(frame, several_labels),
        "one": TabularClassifier(**SMALL).fit(frame, ["only"] * len(frame)),
        "whole classes": TabularClassifier(**SMALL).fit(frame, np.arange(len(frame)) % 3 + 7),
        "regression": TabularRegressor(**SMALL).fit(frame, frame["sigmoid"] * 100 + 500),
        "regressions": TabularRegressor(**SMALL).fit(frame, several),
        "categories alone": TabularClassifier(**SMALL | {"kinds": None}).fit(
            frame[["zip"]], three
        ),
        "numbers alone": TabularRegressor(**SMALL | {"kinds": None}).fit(
            frame[["age"]], frame["sigmoid"]
        ),
    }  # fmt: skip


@cache
def of_rows():
    """Fitted estimators of rows of numbers, by name, each with rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    images = rng.normal(size=(20, 1, 4, 4)).astype(np.float32)
    three = np.array(["a", "b", "c"])[np.arange(60) % 3]
    mlp = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
    conv = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Activation("relu"), nn.Flatten(), nn.Linear(18, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "binary": (MLPClassifier(**mlp).fit(X, X[:, 0] > 0), X),
            "multiclass": (MLPClassifier(**mlp).fit(X, three), X),
            "multilabel": (MLPClassifier(**mlp).fit(X, (X > 0).astype(int)), X),
            "hinge": (MLPClassifier(loss="hinge", **mlp).fit(X, three), X),
            "float32": (
                MLPClassifier(**mlp).fit(X.astype(np.float32), three), X.astype(np.float32)
            ),
            "regression": (MLPRegressor(**mlp).fit(X, X[:, 0]), X),
            "regressions": (MLPRegressor(**mlp).fit(X, X[:, :2]), X),
            "poisson": (MLPRegressor("poisson", **mlp).fit(X, X[:, 0] ** 2), X),
            "net": (NetClassifier(conv, epochs=1, random_state=0).fit(
                images, np.arange(20) % 2), images),
            "net regression": (NetRegressor(epochs=1, random_state=0).fit(X, X[:, 0]), X),
        }  # fmt: skip


def unseen():
    """Rows with categories that training had not, huge numbers, and nothing known."""
    frame = table(6)
    frame["age"] = [1e300, -1e300, np.nan, 0.0, 40.0, 1e-300]
    frame["zip"] = ["z1", "?", None, "z1", "", "z12"]
    frame["city, or village"] = [None, "Paris", "Rome", "Oslo", None, "Ávila"]
    frame["floors"] = [1.0, 7.0, np.nan, 2.0, 3.0, np.nan]
    return frame
