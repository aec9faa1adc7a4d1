"""Write docs/notes.md.

python -m tools.coverage          check every row and write the page
python -m tools.coverage --print  print it instead
"""

import sys

from tools.coverage import SECTIONS
from tools.coverage.book import PAGE, page
from tools.coverage.checks import problems

if __name__ == "__main__":
    wrong = [text for rows in SECTIONS.values() for row in rows for text in problems(row)]
    if wrong:
        sys.exit("\n".join(wrong))
    if "--print" in sys.argv:
        sys.stdout.write(page(SECTIONS))
    else:
        PAGE.write_text(page(SECTIONS), encoding="utf-8")
