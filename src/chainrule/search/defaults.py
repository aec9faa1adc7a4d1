"""What is searched of the estimators of chainrule, unless a space is given.

>>> from chainrule.estimators.tabular import TabularClassifier
>>> sorted(default_space(TabularClassifier()))
['activation', 'hidden', 'label_smoothing', 'lr']
"""

from typing import Any

from chainrule.errors import ConfigError
from chainrule.estimators.builders import HiddenLayers
from chainrule.estimators.mlp_base import BaseMLP
from chainrule.estimators.net import NetClassifier, NetRegressor
from chainrule.estimators.tabular import TabularClassifier, TabularRegressor
from chainrule.losses import huber
from chainrule.optim import SGD, Adam
from chainrule.search.space import Call, Choice, LogUniform, Space, Uniform, widths

ACTIVATIONS = ["relu", "tanh", "selu", "mish"]


def default_space(estimator: Any, rows: int | None = None) -> dict[str, Space]:
    """Give the space of an estimator of chainrule; batches take at most a quarter of the rows.

    | estimator | what is searched |
    | --- | --- |
    | `MLP*` | optimizer (Adam, SGD) with its rate and momentum, batch size, layers and widths, \
activation, dropout, alpha |
    | `Net*` | optimizer (Adam, SGD) with its rate and momentum, batch size; without a module of \
its own also layers and widths, activation, dropout |
    | `Tabular*` | learning rate, layers and widths, activation; smoothing of labels, or the loss \
and the delta of Huber's |

    It is a dictionary: take out, add or replace what you like. `MLPRegressor` and `NetRegressor`
    do not scale the target, so they have no delta here: give one that fits your numbers, as in
    `Call(losses.huber.having, delta=LogUniform(1, 100))`.

    >>> from chainrule.estimators.net import NetClassifier
    >>> space = default_space(NetClassifier(), rows=100)
    >>> space["batch_size"]
    Choice([16])
    >>> del space["module"]
    """
    if isinstance(estimator, BaseMLP):
        return {
            "optimizer": _optimizers(),
            "batch_size": _batches(rows),
            "hidden_layer_sizes": widths(layers=(1, 3), units=(16, 256)),
            "activation": Choice(ACTIVATIONS),
            "dropout": Uniform(0, 0.5),
            "alpha": LogUniform(1e-6, 1e-1),
        }
    if isinstance(estimator, NetClassifier | NetRegressor):
        space: dict[str, Space] = {"optimizer": _optimizers(), "batch_size": _batches(rows)}
        if estimator.module is None:
            space["module"] = Call(
                HiddenLayers,
                sizes=widths(layers=(1, 3), units=(16, 256)),
                activation=Choice(ACTIVATIONS),
                dropout=Uniform(0, 0.5),
            )
        return space
    if isinstance(estimator, TabularClassifier | TabularRegressor):
        space = {
            "lr": LogUniform(3e-4, 1e-2),
            "hidden": widths(layers=(1, 3), units=(32, 256)),
            "activation": Choice(ACTIVATIONS),
        }
        if isinstance(estimator, TabularClassifier):
            space["label_smoothing"] = Uniform(0, 0.2)
        else:
            space["loss"] = Choice(["mse", Call(huber.having, delta=LogUniform(0.3, 3))])
        return space
    raise ConfigError(
        f"{type(estimator).__name__} has no default space: pass one, such as "
        'space={"alpha": chainrule.search.LogUniform(1e-4, 10)}'
    )


def _optimizers() -> Choice:
    sgd = Call(SGD, lr=LogUniform(1e-3, 0.3), momentum=Uniform(0.5, 0.99), nesterov=True)
    return Choice([Call(Adam, lr=LogUniform(1e-4, 3e-2)), sgd])


def _batches(rows: int | None) -> Choice:
    sizes = [size for size in (16, 32, 64, 128, 256) if rows is None or 4 * size <= rows]
    return Choice(sizes or ["auto"])
