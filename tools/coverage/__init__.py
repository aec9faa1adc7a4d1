"""What of the study notes is there: a row per item, what makes it, and what shows it.

The rows stand in `rows.txt`; `python -m tools.coverage` checks them and writes docs/notes.md.

>>> from tools.coverage import SECTIONS
>>> sum(len(rows) for rows in SECTIONS.values())
274
"""

from tools.coverage.book import SECTIONS as SECTIONS
