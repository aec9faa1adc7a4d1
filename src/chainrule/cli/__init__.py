"""The command line: fit a table, predict, evaluate, show; `chainrule --help` tells the rest.

    chainrule fit penguins.csv --target species
    chainrule predict penguins-model new.csv > predictions.csv

`main` is the entry point. Nothing else imports this package.
"""

from chainrule.cli.main import main

__all__ = ["main"]
