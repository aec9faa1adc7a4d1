"""Programs for tests: their source runs as it stands, and is compared as text."""

import re

from chainrule.transforms.compile.program import Program


class PlainProgram(Program):
    """A program whose source runs as it stands, without a compiler."""

    def bind(self, *args, **kwargs):
        return super().bind(*args, **kwargs, plain=True)


def loops(source):
    """Give the texts of the loops of a program, without their names."""
    texts = source.split("\n\n\n")
    return {re.sub(r"^def loop_\d+", "", text) for text in texts if text.startswith("def loop")}
