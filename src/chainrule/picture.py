"""`Picture`: what is drawn is shown by a notebook and written to a file.

>>> class Dot(Picture):
...     title = "a dot"
...
...     def svg(self):
...         return '<svg xmlns="http://www.w3.org/2000/svg"><circle r="1"/></svg>'
>>> Dot().save("dot.png")
Traceback (most recent call last):
...
chainrule.errors.ConfigError: save('dot.png'): expected a name that ends in .svg, .html
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from chainrule.atomic import atomic_write
from chainrule.errors import ConfigError
from chainrule.markup import Markup, element

_PAGE = """
body { margin: 2rem auto; padding: 0 1rem; max-width: 90rem; color-scheme: light dark;
  font: 1rem/1.5 system-ui, sans-serif; }
pre { overflow-x: auto; }
"""


class Picture:
    """Something drawn; a subclass gives a title and SVG."""

    title: str

    def svg(self) -> str:
        """Give the picture as SVG that needs no other file, for light and for dark screens."""
        raise NotImplementedError(f"{type(self).__name__} has no method svg")

    def html(self) -> str:
        """Give a page with the picture; it has no script, and loads nothing."""
        return page(self.title, [Markup(self.svg())])

    def forms(self) -> dict[str, Callable[[], str]]:
        """Give what `save` writes, by the suffix of the file."""
        return {".svg": self.svg, ".html": self.html}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file, whole or not at all; its suffix says in which form.

        Raises `ConfigError` for a suffix that is none of `forms()`.
        """
        forms, suffix = self.forms(), Path(path).suffix.lower()
        if suffix not in forms:
            known = ", ".join(forms)
            raise ConfigError(f"save({os.fspath(path)!r}): expected a name that ends in {known}")
        written = forms[suffix]().rstrip("\n") + "\n"
        with atomic_write(path) as file:
            file.write(written.encode())

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        return self.svg()


def page(title: str, content: Sequence[str], rules: Sequence[str] = ()) -> str:
    """Put a page around pictures; `rules` are added to its style."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup("\n".join([_PAGE, *rules]))),
    )
    whole = element("html", head, element("body", *content), lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"
