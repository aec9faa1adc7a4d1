"""`chainrule to-python` and `export`: models leave chainrule."""

from pathlib import Path
from typing import Any

from chainrule.cli.model import model_file, note
from chainrule.cli.tables import counted
from chainrule.errors import ConfigError
from chainrule.exchange import to_onnx
from chainrule.loading import load
from chainrule.nn.module import Module
from chainrule.scripts import to_python as write
from chainrule.transforms.onnx import OPSET
from chainrule.transforms.run import Spec


def to_python(model: Path, out: Path, row: tuple[int, ...] | None, inline: bool | None) -> None:
    """Write a script."""
    loaded = load(model_file(model))
    script = write(loaded, *like(loaded, row), path=out, inline=inline)
    note(f"{out}: {counted(len(script.source.splitlines()), 'line')} of Python")
    if script.arrays:
        note(f"{out.with_suffix('.npz')}: {counted(len(script.arrays), 'array')}, to be beside it")


def export(model: Path, out: Path, row: tuple[int, ...] | None) -> None:
    """Write an ONNX model."""
    if out.suffix != ".onnx":
        raise ConfigError(f"{out}: expected the name of a model, ending in .onnx")
    loaded = load(model_file(model))
    to_onnx(loaded, out, *like(loaded, row))
    note(f"{out}: {out.stat().st_size:,} bytes, opset {OPSET}")


def like(model: Any, row: tuple[int, ...] | None) -> list[Spec]:
    """Give what a module takes, if it was said."""
    if row is None:
        return []
    if not isinstance(model, Module):
        raise ConfigError(f"--input is for modules; {type(model).__name__} knows what it takes")
    return [Spec(("rows", *row), next(iter(model.parameters())).dtype)]
