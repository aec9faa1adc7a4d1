"""Compares chainrule's estimators with their peers by repeated cross-validation.

    python benchmarks/accuracy.py --quick
    python benchmarks/accuracy.py --sets iris,diabetes --models "chainrule Tabular,linear"
    python benchmarks/accuracy.py --cache accuracy.json --out docs/benchmarks/accuracy.md

Every model is fitted on the same folds, one model after the other within a fold, so that a busy
machine is unfair to all of them alike. Scores are accuracy or R²; probabilities are judged by
their log-loss and their expected calibration error over 15 equal-width bins of confidence. A model
is marked when its mean is within one standard error of the best mean of its table.

A model whose package is not installed is named and left out. With `--cache` an interrupted run
continues where it stopped; chainrule is measured again when its code has changed.
"""

import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any
from zlib import crc32

import click
import numpy as np
from datasets import LOADERS, Dataset, load
from host import installed, processor
from rich.console import Console
from rich.table import Table
from sklearn.compose import (
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

QUICK_SETS = ("iris", "diabetes", "penguins")
PACKAGES = ("chainrule", "numpy", "scikit-learn", "pytabkit", "torch")
console = Console()


@dataclass(frozen=True)
class Model:
    """A competitor: the package that it needs, and how it is made for a table and a seed."""

    package: str
    make: Callable[[Dataset, int, int], Any]


def prepared(data: Dataset, classifier: Callable[[], Any], regressor: Callable[[], Any]) -> Any:
    """Put the usual preparation before a model that takes nothing but complete numbers."""
    if data.task == "classification":
        model = classifier()
    else:
        model = TransformedTargetRegressor(regressor(), transformer=StandardScaler())
    if not hasattr(data.X, "columns"):
        return make_pipeline(StandardScaler(), model)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_exclude="number")),
    )
    return make_pipeline(columns, model)


def linear(data: Dataset, seed: int, threads: int) -> Any:
    return prepared(data, lambda: LogisticRegression(max_iter=2000), Ridge)


def boosting(data: Dataset, seed: int, threads: int) -> Any:
    if data.task == "classification":
        return HistGradientBoostingClassifier(random_state=seed)
    return HistGradientBoostingRegressor(random_state=seed)


def mlp(data: Dataset, seed: int, classifier: type, regressor: type) -> Any:
    """Make a multi-layer perceptron; regression is given early stopping, without which it fails."""
    common = {"max_iter": 500, "random_state": seed}
    return prepared(
        data, lambda: classifier(**common), lambda: regressor(early_stopping=True, **common)
    )


def sklearn_mlp(data: Dataset, seed: int, threads: int) -> Any:
    return mlp(data, seed, MLPClassifier, MLPRegressor)


def chainrule_mlp(data: Dataset, seed: int, threads: int) -> Any:
    import chainrule

    return mlp(data, seed, chainrule.MLPClassifier, chainrule.MLPRegressor)


def chainrule_tabular(data: Dataset, seed: int, threads: int) -> Any:
    import chainrule

    if data.task == "classification":
        return chainrule.TabularClassifier(random_state=seed)
    return chainrule.TabularRegressor(random_state=seed)


def realmlp(**options: Any) -> Callable[[Dataset, int, int], Any]:
    """Make RealMLP (Holzmüller et al., 2024), which takes categories but no missing numbers."""

    def make(data: Dataset, seed: int, threads: int) -> Any:
        from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

        task = data.task == "classification"
        kind = RealMLP_TD_Classifier if task else RealMLP_TD_Regressor
        model = kind(device="cpu", n_cv=1, n_threads=threads, random_state=seed, **options)
        if not hasattr(data.X, "columns"):
            return model
        numbers = (SimpleImputer(strategy="median"), make_column_selector(dtype_include="number"))
        filled = make_column_transformer(numbers, remainder="passthrough")
        return make_pipeline(filled.set_output(transform="pandas"), model)

    return make


MODELS = {
    "chainrule Tabular": Model("chainrule", chainrule_tabular),
    "chainrule MLP": Model("chainrule", chainrule_mlp),
    "scikit-learn MLP": Model("scikit-learn", sklearn_mlp),
    "linear": Model("scikit-learn", linear),
    "boosting": Model("scikit-learn", boosting),
    "RealMLP": Model("pytabkit", realmlp()),
    "RealMLP 64 epochs": Model("pytabkit", realmlp(n_epochs=64)),
}


def edition(package: str) -> str:
    """Return the version of a package; of chainrule also a checksum of its code."""
    name = f"{package} {installed(package)}"
    found = find_spec(package) if package == "chainrule" else None
    if found is None or found.origin is None:
        return name
    code = b"".join(path.read_bytes() for path in sorted(Path(found.origin).parent.rglob("*.py")))
    return f"{name} {crc32(code):08x}"


def why_unavailable(model: Model) -> str | None:
    """Say why a model cannot be run here, or None when it can."""
    if installed(model.package) is None and find_spec(model.package) is None:
        return f"{model.package} is not installed"
    try:
        for task in ("classification", "regression"):
            model.make(Dataset("probe", task, np.zeros((2, 1)), np.arange(2)), 0, 1)
    except (ImportError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def calibration_error(probability: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over bins of confidence (Guo et al., 2017)."""
    group = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = np.bincount(group, weights=correct - probability, minlength=bins)
    return float(np.abs(gaps).sum() / len(correct))


def rows(X: Any, index: np.ndarray) -> Any:
    return X.iloc[index] if hasattr(X, "iloc") else X[index]


def fit_and_score(
    model: Any, data: Dataset, train: np.ndarray, test: np.ndarray
) -> dict[str, float]:
    """Fit on the rows `train`; return the score on the rows `test` and the seconds of the fit."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows(data.X, train), data.y[train])
        seconds = time.perf_counter() - start
        X, y = rows(data.X, test), data.y[test]
        if data.task == "regression":
            return {"score": float(model.score(X, y)), "seconds": seconds}
        probability = np.asarray(model.predict_proba(X), dtype=float)
    probability /= probability.sum(axis=1, keepdims=True)
    correct = np.asarray(model.classes_)[probability.argmax(axis=1)] == y
    return {
        "score": float(correct.mean()),
        "log_loss": float(log_loss(y, probability, labels=model.classes_)),
        "ece": calibration_error(probability.max(axis=1), correct),
        "seconds": seconds,
    }


class Cache:
    """Results per fold, kept in a JSON file when a path is given."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.results = json.loads(path.read_text()) if path and path.exists() else {}

    def get(self, key: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Return the result stored under `key`; measure and store it when there is none."""
        if key not in self.results:
            self.results[key] = measure()
            if self.path:
                partial = self.path.with_suffix(".partial")
                partial.write_text(json.dumps(self.results, indent=0))
                os.replace(partial, self.path)
        return self.results[key]


def compare(
    data: Dataset, models: dict[str, Model], repeats: int, folds: int, threads: int, cache: Cache
) -> dict[str, list[dict[str, float]]]:
    """Cross-validate every model on one table, `repeats` times with another shuffle."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in models}
    editions = {name: edition(model.package) for name, model in models.items()}
    splitter = StratifiedKFold if data.task == "classification" else KFold
    for repeat in range(repeats):
        splits = splitter(folds, shuffle=True, random_state=repeat).split(data.X, data.y)
        for fold, (train, test) in enumerate(splits):
            for name, model in models.items():
                console.print(f"{data.name} {repeat}.{fold} {name}", style="dim", highlight=False)
                place = f"{threads} | {folds} | {repeat}.{fold}"
                key = f"{data.name} | {name} | {editions[name]} | {place}"
                result = cache.get(
                    key,
                    lambda make=model.make, split=(train, test), seed=repeat: fit_and_score(
                        make(data, seed, threads), data, *split
                    ),
                )
                results[name].append(result)
    return results


def summarize(results: dict[str, list[dict[str, float]]]) -> list[list[str]]:
    """Return one line per model: name, mean ± standard error, log-loss, ECE, seconds, mark."""
    scores = {name: [fold["score"] for fold in folds] for name, folds in results.items()}
    error = {name: stdev(s) / len(s) ** 0.5 if len(s) > 1 else 0.0 for name, s in scores.items()}
    best = max(scores, key=lambda name: mean(scores[name]))
    floor = mean(scores[best]) - error[best]
    lines = []
    for name, folds in results.items():
        center = mean(scores[name])
        extra = [
            f"{mean(fold[key] for fold in folds):.3f}" if key in folds[0] else "–"
            for key in ("log_loss", "ece")
        ]
        mark = "best" if name == best else "yes" if center >= floor else "no"
        seconds = f"{median(fold['seconds'] for fold in folds):.2f}"
        lines.append([name, f"{center:.4f} ± {error[name]:.4f}", *extra, seconds, mark])
    return lines


def page(tables: dict[str, list[list[str]]], left_out: list[str], setting: str) -> str:
    """Write all tables as one Markdown page."""
    versions = ", ".join(f"{name} {installed(name)}" for name in PACKAGES if installed(name))
    lines = [
        "# Accuracy",
        "",
        "Written by `benchmarks/accuracy.py`, which says how each model is set up; chainrule's",
        "tabular models are given no parameter but the seed.",
        "",
        f"* Command: `python {' '.join([Path(sys.argv[0]).as_posix(), *sys.argv[1:]])}`",
        f"* {setting}",
        f"* {date.today().isoformat()}; {processor()}, {os.cpu_count()} cores; "
        f"Python {platform.python_version()}; {versions}",
        *[f"* Left out: {reason}" for reason in left_out],
        "",
        "Score: accuracy, R² for diabetes; mean over the folds ± its standard error. Log-loss and",
        "expected calibration error: lower is better. Seconds: median time of one `fit`. Last",
        "column: is the mean within one standard error of the best mean?",
    ]
    for name, table in tables.items():
        lines += ["", f"## {name}", "", "| " + " | ".join(HEADER) + " |", "|---" * 6 + "|"]
        lines += ["| " + " | ".join(line) + " |" for line in table]
    return "\n".join(lines) + "\n"


HEADER = ("model", "score", "log-loss", "ECE", "seconds", "within 1 SE")


def show(title: str, lines: list[list[str]]) -> None:
    table = Table(*HEADER, title=title)
    for line in lines:
        table.add_row(*line, style="bold" if line[-1] != "no" else None)
    console.print(table)


def chosen(text: str | None, known: dict[str, Any], what: str) -> list[str]:
    """Split a comma-separated option, refuse unknown names."""
    if text is None:
        return list(known)
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.BadParameter(f"unknown {what} {unknown[0]!r}; choose from: {', '.join(known)}")
    return names


@click.command()
@click.option("--sets", help="Tables, separated by commas. Default: all.")
@click.option("--models", help="Models, separated by commas. Default: all.")
@click.option("--repeats", default=2, show_default=True, help="Shuffles of the rows.")
@click.option("--folds", default=5, show_default=True, help="Folds of each shuffle.")
@click.option("--threads", default=os.cpu_count(), show_default=True, help="Threads of each fit.")
@click.option("--out", type=click.Path(path_type=Path), help="Markdown page to write.")
@click.option("--cache", type=click.Path(path_type=Path), help="JSON file of results per fold.")
@click.option("--quick", is_flag=True, help=f"One repeat of {', '.join(QUICK_SETS)}.")
def main(
    sets: str | None,
    models: str | None,
    repeats: int,
    folds: int,
    threads: int,
    out: Path | None,
    cache: Path | None,
    quick: bool,
) -> None:
    """Compare models by repeated cross-validation and print one table per data set."""
    set_names = list(QUICK_SETS) if quick and sets is None else chosen(sets, LOADERS, "set")
    repeats = 1 if quick else repeats
    contenders, left_out = {}, []
    for name in chosen(models, MODELS, "model"):
        reason = why_unavailable(MODELS[name])
        if reason is None:
            contenders[name] = MODELS[name]
        else:
            left_out.append(f"{name} ({reason})")
            console.print(f"left out: {left_out[-1]}", style="yellow")
    if not contenders:
        raise click.ClickException("none of the models can be run here")
    store, tables = Cache(cache), {}
    with threadpool_limits(threads):
        for name in set_names:
            results = compare(load(name), contenders, repeats, folds, threads, store)
            tables[name] = summarize(results)
            show(name, tables[name])
    if out:
        plural = "s" * (threads > 1)
        setting = f"{repeats} × {folds} folds, {threads} thread{plural} per fit"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page(tables, left_out, setting), encoding="utf-8")
        console.print(f"wrote {out}")


if __name__ == "__main__":
    main()
