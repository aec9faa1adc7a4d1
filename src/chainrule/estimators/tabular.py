"""`TabularClassifier` and `TabularRegressor`: a table as it comes, and no parameter needed.

Numbers are scaled robustly, categories become columns or embeddings, missing values are kept as
such; several small nets are trained as one, each without an eighth of the rows, which decide when
to stop and calibrate the probabilities; predictions are averaged.

>>> import pandas as pd
>>> rows = {"city": ["Rome", "Oslo", None, "Rome"], "age": [31, 25, 58, None]}
>>> table = pd.concat([pd.DataFrame(rows)] * 10)
>>> net = TabularClassifier(random_state=0).fit(table, ["yes", "no", "no", "yes"] * 10)
>>> net.predict(table[:3])
array(['yes', 'no', 'no'], dtype='<U3')
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.utils.validation import (
    _check_feature_names,
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from chainrule import losses, ops
from chainrule.checkpoint import Checkpoint
from chainrule.contract import check_weight
from chainrule.data import Rows, refuse_masked
from chainrule.errors import ConfigError, DataError
from chainrule.estimators.base import Targets, pair, row_weights, seed_of
from chainrule.estimators.defaults import Defaults, defaults
from chainrule.estimators.inputs import as_array
from chainrule.estimators.persist import Saved
from chainrule.estimators.rows import (
    canonical_order,
    dealt,
    first_column,
    repeated,
    take_rows,
)
from chainrule.estimators.whole import Whole, columns_of
from chainrule.explaining import explain
from chainrule.graph import Array, Value
from chainrule.losses import Loss
from chainrule.nn.tabular import TabularNet
from chainrule.optim import AdamW
from chainrule.plan import Plan
from chainrule.predicting import predict
from chainrule.schedules import Cosine, WarmUp
from chainrule.step import Step
from chainrule.stopping import EarlyStopping
from chainrule.table import TableEncoder
from chainrule.targets import TargetScaler
from chainrule.training import Training
from chainrule.transforms.explain import Explanation
from chainrule.transforms.run import trace

_MOST_GIB = 4  # of a sparse matrix that is written out
_TOO_FEW = 24  # rows; with fewer, every member sees all of them


class _Tabular(Saved, BaseEstimator):  # type: ignore[misc]
    """What the classifier and the regressor share."""

    saved_attributes: ClassVar[tuple[str, ...]] = (
        "classes_", "n_features_in_", "feature_names_in_", "n_outputs_", "n_iter_",
        "temperature_", "_task", "_encoder_state", "_scaler_state",
    )  # fmt: skip

    _outputs: Callable[[Value], dict[str, Value]]

    def training_step(self, X: Any, y: Any, sample_weight: Any = None) -> Step:
        """Compile the step that `fit` would run on these rows, without training.

        `source` of what it gives is the generated program, `plan()` a table of its statements, and
        `profile()` measures them (`docs/compile.md`). This estimator stays as it is. Numba is
        needed, unless the environment says `CHAINRULE_COMPILE=numpy`.

        >>> import numpy as np
        >>> X = np.linspace(-1, 1, 60).reshape(-1, 1)
        >>> net = TabularClassifier(random_state=0)
        >>> step = net.training_step(X, X[:, 0] > 0)
        >>> step.source.splitlines()[0].startswith("def loop_1("), step.batch_size
        (True, 15)
        >>> step.plan().splitlines()[0].split()[:2], hasattr(net, "module_")
        (['statement', 'what'], False)
        """
        fresh: Self = clone(self)
        training = fresh._training(fresh._rows_of(X, y, sample_weight), None)
        training.plan = replace(training.plan, compile="numba")
        training.prepare()
        if training.compiled is None:
            raise ConfigError("CHAINRULE_COMPILE=off: unset it, or set it to numba, for a step")
        return training.compiled

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation_data: Any, kept: Checkpoint | None
    ) -> Self:
        training = self._training(self._rows_of(X, y, sample_weight), validation_data, kept)
        self.temperature_ = 1.0  # so that a callback may predict in the middle of it
        try:
            training.run()
        finally:
            self.history_ = training.history
            self.n_iter_ = len(training.history)
        held_out = training.validation
        self.temperature_ = self._temperature(held_out) if held_out is not None else 1.0
        return self

    def _rows_of(self, X: Any, y: Any, sample_weight: Any) -> Rows:
        """Check settings and table, learn to encode it, and give its rows encoded."""
        self._check_settings()
        if y is None:
            raise DataError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        X = _dense(X)
        check_consistent_length(first_column(X), y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, first_column(X), dtype=np.float64)
            check_weight(sample_weight)
            keep = repeated(sample_weight)
            if keep is not None:
                X, y, sample_weight = take_rows(X, keep), take_rows(y, keep), None
        self.encoder_ = TableEncoder(self.kinds).fit(X)
        self._remember_columns(X)
        table = self.encoder_.transform(X)
        target = self._encoded(y)
        weight = row_weights(sample_weight, getattr(self, "class_weight", None), y)
        order = canonical_order(table.numbers, table.categories, target, weight)
        inputs = (table.numbers[order], table.categories[order])
        return Rows(inputs, target[order], None if weight is None else weight[order])

    def _check_settings(self) -> None:
        for name, low in (("members", 1), ("epochs", 1)):
            value = getattr(self, name)
            if value is None and name == "epochs":
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
                raise ConfigError(f"{name}={value!r}: expected a whole number of at least {low}")
        known = isinstance(self.lr, int | float) and 0 < self.lr < np.inf
        if self.lr is not None and not known:
            raise ConfigError(f"lr={self.lr!r}: expected a number above 0, or None")
        smoothing = getattr(self, "label_smoothing", 0.0)
        if not (isinstance(smoothing, int | float) and 0 <= smoothing < 1):
            expected = "expected a number of at least 0 and below 1"
            raise ConfigError(f"label_smoothing={smoothing!r}: {expected}")
        sizes = self.hidden if isinstance(self.hidden, Sequence | np.ndarray) else [None]
        for size in sizes:
            if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
                raise ConfigError(
                    f"hidden={self.hidden!r}: expected whole numbers of at least 1, such as (64,)"
                )

    def _remember_columns(self, X: Any) -> None:
        """Set scikit-learn's attributes about the columns."""
        self.n_features_in_ = len(self.encoder_.feature_names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check_feature_names(self, X, reset=True)
        self._encoder_state = self.encoder_.to_state()

    def _training(
        self, rows: Rows, validation_data: Any, kept: Checkpoint | None = None
    ) -> Training:
        """Make the nets, and give the training of them."""
        seed = seed_of(self.random_state, kept)
        members, chosen = int(self.members), self._chosen(len(rows))
        self.module_ = TabularNet(
            rows.inputs[0].shape[1],
            self.encoder_.cardinalities,
            self.n_outputs_,
            members,
            list(self.hidden),
            chosen.activation,
        ).initialize(seed)
        loss = self._loss()
        own = np.ones(len(rows)) if rows.weight is None else rows.weight
        share = np.ones((len(rows), members), np.float32)
        held_out = None
        if validation_data is not None:
            held_out = self._validation_rows(validation_data, members)
        elif len(rows) >= _TOO_FEW and members > 1:
            labels = rows.target if self._task in ("binary", "multiclass") else None
            share = 1 - dealt(len(rows), members, seed, labels)
            held_out = self._stacked(rows, own[:, None] * (1 - share), members)
        return Training(
            self.module_,
            loss,
            self._stacked(rows, own[:, None] * share, members),
            held_out,
            self._plan(len(rows), seed, held_out is not None, chosen, kept),
        )

    def _stacked(self, rows: Rows, weight: Array, members: int) -> Rows:
        """Give every member the target, and its own weight of each row."""
        target = np.repeat(np.expand_dims(rows.target, 1), members, axis=1)
        return Rows(rows.inputs, target, weight.astype(np.float32))

    def _validation_rows(self, validation_data: Any, members: int) -> Rows:
        X, y = pair(validation_data)
        table = self.encoder_.transform(_dense(X))
        rows = Rows((table.numbers, table.categories), self._encoded_again(y))
        return self._stacked(rows, np.ones((len(rows), members)), members)

    def _chosen(self, n: int) -> Defaults:
        """Give the settings: the user's, and defaults where there are none."""
        own = defaults(n, self._task == "regression")
        return Defaults(
            activation=own.activation if self.activation is None else self.activation,
            epochs=own.epochs if self.epochs is None else int(self.epochs),
            lr=own.lr if self.lr is None else float(self.lr),
        )

    def _plan(
        self, n: int, seed: int, validated: bool, chosen: Defaults, kept: Checkpoint | None
    ) -> Plan:
        rate, epochs = chosen.lr, chosen.epochs
        batch = int(np.clip(n // 16, 16, 256))
        batch = -(-n // max(round(n / batch), 1))
        steps = epochs * -(-n // batch)
        warm = max(steps // 10, 1)
        biases = [layer.bias for layer in self.module_.layers]
        groups: list[Any] = [(biases, {"weight_decay": 0.0})]
        if self.module_.scale is not None:
            groups.append(([self.module_.scale], {"weight_decay": 0.0, "lr": 6 * rate}))
        return Plan(
            optimizer=AdamW(rate, beta2=0.99, weight_decay=0.01),
            epochs=epochs,
            batch_size=batch,
            seed=seed,
            schedule=WarmUp(warm, Cosine(max(steps - warm, 1))),
            groups=groups,
            early_stopping=EarlyStopping(patience=epochs) if validated else None,
            validate_every=3,
            checkpoint=kept,
            callbacks=self.callbacks or (),
            progress=bool(self.verbose),
            compile=self.compile,
        )

    def explain(self, X: Any, y: Any = None) -> Explanation:
        """Explain what is predicted for some rows or, given y, a step of training on them.

        All members are in it. The step starts from the weights as they are, with the optimizer of
        `fit` at its full rate.

        >>> X = np.linspace(-1, 1, 60).reshape(-1, 1)
        >>> net = TabularClassifier(epochs=2, members=1, hidden=[4], random_state=0)
        >>> net.fit(X, X[:, 0] > 0).explain(X[:1]).verify().ok
        True
        """
        check_is_fitted(self)
        table = self.encoder_.transform(_dense(X))
        inputs, columns = (table.numbers, table.categories), [self.encoder_.number_names]
        if y is None:
            return explain(self.module_, None, inputs, columns=columns)
        members, n = int(self.members), len(table.numbers)
        rows = Rows(inputs, self._encoded_again(y))
        rows = self._stacked(rows, np.ones((n, members)), members)
        plan = self._plan(n, 0, False, self._chosen(n), None)
        return explain(
            self.module_, self._loss(), rows.inputs, rows.target, weight=rows.weight,
            optimizer=plan.optimizer, groups=plan.groups, columns=columns,
        )  # fmt: skip

    def _raw(self, X: Any) -> Array:
        """Give what the members say about each row: (rows, members, outputs)."""
        table = self.encoder_.transform(_dense(X))
        # In float64 the answer for a row does not depend on the rows it is asked together with.
        return predict(
            self.module_, (table.numbers.astype(np.float64), table.categories), self.compile
        )

    def whole(self) -> Whole:
        """Give all that `predict` does as one graph: cells in, predictions out."""
        check_is_fitted(self)
        columns = columns_of(self.encoder_)

        def f(*cells: Value) -> dict[str, Value]:
            numbers, categories = self.encoder_.encode(cells)
            # In float64, as `_raw` does.
            raw = self.module_.evaluating()(ops.cast(numbers, dtype=np.dtype(float)), categories)
            return self._outputs(raw)

        graph = trace(f, *[column.spec for column in columns])
        return Whole(graph, columns, getattr(self, "classes_", None), self._task)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def _after_load(self) -> None:
        self.encoder_ = TableEncoder.from_state(self._encoder_state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


class TabularClassifier(ClassifierMixin, _Tabular):  # type: ignore[misc]
    """Classify rows of a table: categories, missing values and unscaled numbers as they come.

    * `kinds` overrules what a column is taken for: `{"zip": "category", "id": "drop"}`.
    * `members` nets are averaged; `hidden` are the widths of their layers; `lr` is the highest
      learning rate of the schedule. `activation`, `epochs` and `lr` follow from the number of rows
      where they are None (`chainrule.estimators.defaults`).
    * `class_weight` is a dictionary or "balanced"; a `sample_weight` of whole numbers counts as
      that many equal rows.
    * `fit(..., validation_data=(X, y))` replaces the rows that the members leave out;
      `fit(..., checkpoint=DIR)` goes on from where a fit was stopped (docs/checkpoints.md).

    The order of the rows does not matter. Probabilities are calibrated: one temperature is fitted
    on the rows left out.

    Fitted: `module_`, `encoder_`, `history_`, `classes_`, `temperature_`, `n_iter_`.

    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 60).reshape(-1, 1)
    >>> net = TabularClassifier(epochs=30, random_state=0).fit(X, X[:, 0] > 0)
    >>> net.predict([[-0.9], [0.9]]), bool(net.predict_proba([[0.9]])[0, 1] > 0.9)
    (array([False,  True]), True)
    """

    def __init__(
        self,
        *,
        kinds: Mapping[str, str] | None = None,
        members: int = 8,
        hidden: Sequence[int] = (128, 128),
        activation: str | None = None,
        epochs: int | None = None,
        lr: float | None = None,
        label_smoothing: float = 0.1,
        class_weight: Any = None,
        callbacks: Any = None,
        verbose: Any = False,
        random_state: Any = None,
        compile: Any = "auto",  # noqa: A002 (the word of `chainrule.train`)
    ) -> None:
        self.kinds = kinds
        self.members = members
        self.hidden = hidden
        self.activation = activation
        self.epochs = epochs
        self.lr = lr
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state
        self.compile = compile

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        validation_data: Any = None,
        checkpoint: Any = None,
        every: Any = None,
    ) -> Self:
        """Fit to the rows of a table X and their classes y, or a matrix of 0 and 1 per label."""
        kept = Checkpoint.of(checkpoint, every)
        return self._fit(X, y, sample_weight, validation_data, kept)

    def _encoded(self, y: Any) -> Array:
        y = _as_labels(y)
        self._targets = Targets.of_labels(y)
        self.classes_, self._task = self._targets.classes, self._targets.task
        self.n_outputs_ = self._targets.outputs
        return self._targets.encode(y, np.float32)

    def _encoded_again(self, y: Any) -> Array:
        return self._targets.encode(_as_labels(y), np.float32)

    def _after_load(self) -> None:
        super()._after_load()
        self._targets = Targets(self._task, self.classes_)

    def _loss(self) -> Loss:
        return self._cross_entropy().having(label_smoothing=self.label_smoothing)

    def _cross_entropy(self) -> Loss:
        several = self._task == "multiclass"
        return losses.cross_entropy if several else losses.binary_cross_entropy_with_logits

    def _temperature(self, held_out: Rows) -> float:
        """Give the number to divide the logits by: the likeliest on the rows left out."""
        raw = predict(self.module_, held_out.inputs, self.compile)
        loss = self._cross_entropy()

        def nll(log_t: float) -> float:
            value = loss.value(raw / np.float32(np.exp(log_t)), held_out.target, held_out.weight)
            return float(value)

        return float(np.exp(minimize_scalar(nll, bounds=(-3, 3), method="bounded").x))

    def predict_proba(self, X: Any) -> Array:
        """Give the probability of each class, or of each label: shape (rows, classes)."""
        check_is_fitted(self)
        p: Array = self._probabilities(self._raw(X).astype(np.float64))
        return p

    def _probabilities(self, raw: Value) -> Value:
        """Turn what the members say into a probability per class, or per label."""
        logits = ops.div(raw, self.temperature_)
        each = ops.softmax(logits) if self._task == "multiclass" else ops.sigmoid(logits)
        p = ops.mean(each, axis=1)
        if self._task == "one":
            return ops.add(ops.mul(p, 0.0), 1.0)
        return ops.concat([1 - p, p], axis=1) if self._task == "binary" else p

    def _outputs(self, raw: Value) -> dict[str, Value]:
        p = self._probabilities(raw)
        several = self._task == "multilabel"
        return {
            "label": ops.cast(ops.less(0.5, p), dtype=np.dtype(int)) if several else ops.argmax(p),
            "probabilities": p,
        }

    def predict(self, X: Any) -> Array:
        """Give the most probable class of each row, or the labels that are more likely than not."""
        check_is_fitted(self)
        p = self.predict_proba(X)
        if self._task == "multilabel":
            return (p > 0.5).astype(int)
        return self.classes_[p.argmax(axis=1)]  # type: ignore[no-any-return]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class TabularRegressor(RegressorMixin, _Tabular):  # type: ignore[misc]
    """Predict numbers from rows of a table; the parameters are those of `TabularClassifier`.

    Targets are standardized inside. y has shape (rows,) or (rows, outputs).

    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 80).reshape(-1, 1)
    >>> TabularRegressor(random_state=0).fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.9
    True
    """

    def __init__(
        self,
        *,
        kinds: Mapping[str, str] | None = None,
        members: int = 8,
        hidden: Sequence[int] = (128, 128),
        activation: str | None = None,
        epochs: int | None = None,
        lr: float | None = None,
        loss: str | Loss = "mse",
        callbacks: Any = None,
        verbose: Any = False,
        random_state: Any = None,
        compile: Any = "auto",  # noqa: A002 (the word of `chainrule.train`)
    ) -> None:
        self.kinds = kinds
        self.members = members
        self.hidden = hidden
        self.activation = activation
        self.epochs = epochs
        self.lr = lr
        self.loss = loss
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state
        self.compile = compile

    _task = "regression"

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        validation_data: Any = None,
        checkpoint: Any = None,
        every: Any = None,
    ) -> Self:
        """Fit to the rows of a table X and numbers y."""
        kept = Checkpoint.of(checkpoint, every)
        return self._fit(X, y, sample_weight, validation_data, kept)

    def _encoded(self, y: Any) -> Array:
        self.scaler_ = TargetScaler.fit(_as_labels(y))
        self._scaler_state = self.scaler_.to_state()
        self.n_outputs_ = len(self.scaler_.mean)
        return self._encoded_again(y)

    def _encoded_again(self, y: Any) -> Array:
        return self.scaler_.transform(_as_labels(y)).astype(np.float32)

    def _after_load(self) -> None:
        super()._after_load()
        self.scaler_ = TargetScaler.from_state(self._scaler_state)

    def _loss(self) -> Loss:
        chosen = losses.get_loss(self.loss)
        if chosen.output != "values":
            raise ConfigError(f"loss={chosen.name}: expected a loss for numbers, such as 'huber'")
        return chosen

    def _temperature(self, held_out: Rows) -> float:
        return 1.0

    def predict(self, X: Any) -> Array:
        """Give the predicted number or numbers of each row."""
        check_is_fitted(self)
        return self.scaler_.inverse(self._raw(X).mean(axis=1, dtype=np.float64))

    def _outputs(self, raw: Value) -> dict[str, Value]:
        scaler = self.scaler_
        values = ops.add(ops.mul(ops.mean(raw, axis=1), scaler.scale), scaler.mean)
        return {"prediction": values[:, 0] if scaler.one_vector else values}


def _dense(X: Any) -> Any:
    """Write a sparse matrix out, since scaling moves its zeros; a huge one is refused."""
    if not hasattr(X, "tocsr"):
        return X
    gib = X.shape[0] * X.shape[1] * 8 / 2**30
    if gib > _MOST_GIB:
        raise DataError(
            f"a sparse matrix of shape {X.shape} would take {gib:,.0f} GiB as a table: select "
            "columns first, or use MLPClassifier, which takes sparse rows batch by batch"
        )
    return X.toarray()


def _as_labels(y: Any) -> Any:
    """Take a column of labels as a vector, as scikit-learn does."""
    refuse_masked(y, "y")
    y = y.toarray() if hasattr(y, "toarray") else np.asarray(as_array(y))
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
