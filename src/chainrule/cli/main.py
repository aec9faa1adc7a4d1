r"""The commands and their options, and what becomes of an error: one line, and an exit code.

0 is success, 1 a failure, 2 a wrong call, 130 an interruption.

>>> from click.testing import CliRunner
>>> CliRunner().invoke(main, ["--version"]).output.split()[0]
'chainrule'
>>> CliRunner().invoke(main, ["fit", "no.csv", "--target", "y"]).output
'error: no.csv: there is no such file\n'

What a command does is in a module of its own, imported when the command runs: it needs
scikit-learn and pyarrow, and `chainrule --help` is to answer at once. This is the one place of the
package where an import waits for a call.
"""

import shlex
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from chainrule import __version__
from chainrule.columns import KINDS
from chainrule.errors import ChainruleError

Command = TypeVar("Command", bound=Callable[..., Any])


class CommandLine(click.Group):
    """A group of commands that ends with one line for an error, and no traceback."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line, and exit."""
        given = args[0] if args else extra.get("args")
        settings = {"debug": False, "arguments": sys.argv[1:] if given is None else list(given)}
        extra |= {"prog_name": self.name, "obj": settings, "standalone_mode": False}
        run: Callable[..., Any] = super().main
        try:
            code = run(*args, **extra)
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "chainrule"
            _say_error(f"{error.format_message()} See {path} --help")
            sys.exit(error.exit_code)
        except click.ClickException as error:
            _say_error(error.format_message())
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo("interrupted", err=True)
            sys.exit(130)
        except Exception as error:  # whatever it is, the user gets one line
            if settings["debug"]:
                traceback.print_exc()
            _say_error(_message(error))
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def _message(error: Exception) -> str:
    if isinstance(error, ChainruleError | ImportError):
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return f"{type(error).__name__}: {error} (--debug shows where)"


def _say_error(message: str) -> None:
    """Print one line, whatever line breaks and control characters a name in it has."""
    line = " ".join(message.split())
    shown = "".join(letter if letter.isprintable() else "?" for letter in line)
    click.echo(f"error: {shown}", err=True)


def _set_debug(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.obj["debug"] = True


_debug = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_set_debug, is_eager=True,
    help="Show where an error comes from.",
)  # fmt: skip
_delimiter = click.option(
    "--delimiter", metavar="LETTER", help="Between the cells of a row; for CSV a comma."
)
_table = click.argument("table", type=click.Path(path_type=Path))
_model = click.argument("model", type=click.Path(path_type=Path))


def _kinds(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    kinds = {}
    for value in values:
        column, equals, kind = value.rpartition("=")
        if not equals or kind not in KINDS:
            raise click.BadParameter(
                f"{value!r} is not COLUMN=KIND, KIND one of {', '.join(KINDS)}."
            )
        kinds[column] = kind
    return kinds


_target = click.option("--target", required=True, metavar="COLUMN", help="The column to predict.")
_task = click.option(
    "--task",
    type=click.Choice(["auto", "classification", "regression"]),
    default="auto",
    help="Found from the target column, unless given.",
)
_drop = click.option(
    "--drop", multiple=True, metavar="COLUMN", help="Leave a column out; repeatable."
)
_kind = click.option(
    "--kind",
    "kinds",
    multiple=True,
    callback=_kinds,
    metavar="COLUMN=KIND",
    help=f"Take a column for a {', '.join(KINDS[:-1])} or {KINDS[-1]} it; repeatable.",
)
_weights = click.option("--weights", metavar="COLUMN", help="How much each row counts.")
_members = click.option(
    "--members", type=click.IntRange(1), metavar="N", help="Nets that are averaged."
)
_seed = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="Decides chance; 0."
)
_bad_rows = click.option(
    "--on-bad-rows",
    type=click.Choice(["error", "skip"]),
    default="error",
    help="Rows of a CSV file with too many or too few cells.",
)


_out = click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where model and report go; by default the name of the table with -model.",
)
_test = click.option(
    "--test",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Rows to score at the end; by default a share of the table.",
)
_test_share = click.option(
    "--test-share",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    help="Share of the table that is only scored at the end: 0.2, unless given; 0 for none.",
)
_class_weight = click.option(
    "--class-weight", type=click.Choice(["balanced"]), help="Let all classes count the same."
)
_epochs = click.option(
    "--epochs", type=click.IntRange(1), metavar="N", help="Passes through the rows, at most."
)
_quiet = click.option("--quiet", is_flag=True, help="Print nothing but errors.")


def _examples(*lines: str) -> str:
    """Make the end of a help text, which click is not to wrap."""
    return "\n".join(["\b", "Examples:", *(f"  chainrule {line}" for line in lines)])


_FIT = _examples(
    "fit penguins.csv --target species",
    "fit houses.parquet --target price --drop id --kind zip=category",
    "fit train.csv --target churn --test test.csv",
)
_ADVISE = _examples(
    "advise penguins.csv --target species",
    "advise houses.csv --target price --drop id --kind zip=category",
    "advise penguins.csv --target species --json > advice.json",
)
_PREDICT = _examples(
    "predict penguins-model new.csv > predictions.csv",
    "predict penguins-model new.csv --out p.csv --no-probabilities",
)
_EVALUATE = _examples("evaluate penguins-model labeled.csv --target species")
_SHOW = _examples("show penguins-model")
_DRAW = _examples(
    "draw penguins-model --out net.svg",
    "draw lenet.chainrule --input 1,28,28 --level 2 --out lenet.html",
    "draw xor.chainrule --neurons --out xor.svg",
)
_EXPLAIN = _examples(
    "explain --example worked",
    "explain penguins-model penguins.csv --row 17",
    "explain penguins-model penguins.csv --row 17 --html row.html",
    "explain penguins-model penguins.csv --target species --level 4",
    "explain penguins-model penguins.csv --weight h1[0,1] --level 1",
)
_PROFILE = _examples(
    "profile penguins.csv --target species",
    "profile penguins.csv --target species --plan",
    "profile penguins.csv --target species --source > step.py",
)
_TUNE = _examples(
    "tune penguins.csv --target species --trials 50 --jobs 2",
    "tune houses.csv --target price --score mae --method random",
    "tune penguins.csv --target species --space lr=log:1e-4..1e-2",
)
_ALL = _examples(
    "fit penguins.csv --target species",
    "predict penguins-model new.csv > predictions.csv",
    "evaluate penguins-model labeled.csv --target species",
    "show penguins-model",
    "draw penguins-model --out net.svg",
    "tune penguins.csv --target species --trials 50",
    "profile penguins.csv --target species",
    "advise penguins.csv --target species",
)


@click.group("chainrule", cls=CommandLine, invoke_without_command=True, epilog=_ALL)
@click.version_option(__version__, prog_name="chainrule", message="%(prog)s %(version)s")
@_debug
@click.pass_context
def main(context: click.Context) -> None:
    """Train neural networks on tables, and see through them."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


@main.command(epilog=_FIT)
@_table
@_target
@_out
@_task
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Rows that choose the best epoch; by default each net leaves some rows out for that.",
)
@_test
@_test_share
@_drop
@_kind
@_weights
@_class_weight
@_epochs
@_members
@_seed
@_bad_rows
@_delimiter
@_quiet
@_debug
def fit(**options: Any) -> None:
    """Train on a table, and write model and report.

    The table is a .csv, .tsv or .parquet file. Kinds of columns, missing values, the model and
    its settings are chosen, and each choice is told with its reason. Ctrl-C stops early and keeps
    the best weights so far.
    """
    _check_test(options)
    body = import_module("chainrule.cli.fit")
    body.fit(body.Options(**options))


def _check_test(options: dict[str, Any]) -> None:
    if options["test"] is not None and options["test_share"] is not None:
        raise click.UsageError("--test and --test-share exclude each other.")


@main.command(epilog=_TUNE)
@_table
@_target
@click.option(
    "--trials",
    type=click.IntRange(1),
    metavar="N",
    help="Settings to try, those of an interrupted search included: 50; of a grid, all.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, metavar="N", help="Processes that work at once; 1."
)
@click.option(
    "--method",
    type=click.Choice(["bayes", "random", "grid"]),
    default="bayes",
    help="How settings are drawn: bayes, unless given.",
)
@click.option(
    "--folds", type=click.IntRange(2), default=5, metavar="K", help="Parts that score in turn; 5."
)
@click.option(
    "--score",
    type=click.Choice(["log-loss", "accuracy", "balanced-accuracy", "r2", "rmse", "mae"]),
    help="What is to be best: log-loss of classes, r2 of numbers.",
)
@click.option(
    "--space",
    multiple=True,
    metavar="NAME=VALUES",
    help="Search this setting of the model, and not the usual ones; repeatable. "
    "VALUES are LOW..HIGH, log:LOW..HIGH or VALUE,VALUE,...",
)
@click.option(
    "--study",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the trials are kept; by default beside the model.",
)
@_out
@_task
@_test
@_test_share
@_drop
@_kind
@_weights
@_class_weight
@_epochs
@_members
@_seed
@_bad_rows
@_delimiter
@_quiet
@_debug
@click.pass_context
def tune(context: click.Context, /, **options: Any) -> None:
    """Search the settings of the model that fit trains, and write the best.

    Settings are scored by folds of the rows, the best ones on test rows; then they are fitted on
    all rows. Ctrl-C keeps the trials that are done: the same command goes on.
    """
    _check_test(options)
    body = import_module("chainrule.cli.tune")
    line = shlex.join(["chainrule", *context.obj["arguments"]])
    context.exit(body.run(options, line))


@main.command(epilog=_PREDICT)
@_model
@_table
@click.option(
    "--out", default="-", metavar="FILE|-", help="A CSV file; - is standard output, the default."
)
@click.option(
    "--probabilities/--no-probabilities",
    default=None,
    help="A column p(class) for each class; on, unless it is a regression.",
)
@_delimiter
@_debug
def predict(**options: Any) -> None:
    """Predict the rows of a table, as CSV in the same order.

    MODEL is a file, or a folder that `chainrule fit` wrote. Columns that the model does not take
    are ignored.
    """
    import_module("chainrule.cli.use").predict(**options)


@main.command(epilog=_EVALUATE)
@_model
@_table
@click.option(
    "--target",
    metavar="COLUMN",
    help="The column with the truth; by default the only one that the model does not take.",
)
@_delimiter
@_debug
def evaluate(**options: Any) -> None:
    """Score a model on a table that has the truth."""
    import_module("chainrule.cli.use").evaluate(**options)


@main.command(epilog=_SHOW)
@_model
@_debug
def show(**options: Any) -> None:
    """Show what is in a model file: columns, layers, training."""
    import_module("chainrule.cli.use").show(**options)


def _row_shape(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        sizes = tuple(int(part) for part in value.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise click.BadParameter(f"{value!r} is no shape, such as 4 or 1,28,28.")
    return sizes


@main.command(epilog=_DRAW)
@_model
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A .svg, .html, .dot, .mmd (Mermaid) or .txt file; by default text is printed.",
)
@click.option(
    "--level",
    default="1",
    metavar="N|ops",
    help="0 for the whole net as a box, 1 for layers, 2 for what is in them, ops for all; 1.",
)
@click.option("--neurons", is_flag=True, help="Draw units as circles, and each weight as a line.")
@click.option(
    "--input",
    "row",
    callback=_row_shape,
    metavar="SHAPE",
    help="The shape of one row, where the first layer does not tell it.",
)
@_debug
def draw(**options: Any) -> None:
    """Draw the net of a model file.

    MODEL is a file, or a folder that `chainrule fit` wrote. The picture needs no other program, and
    tells the shapes between layers and their parameters.
    """
    level = options["level"]
    if level != "ops" and not level.isdecimal():
        raise click.UsageError(f"--level {level}: expected 0, 1, 2, ... or ops.")
    import_module("chainrule.cli.draw").draw(**options)


@main.command(epilog=_PROFILE)
@_table
@_target
@_task
@_drop
@_kind
@_weights
@_members
@_seed
@_bad_rows
@_delimiter
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    metavar="S",
    help="How long to measure; 1.",
)
@click.option("--source", is_flag=True, help="Print the generated Python, and measure nothing.")
@click.option("--plan", is_flag=True, help="Print operations and memory, and measure nothing.")
@_debug
def profile(seconds: float, source: bool, plan: bool, **options: Any) -> None:
    """Show where the time of a training step goes.

    The step is the one that `chainrule fit` would run with these options: its statements, how long
    each takes, and what would make it faster. Nothing is trained or written.
    """
    if source and plan:
        raise click.UsageError("--source and --plan exclude each other.")
    body = import_module("chainrule.cli.profile")
    body.profile(body.Options(**options, quiet=True), seconds=seconds, source=source, plan=plan)


@main.command(epilog=_ADVISE)
@_table
@_target
@_task
@_drop
@_kind
@_seed
@_bad_rows
@_delimiter
@click.option("--json", "as_json", is_flag=True, help="Print all that was found, as JSON.")
@_debug
def advise(**options: Any) -> None:
    """Look at a table before a net is trained on it.

    Tells the task, how many features are independent, which activations, loss and optimizers to
    start with and why, whether a linear model is likely to do as well, and what to beware of:
    columns that repeat, number the rows or give the target away, dates, rare classes, few rows.
    Nothing is written.
    """
    body = import_module("chainrule.cli.advise")
    body.advise(body.Options(**options))


@main.command(epilog=_EXPLAIN)
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.argument("table", type=click.Path(path_type=Path), required=False)
@click.option(
    "--example",
    type=click.Choice(["worked", "xor", "mazur", "cs231n", "perceptron-and"]),
    help="Instead of a model: a net that is worked by hand in a book.",
)
@click.option("--row", type=int, default=0, metavar="N", help="The row, counted from 0.")
@click.option(
    "--target", metavar="COLUMN", help="Explain a step of training towards this column's value."
)
@click.option(
    "--level",
    type=click.IntRange(0, 6),
    multiple=True,
    metavar="L",
    help="0 a sentence, 1 every number, 2 in symbols, 3 the layers, 4 the update, 5 the loss, "
    "6 checks; repeatable. All, unless given.",
)
@click.option(
    "--weight", "opened", metavar="NAME", help="The weight or unit to follow, such as W1[3,2]."
)
@click.option(
    "--digits", type=click.IntRange(2, 17), default=4, metavar="N", help="Digits that are shown; 4."
)
@click.option("--html", metavar="FILE", help="Write a page for the browser.")
@click.option("--latex", metavar="FILE", help="Write a LaTeX document.")
@click.option("--json", metavar="FILE", help="Write all numbers, in full precision.")
@_delimiter
@_debug
@click.pass_context
def explain(
    context: click.Context,
    /,
    model: Path | None,
    table: Path | None,
    example: str | None,
    row: int,
    target: str | None,
    **options: Any,
) -> None:
    """Derive every number of a prediction, or of a step of training, and check it.

    A model is followed along its largest output, or along the weight or unit that --weight names.
    Every number is computed again by a second evaluator, and every printed line is read back.
    """
    if (example is None) == (model is None or table is None):
        raise click.UsageError("Give a MODEL and a TABLE, or --example.")
    body = import_module("chainrule.cli.explain")
    if example is not None:
        context.exit(body.explain_example(example, options))
    context.exit(body.explain_row(model, table, target, row, options))
