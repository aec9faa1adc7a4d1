"""Runs scripts in a process that cannot import chainrule."""

import subprocess
import sys

import numpy as np

_RUN = """
import importlib.util, sys, warnings
from pathlib import Path
import numpy as np

sys.modules["chainrule"] = None  # an import of it raises ImportError
warnings.simplefilter("error")
for path in sorted(Path(sys.argv[1]).glob("*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given = np.load(path.with_suffix(".given.npz"), allow_pickle=False)
    function, calls, names = str(given["function"]), int(given["calls"]), given["names"].tolist()
    for call in range(calls):
        inputs = [given[f"{call}.{i}"] for i in range(int(given["count"]))]
        found = getattr(module, function)(*inputs)
    found = list(found) if isinstance(found, tuple) else [found]
    found += [getattr(module, name) for name in names]
    np.savez(path.with_suffix(".found.npz"), *found)
"""


def results_of(folder, jobs):
    """Save scripts, call a function of each, maybe several times, and give what it returned.

    A job is (script, function, list of the inputs of each call, names of globals to look at).
    """
    for i, (script, function, calls, names) in enumerate(jobs):
        path = folder / f"script_{i:04}.py"
        script.save(path)
        inputs = {f"{c}.{k}": x for c, call in enumerate(calls) for k, x in enumerate(call)}
        np.savez(
            path.with_suffix(".given.npz"), function=function, calls=len(calls),
            count=len(calls[0]), names=np.array(names, str), **inputs,
        )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = []
    for i in range(len(jobs)):
        with np.load(folder / f"script_{i:04}.found.npz") as file:
            found.append([file[name] for name in file.files])
    return found
