"""`chainrule draw`: a picture of the net in a model file."""

import os
from pathlib import Path

from chainrule.cli.model import model_file
from chainrule.drawing import draw as drawing_of
from chainrule.errors import ConfigError
from chainrule.loading import load
from chainrule.transforms.run import Spec


def draw(
    model: Path, out: Path | None, level: str, neurons: bool, row: tuple[int, ...] | None
) -> None:
    """Write a picture, or print it as text."""
    loaded = load(model_file(model))
    inputs = [] if row is None or neurons else [Spec(("batch", *row))]
    try:
        drawing = drawing_of(
            loaded,
            *inputs,
            level=level if level == "ops" else int(level),
            kind="neurons" if neurons else None,
        )
    except ConfigError as error:
        if row is None and "needs inputs" in str(error):
            raise ConfigError(
                f"{model}: what shape does a row have? Say it with --input, such as --input 1,28,28"
            ) from error
        raise
    if out is None:
        print(drawing)
        return
    drawing.save(out)
    nodes, parameters = len(drawing.diagram.nodes), drawing.diagram.parameters
    print(f"{os.fspath(out)}: {nodes} boxes, {parameters:,} parameters")
