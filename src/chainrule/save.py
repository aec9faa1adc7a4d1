"""One file that holds a model: its arrays, its configuration, and a checksum over all of it.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "tiny.chainrule"
>>> write_model(path, "Linear", {"in": 2}, {"weight": np.array([[1.0, 2.0]], np.float32)})
>>> model = read_model(path)
>>> model.kind, model.config, model.arrays["weight"]
('Linear', {'in': 2}, array([[1., 2.]], dtype=float32))

The file is a safetensors file: 8 bytes header length, a JSON header, the bytes of the arrays. Any
safetensors reader can take the arrays out. The header's metadata has one entry, ``chainrule``,
itself JSON: ``sha256``, ``format``, ``needs`` (the oldest chainrule that reads this format),
``kind``, ``versions``, ``config``, ``sums``. ``sums`` has the SHA-256 of the bytes of each array,
and ``sha256`` is that of all before the arrays, with its own 64 digits set to ``0`` (they stand at
a fixed place). The arrays fill the rest of the file, so that no bit of it can change unseen, and
what is damaged has a name. Format 1 had no ``sums``; its ``sha256`` was that of the whole file.

A file is data from anywhere: nothing in it is evaluated, unpickled, imported or used as a path, and
sizes are checked before memory is taken for them.
"""

import errno
import functools
import hashlib
import importlib.metadata
import io
import json
import math
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from chainrule.atomic import atomic_write
from chainrule.errors import ConfigError, DtypeError, FormatError

FORMAT = 2
NEEDS = "0.1"  # the oldest chainrule that reads FORMAT

MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors format
MAX_ARRAYS = 65_536
MAX_RANK = 8
MAX_DEPTH = 64  # of nested lists and dicts in a configuration

Plain = dict[str, Any]
Array = NDArray[Any]

# fmt: off
_DTYPES = {
    "F16": "<f2", "F32": "<f4", "F64": "<f8",
    "I8":  "|i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
    "U8":  "|u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "|b1",
}
_FOREIGN = {
    b"\x89PNG": "a PNG picture", b"\x93NUMPY": "a NumPy array", b"ONNX": "an ONNX model",
    b"PK": "a zip archive, as PyTorch and NumPy write them",
    b"\x80": "a pickle, which chainrule never opens: it may run any code",
}
# fmt: on
_NAME = re.compile(r"[\w-]+(\.[\w-]+)*")
_START = b'{"__metadata__":{"chainrule":"{\\"sha256\\":\\"'  # the digits follow, then the rest
_DIGITS = slice(8 + len(_START), 8 + len(_START) + 64)
_ZEROS = b"0" * 64
_AGAIN = "copy the file again from its source, or save the model again"


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds: ``versions`` are those of the packages that wrote it."""

    kind: str
    config: Plain
    arrays: dict[str, Array]
    versions: dict[str, str]


class _Entry(NamedTuple):
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def write_model(
    path: str | os.PathLike[str], kind: str, config: Plain, arrays: Mapping[str, Array]
) -> None:
    """Write a model file, whole or not at all; equal input gives equal bytes.

    ``kind`` names the class of the model; ``config`` is plain data (dicts with string keys, lists,
    strings, finite numbers, booleans, None) and comes back equal; ``arrays`` are floats of 16 to 64
    bits, integers of 8 to 64 bits or booleans, and come back equal, in native byte order and C
    order. Raises ConfigError or DtypeError for what cannot be written, with its place, and OSError.
    """
    data = _encode(kind, config, arrays)
    try:  # a model that could not be read back is not written
        _read_header(io.BytesIO(data), len(data))
    except FormatError as error:
        message = f"{os.fspath(path)!r} was not written: it {error}"
        raise FormatError(message) from error
    try:
        with atomic_write(path) as file:
            file.write(data[: _DIGITS.start])
            file.write(_header_sum(data).encode())
            file.write(memoryview(data)[_DIGITS.stop :])
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = f"{error.strerror} ({len(data):,} bytes are needed)"
        raise OSError(error.errno, message, error.filename) from error


def read_model(path: str | os.PathLike[str]) -> ModelFile:
    """Read a model file that ``write_model`` wrote, or refuse it.

    Raises FormatError with one line, the path and what to do, for a file that is truncated,
    altered by a single bit, foreign or of a newer format; FileNotFoundError and other OSError for a
    file that cannot be opened.
    """
    name = os.fspath(path)
    if Path(path).exists() and not Path(path).is_file():
        message = f"{name!r} is not a file: expected a model file that was saved by chainrule"
        raise FormatError(message)
    with open(path, "rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size)
        except FormatError as error:
            message = f"{name!r} {error}"
            raise FormatError(message) from error


# ---------------------------------------------------------------- writing


def _encode(kind: str, config: Plain, arrays: Mapping[str, Array]) -> bytes:
    if type(config) is not dict:
        message = f"config is a {type(config).__name__}: expected a dict"
        raise ConfigError(message)
    _check_plain(config, "config")
    tensors = {name: _normalized(name, array) for name, array in arrays.items()}
    metadata = {
        "sha256": _ZEROS.decode(),
        "format": FORMAT,
        "needs": NEEDS,
        "kind": kind,
        "versions": versions(),
        "config": config,
        "sums": {name: _sum(tensors[name].reshape(-1).view("u1")) for name in sorted(tensors)},
    }
    text = json.dumps(metadata, separators=(",", ":"), allow_nan=False)
    return safetensors.numpy.save(tensors, metadata={"chainrule": text})


def _normalized(name: str, array: Array) -> Array:
    """Little-endian and C-contiguous, with the shape as it was (also of a 0-d array)."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 255:
        message = f"array name {_short(name)} cannot be saved: expected words joined by dots"
        raise ConfigError(message)
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        message = f"{name} is a {type(array).__name__}: expected a numpy.ndarray"
        raise DtypeError(message)
    little = array.dtype.newbyteorder("<")
    if little.str not in _DTYPES.values():
        message = (
            f"{name} has dtype {array.dtype}, which cannot be saved: expected float16/32/64, "
            "int8 ... 64, uint8 ... 64 or bool, as from array.astype(...)"
        )
        raise DtypeError(message)
    return np.asarray(array, dtype=little, order="C")


def _check_plain(value: object, place: str, depth: int = 1) -> None:
    """Refuse what JSON would change or cannot hold."""
    if depth > MAX_DEPTH:
        message = f"config is nested more than {MAX_DEPTH} levels deep"
        raise ConfigError(message)
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                message = f"{place} has the key {_short(key)}: expected strings as keys"
                raise ConfigError(message)
            _check_plain(item, f"{place}[{_short(key)}]", depth + 1)
    elif type(value) is list:
        for index, item in enumerate(value):
            _check_plain(item, f"{place}[{index}]", depth + 1)
    elif type(value) is float:
        if not math.isfinite(value):
            message = f"{place} is {value}: expected a finite number, or a word such as 'inf'"
            raise ConfigError(message)
    elif type(value) is int:
        if abs(value) > 2**64:
            message = f"{place} is an integer beyond 64 bits: expected a string"
            raise ConfigError(message)
    elif value is not None and type(value) not in (bool, str):
        message = (
            f"{place} is of type {type(value).__name__}: expected plain data "
            "(dict, list, str, int, float, bool, None), as from .tolist() or list()"
        )
        raise ConfigError(message)


@functools.cache
def versions() -> dict[str, str]:
    """Give the versions of what writes a file."""
    try:
        chainrule = importlib.metadata.version("chainrule")
    except importlib.metadata.PackageNotFoundError:  # run from a copy of the source
        chainrule = "unknown"
    return {"chainrule": chainrule, "numpy": np.__version__, "python": platform.python_version()}


def _sum(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def _header_sum(data: bytes) -> str:
    """SHA-256 of what comes before the arrays, with its own digits set to 0."""
    end = 8 + int.from_bytes(data[:8], "little")
    return _sum(data[: _DIGITS.start] + _ZEROS + data[_DIGITS.stop : end])


# ---------------------------------------------------------------- reading


def _read(file: BinaryIO, size: int) -> ModelFile:
    header, metadata, entries = _read_header(file, size)
    body = memoryview(file.read(size - len(header)))
    _check_sums(header, metadata, entries, body)
    arrays = {entry.name: _array(entry, body) for entry in entries}
    return ModelFile(metadata["kind"], metadata["config"], arrays, metadata["versions"])


def _check_sums(header: bytes, metadata: Plain, entries: list[_Entry], body: memoryview) -> None:
    """Refuse a file of which a bit has changed."""
    if metadata["format"] == 1:
        whole = header[: _DIGITS.start] + _ZEROS + header[_DIGITS.stop :] + body
        if _sum(whole) != metadata["sha256"]:
            raise FormatError(f"is damaged: its checksum does not match; {_AGAIN}")
        return
    if _header_sum(header) != metadata["sha256"]:
        raise FormatError(f"is damaged: the checksum of its header does not match; {_AGAIN}")
    if set(metadata["sums"]) != {entry.name for entry in entries}:
        raise FormatError(f"is damaged: its checksums are those of other arrays; {_AGAIN}")
    for entry in entries:
        if _sum(body[entry.begin : entry.end]) != metadata["sums"][entry.name]:
            raise FormatError(
                f"is damaged: the checksum of its array {entry.name} does not match; {_AGAIN}"
            )


def _read_header(file: BinaryIO, size: int) -> tuple[bytes, Plain, list[_Entry]]:
    """Read and check the header of a file of `size` bytes: its bytes, metadata and arrays."""
    start = file.read(_DIGITS.stop)
    _check_start(start, size)
    length = int.from_bytes(start[:8], "little")
    if length > MAX_HEADER_BYTES or not len(start) <= 8 + length <= size:
        raise FormatError(
            f"is truncated or damaged: its header claims {length:,} bytes, the file has {size:,}; "
            f"{_AGAIN}"
        )
    header = start + file.read(8 + length - len(start))
    try:
        top = _json(header[8:].decode())
        metadata = _metadata(top.pop("__metadata__"))
        return header, metadata, _layout(top, size - len(header))
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:  # from JSON, UTF-8 and the checks
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise FormatError(f"has a damaged header ({reason}); {_AGAIN}") from error


def _check_start(start: bytes, size: int) -> None:
    """Tell a file of chainrule from a foreign one, by its first bytes."""
    if size == 0:
        raise FormatError(f"is empty; {_AGAIN}")
    if start[8:].startswith(_START):
        return
    if size < _DIGITS.stop and _START.startswith(start[8:]):
        raise FormatError(f"is truncated, or no model file: it ends after {size} bytes; {_AGAIN}")
    guesses = [guess for magic, guess in _FOREIGN.items() if start.startswith(magic)]
    guess = f" (it looks like {guesses[0]})" if guesses else ""
    if start[8:9] == b"{":
        guess = " (it may be a safetensors file of another program, or damaged)"
    raise FormatError(f"is not a model file of chainrule{guess}: give a file saved by chainrule")


def _json(text: str) -> Plain:
    """Read an object, which every text is that begins with the brace of `_START`."""
    value: Plain = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Plain:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key occurs twice")
    return keys


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number of JSON")


def _metadata(entry: Plain) -> Plain:
    """Read the one metadata entry, of which `_START` is the beginning, and check it."""
    if set(entry) != {"chainrule"}:
        raise ValueError("unknown metadata")
    metadata = _json(entry["chainrule"])
    number = metadata.get("format")
    if type(number) is not int or number < 1:
        raise ValueError("no format number")
    if number > FORMAT:
        needs = metadata.get("needs")
        version = needs if type(needs) is str and re.fullmatch(r"[\d.]{1,20}", needs) else "(newer)"
        raise FormatError(
            f"has format {number}, which needs chainrule >= {version}: pip install -U chainrule"
        )
    expected = {"sha256": str, "format": int, "needs": str, "kind": str}
    expected |= {"versions": dict, "config": dict} | ({"sums": dict} if number > 1 else {})
    if {key: type(value) for key, value in metadata.items()} != expected:
        raise ValueError("missing or unknown metadata")
    if not all(type(version) is str for version in metadata["versions"].values()):
        raise ValueError("versions are not strings")
    _check_plain(metadata["config"], "config")
    return metadata


def _layout(top: Plain, body: int) -> list[_Entry]:
    """Check that the arrays fill the body of the file, without holes and overlaps."""
    if len(top) > MAX_ARRAYS:
        raise ValueError(f"{len(top):,} arrays are more than {MAX_ARRAYS:,}")
    entries = sorted(
        (_entry(name, given) for name, given in top.items()), key=lambda e: (e.begin, e.end)
    )
    place = 0
    for entry in entries:
        if entry.begin != place:
            raise ValueError(f"{entry.name} begins at byte {entry.begin}, expected {place}")
        place = entry.end
    if place != body:
        raise FormatError(
            f"is truncated or damaged: its arrays take {place:,} bytes, the file holds {body:,}; "
            f"{_AGAIN}"
        )
    return entries


def _entry(name: str, given: object) -> _Entry:
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise ValueError(f"array name {_short(name)}")
    if type(given) is not dict or set(given) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name}: missing or unknown keys")
    dtype, shape, offsets = given["dtype"], given["shape"], given["data_offsets"]
    if type(dtype) is not str or dtype not in _DTYPES:
        raise ValueError(f"{name}: unknown dtype {_short(dtype)}")
    if not _naturals(shape) or len(shape) > MAX_RANK:
        raise ValueError(f"{name}: shape {_short(shape)}, expected up to {MAX_RANK} integers")
    if not _naturals(offsets) or len(offsets) != 2:
        raise ValueError(f"{name}: offsets {_short(offsets)}")
    itemsize = np.dtype(_DTYPES[dtype]).itemsize
    if offsets[1] - offsets[0] != math.prod(shape) * itemsize:
        raise ValueError(f"{name}: {dtype} of shape {_short(shape)} does not fit its offsets")
    if (
        math.prod(max(size, 1) for size in shape) * itemsize >= 2**63
    ):  # NumPy cannot hold (0, 2**62)
        raise ValueError(f"{name}: shape {_short(shape)}")
    return _Entry(name, dtype, tuple(shape), offsets[0], offsets[1])


def _naturals(given: object) -> bool:
    return type(given) is list and all(type(item) is int and item >= 0 for item in given)


def _array(entry: _Entry, body: memoryview) -> Array:
    """Copy one array out of the body: writable, in native byte order."""
    dtype = np.dtype(_DTYPES[entry.dtype])
    part = body[entry.begin : entry.end]
    if entry.dtype == "BOOL" and bytes(part).translate(None, b"\0\1"):
        raise FormatError(f"is damaged: {entry.name} holds booleans other than 0 and 1; {_AGAIN}")
    array = np.empty(entry.shape, dtype.newbyteorder("="))
    if part:
        array[...] = np.ndarray(entry.shape, dtype, buffer=part)
    return array


def _short(value: object) -> str:
    """Show a value of a file on one line of at most 60 characters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
