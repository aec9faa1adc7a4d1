"""Arguments and options that several commands take, and the examples of their help."""

from pathlib import Path

import click

from chainrule.columns import KINDS


def _set_debug(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.obj["debug"] = True


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_set_debug, is_eager=True,
    help="Show where an error comes from.",
)  # fmt: skip


def _letter(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Take a backslash and a t for a tab, which is hard to type in a shell."""
    return "\t" if value == r"\t" else value


delimiter_option = click.option(
    "--delimiter",
    callback=_letter,
    metavar="LETTER",
    help=r"Between the cells of a row, \t for a tab; for CSV a comma.",
)
table_argument = click.argument("table", type=click.Path(path_type=Path))
model_argument = click.argument("model", type=click.Path(path_type=Path))


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


target_option = click.option(
    "--target", required=True, metavar="COLUMN", help="The column to predict."
)
task_option = click.option(
    "--task",
    type=click.Choice(["auto", "classification", "regression"]),
    default="auto",
    help="Found from the target column, unless given.",
)
drop_option = click.option(
    "--drop", multiple=True, metavar="COLUMN", help="Leave a column out; repeatable."
)
kind_option = click.option(
    "--kind",
    "kinds",
    multiple=True,
    callback=_kinds,
    metavar="COLUMN=KIND",
    help=f"Take a column for a {', '.join(KINDS[:-1])} or {KINDS[-1]} it; repeatable.",
)
weights_option = click.option("--weights", metavar="COLUMN", help="How much each row counts.")
members_option = click.option(
    "--members", type=click.IntRange(1), metavar="N", help="Nets that are averaged."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="Decides chance; 0."
)
bad_rows_option = click.option(
    "--on-bad-rows",
    type=click.Choice(["error", "skip"]),
    default="error",
    help="Rows of a CSV file with too many or too few cells.",
)


out_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where model and report go; by default the name of the table with -model.",
)
test_option = click.option(
    "--test",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Rows to score at the end; by default a share of the table.",
)
test_share_option = click.option(
    "--test-share",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    help="Share of the table that is only scored at the end: 0.2, unless given; 0 for none.",
)
class_weight_option = click.option(
    "--class-weight", type=click.Choice(["balanced"]), help="Let all classes count the same."
)
epochs_option = click.option(
    "--epochs", type=click.IntRange(1), metavar="N", help="Passes through the rows, at most."
)
checkpoint_option = click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep the state of the training there; the same command goes on from it.",
)
every_option = click.option(
    "--every", metavar="INTERVAL", help="How often, such as '10 minutes' or '5 epochs'; 1 minute."
)
quiet_option = click.option("--quiet", is_flag=True, help="Print nothing but errors.")


def _sizes(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Read the shape of a row."""
    if value is None:
        return None
    sizes = value.split(",")
    if not all(size.isdecimal() and int(size) for size in sizes):
        raise click.BadParameter(f"{value!r} is not a shape such as 3 or 1,28,28.")
    return tuple(int(size) for size in sizes)


shape_of_row_option = click.option(
    "--input",
    "row",
    callback=_sizes,
    metavar="SIZES",
    help="Shape of a row, such as 1,28,28, where the first layer does not tell it.",
)


def _examples(*lines: str) -> str:
    """Make the end of a help text, which click is not to wrap."""
    return "\n".join(["\b", "Examples:", *(f"  chainrule {line}" for line in lines)])


FIT = _examples(
    "fit penguins.csv --target species",
    "fit houses.parquet --target price --drop id --kind zip=category",
    "fit train.csv --target churn --test test.csv",
    "fit train.csv --target churn --checkpoint runs/churn",
)
ADVISE = _examples(
    "advise penguins.csv --target species",
    "advise houses.csv --target price --drop id --kind zip=category",
    "advise penguins.csv --target species --json > advice.json",
)
PREDICT = _examples(
    "predict penguins-model new.csv > predictions.csv",
    "predict penguins-model new.csv --out p.csv --no-probabilities",
)
EVALUATE = _examples("evaluate penguins-model labeled.csv --target species")
SHOW = _examples("show penguins-model")
DRAW = _examples(
    "draw penguins-model --out net.svg",
    "draw lenet.chainrule --input 1,28,28 --level 2 --out lenet.html",
    "draw xor.chainrule --neurons --out xor.svg",
)
EXPLAIN = _examples(
    "explain --example worked",
    "explain penguins-model penguins.csv --row 17",
    "explain penguins-model penguins.csv --row 17 --html row.html",
    "explain penguins-model penguins.csv --target species --level 4",
    "explain penguins-model penguins.csv --weight h1[0,1] --level 1",
)
PROFILE = _examples(
    "profile penguins.csv --target species",
    "profile penguins.csv --target species --plan",
    "profile penguins.csv --target species --source > step.py",
)
TO_PYTHON = _examples(
    "to-python penguins-model --out predict.py",
    "to-python digits.chainrule --input 1,28,28 --out digits.py",
)
EXPORT = _examples(
    "export penguins-model --out penguins.onnx",
    "export digits.chainrule --input 1,28,28 --out digits.onnx",
)
TUNE = _examples(
    "tune penguins.csv --target species --trials 50 --jobs 2",
    "tune houses.csv --target price --score mae --method random",
    "tune penguins.csv --target species --space lr=log:1e-4..1e-2",
)
ALL = _examples(
    "fit penguins.csv --target species",
    "predict penguins-model new.csv > predictions.csv",
    "evaluate penguins-model labeled.csv --target species",
    "show penguins-model",
    "draw penguins-model --out net.svg",
    "tune penguins.csv --target species --trials 50",
    "profile penguins.csv --target species",
    "advise penguins.csv --target species",
    "to-python penguins-model --out predict.py",
    "export penguins-model --out penguins.onnx",
)
