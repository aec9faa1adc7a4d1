"""The errata of the study notes: every mistake, its correct form, and numbers that show it.

Each row is a function that computes its evidence with chainrule and compares it with what is
expected; `python -m tools.errata` runs them all and writes docs/errata.md.

>>> from tools.errata import SECTIONS
>>> sum(len(section.rows) for section in SECTIONS)
105
"""

from tools.errata.book import SECTIONS as SECTIONS

from tools.errata import (  # isort: skip  (the order of the page)
    formulas as formulas,
    worked as worked,
    conventions as conventions,
    perceptron as perceptron,
    activations as activations,
    losses as losses,
    descent as descent,
    methods as methods,
    concepts as concepts,
)
