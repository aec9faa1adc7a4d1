"""Checks for what you add yourself: the examination that chainrule's own parts have to pass.

Each check raises `CheckError` with the numbers that disagree, and otherwise gives the largest
error that it saw. They need no test framework; call them in a test of your own.

>>> import numpy as np
>>> from chainrule import functional as F, ops
>>> def bent(x):
...     return ops.mul(x, ops.sigmoid(ops.mul(x, 1.702)))
>>> check_activation(bent) < 1e-6
True
>>> check_gradient(lambda a, b: ops.matmul(a, b), np.eye(2), np.ones((2, 3))) < 1e-6
True

A derivative that is wrong by a thousandth is found:

>>> from chainrule.ops.kinds import Elementwise
>>> wrong = Elementwise("wrong_sine", np.sin, [lambda out, x: ops.mul(ops.cos(x), 1.001)])
>>> check_gradient(lambda x: ops.sum(wrong(x)), np.array([0.0, 1.0]))
Traceback (most recent call last):
...
chainrule.testing.gradients.CheckError: gradient of input 0 at index (0,): 1.001 by the rule, \
1 by differences (relative error 0.001, allowed 1e-06)
"""

from chainrule.testing.gradients import CheckError as CheckError
from chainrule.testing.gradients import check_gradient as check_gradient
from chainrule.testing.layers import check_layer as check_layer
from chainrule.testing.operations import check_activation as check_activation
from chainrule.testing.operations import check_op as check_op
from chainrule.testing.training import check_initializer as check_initializer
from chainrule.testing.training import check_loss as check_loss
from chainrule.testing.training import check_optimizer as check_optimizer
from chainrule.testing.training import check_schedule as check_schedule
