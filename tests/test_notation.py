"""How ops are written: parentheses stand where the meaning needs them, and nowhere else."""

import itertools

import numpy as np
import pytest

from chainrule.graph import OPS
from chainrule.ops.notation import ATOM

NUMBERS = {"a": 1.7, "b": 0.6, "c": 3.0}
SCALAR = ["add", "sub", "mul", "div", "neg", "pow"]


def written(tree, kind="text"):
    """Write a nested expression (op, input, ...) of names."""

    def form(tree):
        if isinstance(tree, str):
            return tree, ATOM
        name, *inputs = tree
        found = getattr(OPS[name].notation, kind)
        parts = [
            text if binds >= found.needs(i) else f"({text})"
            for i, (text, binds) in enumerate(map(form, inputs))
        ]
        return found.fill({}, parts), found.binds

    return form(tree)[0]


def value(tree):
    if isinstance(tree, str):
        return NUMBERS[tree]
    return OPS[tree[0]].run(*map(value, tree[1:]))


def nested():
    """Give every op of numbers in every place of every other."""
    for outer, inner in itertools.product(SCALAR, repeat=2):
        for place in range(1 if outer == "neg" else 2):
            inputs = ["c"] if outer == "neg" else ["c", "c"]
            inputs[place] = (inner, "a") if inner == "neg" else (inner, "a", "b")
            yield outer, *inputs


@pytest.mark.parametrize("tree", list(nested()), ids=str)
def test_python_reads_the_text_as_it_is_meant(tree):
    source = written(tree).translate(str.maketrans({"−": "-", "·": "*", "^": "**"}))
    found, expected = eval(source, dict(NUMBERS)), value(tree)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    if "(" in source and tree[0] not in ("neg", "pow"):  # there they stand for the eye
        bare = source.replace("(", "").replace(")", "")
        assert not np.isclose(eval(bare, dict(NUMBERS)), expected)


@pytest.mark.parametrize(
    ("tree", "text", "latex"),
    [
        (("matmul", ("matmul", "A", "B"), "C"), "(A B) C", r"(A \, B) \, C"),
        (("matmul", "A", ("matmul", "B", "C")), "A (B C)", r"A \, (B \, C)"),
        (("matmul", ("add", "A", "B"), "C"), "(A + B) C", r"(A + B) \, C"),
        (("transpose", ("add", "A", "B")), "(A + B)ᵀ", r"{(A + B)}^\top"),
        (("transpose", ("transpose", "A")), "(Aᵀ)ᵀ", r"{({A}^\top)}^\top"),
        (("pow", "a", ("add", "b", "c")), "a^(b + c)", "{a}^{b + c}"),
        (("pow", ("pow", "a", "b"), "c"), "(a^b)^c", "{({a}^{b})}^{c}"),
        (("pow", ("div", "a", "b"), "c"), "(a/b)^c", r"{(\frac{a}{b})}^{c}"),
        (("neg", ("div", "a", ("div", "b", "c"))), "−(a/(b/c))", r"-\frac{a}{\frac{b}{c}}"),
        (("conv", ("conv", "A", "B"), "C"), "(A ∗ B) ∗ C", r"(A \ast B) \ast C"),
        (("conv", "A", ("conv", "B", "C")), "A ∗ (B ∗ C)", r"A \ast (B \ast C)"),
    ],
    ids=str,
)
def test_products_of_arrays_and_powers(tree, text, latex):
    assert (written(tree), written(tree, "latex")) == (text, latex)


@pytest.mark.parametrize(
    ("cut", "text"),
    [((2, 3, 1), "x[2]"), ((None, None, 1), "x[:]"), ((0, 4, 2), "x[0:4:2]"),
     ((3, None, -1), "x[3::-1]")],
)  # fmt: skip
def test_slices_are_written_as_in_python(cut, text):
    notation = OPS["slice"].notation
    assert notation.text.fill({"slices": (cut,)}, ["x"]) == text
    assert notation.text.fill({"slices": (cut, (1, 2, 1))}, ["x"]) == text[:-1] + ",1]"
