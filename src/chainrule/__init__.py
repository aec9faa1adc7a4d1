"""chainrule trains neural networks that you can see through."""

from chainrule import ops
from chainrule.graph import Tensor, no_grad, tensor
from chainrule.transforms.forward import hessian, hvp, jacobian, jvp
from chainrule.transforms.reverse import grad, value_and_grad, vjp
from chainrule.transforms.run import Graph, Spec, run, trace
