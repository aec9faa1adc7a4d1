"""Modules that consist of ONNX nodes: what `chainrule.from_onnx` gives."""
