r"""The commands and their options, and what becomes of an error: one line, and an exit code.

0 is success, 1 a failure, 2 a wrong call, 130 an interruption by Ctrl-C, 143 one by SIGTERM.

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
from typing import Any

import click

from chainrule import __version__
from chainrule.cli.options import (
    ADVISE,
    ALL,
    DRAW,
    EVALUATE,
    EXPLAIN,
    EXPORT,
    FIT,
    PREDICT,
    PROFILE,
    SHOW,
    TO_PYTHON,
    TUNE,
    bad_rows_option,
    checkpoint_option,
    class_weight_option,
    debug_option,
    delimiter_option,
    drop_option,
    epochs_option,
    every_option,
    kind_option,
    members_option,
    model_argument,
    out_option,
    quiet_option,
    seed_option,
    shape_of_row_option,
    table_argument,
    target_option,
    task_option,
    test_option,
    test_share_option,
    weights_option,
)
from chainrule.errors import ChainruleError


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
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f'this needs {error.name.split(".")[0]}: pip install "chainrule[all]"'
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


@click.group("chainrule", cls=CommandLine, invoke_without_command=True, epilog=ALL)
@click.version_option(__version__, prog_name="chainrule", message="%(prog)s %(version)s")
@debug_option
@click.pass_context
def main(context: click.Context) -> None:
    """Train neural networks on tables, and see through them."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


@main.command(epilog=FIT)
@table_argument
@target_option
@out_option
@task_option
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Rows that choose the best epoch; by default each net leaves some rows out for that.",
)
@test_option
@test_share_option
@drop_option
@kind_option
@weights_option
@class_weight_option
@epochs_option
@members_option
@seed_option
@checkpoint_option
@every_option
@bad_rows_option
@delimiter_option
@quiet_option
@debug_option
def fit(**options: Any) -> None:
    """Train on a table, and write model and report.

    The table is a .csv, .tsv or .parquet file. Kinds of columns, missing values, the model and
    its settings are chosen, and each choice is told with its reason. Ctrl-C stops early and keeps
    the best weights so far. With --checkpoint, whatever stops the training, the same command goes
    on, and ends as if nothing had stopped it.
    """
    _check_test(options)
    if options["every"] is not None and options["checkpoint"] is None:
        raise click.UsageError("--every says how often: give --checkpoint DIR too.")
    body = import_module("chainrule.cli.fit")
    body.fit(body.Options(**options))


def _check_test(options: dict[str, Any]) -> None:
    if options["test"] is not None and options["test_share"] is not None:
        raise click.UsageError("--test and --test-share exclude each other.")


@main.command(epilog=TUNE)
@table_argument
@target_option
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
@out_option
@task_option
@test_option
@test_share_option
@drop_option
@kind_option
@weights_option
@class_weight_option
@epochs_option
@members_option
@seed_option
@bad_rows_option
@delimiter_option
@quiet_option
@debug_option
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


@main.command(epilog=PREDICT)
@model_argument
@table_argument
@click.option(
    "--out", default="-", metavar="FILE|-", help="A CSV file; - is standard output, the default."
)
@click.option(
    "--probabilities/--no-probabilities",
    default=None,
    help="A column p(class) for each class; on, unless it is a regression.",
)
@delimiter_option
@debug_option
def predict(**options: Any) -> None:
    """Predict the rows of a table, as CSV in the same order.

    MODEL is a file, or a folder that `chainrule fit` wrote. Columns that the model does not take
    are ignored.
    """
    import_module("chainrule.cli.use").predict(**options)


@main.command(epilog=EVALUATE)
@model_argument
@table_argument
@click.option(
    "--target",
    metavar="COLUMN",
    help="The column with the truth; by default the only one that the model does not take.",
)
@delimiter_option
@debug_option
def evaluate(**options: Any) -> None:
    """Score a model on a table that has the truth."""
    import_module("chainrule.cli.use").evaluate(**options)


@main.command(epilog=SHOW)
@model_argument
@debug_option
def show(**options: Any) -> None:
    """Show what is in a model file: columns, layers, training."""
    import_module("chainrule.cli.show").show(**options)


@main.command(epilog=DRAW)
@model_argument
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
@shape_of_row_option
@debug_option
def draw(**options: Any) -> None:
    """Draw the net of a model file.

    MODEL is a file, or a folder that `chainrule fit` wrote. The picture needs no other program, and
    tells the shapes between layers and their parameters.
    """
    level = options["level"]
    if level != "ops" and not level.isdecimal():
        raise click.UsageError(f"--level {level}: expected 0, 1, 2, ... or ops.")
    import_module("chainrule.cli.draw").draw(**options)


@main.command(epilog=PROFILE)
@table_argument
@target_option
@task_option
@drop_option
@kind_option
@weights_option
@members_option
@seed_option
@bad_rows_option
@delimiter_option
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    metavar="S",
    help="How long to measure; 1.",
)
@click.option("--source", is_flag=True, help="Print the generated Python, and measure nothing.")
@click.option("--plan", is_flag=True, help="Print operations and memory, and measure nothing.")
@debug_option
def profile(seconds: float, source: bool, plan: bool, **options: Any) -> None:
    """Show where the time of a training step goes.

    The step is the one that `chainrule fit` would run with these options: its statements, how long
    each takes, and what would make it faster. Nothing is trained or written.
    """
    if source and plan:
        raise click.UsageError("--source and --plan exclude each other.")
    body = import_module("chainrule.cli.profile")
    body.profile(body.Options(**options, quiet=True), seconds=seconds, source=source, plan=plan)


@main.command(epilog=ADVISE)
@table_argument
@target_option
@task_option
@drop_option
@kind_option
@seed_option
@bad_rows_option
@delimiter_option
@click.option("--json", "as_json", is_flag=True, help="Print all that was found, as JSON.")
@debug_option
def advise(**options: Any) -> None:
    """Look at a table before a net is trained on it.

    Tells the task, how many features are independent, which activations, loss and optimizers to
    start with and why, whether a linear model is likely to do as well, and what to beware of:
    columns that repeat, number the rows or give the target away, dates, rare classes, few rows.
    Nothing is written.
    """
    body = import_module("chainrule.cli.advise")
    body.advise(body.Options(**options))


@main.command("to-python", epilog=TO_PYTHON)
@model_argument
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The script."
)
@shape_of_row_option
@click.option(
    "--inline/--no-inline",
    default=None,
    help="Weights in the script, or in a .npz file beside it; by default if they are few.",
)
@debug_option
def to_python(**options: Any) -> None:
    """Write a model as a script that needs NumPy alone.

    The script has a function predict, with plain NumPy for each layer, and reads a CSV file when
    it is run. MODEL is a file, or a folder that `chainrule fit` wrote.
    """
    import_module("chainrule.cli.leave").to_python(**options)


@main.command(epilog=EXPORT)
@model_argument
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The ONNX model."
)
@shape_of_row_option
@debug_option
def export(**options: Any) -> None:
    """Write a model as ONNX, with the encoding of the table.

    The model takes any number of rows. MODEL is a file, or a folder that `chainrule fit` wrote.
    """
    import_module("chainrule.cli.leave").export(**options)


@main.command(epilog=EXPLAIN)
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
@delimiter_option
@debug_option
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
    if {model is None, table is None} != {example is not None}:
        raise click.UsageError("Give a MODEL and a TABLE, or --example.")
    if example is not None:
        context.exit(import_module("chainrule.cli.example").explain_example(example, options))
    body = import_module("chainrule.cli.explain")
    context.exit(body.explain_row(model, table, target, row, options))
