import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.atomic import atomic_write

CHILD = """
import os, signal, sys
from chainrule.atomic import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("ready", flush=True)
    {end}
"""


def run_writer(path: Path, end: str) -> "subprocess.Popen[bytes]":
    code = CHILD.format(end=end)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def write_and_raise(path: Path, error: BaseException) -> None:
    with atomic_write(path) as file:
        file.write(b"new")
        raise error


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_new_content_replaces_the_old_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["model.bin"]


@pytest.mark.parametrize("error", [ValueError("stop"), KeyboardInterrupt()], ids=type)
def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write_and_raise(path, error)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["model.bin"]


def test_an_error_leaves_no_file_where_none_was(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"):
        write_and_raise(tmp_path / "model.bin", ValueError("stop"))
    assert names(tmp_path) == []


def test_a_full_disk_is_reported_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    with pytest.raises(OSError, match=r"model\.bin") as caught:
        write_and_raise(path, OSError(errno.ENOSPC, "No space left on device"))
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_an_error_about_another_file_keeps_its_name(tmp_path: Path) -> None:
    path, other = tmp_path / "model.bin", tmp_path / "other.bin"
    with pytest.raises(FileNotFoundError, match=r"other\.bin"), atomic_write(path):
        other.read_bytes()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda folder: folder / "none" / "model.bin", FileNotFoundError),
        (lambda folder: folder, IsADirectoryError),
        (lambda folder: Path("/dev/null"), OSError),
    ],
    ids=["no folder", "a folder", "a device"],
)
def test_a_path_that_cannot_be_written_is_named(tmp_path: Path, make, kind) -> None:
    path = make(tmp_path)
    with pytest.raises(kind) as caught:
        write(path, b"new")
    assert caught.value.filename == str(path)
    assert names(tmp_path) == []


def test_the_content_is_on_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        done.append(f"{kind} of {os.fstat(descriptor).st_size} bytes" if kind == "file" else kind)
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        done.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write(tmp_path / "model.bin", b"new")
    assert done == ["file of 3 bytes", "name", "folder"]


def test_permissions_of_the_old_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    path.chmod(0o640)
    write(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(b"")
    write(tmp_path / "model.bin", b"new")
    assert (tmp_path / "model.bin").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    link, target = tmp_path / "latest.bin", tmp_path / "runs" / "7.bin"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    write(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 127)
    write(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_killed_writer_leaves_the_old_file_and_its_rest_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    process = run_writer(path, "os.kill(os.getpid(), signal.SIGKILL)")
    process.communicate()
    assert path.read_bytes() == b"old"
    assert len(names(tmp_path)) == 2
    write(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["model.bin"]


def test_a_living_writer_is_not_swept_and_wins_when_it_is_last(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    process = run_writer(path, "sys.stdin.read()")
    write(path, b"first")
    assert path.read_bytes() == b"first"
    process.communicate()
    assert process.returncode == 0
    assert path.read_bytes() == b"half"
    assert names(tmp_path) == ["model.bin"]


def test_files_of_others_are_not_swept(tmp_path: Path) -> None:
    others = [".model.bin.notes.tmp", ".model.bin.tmp", ".other.bin.0123456789abcdef.tmp"]
    for other in others:
        (tmp_path / other).write_bytes(b"mine")
    write(tmp_path / "model.bin", b"new")
    assert names(tmp_path) == sorted([*others, "model.bin"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=r"model\.bin"):
        write(tmp_path / "model.bin", b"new")
