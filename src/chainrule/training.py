"""The training loop: there is one, and everything that trains goes through it.

>>> from chainrule import nn, optim
>>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(-1, 1)
>>> model = nn.mlp([1, 16, 1], "tanh", seed=0)
>>> history = train(model, "mse", x, x**2, optimizer=optim.Adam(0.02), epochs=100, seed=0)
>>> history["loss"][-1] < 0.02
True

A step: compute the loss of a batch, walk back for the gradients, clip them, update the weights.
An epoch: a step for every batch of the shuffled rows, then validation. All of it is decided by
the seed alone; callbacks only hear about it.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NoReturn

import numpy as np

from chainrule.averaging import Average
from chainrule.checkpoint import Checkpoint, Keeper
from chainrule.contract import Judged, check_contract, check_validation, diverged, judged, trained
from chainrule.data import Rows, as_rows, epoch_order, given_order, split
from chainrule.errors import ConfigError, DivergedError, GraphError, has
from chainrule.events import Callback, EpochEnd, Event, StepEnd, TrainEnd, TrainStart, as_callbacks
from chainrule.graph import Array, value_of
from chainrule.history import History
from chainrule.interruption import TERMINATED, Interruption
from chainrule.losses import Loss
from chainrule.nn.module import Buffer, Module
from chainrule.observing import Observer
from chainrule.optim import Updater, clip_by_norm, clip_by_value, global_norm
from chainrule.pace import Pace
from chainrule.penalties import Penalized
from chainrule.plan import Plan, compiling, plan_of
from chainrule.predicting import Prediction
from chainrule.progress import Progress
from chainrule.resuming import restore, state_of
from chainrule.schedules import Schedule, get_schedule
from chainrule.statistics import EpochStatistics, Statistics
from chainrule.step import Step
from chainrule.stepping import make_step, training_mode
from chainrule.tally import Steps, Tally
from chainrule.threads import blas_threads, largest_matrix
from chainrule.transforms.compile.report import WORTH_SHARING
from chainrule.transforms.reverse import reverse

_TURN = 0.2
"""Seconds that a device runs at a time: after each turn it sends back what steps have changed."""


def train(
    model: Module,
    loss: str | Loss | Module,
    inputs: Any,
    target: Any,
    *,
    weight: Any = None,
    validation: Any = None,
    **plan: Any,
) -> History:
    """Train a model in place and give its history.

    `inputs` is an array, or a tuple of arrays that the model takes; `validation` is a share of
    the rows to hold out, or a tuple `(inputs, target)` or `(inputs, target, weight)`. All other
    arguments are those of `Plan`. A loss that is a module, such as `nn.AdaptiveLoss`, is trained
    with the model.
    """
    rows = as_rows(inputs, target, weight)
    settings = plan_of(plan)
    held_out = None
    if isinstance(validation, tuple) and len(validation) in (2, 3):
        held_out = as_rows(*validation)
    elif isinstance(validation, int | float | np.number):
        chosen, rest = split(len(rows), float(validation), seed=settings.seed)
        rows, held_out = rows.take(chosen), rows.take(rest)
    elif validation is not None:
        raise ConfigError("validation: expected (inputs, target) or (inputs, target, weight), a "
                          "tuple, or a share of the rows such as 0.2")  # fmt: skip
    elif settings.score is not None:
        raise ConfigError("score= is of validation rows: pass validation=0.2, or "
                          "validation=(inputs, target)")  # fmt: skip
    return Training(*judged(model, loss), rows, held_out, settings).run()


def training_step(
    model: Module,
    loss: str | Loss | Module,
    inputs: Any,
    target: Any,
    *,
    weight: Any = None,
    **plan: Any,
) -> Step:
    """Compile the step that `train` would run with these arguments, without training.

    `source` of what it gives is the generated program, `plan()` a table of its statements, and
    `profile()` measures them. It is compiled by Numba unless `compile="numpy"` is given.

    >>> from chainrule import nn
    >>> x = np.zeros((64, 2), np.float32)
    >>> step = training_step(nn.mlp([2, 8, 1], "tanh", seed=0), "mse", x, x[:, :1])
    >>> [line.strip() for line in step.source.splitlines() if "tanh" in line][0]
    't3 = tanh(t2)'
    """
    settings = plan_of({"compile": "numba"} | plan | {"checkpoint": None, "every": None})
    training = Training(*judged(model, loss), as_rows(inputs, target, weight), None, settings)
    training.prepare()
    if training.compiled is None:
        how = compiling(settings.compile)
        raise ConfigError(f"compile={how!r}: there is no program; expected 'numba' or 'numpy'")
    return training.compiled


class Training:
    """One training of a model: `run` does it, the other methods are its steps."""

    def __init__(
        self,
        model: Module,
        loss: Loss,
        rows: Rows,
        validation: Rows | None,
        plan: Plan,
        updater: Updater | None = None,
    ) -> None:
        self.model = model
        self.given = model.model if isinstance(model, Judged) else model  # what callbacks see
        self.modules = [module for _, module in model.named_modules()]
        self.loss = loss
        self.rows = rows
        self.validation = validation
        self.plan = plan
        self.history = History()
        named = trained(model)
        self.parameters = list(named.values())
        self.observer: Observer | None = None
        if plan.statistics:
            self.observer = Observer(self.given, named, int(plan.statistics))
            self.history.statistics = Statistics()
        self.penalty = None if plan.penalty is None else Penalized(plan.penalty, named)
        thresholds = self.penalty.thresholds if self.penalty else {}
        self.updater = updater or Updater(
            list(self.parameters), plan.optimizer, plan.groups, thresholds
        )
        self.batch_size = min(plan.batch_size or len(rows), max(len(rows), 1))
        self.batches = -(-len(rows) // self.batch_size)
        self.steps_per_epoch = -(-self.batches // plan.accumulate)
        self.seed = int(np.random.default_rng(plan.seed).integers(2**31))
        self.rate_factor = 1.0
        columns = ["loss", "gradient_norm"] + ["validation_loss"] * (validation is not None)
        columns += ["validation_score"] * (validation is not None and plan.score is not None)
        self.watch = plan.early_stopping.start(columns) if plan.early_stopping else None
        self.best: list[Any] | None = None
        self.compiled: Step | None = None
        self.prediction: Prediction | None = None
        self.first_epoch = 0
        self.epochs_done = 0
        self.tally = Tally(self.steps_per_epoch, penalized=plan.penalty is not None)
        self.seconds = 0.0
        """How long the epoch took before the training was stopped in the middle of it."""
        self.runs = self.predicts = ""
        """How steps are run, and validation rows predicted; a checkpoint keeps to it."""
        self.keeper: Keeper | None = None
        self.tensors = [*model.parameters(), *(b for _, b in model.named_buffers())]
        self.kept = self._weights()
        """What weights and buffers were before the last update, if that ran as written."""
        self.average = Average(plan.average, self.parameters, plan.epochs)
        self.interruption = Interruption()
        self.callbacks = as_callbacks(plan.callbacks)
        if plan.progress:
            self.callbacks.append(Progress())
        self.hears_steps = any(
            type(c).on_step_end is not Callback.on_step_end for c in self.callbacks
        )
        self.schedule = self._schedule()

    def _schedule(self) -> Callable[[float], float]:
        if self.plan.schedule is None:
            return lambda t: 1.0
        schedule = get_schedule(self.plan.schedule)
        by_step = self.plan.schedule_by == "step"
        total = self.plan.epochs * (self.steps_per_epoch if by_step else 1)
        return schedule.over(total) if isinstance(schedule, Schedule) else schedule

    def prepare(self) -> None:
        """Check that all fits together, go on from a checkpoint, and make a program of the step.

        NumPy's products use one thread for it: others would wait for more of them for a tenth of a
        second, busily, and slow down the steps that come first.
        """
        if self.first_epoch:
            return
        with blas_threads(largest_product=0):
            self._prepare()

    def _prepare(self) -> None:
        check_contract(self.model, self.loss, self.rows, self.batch_size)
        if self.validation is not None:
            check_validation(self.model, self.loss, self.validation)
        self._resume()
        self.first_epoch = self.epochs_done + 1
        if not self.history.reason:
            self.compiled = make_step(self)
            if self.compiled is None and self.observer is not None and self.observer.steps:
                self.observer.find([x[:1] for x in self.rows.inputs])  # for those of a checkpoint
            if self.compiled is not None:
                for memory, value in zip(self.good, self.kept, strict=True):
                    if memory is not value:  # of what no step changes
                        memory[...] = value
                self.kept = []
                self.compiled.load(self.updater, self.average.mean)
                work = self.compiled.operations
                most = self.compiled.threads if work > WORTH_SHARING else 1
                self.pace = Pace(most, large=work > 100 * WORTH_SHARING)
                if self.runs == "jax":
                    self.pace.turn = _TURN

    def run(self) -> History:
        """Train until an end is reached, and restore the best weights."""
        try:
            self.prepare()
            self._train()
        finally:
            if self.keeper is not None:
                self.keeper.close()
        if self.history.reason == "interrupted":
            warnings.warn("Training interrupted by user.", stacklevel=3)
        return self.history

    def _train(self) -> None:
        first, rows = self.first_epoch, len(self.rows)
        self._tell(TrainStart(self.given, self.plan.epochs, self.steps_per_epoch, rows, first))
        try:
            work = blas_threads(self.batch_size * largest_matrix(self.parameters))
            with work, self.interruption.heard(), training_mode(self.model):
                while not self.history.reason:
                    self._epoch(self.epochs_done + 1)
        except Exception as error:
            self.history.reason = "failed"
            if isinstance(error, DivergedError):
                self.average.mean = None  # bad weights are in it: the last good ones remain
            raise
        except KeyboardInterrupt:
            self.history.reason = "interrupted"
            raise
        finally:
            self._finish()

    def _epoch(self, epoch: int) -> None:
        """Learn every batch once, validate, and say in the history whether that was the end."""
        started = time.perf_counter() - self.seconds
        order = self._order(epoch)
        for done in self._steps(epoch, order):
            self.tally.add(done)
            if self.observer is not None:
                self.observer.add(done)
            self.seconds = time.perf_counter() - started
            if self.tally.done < self.steps_per_epoch:
                self._keep_if_due()
            self._tell_steps(done, epoch)
        partial = self.interruption.asked
        if partial:
            self._keep()
            self._terminate()
        row: dict[str, float] = {"epoch": epoch, **self.tally.losses()}
        self.average.epoch(epoch)
        with self.average.shown(self.model, self.rows, self.batch_size):
            row |= self._validate(epoch, partial)
            row |= self.tally.rates() | {"seconds": time.perf_counter() - started}
            self.history.append(row)
            ended = self._judge(epoch, row, self._statistics(epoch))
        self.tally.clear()
        self.seconds, self.epochs_done = 0.0, epoch
        if not partial:
            ended = ended or ("epochs" if epoch >= self.plan.epochs else "")
            if ended or self.interruption.asked:
                self._keep(ended)
            else:
                self._keep_if_due(epoch)
            self._terminate()
        if self.interruption.asked:
            ended = ended if ended and not partial else "interrupted"
        self.history.reason = ended

    def _statistics(self, epoch: int) -> EpochStatistics | None:
        """Put the statistics of an epoch into the history."""
        found = self.observer.epoch(epoch) if self.observer is not None else None
        if found is not None and self.history.statistics is not None:
            self.history.statistics.epochs.append(found)
        return found

    def _keep(self, ended: str = "") -> None:
        """Write a checkpoint."""
        if self.keeper is not None:
            if self.compiled is not None:
                self.compiled.store(self.updater)
            self.keeper.write(self.updater.t, *state_of(self, ended))

    def _keep_if_due(self, epoch: int | None = None) -> None:
        failed = self.compiled is not None and self.compiled.failed  # maybe within an update
        if self.keeper and not failed and self.keeper.is_due(self.updater.t, epoch):
            self._keep()

    def _terminate(self) -> None:
        """End the process if SIGTERM has come."""
        if self.interruption.terminated:
            self.history.reason = "terminated"
            raise SystemExit(TERMINATED)

    def _steps(self, epoch: int, order: Array | None) -> Iterator[Steps]:
        """Learn batch after batch; several steps may be done at a time."""
        if self.compiled is not None:
            yield from self._run_program(self.compiled, epoch, order)
            return
        done = self.tally.done * self.plan.accumulate
        batches = self.rows.batches(self.batch_size, order, first=done)
        while group := list(islice(batches, self.plan.accumulate)):
            yield self._step(group, epoch)
            if self.interruption.asked:
                return

    def _run_program(self, step: Step, epoch: int, order: Array | None) -> Iterator[Steps]:
        """Run the program for a short time at once, so that Ctrl-C and progress are noticed."""
        step.order(order)
        several, told = self.plan.accumulate, self.tally.done
        first = self.updater.t - told
        if several > 1:
            step.divide(several)
        done = min(told * several, self.batches)
        while done < self.batches and not (
            told and self.interruption.asked and done % several == 0
        ):
            left = self.batches - done
            if self.keeper is not None:
                left = min(left, (told + self.keeper.left(first + told)) * several - done)
            steps, threads = self.pace.next(left)
            stop = min(-(-(done + steps) // several) * several, self.batches)
            self._tell_program(step, done, stop, first, epoch)
            started = time.perf_counter()
            end = step.run(done, stop, threads)
            self.pace.tell((time.perf_counter() - started) * steps / (stop - done))
            done = end
            updates = self.steps_per_epoch if end == self.batches else end // several
            between = end % several == 0 or end == self.batches  # and not in an update
            if updates > told and (between or step.failed):
                self.updater.t = first + updates
                if self.average.beta is not None:
                    self.average.mean = step.averages
                yield step.given(first, told, updates, several, self.plan.optimizer.lr)
                told = updates
            if step.failed:
                self._fail(step, end, order, epoch)

    def _tell_program(self, step: Step, start: int, stop: int, first: int, epoch: int) -> None:
        """Give the program the number of the update of each batch, and its factors."""
        t = first + np.arange(start, stop) // self.plan.accumulate
        factors = np.full(stop - start, self.rate_factor)
        if self.plan.schedule is not None:
            by_step = self.plan.schedule_by == "step"
            factors *= [self._scheduled(int(n) if by_step else epoch - 1) for n in t]
        step.numbers[start:stop, 0] = t + 1
        step.numbers[start:stop, 1] = factors
        if self.average.beta is not None:
            step.numbers[start:stop, 2] = self.average.keep(t + 1)

    def _fail(self, step: Step, at: int, order: Array | None, epoch: int) -> NoReturn:
        """Repeat the batch whose loss or gradient is not finite, to say where that began."""
        step.store(self.updater)
        rate, t = self.plan.optimizer.lr * self._factor(epoch), self.updater.t
        now, good = [x.value for x in self.tensors], self.good
        self._step(list(islice(self.rows.batches(self.batch_size, order, first=at), 1)), epoch)
        # All is finite as written: only a sum over batches was not, or a last digit matters.
        loss = None if np.isfinite(step.losses[at]) else step.losses[at]
        self._restore(now if loss is None else good)
        self.updater.t = t
        value = float(step.norms[at] if loss is None else loss)
        raise diverged(loss, t + 1, epoch, rate, value)

    def _order(self, epoch: int) -> Array | None:
        if callable(self.plan.shuffle):
            return given_order(self.plan.shuffle(epoch), len(self.rows))
        return epoch_order(len(self.rows), self.seed, epoch) if self.plan.shuffle else None

    def _step(self, group: list[Any], epoch: int) -> Steps:
        """Learn one batch, or several that make one update."""
        if not all(module.training for module in self.modules):
            self.model.train()  # a callback has left it in another mode
        rate = self.plan.optimizer.lr * self._factor(epoch)
        seen = self.observer is not None and self.observer.due(self.updater.t + 1)
        sizes = [len(t) if w is None else float(np.sum(w, dtype=float)) for _, t, w in group]
        total = sum(sizes)
        gradients: list[Array] = []
        value = term = 0.0
        with np.errstate(all="ignore"):  # what is not finite is found and named below
            for i, (inputs, target, weight) in enumerate(group):
                if i == len(group) - 1:
                    now = self._weights()
                if not sizes[i]:  # without weight nothing counts
                    weight = np.ones_like(weight)
                loss = self.loss.value(self.model(*inputs), target, weight)
                if len(group) > 1 or not sizes[i]:
                    loss = loss * (sizes[i] / (total or 1.0))
                if self.penalty is not None and total and i == len(group) - 1:
                    extra = self.penalty.term(total)
                    loss, term = loss + extra, float(value_of(extra))
                value += float(value_of(loss))
                if not np.isfinite(value):
                    self._restore(self.good)
                    raise diverged(loss, self.updater.t + 1, epoch, rate, value)
                if self.observer is not None and seen:
                    self.observer.look(loss)
                found = self._gradients(loss)
                gradients = list(map(np.add, gradients, found)) if gradients else found
            gradients = self._limited(gradients)
            clipped, norm = self._clip(gradients)
        if not np.isfinite(norm):
            raise diverged(None, self.updater.t + 1, epoch, rate, norm, self.model, clipped)
        before = [p.value for p in self.parameters]
        self.updater.step(clipped, self._factor(epoch))
        self.kept = now
        self.average.step(self.updater.t)
        count = sum(len(target) for _, target, _ in group)
        squares = None
        if self.observer is not None and seen:
            squares = [self.observer.measured(gradients, before)]
        return Steps(self.updater.t, [value], [norm], [rate], [count], [term], squares)

    def _gradients(self, loss: Any) -> list[Array]:
        found = reverse([loss], [np.ones((), loss.dtype)], self.parameters)
        return [
            np.zeros_like(p.value) if g is None else g
            for g, p in zip(found, self.parameters, strict=True)
        ]

    def _factor(self, epoch: int) -> float:
        t = self.updater.t if self.plan.schedule_by == "step" else epoch - 1
        return self._scheduled(t) * self.rate_factor

    def _scheduled(self, t: float) -> float:
        factor = self.schedule(t)
        if not isinstance(factor, int | float | np.number):
            raise ConfigError(f"schedule gave {factor!r} at {t}: expected a factor of the rate, "
                              "such as schedule=lambda t: 1 / (1 + t)")  # fmt: skip
        return float(factor)

    def _limited(self, gradients: list[Array]) -> list[Array]:
        limit = self.plan.clip_value
        return gradients if limit is None else clip_by_value(gradients, limit)

    def _clip(self, gradients: list[Array]) -> tuple[list[Array], float]:
        if self.plan.clip_norm is not None:
            return clip_by_norm(gradients, self.plan.clip_norm)
        return gradients, global_norm(gradients)

    def _validate(self, epoch: int, partial: bool) -> dict[str, float]:
        due = epoch % self.plan.validate_every == 0 or epoch == self.plan.epochs
        if self.validation is None or not (due or partial):
            return {}
        prediction = self._predicted(self.validation.inputs)
        with np.errstate(all="ignore"):
            loss = self.loss.value(prediction, self.validation.target, self.validation.weight)
        row = {"validation_loss": float(loss)}
        if self.plan.score is not None:
            row["validation_score"] = float(self.plan.score(prediction, self.validation.target))
        return row

    def _predicted(self, inputs: tuple[Array, ...]) -> Array:
        """Predict the validation rows, by a program if the step is one and that pays."""
        if self.prediction is None:
            machine = self.plan.compile if self.runs == "numba" and not self.predicts else False
            if self.predicts == "numba" and has("numba"):
                machine = "numba"
            if self.runs == "jax":
                machine = "jax"
            self.prediction = Prediction(
                self.model, inputs, times=-(-self.plan.epochs // self.plan.validate_every),
                threads=self.plan.threads, compile=machine, repeatable=True,
            )  # fmt: skip
            self.predicts = self.prediction.by
        return self.prediction(inputs)

    def _judge(self, epoch: int, row: dict[str, float], statistics: EpochStatistics | None) -> str:
        """Keep the best weights, tell the callbacks, and say why to stop, if so."""
        stop = False
        watched = self.watch is not None and (
            self.plan.validate_every == 1 or self.watch.rule.monitor in row
        )
        if self.watch is not None and watched:
            stop = self.watch.update(epoch, row)
            if self.watch.best_epoch == epoch:
                self.best = self._weights()
                self.history.best_epoch = epoch
        is_best = self.watch is not None and self.watch.best_epoch == epoch
        self._tell(EpochEnd(epoch, row, is_best, self.given, statistics))
        if stop and self.watch is not None:
            return self.watch.ended or self._lower_rate()
        return ""

    def _lower_rate(self) -> str:
        """Lower the rate if there is a plateau rule that allows it; else say that it is over."""
        rule = self.plan.plateau
        if rule is None or self.watch is None:
            return "early stopping"
        if self.plan.optimizer.lr * self.rate_factor <= rule.minimum:
            return "learning rate too small"
        self.rate_factor *= rule.factor
        self.watch.waited = 0
        return ""

    def _finish(self) -> None:
        self.kept = []
        if self.compiled is not None:
            step, self.compiled = self.compiled, None  # its memory serves for what is given back
            step.close(self.updater)
        self.average.put(self.model, self.rows, self.batch_size)
        rule = self.plan.early_stopping
        if self.best is not None and rule is not None and rule.restore_best:
            self._restore(self.best)
        self._tell(TrainEnd(self.history.reason, self.history.best_epoch, self.given))

    @property
    def good(self) -> list[Any]:
        """What weights and buffers were before the last update: their loss was finite."""
        return self.kept if self.compiled is None else self.compiled.before(self.tensors)

    # Weights, which a step replaces: keeping a reference keeps the numbers.

    def _weights(self) -> list[Any]:
        if self.compiled is not None:  # the program changes its memory in place
            return [np.array(x.value) for x in self.tensors]
        return [x.value for x in self.tensors]

    def _restore(self, values: list[Any]) -> None:
        for x, value in zip(self.tensors, values, strict=True):
            x.renew(value)

    def _resume(self) -> None:
        """Hold the folder of the checkpoints, and go on from the newest if there is one."""
        if not isinstance(self.plan.checkpoint, Checkpoint):
            return
        self.keeper = Keeper(self.plan.checkpoint)
        found = self.keeper.newest()
        if found is None:
            return
        self.history.reason = restore(self, *found)
        self.keeper.tidy(self.updater.t)
        if callable(self.plan.shuffle):  # it may go on from the last order that it gave
            for epoch in range(1, self.epochs_done + 1):
                self.plan.shuffle(epoch)

    def _tell_steps(self, done: Steps, epoch: int) -> None:
        if self.hears_steps:
            for i, (loss, norm, rate) in enumerate(
                zip(done.losses, done.norms, done.rates, strict=True)
            ):
                seen = self.observer.seen(done, i) if self.observer is not None else None
                numbers = float(loss), float(norm), float(rate)
                self._tell(StepEnd(done.first + i, epoch, *numbers, seen))

    def _tell(self, event: Event) -> None:
        hook = {
            TrainStart: Callback.on_train_start,
            StepEnd: Callback.on_step_end,
            EpochEnd: Callback.on_epoch_end,
            TrainEnd: Callback.on_train_end,
        }[type(event)].__name__
        before = [x.value for x in self.tensors]
        for callback in self.callbacks:
            getattr(callback, hook)(event)
            if not isinstance(event, TrainEnd):
                self._hold(before, hook)

    def _hold(self, values: list[Any], hook: str) -> None:
        """Put back what a callback has replaced, and refuse it but for buffers, as of dropout."""
        replaced = [x for x, v in zip(self.tensors, values, strict=True) if x.value is not v]
        if replaced:
            self._restore(values)
        if not all(isinstance(x, Buffer) for x in replaced):
            raise GraphError(f"{hook} of a callback replaced weights: callbacks read and never "
                             "steer; change copy.deepcopy(event.model), or the model before or "
                             "after train")  # fmt: skip
