"""Write a file whole or not at all.

A crash, a full disk or a kill at any moment leaves the old file or the new one, never a part.

>>> import tempfile
>>> from pathlib import Path
>>> folder = Path(tempfile.mkdtemp())
>>> with atomic_write(folder / "answer.txt") as file:
...     file.write(b"42")
2
>>> (folder / "answer.txt").read_bytes(), len(list(folder.iterdir()))
(b'42', 1)
"""

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

_SHOWN = 40  # letters of a name that its temporary file shows: names end at 255 bytes


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `path` when the block ends without an error.

    The bytes go to a temporary file in the same folder, which is flushed to the disk and then
    renamed over `path`; the folder is flushed too. When the block raises, the temporary file is
    removed and `path` is as it was. The permissions of an existing file are kept, a symbolic link
    is followed, and temporary files that killed writers of the same path left behind are removed.
    Of two processes that write one path, the last to finish wins with its whole file.

    An `OSError` is raised with `path` in its message, also one from a write in the block; one from
    the block that names a file already is left alone.

    >>> with atomic_write("/no/such/folder/model.bin") as file:
    ...     file.write(b"weights")
    Traceback (most recent call last):
    ...
    FileNotFoundError: [Errno 2] No such file or directory: '/no/such/folder/model.bin'
    """
    target = Path(os.path.realpath(path))
    with _naming(path):
        old = _old_status(target)
        remove_temporary(target.parent, re.escape(target.name[:_SHOWN]))
        temporary, file = _create(target)
    try:
        with _naming(path, temporary):
            with file:
                yield file
                file.flush()
                if old is not None:
                    os.chmod(temporary, stat.S_IMODE(old.st_mode))
                os.fsync(file.fileno())
                if sys.platform != "win32":  # while locked, so that no other writer sweeps it
                    os.replace(temporary, target)
            if sys.platform == "win32":  # an open file cannot be renamed there
                os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):  # renamed already, or the disk is gone
            temporary.unlink()
        raise
    with _naming(path):
        _flush_folder(target.parent)


def remove_temporary(folder: Path, target: str) -> None:
    """Remove what killed writers left behind; `target` is a pattern of the names they wrote to."""
    name = re.compile(rf"\.{target}\.[0-9a-f]{{16}}\.tmp")
    with suppress(OSError):  # a folder that may be written but not listed
        for candidate in list(folder.iterdir()):
            if name.fullmatch(candidate.name):
                _remove_if_stale(candidate)


class Hold:
    """A folder that one process holds, until it closes this or ends."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = -1
        if sys.platform != "win32":
            self._descriptor = os.open(folder, os.O_RDONLY)

    def take(self) -> bool:
        """Say whether the folder is ours; where there are no locks it always is."""
        if sys.platform == "win32":
            return True
        else:  # noqa: RET505 (mypy reads platform tests only in this form)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError:  # a file system without locks
                return True
            return True

    def close(self) -> None:
        """Let others hold it."""
        if self._descriptor >= 0:
            with suppress(OSError):  # it is closed in any case
                os.close(self._descriptor)
            self._descriptor = -1


@contextmanager
def _naming(path: str | os.PathLike[str], temporary: Path | None = None) -> Iterator[None]:
    """Raise an operating system's error again with the name that the user gave.

    With `temporary`, errors about other files than that one are left alone.
    """
    try:
        yield
    except OSError as error:
        names = (None, temporary, str(temporary)) if temporary else (error.filename,)
        if error.errno is None or error.filename not in names:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _old_status(target: Path) -> os.stat_result | None:
    try:
        old = target.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(old.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not stat.S_ISREG(old.st_mode):  # renaming over /dev/null would replace the device
        raise OSError(errno.EINVAL, "Not a regular file", str(target))
    return old


def _create(target: Path) -> tuple[Path, BinaryIO]:
    """Open a new temporary file, locked for as long as its writer lives."""
    while True:
        temporary = target.with_name(f".{target.name[:_SHOWN]}.{secrets.token_hex(8)}.tmp")
        file = open(temporary, "xb")  # noqa: SIM115 (closed by the caller)
        try:
            swept = _lock(file, wait=True) and os.fstat(file.fileno()).st_nlink == 0
        except BaseException:
            temporary.unlink()
            file.close()
            raise
        if not swept:  # by another writer between its birth and its lock
            return temporary, file
        file.close()


def _remove_if_stale(temporary: Path) -> None:
    with suppress(OSError):  # gone already, not ours, or (Windows) still open
        if sys.platform == "win32":
            temporary.unlink()
        else:
            with open(temporary, "rb+") as file:
                if _lock(file, wait=False):
                    temporary.unlink()


def _lock(file: BinaryIO, wait: bool) -> bool:
    """Lock a file; False where it is locked by a living writer or locks do not exist."""
    if sys.platform == "win32":
        return False
    else:  # noqa: RET505 (mypy reads platform tests only in this form)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            return False
        return True


def _flush_folder(folder: Path) -> None:
    if sys.platform != "win32":
        try:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            # Some folders may not be opened or flushed; the file itself is complete by now.
            if error.errno not in (errno.EACCES, errno.EINVAL):
                raise
