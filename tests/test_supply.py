"""Pinned versions, licences, and a wheel that is built twice."""

import pytest

from tools.supply import PERMISSIVE, PINNED, build, licence, needed


def test_every_package_of_the_tests_is_pinned_and_no_other():
    lines = [line for line in PINNED.read_text().splitlines() if not line.startswith("#")]
    pinned = {line.partition("==")[0] for line in lines}
    assert all("==" in line for line in lines)
    assert pinned == set(needed(["test"])), "python -m tools.supply pin"


def test_licences_are_permissive():
    assert {"numpy", "safetensors", "scikit-learn", "numba", "pyarrow"} <= set(needed(["all"]))
    for name in needed(["all"]):
        assert any(word in licence(name).upper() for word in PERMISSIVE), (name, licence(name))


@pytest.mark.slow
def test_two_builds_of_the_wheel_have_the_same_bytes(tmp_path):
    wheels = []
    for name, date in (("one", 1e9), ("two", 1.5e9)):
        folder = tmp_path / name
        folder.mkdir()
        wheels.append(build(folder, date))
    assert wheels[0] == wheels[1]
