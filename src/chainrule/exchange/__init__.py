"""Models leave chainrule as ONNX, and come from there.

>>> import tempfile
>>> from pathlib import Path
>>> import numpy as np
>>> from chainrule import nn
>>> path = Path(tempfile.mkdtemp()) / "net.onnx"
>>> net, x = nn.mlp([2, 8, 1], "tanh", seed=0), np.ones((3, 2), np.float32)
>>> to_onnx(net, path)
>>> bool(np.allclose(from_onnx(path).predict(x), net.predict(x)))
True
"""

from chainrule.exchange.arriving import from_onnx as from_onnx
from chainrule.exchange.leaving import to_onnx as to_onnx
