"""The report of a fit: one HTML file that opens anywhere.

>>> scores = [ScoreRow("network", test=0.985), ScoreRow("guess", test=0.441, role="baseline")]
>>> page = render(Report("Penguins", "classification", "species", "accuracy", scores))
>>> "98.5\u202f%" in page, "<script" in page
(True, False)
"""

from chainrule.report.content import ClassRow, Report, ScoreRow
from chainrule.report.page import render, write_report

__all__ = ["ClassRow", "Report", "ScoreRow", "render", "write_report"]
