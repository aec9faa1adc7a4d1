"""Model files: what goes in comes out, and every damaged or foreign file is refused."""

import hashlib
import importlib.metadata
import json
import math
import pickle
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ConfigError, DtypeError, FormatError
from chainrule.save import FORMAT, read_model, versions, write_model

FORMAT_1 = Path(__file__).parent / "fixtures" / "format-1"

CONFIG = {
    "layers": [{"kind": "Linear", "in": 2}],
    "rate": 1e-3,
    "name": "größe",
    "none": None,
    "\udcff": "\0",
}
ARRAYS = {
    "0.weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "0.bias": np.array([1.5, -0.0, np.nan]),
    "mask": np.array([True, False, True]),
    "steps": np.array(7, dtype=np.int64),
    "empty": np.zeros((0, 3), dtype=np.uint8),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.chainrule"


@pytest.fixture
def saved(path):
    write_model(path, "Tiny", CONFIG, ARRAYS)
    return path


def craft(path, header, body=b"", pad=b""):
    """Write a file with right checksums, as the module's docstring defines them."""
    if isinstance(header, dict):
        sums = {
            name: hashlib.sha256(body[entry["data_offsets"][0] : entry["data_offsets"][1]])
            for name, entry in header.items()
            if isinstance(entry, dict) and "data_offsets" in entry
        }
        shown = json.dumps({name: found.hexdigest() for name, found in sums.items()})
        text = header["__metadata__"]["chainrule"].replace('"SUMS"', shown)
        header = header | {"__metadata__": {"chainrule": text}}
        header = json.dumps(header, separators=(",", ":"))
    text = header.encode() if isinstance(header, str) else header
    data = struct.pack("<Q", len(text + pad)) + text + pad
    data = data.replace(b"0" * 64, hashlib.sha256(data).hexdigest().encode(), 1)
    path.write_bytes(data + body)


def metadata(**changes):
    entry = {
        "sha256": "0" * 64,
        "format": FORMAT,
        "needs": "0.1",
        "kind": "Tiny",
        "versions": {},
        "config": {},
        "sums": "SUMS",
    }
    entry |= changes
    kept = {key: value for key, value in entry.items() if value is not ...}
    return {"chainrule": json.dumps(kept, separators=(",", ":"))}


def tensor(dtype="U8", shape=(2,), begin=0, end=2):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_what_is_written_is_read(saved):
    model = read_model(saved)
    assert (model.kind, model.config) == ("Tiny", CONFIG)
    assert set(model.versions) == {"chainrule", "numpy", "python"}
    assert model.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        read = model.arrays[name]
        assert (read.dtype, read.shape) == (array.dtype, array.shape)
        assert read.tobytes() == array.tobytes()
        assert read.flags.writeable
        assert read.flags.owndata


def test_other_readers_of_safetensors_read_it(saved):
    arrays = safetensors.numpy.load_file(saved)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_equal_input_gives_equal_bytes(saved, tmp_path):
    again = tmp_path / "again"
    write_model(again, "Tiny", dict(CONFIG), dict(reversed(ARRAYS.items())))
    assert again.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("dtype", ["e", "f", "d", "b", "h", "i", "q", "B", "H", "I", "Q", "?"])
def test_every_dtype_comes_back(path, dtype):
    plain = np.array([[0, 1, 2], [3, 4, 100]]).astype(dtype)
    given = {
        "plain": plain,
        "big": plain.astype(plain.dtype.newbyteorder(">")),
        "turned": plain.T,
        "reversed": plain[::-1, ::2],
    }
    write_model(path, "Tiny", {}, given)
    for name, array in read_model(path).arrays.items():
        np.testing.assert_array_equal(array, given[name])
        assert array.dtype == plain.dtype
        assert array.dtype.isnative
        assert array.flags.c_contiguous


def test_a_path_may_be_a_string_and_an_array_have_eight_axes(path):
    config = json.loads('{"a":' + deep(62) + "}")
    write_model(str(path), "module", config, {"w": np.ones((1,) * 8)})
    write_model(str(path), "module", config, {"w": np.ones((1,) * 8)})  # over what was there
    model = read_model(str(path))
    assert model.config == config
    assert model.arrays["w"].shape == (1,) * 8


def test_no_arrays_and_an_empty_config(path):
    write_model(path, "Tiny", {}, {})
    assert read_model(path).arrays == {}


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.dictionaries(st.text(), plain_values, max_size=4))
def test_configurations_come_back_exactly(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("config") / "model"
    write_model(path, "Tiny", config, {})
    assert repr(read_model(path).config) == repr(config)


@pytest.mark.parametrize("how", ["now", "format 1"])
@pytest.mark.slow
def test_every_flipped_bit_is_found(path, how):
    write_model(path, "T", {"a": 1}, {"w": np.array([1.0], np.float32), "b": np.array([True])})
    if how == "format 1":
        shutil.copy(FORMAT_1 / "tiny.chainrule", path)
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        altered = bytearray(data)
        altered[bit // 8] ^= 1 << bit % 8
        path.write_bytes(altered)
        with pytest.raises(FormatError, match=re.escape(str(path))) as caught:
            read_model(path)
        assert "\n" not in str(caught.value)


def test_a_damaged_array_is_named(path):
    write_model(path, "T", {}, {"a": np.arange(3.0), "b": np.arange(4.0), "c": np.arange(5.0)})
    data = bytearray(path.read_bytes())
    data[-5 * 8 - 1] ^= 128  # the last byte of b
    path.write_bytes(data)
    with pytest.raises(FormatError, match="the checksum of its array b does not match; copy the"):
        read_model(path)


def test_every_truncation_and_extension_is_found(path):
    write_model(path, "T", {"a": 1}, {"w": np.array([1.0], np.float32)})
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(FormatError, match=r"truncated|empty"):
            read_model(path)
    for tail in (b"\0", b" ", data):
        path.write_bytes(data + tail)
        with pytest.raises(FormatError, match="the file holds"):
            read_model(path)


FOREIGN = {
    "empty": (b"", "is empty"),
    "short": (b"hi", "truncated, or no model file: it ends after 2 bytes"),
    "text": (b"species,island\n" * 40, "not a model file of chainrule: give"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(300), "a PNG picture"),
    "pickle": (pickle.dumps(list(range(100))), "a pickle, which chainrule never opens"),
    "zip": (b"PK\3\4" + bytes(300), "a zip archive"),
    "npy": (b"\x93NUMPY\1\0" + bytes(300), "a NumPy array"),
    "safetensors": (
        safetensors.numpy.save({"w": np.ones(50)}),
        "a safetensors file of another program",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_are_named(path, name):
    data, text = FOREIGN[name]
    path.write_bytes(data)
    with pytest.raises(FormatError, match=text) as caught:
        read_model(path)
    assert repr(str(path)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_and_a_missing_file(tmp_path):
    with pytest.raises(FormatError, match="is not a file: expected a model file"):
        read_model(tmp_path)
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_model(tmp_path / "nothing")


def test_a_crafted_file_is_read(path):
    header = {
        "__metadata__": metadata(config={"a": 1}),
        "w": tensor(),
        "v": tensor("I8", (1,), 2, 3),
    }
    craft(path, header, b"\1\2\3", pad=b"   ")
    model = read_model(path)
    assert model.config == {"a": 1}
    assert {name: array.tolist() for name, array in model.arrays.items()} == {"w": [1, 2], "v": [3]}


def deep(levels):
    return "[" * levels + "]" * levels


BAD_HEADERS = {
    "hole": ({"w": tensor(begin=1, end=3)}, b"123", "w begins at byte 1, expected 0"),
    "overlap": ({"w": tensor(), "v": tensor(begin=1, end=3)}, b"123", "v begins at byte 1"),
    "trailing": ({"w": tensor()}, b"123", "take 2 bytes, the file holds 3"),
    "missing bytes": ({"w": tensor()}, b"1", "take 2 bytes, the file holds 1"),
    "reversed": ({"w": tensor(begin=2, end=0)}, b"12", "does not fit its offsets"),
    "negative": ({"w": tensor(begin=-2, end=0)}, b"12", "offsets"),
    "shape": ({"w": tensor(shape=(3,))}, b"12", "does not fit its offsets"),
    "dtype size": ({"w": tensor("F32")}, b"12", "does not fit its offsets"),
    "overflow": ({"w": tensor(shape=(2**32, 2**32))}, b"12", "does not fit its offsets"),
    "huge empty": ({"w": tensor(shape=(0, 2**62, 4), end=0)}, b"", "shape"),
    "negative size": ({"w": tensor(shape=(-1,))}, b"12", "expected up to 8 integers"),
    "fraction": ({"w": tensor(shape=(2.0,))}, b"12", "expected up to 8 integers"),
    "boolean": ({"w": tensor(shape=(True, 2))}, b"12", "expected up to 8 integers"),
    "rank": ({"w": tensor(shape=(1,) * 9, end=1)}, b"1", "expected up to 8 integers"),
    "dtype": ({"w": tensor("BF16", (1,))}, b"12", "unknown dtype 'BF16'"),
    "long dtype": ({"w": tensor("x" * 99, (1,))}, b"12", r"unknown dtype '.{56}\.\.\."),
    "dtype list": ({"w": tensor(["U8"])}, b"12", "unknown dtype"),
    "three offsets": ({"w": tensor() | {"data_offsets": [0, 1, 2]}}, b"12", "offsets"),
    "extra key": ({"w": tensor() | {"code": "x"}}, b"12", "missing or unknown keys"),
    "no entry": ({"w": 3}, b"", "missing or unknown keys"),
    "path": ({"../../x": tensor()}, b"12", "array name '../../x'"),
    "newline": ({"a\nb": tensor()}, b"12", r"array name 'a\\nb'"),
    "long name": ({"a" * 256: tensor()}, b"12", "array name"),
    "boolean 2": ({"w": tensor("BOOL")}, b"\1\2", "booleans other than 0 and 1"),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_bad_layouts_are_refused_though_the_checksum_is_right(path, name):
    entries, body, text = BAD_HEADERS[name]
    craft(path, {"__metadata__": metadata()} | entries, body)
    with pytest.raises(FormatError, match=text) as caught:
        read_model(path)
    assert "\n" not in str(caught.value)


GOOD = json.dumps({"__metadata__": metadata(sums={})}, separators=(",", ":"))
BAD_TEXTS = {
    "no JSON": (GOOD[:-1] + ",}", "damaged header"),
    "duplicate key": (GOOD[:-1] + ',"w":1,"w":1}', "a key occurs twice"),
    "second metadata": (GOOD[:-1] + ',"__metadata__":{}}', "a key occurs twice"),
    "deep": (GOOD[:-1] + ',"w":' + deep(200_000) + "}", "nested too deep"),
    "NaN": (GOOD[:-1] + ',"w":NaN}', "NaN is not a number"),
    "long integer": (GOOD[:-1] + ',"w":' + "9" * 5000 + "}", "damaged header"),
    "two texts": (GOOD + GOOD, "damaged header"),
    "not UTF-8": (GOOD.encode()[:-1] + b',"\xff":1}', "damaged header"),
    "other metadata": (GOOD.replace('"}}', '","x":"y"}}'), "unknown metadata"),
    "number as metadata": (GOOD.replace('"}}', '","x":1}}'), "unknown metadata"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_bad_headers_are_refused_though_the_checksum_is_right(path, name):
    text, message = BAD_TEXTS[name]
    craft(path, text)
    with pytest.raises(FormatError, match=message):
        read_model(path)


BAD_METADATA = {
    "no format": ({"format": ...}, "no format number"),
    "format 0": ({"format": 0}, "no format number"),
    "format true": ({"format": True}, "no format number"),
    "missing kind": ({"kind": ...}, "missing or unknown metadata"),
    "unknown key": ({"code": "import os"}, "missing or unknown metadata"),
    "no sums": ({"sums": ...}, "missing or unknown metadata"),
    "list as sums": ({"sums": []}, "missing or unknown metadata"),
    "sums of other arrays": ({"sums": {"v": "0"}}, "its checksums are those of other arrays"),
    "number as kind": ({"kind": 3}, "missing or unknown metadata"),
    "list as config": ({"config": []}, "missing or unknown metadata"),
    "number as version": ({"versions": {"numpy": 2}}, "versions are not strings"),
    "infinite": ({"config": {"rate": 1e999}}, "Infinity is not a number"),
    "newer": ({"format": 3, "needs": "0.7", "more": 1}, "needs chainrule >= 0.7: pip install"),
    "newer, odd": ({"format": 3, "needs": "rm -rf"}, r"needs chainrule >= \(newer\)"),
}


@pytest.mark.parametrize("name", BAD_METADATA)
def test_bad_metadata_is_refused_though_the_checksum_is_right(path, name):
    changes, message = BAD_METADATA[name]
    craft(path, {"__metadata__": metadata(**changes)})
    with pytest.raises(FormatError, match=message):
        read_model(path)


def test_bad_configurations_are_refused_though_the_checksum_is_right(path):
    for text, message in (
        ('{"a":1e999}', "is inf: expected a finite number"),
        ('{"a":1,"a":2}', "a key occurs twice"),
        ('{"a":' + deep(64) + "}", "more than 64 levels"),
    ):
        entry = metadata(config="HERE")
        entry["chainrule"] = entry["chainrule"].replace('"HERE"', text)
        craft(path, {"__metadata__": entry})
        with pytest.raises(FormatError, match=message):
            read_model(path)


@pytest.mark.parametrize("length", [100_000_001, 2**63, 2**64 - 1])
def test_a_header_beyond_the_limit_or_the_file_takes_no_memory(saved, length):
    saved.write_bytes(struct.pack("<Q", length) + saved.read_bytes()[8:])
    with pytest.raises(FormatError, match=f"claims {length:,} bytes"):
        read_model(saved)


@pytest.mark.slow
def test_too_many_arrays_are_refused(path):
    entries = {f"a{index}": tensor(shape=(0,), end=0) for index in range(65_537)}
    craft(path, {"__metadata__": metadata()} | entries)
    with pytest.raises(FormatError, match="65,537 arrays are more than 65,536"):
        read_model(path)


@pytest.mark.parametrize(
    ("config", "arrays", "error", "text"),
    [
        ({"a": [1, math.nan]}, {}, ConfigError, r"config\['a'\]\[1\] is nan: expected a finite"),
        ({"a": {"b": math.inf}}, {}, ConfigError, r"config\['a'\]\['b'\] is inf"),
        ({"a": (1, 2)}, {}, ConfigError, r"config\['a'\] is of type tuple: expected plain data"),
        ({"a": np.float64(1)}, {}, ConfigError, "of type float64"),
        ({1: 2}, {}, ConfigError, "config has the key 1: expected strings as keys"),
        ({"a": 2**64 + 1}, {}, ConfigError, "beyond 64 bits"),
        ({"a": -(2**64) - 1}, {}, ConfigError, "beyond 64 bits"),
        ({"a": json.loads(deep(64))}, {}, ConfigError, "more than 64 levels"),
        ([], {}, ConfigError, "config is a list: expected a dict"),
        ({}, {"a/b": np.ones(1)}, ConfigError, "array name 'a/b' cannot be saved"),
        ({}, {"": np.ones(1)}, ConfigError, "array name '' cannot be saved"),
        ({}, {"a" * 256: np.ones(1)}, ConfigError, "array name 'aaa"),
        ({}, {3: np.ones(1)}, ConfigError, "array name 3 cannot be saved"),
        ({}, {"a": [1.0]}, DtypeError, "a is a list: expected a numpy.ndarray"),
        ({}, {"a": np.ma.ones(2)}, DtypeError, "a is a MaskedArray"),
        ({}, {"a": np.ones(1, complex)}, DtypeError, "a has dtype complex128"),
        ({}, {"a": np.array([None])}, DtypeError, "a has dtype object"),
        ({}, {"a": np.array(["x"])}, DtypeError, "a has dtype <U1"),
        ({}, {"a": np.ones((1,) * 9)}, FormatError, "was not written.*up to 8 integers"),
        ({}, {"__metadata__": np.ones(1)}, FormatError, "was not written.*a key occurs twice"),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file(saved, config, arrays, error, text):
    before = saved.read_bytes()
    with pytest.raises(error, match=text):
        write_model(saved, "Tiny", config, arrays)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_a_kind_that_is_no_string_is_not_written(path):
    with pytest.raises(FormatError, match="was not written: it has a damaged header"):
        write_model(path, 3, {}, {})
    assert not path.exists()


def test_a_copy_of_the_source_writes_too(path, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    versions.cache_clear()
    write_model(path, "Tiny", {}, {})
    versions.cache_clear()
    assert read_model(path).versions["chainrule"] == "unknown"
