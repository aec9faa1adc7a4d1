"""Which tests reach which lines, from one run of the tests under `coverage`."""

import ast
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

OPTIONS = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]


class Noted:
    """A plugin of pytest that tells `coverage` which test runs, and notes how long it took."""

    def __init__(self, measured: Any) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Any:
        """Name the context after the test, and leave it after the test."""
        self.measured.switch_context(item.nodeid)
        start = time.perf_counter()
        result = yield
        self.seconds[item.nodeid] = time.perf_counter() - start
        self.measured.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note the tests that do not pass: they cannot tell anything."""
        if report.outcome != "passed":
            self.failed.add(report.nodeid)


def note(tree: Path, file: str, into: Path) -> int:
    """Run a file of tests in a copy of the checkout, and write what it reaches."""
    import coverage

    data = into.with_suffix(".sqlite")
    data.unlink(missing_ok=True)
    measured = coverage.Coverage(data_file=str(data), config_file=False, source=[str(tree / "src")])
    noted = Noted(measured)
    measured.start()
    pytest.main([*OPTIONS, "-m", "not slow", file], plugins=[noted])
    measured.stop()
    measured.save()
    reached: dict[str, dict[str, list[int]]] = {}
    found = measured.get_data()
    for path in found.measured_files():
        name = str(Path(path).relative_to(tree))
        for line, tests in found.contexts_by_lineno(path).items():
            for test in tests:
                if test not in noted.failed:
                    reached.setdefault(name, {}).setdefault(test, []).append(line)
    seconds = {t: round(s, 4) for t, s in noted.seconds.items() if t not in noted.failed}
    sources = {name: digest([tree / name]) for name in reached}
    into.write_text(json.dumps({"seconds": seconds, "sources": sources, "reached": reached}))
    data.unlink()
    return 0


def digest(paths: Iterable[Path]) -> str:
    """Give a checksum of files, by which one sees whether they changed."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths))).hexdigest()[:12]


class Reach:
    """What was noted of all files of tests."""

    def __init__(self, files: Iterable[Path]) -> None:
        self.seconds: dict[str, float] = {}
        self.lines: dict[str, dict[int, set[str]]] = {}
        self.sources: dict[str, set[str]] = {}
        for file in files:
            noted = json.loads(file.read_text())
            self.seconds |= noted["seconds"]
            for name, tests in noted["reached"].items():
                self.sources.setdefault(name, set()).add(noted["sources"][name])
                of_file = self.lines.setdefault(name, {})
                for test, lines in tests.items():
                    for line in lines:
                        of_file.setdefault(line, set()).add(test)

    def tests(
        self, root: Path, path: Path, first: int, last: int, close: Iterable[str] = ()
    ) -> list[str]:
        """Give the tests that reach lines of a file, those most likely to notice a change first.

        These are the tests of the file itself and of files of tests that are `close` to it. A
        line that runs at import, such as a row of a table, is reached by those that reach the
        statement around it, those that reach any line of the file, and all that are close, which
        may only look at a value. Of a file that has changed since, any line may be any other.
        """
        name = str(path.relative_to(root))
        lines = self.lines.get(name, {})
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if self.sources.get(name, set()) - {digest([path])}:
            first, last = 1, max(lines)
        else:  # coverage may know a long statement by its first line alone
            inner = [x for x in ast.walk(tree) if isinstance(x, ast.stmt) and _holds(x, first)]
            first = min(first, max((x.lineno for x in inner), default=first))
        tier: dict[str, int] = {}

        def add(tests: Iterable[str]) -> None:
            number = max(tier.values(), default=-1) + 1
            tier.update((test, number) for test in tests if test not in tier)

        def reaching(within: Iterable[int]) -> set[str]:
            return set().union(*(lines.get(line, ()) for line in within))

        stems = (path.stem, path.parent.name, *close)
        own = (name, *(f"tests/test_{stem}.py" for stem in stems))
        add(reaching(range(first, last + 1)))
        if "" in tier:
            around = next(x for x in tree.body if _holds(x, first))
            add(reaching(range(_start(around), (around.end_lineno or 0) + 1)))
            add(test for test in self.seconds if test.partition("::")[0] in own)
            add(reaching(lines))
        found = sorted((t for t in tier if t in self.seconds), key=self.seconds.__getitem__)
        case: Counter[str] = Counter()  # four cases of every test comes before any fifth
        order = {}
        for test in found:
            function = test.partition("[")[0]
            order[test] = (test.partition("::")[0] not in own, tier[test], case[function] // 4)
            case[function] += 1
        return sorted(found, key=order.__getitem__)


def _holds(node: Any, line: int) -> bool:
    return bool(_start(node) <= line <= node.end_lineno)


def _start(node: Any) -> int:
    return min([node.lineno, *(x.lineno for x in getattr(node, "decorator_list", []))])
