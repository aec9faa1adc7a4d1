"""Write docs/errata.md.

python -m tools.errata          write the page
python -m tools.errata --print  print it instead
"""

import sys
from pathlib import Path

from tools.errata import SECTIONS
from tools.errata.book import page

PAGE = Path(__file__).parents[2] / "docs" / "errata.md"

if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(page(SECTIONS))
    else:
        PAGE.write_text(page(SECTIONS), encoding="utf-8")
