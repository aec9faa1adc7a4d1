"""Advice before training: what to start with, how many features are independent, and hints.

>>> from sklearn.datasets import load_iris
>>> from chainrule import advise
>>> X, y = load_iris(return_X_y=True)
>>> found = advise.examine(X, y)
>>> found.task, found.advice.output_activation, found.comparison.verdict
('multiclass', 'softmax', 'linear')

`recommend` needs no data, only counts. `docs/advice.md` tells the rest.
"""

from chainrule.advise.examine import Examination as Examination
from chainrule.advise.examine import Rank as Rank
from chainrule.advise.examine import examine as examine
from chainrule.advise.examine import leak_hints as leak_hints
from chainrule.advise.examine import rank_of as rank_of
from chainrule.advise.hints import Hint as Hint
from chainrule.advise.hints import class_hints as class_hints
from chainrule.advise.hints import rows_per_input as rows_per_input
from chainrule.advise.hints import table_hints as table_hints
from chainrule.advise.rank import effective_rank as effective_rank
from chainrule.advise.rank import numerical_rank as numerical_rank
from chainrule.advise.rank import repeated_columns as repeated_columns
from chainrule.advise.rules import LARGE_ROWS as LARGE_ROWS
from chainrule.advise.rules import MANY_FEATURES as MANY_FEATURES
from chainrule.advise.rules import MOST_DEAD as MOST_DEAD
from chainrule.advise.rules import SCENARIOS as SCENARIOS
from chainrule.advise.rules import Advice as Advice
from chainrule.advise.rules import Scenario as Scenario
from chainrule.advise.rules import recommend as recommend
from chainrule.advise.target import FRACTIONS as FRACTIONS
from chainrule.advise.target import MOST_CLASSES as MOST_CLASSES
from chainrule.advise.target import ROWS_PER_CLASS as ROWS_PER_CLASS
from chainrule.advise.target import Task as Task
from chainrule.advise.target import check_class_rows as check_class_rows
from chainrule.advise.target import infer_task as infer_task
from chainrule.advise.target import task_of_cells as task_of_cells
from chainrule.advise.trials import Comparison as Comparison
from chainrule.advise.trials import Score as Score
from chainrule.advise.trials import compare as compare
from chainrule.advise.trials import leaks as leaks

__all__ = [
    "Advice", "Comparison", "Examination", "Hint", "Rank", "Scenario", "Score", "class_hints",
    "compare", "effective_rank", "examine", "infer_task", "leak_hints", "leaks", "numerical_rank",
    "rank_of", "recommend", "repeated_columns", "rows_per_input", "table_hints",
]  # fmt: skip
