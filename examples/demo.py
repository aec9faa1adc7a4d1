"""The main job on a real table: tell penguins apart.

    python examples/demo.py

The table comes with the package palmerpenguins (Horst, Hill, Gorman, 2020; public domain): 344
penguins, numbers and categories, with missing values. The report is written to the folder demo.
"""

import shlex
import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path


def main() -> int:
    with as_file(files("palmerpenguins") / "data" / "penguins.csv") as table:
        command = ["chainrule", "fit", str(table), "--target", "species", "--out", "demo"]
        print(f"$ {shlex.join(command)}\n", flush=True)
        done = subprocess.run([sys.executable, "-m", *command], check=False)
    if done.returncode == 0:
        print(f"\nOpen {Path('demo/report.html').resolve()} in a browser.")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
