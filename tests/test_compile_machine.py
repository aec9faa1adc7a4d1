"""What is kept of machine code: in memory, on the disk, or made anew."""

import json
import os

import numpy as np
import pytest

machine = pytest.importorskip("chainrule.transforms.compile.machine")

SOURCE = "# a comment\nline\n"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Give the sources that were compiled; nothing is, and linking gives what was written."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "_loaded", {})
    monkeypatch.setattr(machine, "compilations", 0)
    monkeypatch.setattr(
        machine, "_linked", lambda code: machine.Loaded(int(code.binary), (code.entry, code.needs))
    )
    found = []

    class Compiler:
        @staticmethod
        def compiled(source, name, path):
            assert path.read_text() == source
            found.append((source, name))
            return machine.Code(b"%d" % len(found), "entry", ["malloc"])

        @staticmethod
        def compiled_product(dtype, kind):
            found.append(f"{kind} {dtype}")
            return machine.Code(b"70", "product", [])

    monkeypatch.setattr(machine, "_compiler", lambda: Compiler)
    return found


def kept():
    return [machine.cache_folder() / machine._key(SOURCE) / x for x in
            ("program.py", "program.o", "entry.json", "sha256")]  # fmt: skip


def test_a_program_is_compiled_once(made):
    assert not machine.is_compiled(SOURCE)
    assert machine.code_address(SOURCE) == 1
    assert machine.code_address("# another\nline") == 1, "comments make no other program"
    assert machine.is_compiled(SOURCE)
    name = f"chainrule_program_{machine._key(SOURCE)}"
    assert made == [(SOURCE, name)]
    assert machine.code_address("other") == 2
    assert machine.product_address("float32") == 70 == machine.product_address("float32")
    assert made[2:] == ["matrices float32"]
    assert machine.compilations == 3
    machine._loaded.clear()  # as in another process
    assert machine.is_compiled(SOURCE)
    assert machine.code_address(SOURCE) == 1
    assert machine._loaded[machine._key(SOURCE)].engine == ("entry", ["malloc"])
    assert len(made) == machine.compilations == 3
    assert machine.product_address("float64") == 70
    assert machine.product_address("float64", "windows") == 70
    assert made[3:] == ["matrices float64", "windows float64"]
    names = sorted(p.name for p in machine.cache_folder().iterdir())
    assert len(names) == 5
    assert not any(name.startswith("new-") for name in names)
    assert kept()[0].read_text() == SOURCE


@pytest.mark.parametrize("file", range(4))
@pytest.mark.parametrize("damage", ["gone", "longer"])
def test_what_is_damaged_is_made_anew(made, file, damage):
    machine.code_address(SOURCE)
    path = kept()[file]
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b" ")
    machine._loaded.clear()
    assert machine._from_disk(machine._key(SOURCE)) is None
    assert not path.parent.exists()
    assert machine.code_address(SOURCE) == 2


def test_what_cannot_be_read_is_made_anew(made):
    """The sum is right, and the file is not."""
    machine.code_address(SOURCE)
    kept()[2].write_text(json.dumps([1]))
    kept()[3].write_text(machine._sum(kept()[3].parent))
    machine._loaded.clear()
    assert machine.code_address(SOURCE) == 2


def test_a_full_disk_or_a_faster_process_does_no_harm(made, monkeypatch):
    def fail(*paths):
        raise OSError("full")

    monkeypatch.setattr(machine.os, "rename", fail)
    assert machine.code_address(SOURCE) == 1
    assert list(machine.cache_folder().iterdir()) == []


def test_a_compiler_that_fails_leaves_nothing(made, monkeypatch):
    class Failing:
        @staticmethod
        def compiled(*given):
            raise ValueError("no")

    monkeypatch.setattr(machine, "_compiler", lambda: Failing)
    with pytest.raises(ValueError, match="no"):
        machine.code_address(SOURCE)
    assert list(machine.cache_folder().iterdir()) == []
    assert machine.compilations == 0


def test_the_sum_is_of_names_and_contents_of_files(tmp_path):
    sums = set()
    for name, text in (("a", "x"), ("a", "y"), ("b", "x")):
        for old in tmp_path.iterdir():
            old.unlink()
        (tmp_path / name).write_text(text)
        sums.add(machine._sum(tmp_path))
        (tmp_path / "sha256").write_text("own")
        assert machine._sum(tmp_path) in sums
    assert len(sums) == 3


def test_where_programs_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CHAINRULE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert machine.cache_folder() == tmp_path / "home" / ".cache" / "chainrule"
    assert machine.cache_folder().stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert machine.cache_folder() == tmp_path / "xdg" / "chainrule"
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "own"))
    assert machine.cache_folder() == tmp_path / "own"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "file" / "below"))
    passing = machine.cache_folder()
    assert passing.name.startswith("chainrule-")
    assert passing.is_dir()
    assert machine.cache_folder() == passing
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(machine.os, "access", lambda path, mode: mode != os.W_OK | os.X_OK)
    assert machine.cache_folder() == passing


def test_tidying_keeps_the_newest_and_what_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_KEPT", 2)
    (tmp_path / "file").write_text("")
    for age, name in enumerate(["file", "old", "middle", "new"]):
        if age:
            (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1e9 + age, 1e9 + age))
    machine._tidy(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "middle", "new"]


@pytest.mark.slow
def test_a_product_of_square_matrices_several_times():
    a = np.arange(75, dtype=np.float32).reshape(3, 5, 5)
    expected = a[0] @ a[1]
    machine.multiply(a, 2)
    np.testing.assert_array_equal(a[2], expected)
    a[2] = 0
    machine.multiply(a, 0)
    assert not a[2].any()
