"""The command `python -m tools.fuzz`."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tools.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
TIMEOUT = 20
LONGEST = 1 << 16


def main() -> int:
    """Fuzz targets, and say for each how much was tried and what was found."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=main.__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=10, metavar="N")
    parser.add_argument("--into", type=Path, default=ROOT / ".fuzz", metavar="FOLDER")
    options = parser.parse_args()
    unknown = sorted(set(options.targets) - set(TARGETS))
    if unknown:
        parser.error(f"there is no target {unknown[0]}; there are {', '.join(TARGETS)}")
    if find_spec("atheris") is None:
        parser.error('atheris is needed: pip install -e ".[fuzz]"')
    names = options.targets or list(TARGETS)
    return max(fuzz(name, options.minutes, options.into / name) for name in names)


def fuzz(name: str, minutes: float, folder: Path) -> int:
    """Fuzz one target in a process of its own; give 1 if something was found."""
    corpus, findings = folder / "corpus", folder / "findings"
    for path in (corpus, findings):
        path.mkdir(parents=True, exist_ok=True)
    for path in findings.iterdir():
        path.unlink()
    for seed, data in TARGETS[name].seeds().items():
        (corpus / seed).write_bytes(data)
    shared, log = Path("/dev/shm"), folder / "log.txt"
    within = shared if shared.is_dir() else None
    with tempfile.TemporaryDirectory(dir=within) as temporary, log.open("w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "tools.fuzz.worker", name, str(findings), str(60 * minutes),
             str(corpus), f"-timeout={TIMEOUT}", "-rss_limit_mb=3000",
             f"-max_len={LONGEST}", f"-artifact_prefix={findings}{os.sep}"],
            cwd=ROOT, env=os.environ | {"TMPDIR": temporary}, check=False,
            stdout=output, stderr=output,
        )  # fmt: skip
    said = log.read_text(errors="replace")
    found = [path for path in findings.iterdir() if path.suffix != ".txt"]
    count = re.search(r"^TRIED (\d+)", said, re.MULTILINE)
    covered = re.findall(r"cov: (\d+) ", said)
    tried, edges = int(count[1]) if count else 0, covered[-1] if covered else "no"
    print(f"{name}: {tried:,} inputs in {minutes:g} minutes, {edges} edges covered, "
          f"{len(found)} findings", flush=True)  # fmt: skip
    for line in re.findall(r"^FOUND .*", said, re.MULTILINE):
        print(f"  {line[6:]}")
    if done.returncode or not count:
        print(f"  it ended with {done.returncode}: see {log}")
    return int(bool(found or done.returncode or not count))


if __name__ == "__main__":
    sys.exit(main())
