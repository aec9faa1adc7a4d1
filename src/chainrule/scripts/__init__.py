'''`to_python`: a model, or its training step, as a script that needs NumPy alone.

>>> from chainrule import nn
>>> script = to_python(nn.Linear(2, 1, seed=0))
>>> print(script.part("predict"))
@np.errstate(all="ignore")
def predict(x):
    """Give float32 of shape (rows, 1) for x: float32 of shape (rows, 2)."""
    x = np.asarray(x, np.float32)
    # Linear(2, 1)
    return x @ weight.T + bias

`script.save("predict.py")` writes it, and `predict.npz` beside it if the weights are many.
'''

import os
from typing import Any

from chainrule.errors import ConfigError
from chainrule.losses import Loss
from chainrule.nn.module import Module
from chainrule.scripts.estimating import write_estimator
from chainrule.scripts.learning import write_step
from chainrule.scripts.predicting import write_prediction
from chainrule.scripts.script import Script as Script

_WRONG = (
    "to_python({}): expected a chainrule.nn.Module, or a fitted estimator alone; give the module_ "
    "of an estimator for its training step"
)


def to_python(
    model: Any,
    *like: Any,
    path: str | os.PathLike[str] | None = None,
    inline: bool | None = None,
    loss: str | Loss | Module | None = None,
    **plan: Any,
) -> Script:
    """Write a model as a script that predicts the same with NumPy alone, or its training step.

    `model` is a module or a fitted estimator. For a module, `like` says what the inputs are: an
    array of rows, or a `Spec`; one that starts with `Linear` needs none. The script has a function
    `predict(x)` for any number of rows, as in `eval` mode; that of a `TabularClassifier` takes a
    table as a dictionary of lists, and there is `predict_proba`.

    With a `loss`, `like` ends with the targets, and the script has a function `step(x, y)` that
    makes the update of `train`; `plan` has what `train` takes for it: optimizer, groups, penalty,
    clip_norm, clip_value.

    `path` is where to save it. Weights are written into the script if `inline`, and by default if
    there are at most 200; else into a .npz file.

    >>> import numpy as np
    >>> from chainrule import nn, optim
    >>> net, x = nn.mlp([2, 3, 1], "tanh", seed=0), np.zeros((4, 2), np.float32)
    >>> script = to_python(net, x, x[:, :1], loss="mse", optimizer=optim.SGD(0.1))
    >>> print(script.part("step").split("# SGD")[0].split("# ")[-1].rstrip())
    gradient of 0: Linear(2, 3)
        bias_0_gradient = np.sum(h9, axis=0)
        weight_0_gradient = h9.T @ x
    """
    if loss is None and plan:
        raise ConfigError(f"to_python: {sorted(plan)[0]}= is for a training step: give a loss=")
    if hasattr(model, "whole") and loss is None and not like:
        script = write_estimator(model, inline)
    elif not isinstance(model, Module):
        raise ConfigError(_WRONG.format(type(model).__name__))
    elif loss is None:
        script = write_prediction(model, like, inline)
    else:
        script = write_step(model, loss, like, plan, inline)
    if path is not None:
        script.save(path)
    return script
