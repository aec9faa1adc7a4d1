"""What the project is built and tested with: pinned versions, licences, known faults, equal wheels.

python -m tools.supply pin        write constraints.txt from the packages of this environment
python -m tools.supply licences   list the licence of each package that chainrule may install
python -m tools.supply audit      look the pinned versions up in the databases of known faults
python -m tools.supply wheel      build the wheel twice, in other folders and times, and compare
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINNED = ROOT / "constraints.txt"
HEAD = """\
# The versions that the tests are run with: pip install -c constraints.txt -e ".[test]"
# Written by `python -m tools.supply pin`.
"""
PERMISSIVE = ("0BSD", "APACHE", "BSD", "CC0", "ISC", "MIT", "MPL-2.0", "PSF", "ZLIB")


def needed(extras: Iterable[str]) -> dict[str, str]:
    """Give every package that chainrule with these extras needs here, and its version."""
    found: dict[str, str] = {}
    waiting = [("chainrule", extra) for extra in ["", *extras]]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # of another platform
        if name != "chainrule":
            found[canonicalize_name(name)] = package.version
        for text in package.requires or []:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                for more in ["", *need.extras]:
                    item = (canonicalize_name(need.name), more)
                    if item not in seen:
                        seen.add(item)
                        waiting.append(item)
    return dict(sorted(found.items()))


def licence(name: str) -> str:
    """Give the licence that a package says it has."""
    data = distribution(name).metadata
    said = data.get("License-Expression")
    named = [c.split(" :: ")[-1] for c in data.get_all("Classifier", []) if c.startswith("License")]
    text = (data.get("License") or "").strip().split("\n")[0]
    return said or "; ".join(n for n in named if n != "OSI Approved") or text or "not said"


def pin() -> int:
    """Write the constraints."""
    lines = [f"{name}=={version}\n" for name, version in needed(["test"]).items()]
    PINNED.write_text(HEAD + "".join(lines), encoding="utf-8")
    print(f"{len(lines)} packages pinned in {PINNED.name}")
    return 0


def licences() -> int:
    """List the licences, and fail where one is not known to be permissive."""
    others = []
    for name, version in needed(["all"]).items():
        said = licence(name)
        print(f"{name:<24}{version:<14}{said}")
        if not any(word in said.upper() for word in PERMISSIVE):
            others.append(name)
    print(f"not known to be permissive: {', '.join(others) or 'none'}")
    return int(bool(others))


def audit() -> int:
    """Run pip-audit over the pinned versions."""
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--progress-spinner", "off"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(PINNED.read_text(encoding="utf-8"))
        file.flush()
        done = subprocess.run(
            [*command, "-r", file.name], capture_output=True, text=True, check=False
        )
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    if "could not be audited" in done.stdout:
        print("some packages were not found in the database: nothing is known about these")
        return 1
    return done.returncode


def build(folder: Path, date: float) -> bytes:
    """Build the wheel from a copy of the source in a folder, all files of one date."""
    names = subprocess.run(["git", "ls-files", "src", "pyproject.toml", "README.md", "LICENSE"],
                           cwd=ROOT, capture_output=True, text=True, check=True)  # fmt: skip
    for name in names.stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
        os.utime(folder / name, (date, date))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "out"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    (made,) = (folder / "out").glob("*.whl")
    return made.read_bytes()


def wheel() -> int:
    """Build twice and compare."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        wheels = [build(Path(one), 1e9), build(Path(two), 1.5e9)]
    sums = [hashlib.sha256(data).hexdigest() for data in wheels]
    print(*sums, "equal" if sums[0] == sums[1] else "different", sep="\n")
    return int(sums[0] != sums[1])


COMMANDS = {"pin": pin, "licences": licences, "audit": audit, "wheel": wheel}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    sys.exit(COMMANDS[sys.argv[1]]())
