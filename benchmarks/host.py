"""What the pages of the benchmarks say about the machine and its packages."""

import os
import platform
from collections.abc import Iterable
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def installed(package: str) -> str | None:
    """Return the version of a package, or None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """Return the processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def told(packages: Iterable[str]) -> str:
    """Say the day, the machine, and the versions of packages."""
    versions = ", ".join(f"{name} {installed(name)}" for name in packages if installed(name))
    return (
        f"{date.today().isoformat()}; {processor()}, {cores()} cores; "
        f"Python {platform.python_version()}; {versions}"
    )
