"""Modules: layers with parameters, how they are joined, and how they start.

>>> from chainrule import nn
>>> nn.Sequential(nn.Linear(2, 8), nn.Activation("relu"), nn.Linear(8, 1)).count_parameters()
33
"""

from chainrule.nn import init as init
from chainrule.nn.adaptive import AdaptiveLoss as AdaptiveLoss
from chainrule.nn.convolution import Conv1d as Conv1d
from chainrule.nn.convolution import Conv2d as Conv2d
from chainrule.nn.dropout import Dropout as Dropout
from chainrule.nn.dropout import Dropout1d as Dropout1d
from chainrule.nn.dropout import Dropout2d as Dropout2d
from chainrule.nn.layers import Activation as Activation
from chainrule.nn.layers import Embedding as Embedding
from chainrule.nn.layers import Linear as Linear
from chainrule.nn.layers import Maxout as Maxout
from chainrule.nn.layers import PReLU as PReLU
from chainrule.nn.layers import Residual as Residual
from chainrule.nn.layers import Sequential as Sequential
from chainrule.nn.layers import mlp as mlp
from chainrule.nn.module import MODULES as MODULES
from chainrule.nn.module import Buffer as Buffer
from chainrule.nn.module import Module as Module
from chainrule.nn.module import Parameter as Parameter
from chainrule.nn.module import register as register
from chainrule.nn.neurons import McCullochPitts as McCullochPitts
from chainrule.nn.neurons import Perceptron as Perceptron
from chainrule.nn.neurons import TwoLayer as TwoLayer
from chainrule.nn.neurons import truth_table as truth_table
from chainrule.nn.normalization import BatchNorm1d as BatchNorm1d
from chainrule.nn.normalization import BatchNorm2d as BatchNorm2d
from chainrule.nn.normalization import GroupNorm as GroupNorm
from chainrule.nn.normalization import LayerNorm as LayerNorm
from chainrule.nn.normalization import update_bn as update_bn
from chainrule.nn.onnx.net import OnnxNet as OnnxNet
from chainrule.nn.pooling import AdaptiveAvgPool1d as AdaptiveAvgPool1d
from chainrule.nn.pooling import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from chainrule.nn.pooling import AdaptiveMaxPool1d as AdaptiveMaxPool1d
from chainrule.nn.pooling import AdaptiveMaxPool2d as AdaptiveMaxPool2d
from chainrule.nn.pooling import AvgPool1d as AvgPool1d
from chainrule.nn.pooling import AvgPool2d as AvgPool2d
from chainrule.nn.pooling import Flatten as Flatten
from chainrule.nn.pooling import MaxPool1d as MaxPool1d
from chainrule.nn.pooling import MaxPool2d as MaxPool2d
from chainrule.nn.recurrent import GRU as GRU
from chainrule.nn.recurrent import LSTM as LSTM
from chainrule.nn.recurrent import RNN as RNN
from chainrule.nn.recurrent import Jordan as Jordan
from chainrule.nn.vectors import parameters_to_vector as parameters_to_vector
from chainrule.nn.vectors import vector_to_parameters as vector_to_parameters
