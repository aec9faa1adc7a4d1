"""Every registered thing has a row in `tables.py`, and every row is of a registered thing."""

import json
import subprocess
import sys

import pytest

import tables

_REGISTRIES = """
import json
import chainrule
from chainrule import functional, graph, losses, nn, optim, schedules
import chainrule.nn.tabular
print(json.dumps({
    "ops": list(graph.OPS), "activations": list(functional.ACTIVATIONS),
    "losses": list(losses.LOSSES), "optimizers": list(optim.OPTIMIZERS),
    "schedules": list(schedules.SCHEDULES), "layers": list(nn.MODULES),
    "initializers": list(nn.init.INITIALIZERS),
}))
"""


@pytest.fixture(scope="module")
def registered():
    """What a fresh interpreter registers, whatever tests and doctests of this one have added."""
    result = subprocess.run(
        [sys.executable, "-c", _REGISTRIES], capture_output=True, text=True, check=True
    )
    return json.loads(result.stdout)


ROWS = {
    "ops": {row.name for row in tables.OP_ROWS},
    "activations": {row.name for row in tables.ACTIVATION_ROWS},
    "losses": {row.name for row in tables.LOSS_ROWS},
    "optimizers": {row.name for row in tables.OPTIMIZER_ROWS},
    "schedules": {type(s).__name__.lower() for s, _ in tables.SCHEDULE_ROWS},
    "layers": {row.name for row in tables.LAYER_ROWS},
    "initializers": {name for name, *_ in tables.INITIALIZER_ROWS},
}


@pytest.mark.parametrize("kind", ROWS)
def test_every_registered_name_has_a_row(kind, registered):
    assert set(registered[kind]) - ROWS[kind] == set()


@pytest.mark.parametrize("kind", ROWS)
def test_every_row_is_registered(kind, registered):
    assert ROWS[kind] - set(registered[kind]) == set()
