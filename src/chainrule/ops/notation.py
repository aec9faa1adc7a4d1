r"""How an op is written: the facts that the verb *explain* reads.

Each op has a form in plain text and one in LaTeX, with a place for each input, and words:

>>> from chainrule.graph import OPS
>>> said = OPS["sigmoid"].notation
>>> said.text.fill({}, ["z"]), said.latex.fill({}, ["z"]), said.words
('σ(z)', '\\sigma\\left(z\\right)', 'the logistic function of {0}')

`binds` says how tightly a form holds its inputs together, so that parentheses stand where they
are needed and nowhere else: SUM < PRODUCT < SIGN < POWER < ATOM.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

SUM, PRODUCT, SIGN, POWER, ATOM = range(1, 6)

Template = str | Callable[[dict[str, Any]], str]


@dataclass(frozen=True)
class Form:
    """One way to write an op: `{0}` stands for its first input, `{*}` for all, with commas.

    An input that binds less than the form gets parentheses; `tight` inputs get them also when
    they bind equally, as b in a - b, and `open` ones never, as those between the bars of |x|.
    A form that is an ATOM encloses all its inputs.
    """

    template: Template
    binds: int = ATOM
    tight: tuple[int, ...] = ()
    open: tuple[int, ...] = ()

    def needs(self, place: int) -> int:
        """Give how tightly an input must bind to stand at a place without parentheses."""
        if self.binds == ATOM or place in self.open:
            return 0
        return self.binds + (place in self.tight)

    def fill(self, attrs: dict[str, Any], inputs: Sequence[str]) -> str:
        """Write the op with these inputs."""
        template = self.template if isinstance(self.template, str) else self.template(attrs)
        return re.sub(
            r"\{([0-9*])\}",
            lambda m: ", ".join(inputs) if m[1] == "*" else inputs[int(m[1])],
            template,
        )


@dataclass(frozen=True)
class Derivation:
    """How a slope is found on paper: lines in text and in LaTeX, and what their letters are worth.

    `letters` takes gradient, result, inputs and attributes, and gives each letter in text, in
    LaTeX, and its numbers; the last one is the gradient by the first input.
    """

    lines: tuple[tuple[str, str], ...]
    letters: Callable[..., list[tuple[str, str, Any]]]


@dataclass(frozen=True)
class Notation:
    """How an op is written and read.

    * `arrays` are the forms for whole arrays where they differ, as the sign of a product.
    * An op that `joins` takes any number of inputs, with its sign between them; those equal to
      `neutral` change nothing, and equal ones are written by the op `repeated`, as x + x is 2 x.
    * `elements` says what an element of the result is made of: "same", the elements at its place;
      "linear", a weighted sum; "line", all elements along `axis`; "choice", one of two inputs, as
      the first says; "given", nothing that can be written.
    * `opened` writes the op in simpler ones, for reading.
    * `mirrored` gives f(-x) by f(x), for a function that has such a symmetry.
    * `derivation` tells how the slope is found, where its formula does not show that.
    * Results that need a name get one that begins with `letter`.
    """

    words: str
    text: Form
    latex: Form
    arrays: tuple[Form, Form] | None = None
    joins: bool = False
    neutral: float | None = None
    repeated: str = ""
    elements: str = "same"
    letter: str = "t"
    opened: Callable[..., Any] | None = None
    mirrored: Callable[[Any], Any] | None = None
    derivation: Derivation | None = None


def function(words: str, text: str, latex: str = "") -> Notation:
    """Give the notation of a function of one number, such as exp(x)."""
    name = latex or rf"\mathrm{{{text}}}"
    return Notation(f"{words} of {{0}}", Form(f"{text}({{0}})"), Form(rf"{name}\left({{0}}\right)"))


def sign(
    words: str, text: str, latex: str, binds: int, tight: tuple[int, ...] = (), **more: Any
) -> Notation:
    """Give the notation of a sign between two inputs, such as a - b."""
    return Notation(
        words,
        Form(f"{{0}} {text} {{1}}", binds, tight),
        Form(f"{{0}} {latex} {{1}}", binds, tight),
        **more,
    )


def bracket(words: str, text: str, latex: str) -> Notation:
    """Give the notation of a statement that counts as 1 where it is true, and as 0 elsewhere."""
    return Notation(words, Form(f"[{text}]"), Form(rf"\left[{latex}\right]"))


def moved(words: str, text: Template, latex: Template, **more: Any) -> Notation:
    """Give the notation of an op that adds up elements, or moves them about."""
    return Notation(words, Form(text), Form(latex), elements="linear", **more)


def silent(words: str, elements: str = "linear") -> Notation:
    """Give the notation of an op that leaves the numbers as they are: nothing is written."""
    return Notation(words, Form("{0}"), Form("{0}"), elements=elements)


def given(words: str, text: str, letter: str) -> Notation:
    """Give the notation of a result that is looked up, counted or drawn, not computed."""
    return replace(function(words, text), elements="given", letter=letter)
