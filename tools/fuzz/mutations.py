r"""Changes to files that keep their outer form, so that they get to what is read inside it.

A change of one byte of a model file ends at the checksum. These change what the file says, and
write it again with checksums and lengths that fit; a few are left as they are.

>>> import random
>>> table(b"x,y\n1,2\n", random.Random(0)) != table(b"x,y\n1,2\n", random.Random(1))
True
"""

import copy
import hashlib
import json
import math
import random
from collections.abc import Callable
from typing import Any

from chainrule.functional import ACTIVATIONS
from chainrule.losses import LOSSES
from chainrule.nn.module import MODULES
from chainrule.optim import OPTIMIZERS

NUMBERS = [0, 1, -1, 2, 3, 7, 64, 255, 2**31 - 1, 2**31, 2**40, 2**63 - 1, 2**63, -(2**63), 0.5,
           -0.0, 1e-320, 1e308, -1.5, True, False]  # fmt: skip
OTHERS: list[Any] = [None, "", "x", "nan", "inf", "\u00e9\n", [], {}, [1], ["x"], [[]], {"x": 1}]
TYPES = ["F16", "F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL"]
SIZES = dict(zip(TYPES, [2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1], strict=True))
MOST = 1 << 16  # bytes of an array that is written
WORDS = [*sorted(MODULES), *sorted(ACTIVATIONS), *sorted(OPTIMIZERS), *sorted(LOSSES)]


# ---------------------------------------------------------------- plain data


def plain(value: Any, rng: random.Random) -> Any:
    """Change something somewhere in nested lists and dictionaries."""
    places = [(value, key) for value in _containers(value) for key in _keys(value)]
    if not places:
        return value
    owner, key = rng.choice(places)
    _change(owner, key, rng, [o[k] for o, k in places])
    return value


def _containers(value: Any) -> list[Any]:
    if not isinstance(value, list | dict):
        return []
    items = value.values() if isinstance(value, dict) else value
    return [value, *(inner for item in items for inner in _containers(item))]


def _keys(value: Any) -> list[Any]:
    return list(value) if isinstance(value, dict) else list(range(len(value)))


def _change(owner: Any, key: Any, rng: random.Random, known: list[Any]) -> None:
    """Replace, take away, double or rename one entry."""
    old, way = owner[key], rng.random()
    if way < 0.12:
        del owner[key]
    elif way < 0.2 and isinstance(owner, list):
        owner.insert(key, copy.deepcopy(old))
    elif way < 0.2:
        owner[rng.choice([str(key) + "x", "", *WORDS])] = owner.pop(key)
    elif way < 0.4:
        owner[key] = copy.deepcopy(rng.choice(known))
    elif way < 0.6 or isinstance(old, list | dict | None):
        owner[key] = copy.deepcopy(rng.choice(NUMBERS + OTHERS))
    elif isinstance(old, str):
        owner[key] = rng.choice([*WORDS, *(x for x in known if isinstance(x, str)), old + old])
    else:
        owner[key] = rng.choice([-old, old + 1, old - 1, old * 2, old / 2, rng.choice(NUMBERS)])


# ---------------------------------------------------------------- model files


def model(data: bytes, rng: random.Random) -> bytes | None:
    """Change the plain data or the arrays of a model file or checkpoint."""
    try:
        metadata, arrays = _unpacked(data)
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            if arrays and rng.random() < 0.3:
                _change_array(arrays, rng)
            else:
                plain(metadata["config"] if rng.random() < 0.9 else metadata, rng)
        return _packed(metadata, arrays, sound=rng.random() < 0.97)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


Arrays = dict[str, tuple[dict[str, Any], bytes]]


def _unpacked(data: bytes) -> tuple[dict[str, Any], Arrays]:
    end = 8 + int.from_bytes(data[:8], "little")
    top = json.loads(data[8:end])
    metadata = json.loads(top.pop("__metadata__")["chainrule"])
    arrays = {}
    for name, entry in top.items():
        first, last = entry["data_offsets"]
        arrays[name] = entry, data[end + first : end + last]
    return metadata, arrays


def _packed(metadata: dict[str, Any], arrays: Arrays, *, sound: bool) -> bytes:
    """Write a model file; a sound one has offsets and checksums that fit."""
    top, place = {}, 0
    for name, (entry, body) in arrays.items():
        offsets = [place, place + len(body)] if sound else entry["data_offsets"]
        top[name] = {**entry, "data_offsets": offsets}
        place += len(body)
    if sound:
        sums = {name: hashlib.sha256(body).hexdigest() for name, (_, body) in arrays.items()}
        metadata = {"sha256": "0" * 64, **metadata, "sums": sums} | {"sha256": "0" * 64}
    header = json.dumps(
        {"__metadata__": {"chainrule": json.dumps(metadata, separators=(",", ":"))}, **top},
        separators=(",", ":"),
    ).encode()
    data = len(header).to_bytes(8, "little") + header + b"".join(x for _, x in arrays.values())
    if not sound:
        return data
    digits = hashlib.sha256(data[: 8 + len(header)]).hexdigest().encode()
    return data.replace(b"0" * 64, digits, 1)


def _change_array(arrays: Arrays, rng: random.Random) -> None:
    """Change numbers, shape, dtype or name of an array, or take it away."""
    name = rng.choice(list(arrays))
    entry, body = arrays[name]
    way = rng.choice(["bytes", "shape", "dtype", "name", "gone", "other"])
    if way == "gone":
        del arrays[name]
    elif way == "name":
        arrays[rng.choice([name + "x", f"{name}.0", *arrays])] = arrays.pop(name)
    elif way == "other":
        arrays[name] = arrays[rng.choice(list(arrays))]
    elif way == "bytes" and body:
        start = rng.randrange(len(body))
        size = rng.choice([1, 4, 8])
        filler = rng.choice([b"\0", b"\xff", b"\x7f", rng.randbytes(1)]) * size
        arrays[name] = entry, (body[:start] + filler + body[start + size :])[: len(body)]
    else:
        changed = dict(entry)
        if way == "dtype":
            changed["dtype"] = rng.choice(TYPES)
        else:
            plain(changed["shape"], rng) if changed["shape"] else changed["shape"].append(1)
        sizes = changed["shape"]
        if not all(isinstance(n, int) and abs(n) <= MOST for n in sizes) or len(sizes) > 99:
            raise ValueError("too large to be written")
        count = math.prod(sizes) * SIZES[changed["dtype"]]
        if not 0 <= count <= MOST:
            raise ValueError("too large to be written")
        arrays[name] = changed, (body * (count // max(len(body), 1) + 1) + b"\0" * count)[:count]


# ---------------------------------------------------------------- tables

CELLS = [b"", b"NA", b"nan", b"inf", b"-inf", b"1e999", b"-0", b"0x1", b"1_0", b"1;2", b"true",
         b"False", b"2020-01-01", b"2020-13-01 25:00:00", b"12:30", b"9" * 20, b"9" * 400, b"01",
         b'"', b'""', b'"a\nb"', b'"a', b"\xff", b"\xef\xbb\xbf", b"\0", b"\xe2\x80\xa8", b"\r",
         b" 1 ", b"Rome", b"age", b"1.0e5", b"\x85", b"\xc3\xa9" * 50]  # fmt: skip


def table(data: bytes, rng: random.Random) -> bytes | None:
    """Change cells, rows and columns of a CSV file."""
    end = rng.choice([b"\n", b"\n", b"\r\n", b"\r"]) if rng.random() < 0.1 else b"\n"
    rows = [row.split(b",") for row in data.split(b"\n")]
    for _ in range(rng.choice([1, 1, 2, 5])):
        i = rng.randrange(len(rows))
        j = rng.randrange(len(rows[i])) if rows[i] else 0
        way = rng.random()
        if way < 0.5 and rows[i]:
            rows[i][j] = rng.choice(CELLS)
        elif way < 0.6:
            rows[i].insert(j, rng.choice(CELLS))
        elif way < 0.65:
            rows[i] = rows[i][:j]
        elif way < 0.75:
            rows[i:i] = [list(rows[i])] * rng.choice([1, 1, 40])
        elif way < 0.8 and len(rows) > 1:
            del rows[i]
        elif way < 0.9:
            other = rng.choice(CELLS)
            for row in rows[1:]:
                row[j : j + 1] = [other]
        else:
            rows.insert(i, [rng.choice(CELLS)])
    return end.join(b",".join(row) for row in rows)


# ---------------------------------------------------------------- ONNX


def onnx(data: bytes, rng: random.Random) -> bytes | None:
    """Change fields of a protobuf message, the opset and shapes of tensors among them."""
    import onnx as format_

    try:
        message = format_.ModelProto.FromString(data)
        for _ in range(rng.choice([1, 1, 2, 4])):
            _change_message(rng.choice(_messages(message)), rng, message)
        return bytes(message.SerializeToString())
    except Exception:  # protobuf raises what it likes
        return None


def _messages(message: Any) -> list[Any]:
    found = [message]
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in value if _repeats(field) else [value]:
                found += _messages(inner)
    return found


def _repeats(field: Any) -> bool:
    return bool(field.is_repeated)


def _change_message(message: Any, rng: random.Random, whole: Any) -> None:
    """Change one field that is set, or set one that is not."""
    present = [field for field, _ in message.ListFields()]
    every = present if present and rng.random() < 0.85 else message.DESCRIPTOR.fields
    field = rng.choice(list(every))
    name, way = field.name, rng.random()
    if way < 0.15:
        message.ClearField(name)
    elif field.type == field.TYPE_MESSAGE:
        _change_inner(message, field, rng, whole)
    elif not _repeats(field):
        setattr(message, name, _scalar(field, rng, getattr(message, name), whole))
    else:
        values = list(getattr(message, name))
        if values and rng.random() < 0.7:
            i = rng.randrange(len(values))
            values[i] = _scalar(field, rng, values[i], whole)
        elif values and rng.random() < 0.5:
            del values[rng.randrange(len(values))]
        else:
            values.append(_scalar(field, rng, None, whole))
        message.ClearField(name)
        getattr(message, name).extend(values)


def _change_inner(message: Any, field: Any, rng: random.Random, whole: Any) -> None:
    """Double, remove, move or replace a message inside of another."""
    alike = [x for x in _messages(whole) if x.DESCRIPTOR is field.message_type]
    inner = getattr(message, field.name)
    if not _repeats(field):
        if alike:
            inner.CopyFrom(copy.deepcopy(rng.choice(alike)))
        return
    if len(inner) and rng.random() < 0.4:
        del inner[rng.randrange(len(inner))]
    elif len(inner) > 1 and rng.random() < 0.3:
        inner.reverse()
    elif alike:
        inner.add().CopyFrom(copy.deepcopy(rng.choice(alike)))


def _scalar(field: Any, rng: random.Random, old: Any, whole: Any) -> Any:
    """Give another value of the type of a field."""
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        return _text(field, rng, old, whole)
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return float(rng.choice([0, 1, -1, 0.5, 1e30, math.inf, math.nan, -1e-30]))
    bits = 63 if field.type in (field.TYPE_INT64, field.TYPE_UINT64) else 31
    small: Callable[[], int] = lambda: (old or 0) + rng.choice([-1, 1, 2])  # noqa: E731
    value = small() if rng.random() < 0.5 else int(rng.choice(NUMBERS[:14]))
    if field.type == field.TYPE_ENUM:
        return rng.choice([x.number for x in field.enum_type.values])
    return max(-(2**bits), min(value, 2**bits - 1))


def _text(field: Any, rng: random.Random, old: Any, whole: Any) -> Any:
    if field.type == field.TYPE_BYTES:
        body = bytearray(old or b"\0\0\0\0")
        if body and rng.random() < 0.7:
            body[rng.randrange(len(body))] = rng.randrange(256)
            return bytes(body)
        return bytes(body[: rng.randrange(len(body) + 1)])
    from chainrule.nn.onnx.layers import READERS

    names = [x for node in whole.graph.node for x in (*node.input, *node.output, node.op_type)]
    names += [a.name for node in whole.graph.node for a in node.attribute]
    return rng.choice(["", "x", *names, *names, *READERS])
