"""chainrule trains neural networks that you can see through.

>>> import chainrule as cr
>>> w = cr.tensor([1.0, 2.0], requires_grad=True)
>>> (w * w).sum().backward()
>>> w.grad
tensor([2., 4.])

The graph and differentiation are here at once; everything else is imported when it is first used,
so that `import chainrule` needs NumPy alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chainrule import ops
from chainrule.errors import ChainruleError
from chainrule.graph import Tensor, no_grad, tensor
from chainrule.transforms.forward import hessian, hvp, jacobian, jvp
from chainrule.transforms.reverse import grad, value_and_grad, vjp
from chainrule.transforms.run import Graph, Spec, run, trace

if TYPE_CHECKING:
    from chainrule import (
        advise,
        diagnose,
        functional,
        losses,
        metrics,
        nn,
        optim,
        penalties,
        plots,
        schedules,
        search,
        testing,
    )
    from chainrule.averaging import SWA
    from chainrule.checkpoint import Checkpoint
    from chainrule.drawing import draw
    from chainrule.estimators.mlp import MLPClassifier, MLPRegressor
    from chainrule.estimators.net import NetClassifier, NetRegressor
    from chainrule.estimators.tabular import TabularClassifier, TabularRegressor
    from chainrule.events import Callback
    from chainrule.exchange import from_onnx, to_onnx
    from chainrule.explaining import explain
    from chainrule.history import History
    from chainrule.loading import load
    from chainrule.range_test import lr_range_test
    from chainrule.restarts import anneal, best_of
    from chainrule.scripts import to_python
    from chainrule.stopping import EarlyStopping, ReduceOnPlateau
    from chainrule.table import TableEncoder
    from chainrule.testing import check_gradient
    from chainrule.training import train, training_step
    from chainrule.transforms.compile import compile  # noqa: A004
    from chainrule.transforms.draw import Drawing
    from chainrule.transforms.explain import Explanation

__version__ = "0.1.0"

_LATER = {
    "Callback": "events",
    "Checkpoint": "checkpoint",
    "Drawing": "transforms.draw",
    "EarlyStopping": "stopping",
    "Explanation": "transforms.explain",
    "History": "history",
    "MLPClassifier": "estimators.mlp",
    "MLPRegressor": "estimators.mlp",
    "NetClassifier": "estimators.net",
    "NetRegressor": "estimators.net",
    "ReduceOnPlateau": "stopping",
    "SWA": "averaging",
    "TableEncoder": "table",
    "TabularClassifier": "estimators.tabular",
    "TabularRegressor": "estimators.tabular",
    "anneal": "restarts",
    "best_of": "restarts",
    "check_gradient": "testing",
    "compile": "transforms.compile",
    "draw": "drawing",
    "explain": "explaining",
    "from_onnx": "exchange",
    "load": "loading",
    "lr_range_test": "range_test",
    "to_onnx": "exchange",
    "to_python": "scripts",
    "train": "training",
    "training_step": "training",
}
_MODULES = (
    "advise", "diagnose", "functional", "losses", "metrics", "nn", "optim", "penalties", "plots",
    "schedules", "search", "testing",
)  # fmt: skip

__all__ = [
    "SWA", "Callback", "ChainruleError", "Checkpoint", "Drawing", "EarlyStopping", "Explanation",
    "Graph", "History", "MLPClassifier", "MLPRegressor", "NetClassifier", "NetRegressor",
    "ReduceOnPlateau", "Spec", "TableEncoder", "TabularClassifier", "TabularRegressor", "Tensor",
    "advise", "anneal", "best_of", "check_gradient", "compile", "diagnose", "draw", "explain",
    "from_onnx", "functional", "grad", "hessian", "hvp", "jacobian", "jvp", "load", "losses",
    "lr_range_test", "metrics", "nn", "no_grad", "ops", "optim", "penalties", "plots", "run",
    "schedules", "search", "tensor", "testing", "to_onnx", "to_python", "trace", "train",
    "training_step", "value_and_grad", "vjp",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name in _MODULES:
        return import_module(f"chainrule.{name}")
    if name in _LATER:
        value = getattr(import_module(f"chainrule.{_LATER[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'chainrule' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
