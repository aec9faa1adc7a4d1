"""Claims of the study notes, measured: what they say, what is found, and whether it holds.

>>> from benchmarks.claims.book import measured
>>> [result.verdict for result in measured(["P12"], quick=True)][0]
'fails'
"""

from benchmarks.claims import (
    activations as activations,
)
from benchmarks.claims import (
    adaptive as adaptive,
)
from benchmarks.claims import (
    basics as basics,
)
from benchmarks.claims import (
    deep as deep,
)
from benchmarks.claims import (
    general as general,
)
from benchmarks.claims import (
    losses as losses,
)
from benchmarks.claims import (
    optimizers as optimizers,
)
from benchmarks.claims import (
    steps as steps,
)
