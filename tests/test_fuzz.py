"""What fuzzing found once stays right, and the fuzzing itself gets to what it is to try."""

import random
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from chainrule import from_onnx, load, nn, to_onnx
from chainrule.errors import FormatError
from chainrule.save import read_model, write_model
from tables import LAYER_ROWS
from tools.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[1]
INPUTS = sorted((Path(__file__).parent / "fuzz_inputs").glob("*/*"))
MOST_MEMORY = 100 << 20


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_inputs_that_were_found_once(path):
    tracemalloc.start()
    try:
        TARGETS[path.parent.name].check(path.read_bytes())
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def test_there_are_inputs_for_every_target():
    assert {path.parent.name for path in INPUTS} == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_get_behind_the_outer_form(name):
    """Of changed files some are read, others refused for what is in them, in many words."""
    target, rng = TARGETS[name], random.Random(0)
    seeds = list(target.seeds().values())
    assert "read" in {target.check(data) for data in seeds}
    answers = []
    while len(answers) < 60:
        if (data := target.mutate(rng.choice(seeds), rng)) is not None:
            answers.append(target.check(data))
    outer = [text for text in answers if "checksum" in text or "Error parsing message" in text]
    assert 3 <= answers.count("read") < 55
    assert len(outer) < 6
    assert len(set(answers)) > 8


def test_what_is_no_error_in_words_is_a_finding():
    def fails(error):
        def read(data):
            raise error

        return replace(TARGETS["csv"], read=read)

    assert fails(FormatError("it is torn")).check(b"") == "FormatError: it is torn"
    with pytest.raises(KeyError):
        fails(KeyError("x")).check(b"")
    with pytest.raises(MemoryError):
        fails(MemoryError()).check(b"")
    with pytest.raises(AssertionError, match="without words"):
        fails(FormatError("")).check(b"")


def test_an_error_that_python_only_prints_is_a_finding():
    class Bad:
        def __del__(self):
            raise KeyError("lost")

    def read(data):
        bad = Bad()
        del bad

    with pytest.raises(AssertionError, match="nobody sees: KeyError"):
        replace(TARGETS["csv"], read=read).check(b"")


def test_there_is_no_such_target():
    command = [sys.executable, "-m", "tools.fuzz", "pickle"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no target pickle; there are model, checkpoint, csv, onnx" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is in the extra fuzz")
def test_three_seconds_of_fuzzing(tmp_path):
    command = [sys.executable, "-m", "tools.fuzz", "csv", "--minutes", "0.05"]
    done = subprocess.run(
        [*command, "--into", tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout
    assert "0 findings" in done.stdout


# Sizes that a file may claim.


def grown(plain, size):
    """Give copies of a configuration, each with one of its whole numbers replaced."""
    if isinstance(plain, bool) or not isinstance(plain, int | list | dict):
        return
    if isinstance(plain, int):
        yield size
        return
    for key, item in plain.items() if isinstance(plain, dict) else enumerate(plain):
        for changed in grown(item, size):
            copy = dict(plain) if isinstance(plain, dict) else list(plain)
            copy[key] = changed
            yield copy


@pytest.mark.parametrize("size", [1 << 27, 1 << 40])
@pytest.mark.parametrize("row", LAYER_ROWS, ids=str)
def test_no_layer_takes_memory_that_its_file_has_not(row, size, tmp_path):
    takes_no_memory(row.layer(), size, tmp_path)


def test_no_net_from_onnx_takes_it(tmp_path):
    to_onnx(nn.mlp([2, 3, 1], seed=0), tmp_path / "net.onnx")
    takes_no_memory(from_onnx(tmp_path / "net.onnx"), 1 << 27, tmp_path)


def takes_no_memory(module, size, tmp_path):
    module.save(tmp_path / "small")
    file = read_model(tmp_path / "small")
    for config in grown(file.config, size):
        write_model(tmp_path / "large", "module", config, file.arrays)
        tracemalloc.start()
        try:
            load(tmp_path / "large")
        except FormatError:
            pass
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < MOST_MEMORY, config


def test_the_allowance_is_for_all_layers_together(tmp_path):
    nets = [nn.Sequential(*[nn.Linear(1000, 1000) for _ in range(n)]) for n in (1, 3)]
    nets[0].save(tmp_path / "one")
    arrays = read_model(tmp_path / "one").arrays
    write_model(tmp_path / "three", "module", {"module": nets[1].to_plain()}, arrays)
    with pytest.raises(FormatError, match="on one side only"):
        load(tmp_path / "three")
    tiny = {"x": np.zeros(1, np.float32)}
    write_model(tmp_path / "none", "module", {"module": nets[1].to_plain()}, tiny)
    with pytest.raises(FormatError, match="1,000,000 weights is larger than its file"):
        load(tmp_path / "none")
