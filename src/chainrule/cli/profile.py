"""`chainrule profile`: where the time of a training step goes, on a table of one's own.

The step is the one that `chainrule fit` would run with the same options; nothing is learned.

>>> print(narrowed(_TABLE, 36))
statement  what it com…  sizes    us
product    Net/Linear:…  8x4    1.25
total                           1.25
peak of one thread here: 240 GFLOP/s
"""

import os
import sys
import textwrap
import warnings

from chainrule.cli.account import Account
from chainrule.cli.fit import Job, Options, make_model, prepare
from chainrule.cli.tables import counted
from chainrule.errors import ConfigError, expect
from chainrule.plan import compiling
from chainrule.step import Step

LEAST_WORDS = 12  # letters of "what it computes" that are left, however narrow the terminal


def profile(options: Options, *, seconds: float, source: bool, plan: bool) -> None:
    """Compile the step of a fit and print its profile, its source or its plan."""
    check_compiler()
    account = Account()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # `chainrule fit` tells them
        job = prepare(options)
        step = compiled(job, options)
    first = headline(job, step, options)
    if source:
        account.unbroken(f"# {first}\n\n{step.source.rstrip()}")
        return
    text = step.plan() if plan else str(step.profile(seconds))
    if account.console.is_terminal:
        account.line(first)
        text = narrowed(text, account.console.width)
    else:
        account.unbroken(first)
    account.gap()
    account.unbroken(text)


def check_compiler() -> None:
    """Refuse, before the table is read, what cannot be measured."""
    expect("numba", extra="fast", why="to compile a training step")
    if compiling("numba") != "numba":
        value = os.environ["CHAINRULE_COMPILE"]
        raise ConfigError(f"CHAINRULE_COMPILE={value}: a profile is of compiled steps: unset it")


def compiled(job: Job, options: Options) -> Step:
    """Compile the step that the fit would run."""
    if sys.stderr.isatty():
        print("compiling ...", file=sys.stderr, flush=True)
    train, model = job.parts["train"], make_model(job, options)
    step: Step = model.training_step(train.X, train.y, train.weight)
    return step


def headline(job: Job, step: Step, options: Options) -> str:
    """Say of what the step is one: table, rows, columns, net."""
    train, model = job.parts["train"], make_model(job, options)
    widths = " and ".join(str(width) for width in model.hidden)
    rows = f"{counted(len(train), 'row')} in batches of {step.batch_size:,}"
    columns = counted(train.X.num_columns, "column")
    nets = f"{counted(int(model.members), 'net')} of {widths} units"
    return f"{options.table.name}: predict {options.target}; {rows}, {columns}, {nets}"


def narrowed(text: str, width: int) -> str:
    """Cut the words in the middle of a table so that it fits, and wrap the lines below it."""
    lines = text.splitlines()
    count = 1 + next(i for i, line in enumerate(lines) if line.startswith("total"))
    start, end = (lines[0].index(name) for name in ("what it computes", "sizes"))
    over = max(map(len, lines[:count])) - width
    room = min(max(end - start - 2 - over, LEAST_WORDS), end - start - 2)
    table = [
        f"{line[:start]}{_cut(line[start:end].rstrip(), room):{room}}  {line[end:]}".rstrip()
        for line in lines[:count]
    ]
    below = [textwrap.fill(line, width, subsequent_indent="  ") for line in lines[count:]]
    return "\n".join([*table, *below])


def _cut(words: str, room: int) -> str:
    return words if len(words) <= room else f"{words[: room - 1]}…"


_TABLE = """\
statement  what it computes    sizes    us
product    Net/Linear: matmul  8x4    1.25
total                                 1.25
peak of one thread here: 240 GFLOP/s"""
