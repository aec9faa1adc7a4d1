"""A stand-in for JAX: NumPy under its names, so that what is written for JAX runs without it.

It knows what the package asks of JAX and no more, and is strict where JAX is: arrays are not
written into, and a function gets none that it could write into. How JAX rounds, and what it makes
of dtypes, JAX alone can show: tests use it where it is installed (`make gpu`).
"""

import math
import sys
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from chainrule.graph import OPS
from chainrule.transforms import device


class Frozen(np.ndarray):
    """An array that nobody writes into; `at[key]` makes a changed one."""

    @property
    def at(self):
        return _At(self)


def _frozen(x):
    """Give arrays that are read-only, and everything else as it is."""
    if isinstance(x, list | tuple):
        return type(x)(map(_frozen, x))
    if not isinstance(x, np.ndarray):
        return x
    result = np.array(x).view(Frozen)
    result.flags.writeable = False
    return result


class _At:
    def __init__(self, array, key=None):
        self.array, self.key = array, key

    def __getitem__(self, key):
        return _At(self.array, key)

    def set(self, value):
        result = np.array(self.array)
        result[self.key] = value
        return _frozen(result)

    def add(self, value):
        result = np.array(self.array)
        np.add.at(result, self.key, value)
        return _frozen(result)


def _setting(config, name):
    @contextmanager
    def changed(value):
        with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
            patch.setattr(config, name, value)
            yield

    return changed


def _jit(config):
    """Give the function as it is, which asks for the settings that digits depend on."""

    def jit(f, donate_argnums=()):
        def called(*given):
            assert (config.jax_enable_x64, config.jax_default_matmul_precision) == (True, "highest")
            return f(*map(_frozen, given))

        return called

    return jit


def _while_loop(goes_on, once, state):
    while goes_on(state):
        state = _frozen(once(state))
    return state


def _scan(one, carry, xs, reverse):
    results = np.empty((len(xs[0]), *carry.shape), carry.dtype)
    for t in reversed(range(len(results))) if reverse else range(len(results)):
        carry, results[t] = one(carry, tuple(x[t] for x in xs))
    return carry, results


def _convolved(x, w, strides, padding, rhs_dilation, feature_group_count):
    return OPS["conv"].run(
        x, w, stride=strides, padding=padding, dilation=rhs_dilation, groups=feature_group_count
    )


def _linear_transpose(f, like):
    """Ask for the result of each unit vector."""

    def back(g):
        units = np.eye(math.prod(like.shape), dtype=like.dtype)
        found = [np.sum(f(unit.reshape(like.shape)) * g) for unit in units]
        return (np.array(found, like.dtype).reshape(like.shape),)

    return back


def _add(x, y):  # has no `add.at`, which NumPy lets write into read-only arrays
    return np.add(x, y)


class _Numpy(ModuleType):
    def __getattr__(self, name):
        return getattr(np, name)

    add = staticmethod(_add)
    zeros = staticmethod(lambda *args: _frozen(np.zeros(*args)))
    argsort = staticmethod(lambda x, axis: np.argsort(x, axis=axis, kind="stable"))


def _modules():
    jax, numpy = ModuleType("jax"), _Numpy("jax.numpy")
    jax.__spec__ = ModuleSpec("jax", None)
    jax.numpy = numpy
    config = jax.config = SimpleNamespace(jax_enable_x64=False, jax_default_matmul_precision=None)
    jax.enable_x64 = _setting(config, "jax_enable_x64")
    jax.default_matmul_precision = _setting(config, "jax_default_matmul_precision")
    jax.devices = lambda: [SimpleNamespace(platform="cpu", device_kind="stand-in")]
    jax.device_put = np.array
    jax.device_get = list
    jax.ShapeDtypeStruct = lambda shape, dtype: SimpleNamespace(shape=shape, dtype=dtype)
    jax.linear_transpose = _linear_transpose
    jax.jit = _jit(config)
    jax.lax = SimpleNamespace(
        conv_general_dilated=_convolved,
        dynamic_slice_in_dim=lambda x, start, size: x[start : start + size],
        erfc=np.vectorize(math.erfc, otypes=[float]),
        scan=_scan,
        while_loop=_while_loop,
    )
    return {"jax": jax, "jax.numpy": numpy}


@contextmanager
def jax_or_stand_in(*, always=False):
    """Let the package find JAX: that which is installed, or the stand-in."""
    known = {name: sys.modules.get(name) for name in ("jax", "jax.numpy")}
    if not always and find_spec("jax") is not None:
        yield
        return
    try:
        _put(_modules())
        yield
    finally:
        _put(known)


def _put(modules):
    device._steps.cache_clear()
    device._compiled.cache_clear()
    for name, module in modules.items():
        if module is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = module
