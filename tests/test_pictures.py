"""The pictures of the documentation are those that the library draws."""

import re

import pytest

from tools.pictures import FOLDER, PICTURES


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_the_documentation_is_up_to_date(name):
    kept = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert kept == PICTURES[name]().svg().rstrip("\n") + "\n", "run `make pictures`"


def test_every_picture_is_on_a_page():
    pages = [(FOLDER.parent / name).read_text(encoding="utf-8") for name in ("draw.md", "plots.md")]
    shown = re.findall(r"\]\(images/([\w-]+)\.svg\)", "".join(pages))
    assert sorted(shown) == sorted(PICTURES)
