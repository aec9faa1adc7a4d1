"""Search settings: grid, random and Bayesian, scored by k folds.

>>> from sklearn.datasets import load_iris
>>> from chainrule import MLPClassifier, search
>>> X, y = load_iris(return_X_y=True)
>>> space = {"alpha": search.LogUniform(1e-4, 1e-1), "activation": ["relu", "tanh"]}
>>> found = search.tune(MLPClassifier((8,), solver="lbfgs"), X, y, space, trials=4, cv=3)
>>> len(found), found.best_score > 0.9
(4, True)

`pip install "chainrule[tune]"` brings Optuna, which draws the settings and keeps the trials.
`docs/search.md` tells the rest.
"""

from chainrule.search.defaults import default_space as default_space
from chainrule.search.folds import folds as folds
from chainrule.search.folds import three_parts as three_parts
from chainrule.search.result import Result as Result
from chainrule.search.space import Call as Call
from chainrule.search.space import Choice as Choice
from chainrule.search.space import Int as Int
from chainrule.search.space import LogUniform as LogUniform
from chainrule.search.space import Uniform as Uniform
from chainrule.search.space import widths as widths
from chainrule.search.tuning import optimize as optimize
from chainrule.search.tuning import tune as tune

__all__ = [
    "Call", "Choice", "Int", "LogUniform", "Result", "Uniform", "default_space", "folds",
    "optimize", "three_parts", "tune", "widths",
]  # fmt: skip
