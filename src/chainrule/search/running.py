"""The search itself: draw settings, have them tried, keep what became of them, until it is enough.

>>> from chainrule.search.scoring import Function
>>> from chainrule.search.space import Uniform
>>> space = {"x": Uniform(-1, 1)}
>>> with Study(None, {}, "minimize", method="random", seed=0) as study:
...     search = Search(study, Function(lambda p: p["x"] ** 2), space, trials=20)
...     found = search.run()
>>> len(found), found.best_score < 0.1
(20, True)
"""

import warnings
from collections.abc import Mapping
from typing import Any

from chainrule.errors import ChainruleError
from chainrule.search.interrupt import listening
from chainrule.search.progress import TrialProgress
from chainrule.search.result import Result
from chainrule.search.scoring import Outcome, at_fold_end, attempt
from chainrule.search.space import Flat, Space, Stored, drawn
from chainrule.search.study import Study
from chainrule.search.workers import Worker, team, wait

HOPELESS = 3
"""Failures without any success after which a search ends: then it is not the settings."""

JUDGES = 5
"""Trials that have to have come as far before one is given up."""


class Search:
    """Trials of a task in a study, by one process or several."""

    def __init__(
        self,
        study: Study,
        task: Any,
        space: Mapping[str, Space],
        *,
        trials: int,
        jobs: int = 1,
        progress: bool = False,
        estimator: Any = None,
        baseline: bool = False,
    ) -> None:
        self.study, self.task, self.space = study, task, space
        self.trials, self.jobs, self.estimator = trials, jobs, estimator
        self.waiting = study.unfinished()
        known = study.trials()
        self.begun = len(known)
        done = self.begun - len(self.waiting)
        self.finished = sum(t.state.name == "COMPLETE" for t in known)
        self.failed = 0
        self.baseline = baseline
        self.shown: TrialProgress | None = None
        if progress:
            sign = getattr(getattr(task, "scorer", None), "sign", 1)
            falling = study.direction == "minimize" or sign < 0
            self.shown = TrialProgress(falling, max(trials, done), done, sign=sign)
            for trial in known:
                if trial.state.name == "COMPLETE":
                    self.shown.know(trial.number, trial.value)

    def run(self) -> Result:
        """Search until there are enough trials; Ctrl-C ends it, and finished trials stay."""
        interrupted = False
        if self.shown is not None:
            self.shown.start()
        try:
            with listening(self.study.shield):
                if self.baseline:
                    self._score_as_given()
                if self.jobs == 1:
                    self._alone()
                else:
                    self._together()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if self.shown is not None:
                self.shown.stop()
        result = self.result(interrupted)
        if interrupted:
            self._tell_interruption(len(result.trials))
        elif not self.finished:
            raise ChainruleError(f"no trial has finished; the last one {_why(result.trials)}")
        return result

    def _tell_interruption(self, known: int) -> None:
        then = "pass study='FILE' to be able to go on with a search"
        if self.study.path is not None:
            then = f"the same call goes on from {self.study.path}"
        warnings.warn(
            f"Search interrupted by user after {known} of {self.trials} trials, which are kept; "
            f"{then}",
            stacklevel=4,
        )

    def _score_as_given(self) -> None:
        """Do the task without any settings, once in a study."""
        if self.study.fact("baseline") is None:
            outcome = attempt(self.task, {}, {}, lambda step, value: False)
            record = {"state": outcome.state, "score": outcome.value, **outcome.facts}
            self.study.keep_fact("baseline", record)

    # One trial after the other, or several at once.

    def _alone(self) -> None:
        while (following := self._next()) is not None:
            trial, flat = following

            def report(step: int, value: float, trial: Any = trial) -> bool:
                return self._prune(trial, step, value)

            self._end(trial, attempt(self.task, self.space, flat, report))

    def _together(self) -> None:
        """Give every worker a trial as soon as it is free, as long as there are any."""
        left = min(self.jobs, max(self.trials - self.begun, 0) + len(self.waiting))
        if not left:
            return
        trials: dict[int, Any] = {}
        with team(self.task, self.space, left) as workers:
            busy = list(workers)  # a worker first says that it is ready
            while busy:
                for message in wait(busy):
                    worker = message.worker
                    if message.kind == "report":
                        step, value = message.content
                        worker.answer(self._prune(trials[self._number(worker)], step, value))
                        continue
                    if message.kind != "ready":
                        self._end(trials[self._number(worker)], message.content)
                    busy.remove(worker)
                    if message.kind == "gone":
                        workers.remove(worker)
                        worker.end()
                        worker = Worker(self.task, self.space)
                        workers.append(worker)
                        busy.append(worker)  # until it says that it is ready
                        continue
                    following = self._next()
                    if following is not None:
                        trial, flat = following
                        trials[trial.number] = trial
                        worker.begin(trial.number, flat)
                        busy.append(worker)

    @staticmethod
    def _number(worker: Worker) -> int:
        assert worker.number is not None
        return worker.number

    def _next(self) -> tuple[Any, Flat] | None:
        """Give a trial that was left unfinished, or a new one, or None if there are enough."""
        if self.waiting:
            trial = self.waiting.pop(0)
        elif self.begun < self.trials:
            trial = self.study.ask()
            self.begun += 1
        else:
            return None
        return trial, self.study.draw(trial, self.space)

    def _prune(self, trial: Any, step: int, value: float) -> bool:
        self.study.report(trial, step, value)
        share = 0.5 if at_fold_end(step) else 0.75  # epochs of one fold tell less
        return self.study.hopeless(trial.number, step, least=JUDGES, share=share)

    def _end(self, trial: Any, outcome: Outcome) -> None:
        """Keep how a trial ended."""
        self.study.tell(trial, outcome.state, outcome.value, outcome.facts)
        if self.shown is not None:
            self.shown.tell(trial.number, outcome.state, outcome.value, outcome.facts)
        self.finished += outcome.state == "finished"
        self.failed += outcome.state == "failed"
        if self.failed >= HOPELESS and not self.finished:
            raise ChainruleError(
                f"the first {self.failed} trials failed, so the search is ended; the last one: "
                f"{outcome.facts['error']}"
            )

    def result(self, interrupted: bool = False) -> Result:
        """Put together what is known of all trials."""
        records, params = [], {}
        for trial in self.study.trials():
            if not trial.state.is_finished():
                continue
            source = Stored(trial.params)
            outcome = dict(trial.user_attrs.get("outcome", {"state": trial.state.name.lower()}))
            record = {"number": trial.number, "state": outcome.pop("state")}
            if trial.value is not None:
                record["score"] = trial.value
            try:
                params[trial.number] = drawn(self.space, source)
            except Exception:  # what could not be made failed in its trial, too, and is not best
                assert record["state"] != "finished"
            records.append(record | source.shown | outcome)
        return Result(
            records,
            params,
            self.study.direction,
            estimator=self.estimator,
            interrupted=interrupted,
            baseline=self.study.fact("baseline") if self.baseline else None,
        )


def _why(records: list[dict[str, Any]]) -> str:
    last = records[-1] if records else {"state": "is missing"}
    return f"{last['state']}" + (f" ({last['error']})" if "error" in last else "")
