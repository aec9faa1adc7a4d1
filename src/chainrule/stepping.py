"""Which way the steps of a training are run: by Numba, by NumPy, by JAX, or as written.

>>> import numpy as np
>>> from chainrule import losses, nn
>>> from chainrule.data import Rows
>>> from chainrule.plan import Plan
>>> from chainrule.training import Training
>>> rows = Rows((np.zeros((8, 2), np.float32),), np.zeros((8, 1), np.float32))
>>> plan = Plan(epochs=1, compile="numpy")
>>> training = Training(nn.mlp([2, 4, 1], "tanh", seed=0), losses.mse, rows, None, plan)
>>> make_step(training).count, training.runs
(1, 'numpy')
"""

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from chainrule.errors import ConfigError, expect, has
from chainrule.nn.module import Module
from chainrule.plan import compiling
from chainrule.step import Step
from chainrule.step_graph import Kind, StepGraph
from chainrule.threads import usable_threads
from chainrule.transforms.compile import DEVICE
from chainrule.transforms.compile.executor import NumpyProgram
from chainrule.transforms.compile.program import Program

if TYPE_CHECKING:
    from chainrule.training import Training

WORTH_COMPILING = 1.0
"""Estimated seconds of training without a compiler from which on it is used."""


def make_step(training: "Training") -> Step | None:
    """Make a program of the step: by Numba where that pays, else by NumPy; by JAX if asked to.

    A model that cannot be traced is trained step by step as written; then there is none.
    `training.runs` says which it is.
    """
    wanted, step = _wanted(training), None
    training.runs = "as written"
    if wanted is False:
        return None
    kinds: list[Any] = [NumpyProgram]
    if wanted in (True, "numba"):
        expect("numba", extra="fast", why="to compile a training step")
        kinds = [Program]
    elif wanted == "jax":
        device = importlib.import_module(DEVICE)
        device.import_jax()
        if training.observer is not None and training.observer.every > 1:
            every = training.observer.every
            raise ConfigError(f"statistics={every}: by JAX they are of every step, statistics=True")
        kinds = [device.JaxProgram]
    elif wanted == "auto" and has("numba"):
        kinds = [NumpyProgram, Program]
    for kind in kinds:
        if kind is Program and step is not None and not _pays(training, step):
            break
        try:
            step = _made(training, kind, check=kind is kinds[0])
        except Exception as error:  # the step runs as written, or by NumPy
            if wanted != "auto":
                raise
            training.history.obstacle = f"{type(error).__name__}: {error}"
            break
        training.runs = kind.runs
    return step


def _wanted(training: "Training") -> bool | str:
    """Give what is asked for; where that is "auto", the way of the checkpoint if there is one."""
    asked, known = compiling(training.plan.compile), training.runs
    if asked == "auto" and (known not in _OPTIONAL or has(known)):
        return _ASKED.get(known, "auto")
    if known and asked != _ASKED[known] and (asked, known) != (True, "numba"):
        warnings.warn(
            f"the checkpoint was written by steps that ran {_SAID[known]}, which compile={asked!r} "
            "does not do: training goes on, and will not end with the same bits",
            stacklevel=5,
        )
    return asked


_OPTIONAL = ("numba", "jax")
_ASKED: dict[str, bool | str] = {"numba": "numba", "numpy": "numpy", "jax": "jax",
                                 "as written": False}  # fmt: skip
_SAID = {"numba": "by Numba", "numpy": "by NumPy", "jax": "by JAX", "as written": "as written"}


def _made(training: "Training", kind: Kind, *, check: bool) -> Step:
    graph = traced(training, flat=kind is NumpyProgram)
    if check:
        graph.check_indices()
        if not _repeats(training):
            with training_mode(training.model):
                graph.check_repeats(training.model, training.loss, training.penalty)
    threads = usable_threads(training.plan.threads)
    return Step(graph, training.batch_size, kind, threads, training.observer)


def _repeats(training: "Training") -> bool:
    """Whether all that a step computes is written in this package, where nothing but keys changes.

    Code of others may draw random numbers in Python, which a trace would repeat.
    """
    modules = [module for _, module in training.model.named_modules()]
    parts: list[Any] = [training.loss.formula, *map(type, modules)]
    parts += [x for module in modules for x in vars(module).values() if callable(x)]
    if training.penalty is not None:
        parts += [*training.penalty.functions, *(type(x) for _, x in training.penalty.items)]
    homes = [getattr(x, "__module__", None) or "" for x in parts]  # a method in C has none
    return all(home.split(".")[0] == "chainrule" for home in homes)


def traced(training: "Training", flat: bool) -> StepGraph:
    """Trace a step; `flat` updates parameters of equal settings as one array."""
    with training_mode(training.model):
        return StepGraph(
            training.model,
            training.loss,
            training.updater,
            training.rows,
            penalty=training.penalty,
            clip_value=training.plan.clip_value,
            clip_norm=training.plan.clip_norm,
            accumulate=training.plan.accumulate > 1,
            average=training.average.beta is not None,
            flat=flat,
            seen=training.observer.model if training.observer else None,
        )


def _pays(training: "Training", step: Step) -> bool:
    """Whether so much is to be done that compiling it is worth the wait."""
    assert isinstance(step.program, NumpyProgram)
    seconds = step.program.seconds({"rows": len(training.rows), "batch": training.batch_size})
    return seconds * training.batches * training.plan.epochs > WORTH_COMPILING


@contextmanager
def training_mode(model: Module) -> Iterator[None]:
    """Let a model train for a while, and predict afterwards."""
    model.train()
    try:
        yield
    finally:
        model.eval()
