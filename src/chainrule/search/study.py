"""The study: the trials of a search, in memory or in a journal that outlives the process.

A journal is Optuna's: a text file to which every event is appended, so that whatever happens to the
process, finished trials stay. What it belongs to stands in it; another search refuses it.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "notes.txt"
>>> _ = path.write_text("milk, eggs")
>>> with Study(path, {"seed": 0}, "maximize", method="random", seed=0):
...     pass
Traceback (most recent call last):
...
chainrule.errors.FormatError: ...notes.txt: line 1 is no line of a journal of trials: it is \
another file, or damaged. Give another name; nothing in it was changed
"""

import itertools
import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from chainrule.errors import ConfigError, FormatError, need
from chainrule.search.interrupt import Shield
from chainrule.search.space import Flat, Space, drawn

if sys.platform != "win32":
    import fcntl

NAME = "chainrule"
METHODS = ("bayes", "random", "grid")


class Study:
    """Trials, and where the next one comes from.

    The settings of a trial are drawn from the seed and its number, with "bayes" also from the
    trials that are finished by then: so a search that goes on takes the same way as one that was
    never stopped.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        identity: Mapping[str, str],
        direction: str,
        *,
        method: str,
        seed: int,
        points: Sequence[Flat] = (),
    ) -> None:
        self.path = None if path is None else Path(path)
        self.identity = dict(identity)
        self.direction = direction
        self.sampler = _Sampler(method, seed, points)
        self.optuna = need("optuna", extra="tune", why="to search for settings")
        self.shield = Shield()
        self._held: Any = None

    def __enter__(self) -> Self:
        try:
            if self.path is not None:
                self._hold(self.path)
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._held is not None:
            self._held.close()  # which unlocks it
            self._held = None

    # Opening.

    def _hold(self, path: Path) -> None:
        """Lock the journal against other processes, and check it before anything is written."""
        if not path.parent.is_dir():
            raise ConfigError(f"study={os.fspath(path)!r}: there is no folder {path.parent}")
        self._held = open(path, "ab+")  # noqa: SIM115 (held while the study is in use)
        if sys.platform != "win32":
            try:
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(f"{path}: another process is using this study") from None
            lock = Path(f"{path}.lock")
            if lock.is_symlink():  # Optuna's own lock, which a killed process left behind
                lock.unlink()
        _check_lines(path, self._held)

    def _open(self) -> None:
        with self.shield, _quiet(self.optuna):
            try:
                self.study = self._loaded()
                known = dict(self.study.user_attrs.get("search", {}))
                self.trials()
            except Exception as error:
                if self.path is None or isinstance(error, OSError):
                    raise
                raise FormatError(
                    f"{self.path}: its lines do not make a study ({type(error).__name__}: {error}):"
                    " it is damaged. Give another name; nothing in it was changed"
                ) from error
            if not known:
                self.study.set_user_attr("search", self.identity)
            elif known != self.identity:
                raise ConfigError(_other(self.path, known, self.identity))

    def _loaded(self) -> Any:
        storage = self._storage()
        own = {"study_name": NAME, "storage": storage, "sampler": self.sampler}
        if storage is None or NAME not in self.optuna.get_all_study_names(storage):
            return self.optuna.create_study(**own, direction=self.direction)
        return self.optuna.load_study(**own)  # create_study would add a line to the journal

    def _storage(self) -> Any:
        if self.path is None:
            return None
        journal = need("optuna.storages.journal", extra="tune", why="to keep a study in a file")
        lock = None  # a symbolic link, which Windows does not let everybody make
        if sys.platform == "win32":
            lock = journal.JournalFileOpenLock(os.fspath(self.path))
        return self.optuna.storages.JournalStorage(
            journal.JournalFileBackend(os.fspath(self.path), lock)
        )

    # Trials.

    def trials(self) -> list[Any]:
        """Give all trials, as Optuna keeps them, by number."""
        return list(self.study.get_trials(deepcopy=False))

    def unfinished(self) -> list[Any]:
        """Give the trials that were begun and not finished."""
        running = self.optuna.trial.TrialState.RUNNING
        with self.shield, _quiet(self.optuna):
            return [
                self.optuna.trial.Trial(self.study, t._trial_id)
                for t in self.trials()
                if t.state == running
            ]

    def ask(self) -> Any:
        """Begin a trial."""
        with self.shield, _quiet(self.optuna):
            return self.study.ask()

    def draw(self, trial: Any, space: Mapping[str, Space]) -> Flat:
        """Draw what a trial has not yet, and give it as numbers by name."""
        with self.shield, _quiet(self.optuna):
            source = _FromTrial(trial)
            drawn(space, source)
        return source.flat

    def fact(self, name: str) -> Any:
        """Give what is kept of the study as a whole under a name, or None."""
        return self.study.user_attrs.get(name)

    def keep_fact(self, name: str, value: Any) -> None:
        """Keep plain data of the study as a whole."""
        with self.shield:
            self.study.set_user_attr(name, value)

    def report(self, trial: Any, step: int, value: float) -> None:
        """Keep the score that a trial has at a step."""
        with self.shield:
            known = self.trials()[trial.number].intermediate_values
            if step not in known:  # a trial that is gone through again has it already
                trial.report(value, step)

    def tell(self, trial: Any, state: str, value: float | None, facts: Mapping[str, Any]) -> None:
        """Finish a trial, as "finished", "pruned", "diverged" or "failed"."""
        states = self.optuna.trial.TrialState
        own = {"finished": states.COMPLETE, "failed": states.FAIL}.get(state, states.PRUNED)
        with self.shield, _quiet(self.optuna):
            trial.set_user_attr("outcome", {"state": state, **facts})
            self.study.tell(trial, value if state == "finished" else None, state=own)

    def hopeless(self, number: int, step: int, *, least: int, share: float) -> bool:
        """Whether a trial is worse at a step than a share of the others were at that step.

        Those that were given up before count as worse: else the few that are left would be judged
        by ever better ones. It needs `least` others that came as far. With a half it is the median
        stopping rule (Golovin et al., 2017).
        """
        sign = 1 if self.direction == "maximize" else -1
        trials = self.trials()
        own = sign * trials[number].intermediate_values[step]
        others, came = [], 0
        for trial in trials:
            if trial.state.is_finished() and step in trial.intermediate_values:
                others.append(sign * trial.intermediate_values[step])
                came += 1
            elif trial.state.name == "PRUNED":
                others.append(-np.inf)
        return came >= least and bool(own < np.quantile(others, 1 - share, method="lower"))


class _Sampler:
    """What Optuna asks for settings: a sampler of its own for every trial, by seed and number."""

    def __init__(self, method: str, seed: int, points: Sequence[Flat]) -> None:
        self.method, self.seed, self.points = method, seed, points
        self.own: Any = None

    def before_trial(self, study: Any, trial: Any) -> None:
        """Make the sampler of a trial."""
        sequence = np.random.SeedSequence([self.seed, trial.number])
        seed = int(sequence.generate_state(1)[0])
        samplers = need("optuna.samplers", extra="tune", why="to search for settings")
        if self.method == "bayes":
            # constant_liar: trials that other workers have not finished count as bad, so that
            # several workers do not try the same.
            self.own = samplers.TPESampler(
                seed=seed, multivariate=True, group=True, constant_liar=True, n_ei_candidates=64
            )
        else:
            self.own = samplers.RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
        """Give the settings that are drawn together."""
        return self.own.infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
        """Draw settings together."""
        return self.own.sample_relative(study, trial, search_space)

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        """Draw one setting."""
        if self.method == "grid":
            return self.points[trial.number][name]
        return self.own.sample_independent(study, trial, name, distribution)

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        """Hear of the end of a trial."""

    def reseed_rng(self) -> None:
        """Do nothing: every trial has a seed of its own."""


class _FromTrial:
    """A source that draws by a trial of Optuna."""

    def __init__(self, trial: Any) -> None:
        self.trial = trial
        self.flat: Flat = {}

    def uniform(self, name: str, low: float, high: float, log: bool) -> float:
        """Draw a number."""
        self.flat[name] = float(self.trial.suggest_float(name, float(low), float(high), log=log))
        return float(self.flat[name])

    def whole(self, name: str, low: int, high: int, log: bool) -> int:
        """Draw a whole number."""
        self.flat[name] = int(self.trial.suggest_int(name, int(low), int(high), log=log))
        return int(self.flat[name])

    def option(self, name: str, options: Sequence[Any]) -> int:
        """Draw the number of an option."""
        self.flat[name] = int(self.trial.suggest_categorical(name, list(range(len(options)))))
        return int(self.flat[name])


def _check_lines(path: Path, file: Any) -> None:
    """Refuse a file that is no journal; cut off a last line that a killed process left half."""
    file.seek(0)
    end = 0
    for number, line in enumerate(file, start=1):
        whole = line.endswith(b"\n")
        if whole and _is_entry(line, first=number == 1):
            end += len(line)
        elif not whole and line.startswith(b'{"op_code":'[: len(line)]):
            file.truncate(end)
        else:
            raise FormatError(
                f"{path}: line {number} is no line of a journal of trials: it is another file, or "
                "damaged. Give another name; nothing in it was changed"
            )


def _is_entry(line: bytes, first: bool) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    known = isinstance(entry, dict) and "op_code" in entry
    return known and (not first or entry.get("study_name") == NAME)


def _other(path: Path | None, known: Mapping[str, str], own: Mapping[str, str]) -> str:
    """Say in what a study differs from the search that is to go on with it."""
    names = [name for name in {**own, **known} if known.get(name) != own.get(name)]
    pairs = []
    for name in names:
        theirs, ours = _difference(known.get(name, "none"), own.get(name, "none"))
        pairs.append(f"its {name} is {theirs}, not {ours}")
    return (
        f"{path} belongs to another search: {'; '.join(pairs)}. Give another name to begin anew; "
        "nothing in it was changed"
    )


def _difference(theirs: str, ours: str) -> tuple[str, str]:
    """Cut two long texts down to where they first differ.

    >>> _difference("a" * 100 + "b", "a" * 100 + "c")
    ('...aaaaaaaaaaaaaaaaaaaaaaaaab', '...aaaaaaaaaaaaaaaaaaaaaaaaac')
    """
    if max(len(theirs), len(ours)) <= 80:
        return theirs, ours
    alike = (a == b for a, b in zip(theirs, ours, strict=False))
    same = sum(1 for _ in itertools.takewhile(bool, alike))
    start = max(same - 25, 0)
    cut = []
    for text in (theirs, ours):
        more = "..." if len(text) > start + 80 else ""
        cut.append("..." * (start > 0) + text[start : start + 80] + more)
    return cut[0], cut[1]


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keep Optuna from telling what chainrule tells, and that some options are experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
