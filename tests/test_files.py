import datetime
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chainrule.errors import ChainruleError, ConfigError, DataError, FormatError, ShapeError
from chainrule.files import MISSING_TEXT, BadRow, read_good_rows, read_table, write_csv

PENGUINS = str(files("palmerpenguins") / "data" / "penguins.csv")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write(folder: Path, content: bytes | str, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_penguins() -> None:
    table = read_table(PENGUINS)
    expected = pd.read_csv(PENGUINS).astype(object)
    assert table.num_rows == 344
    assert table.to_pydict() == expected.where(expected.notna(), None).to_dict("list")


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("a,b\n1,x\n2,y\n", {"a": [1, 2], "b": ["x", "y"]}),
        ("a,b\r\n1,x\r\n2,y\r\n", {"a": [1, 2], "b": ["x", "y"]}),
        ("a,b\r1,x\r2,y", {"a": [1, 2], "b": ["x", "y"]}),
        ("\ufeffa,b\n1,x\n", {"a": [1], "b": ["x"]}),
        ('\ufeff"a,c",b\n1,x\n', {"a,c": [1], "b": ["x"]}),
        ("a\n\n1\n\n\n2\n", {"a": [1, 2]}),
        ('a,b\n1,"x\ny"\n2,"say ""hi"", ok"\n', {"a": [1, 2], "b": ["x\ny", 'say "hi", ok']}),
        ('a,b\n1,5" disk\n', {"a": [1], "b": ['5" disk']}),
        ("a\nTrue\nfalse\n", {"a": [True, False]}),
        ("a\n1.5\n-2e3\n", {"a": [1.5, -2000]}),
        ("a\n1\nx\n", {"a": ["1", "x"]}),
        ("größe\nüber\n", {"größe": ["über"]}),
        ("a\n2024-02-29\n", {"a": [datetime.date(2024, 2, 29)]}),
        (",b\n0,x\n", {"": [0], "b": ["x"]}),
    ],
)
def test_csv(folder: Path, content: str, columns: dict) -> None:
    assert read_table(write(folder, content)).to_pydict() == columns


@pytest.mark.parametrize("text", MISSING_TEXT)
@pytest.mark.parametrize("quote", ["", '"'])
def test_missing_text(folder: Path, text: str, quote: str) -> None:
    cell = f"{quote}{text}{quote}"
    path = write(folder, f"n,t,z\n1,x,0\n{cell},{cell},0\n")
    assert read_table(path).to_pydict() == {"n": [1, None], "t": ["x", None], "z": [0, 0]}


@pytest.mark.parametrize("text", ["na", "-", "missing", "NaN!", "nan."])
def test_other_text_is_not_missing(folder: Path, text: str) -> None:
    assert read_table(write(folder, f"t\nx\n{text}\n"))["t"].to_pylist() == ["x", text]


def test_a_type_that_shows_late_is_the_type_of_the_whole_column(folder: Path) -> None:
    path = write(folder, "a\n" + "1\n" * 9_000_000 + "x\n")
    column = read_table(path)["a"]
    assert (column[0].as_py(), column[-1].as_py()) == ("1", "x")


def test_delimiters(folder: Path) -> None:
    expected = {"a": [1], "b": [2]}
    assert read_table(write(folder, "a\tb\n1\t2\n", "data.tsv")).to_pydict() == expected
    path = write(folder, "a;b\n1;2\n")
    assert read_table(path, delimiter=";").to_pydict() == expected
    with pytest.raises(DataError, match=r"data\.csv: one column 'a;b': pass delimiter=';'"):
        read_table(path)
    assert read_table(path, delimiter=",").to_pydict() == {"a;b": ["1;2"]}
    for wrong in ("", ";;", "é"):
        with pytest.raises(ConfigError, match="the delimiter is one ASCII letter"):
            read_table(path, delimiter=wrong)


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (b"", DataError, r"data\.csv: the file is empty"),
        (b"\n\n", DataError, r"data\.csv: the file is empty"),
        (b"\xef\xbb\xbf", DataError, r"data\.csv: the file is empty"),
        (b"a,b\n", DataError, r"data\.csv: the file has 2 columns but no rows"),
        (b"a,b", DataError, r"data\.csv: the file has 2 columns but no rows"),
        (b"a,b\n1,2\n1,2,3\n", DataError, r"data\.csv:3: expected 2 cells, found 3$"),
        (b"a,b\n1,2\n\n3\n4,5", DataError, r"data\.csv:4: expected 2 cells, found 1$"),
        (b'a,b\n"x\ny",2\n3\n', DataError, r"data\.csv:4: expected 2 cells, found 1$"),
        (b"a,b,a\n1,2,3\n", DataError, r"data\.csv: two columns have the name 'a': rename"),
        (b"a,b\n1,x\0y\n", FormatError, r"data\.csv:2: NUL byte at position 7$"),
        ("a,b\n1,2\n".encode("utf-16"), FormatError, r"NUL byte .* seems to be UTF-16: save it"),
        (b"a,b\n1,caf\xe9\n", FormatError, r"data\.csv:2: byte 0xe9 at position 9 is not UTF-8"),
        (b"caf\xe9,b\n1,2\n", FormatError, r"data\.csv:1: byte 0xe9 at position 3 is not UTF-8"),
        (b"a,b\n1,\xe9\n2\n", FormatError, r"data\.csv:2: byte 0xe9 at position 6"),
        (b'a,b\n1,2\n1,"x\n2,y\n', DataError, r"data\.csv:3: a quote is opened here and never"),
        (b'a,b\n1,2\n2,"x"y\n', DataError, r"""data\.csv:3: ',' expected after '"'"""),
        (b'a,b\n1,"' + b"x" * 200_000 + b'"\n', DataError, r"data\.csv:2: field larger than"),
        (b"a\n1\n" + b"x" * (1 << 26) + b"\n", DataError, r"data\.csv:3: the line is longer"),
        (b"x" * (1 << 25), DataError, r"data\.csv:1: the line is longer than 16777216 bytes"),
        (b",".join([b"a"] * 65537) + b"\n1\n", DataError, r"65537 columns, at most 65536"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else "",
)
def test_csv_files_that_are_wrong(
    folder: Path, content: bytes, error: type[ChainruleError], text: str
) -> None:
    path = write(folder, content)
    with pytest.raises(error, match=text) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_row_of_many_lines_that_is_too_long(folder: Path) -> None:
    cell = '"' + ("x" * 1000 + "\n") * 125 + '"'
    header = ",".join(f"c{i}" for i in range(300))
    path = write(folder, f"{header}\n{','.join([cell] * 300)}\n")
    with pytest.raises(FormatError, match=r"data\.csv: a row is longer than 16777216 bytes"):
        read_table(path)


def test_bad_rows_are_skipped_and_listed(folder: Path) -> None:
    path = write(folder, 'a,b\n1,"x\ny"\n3\n\n4,5,6\n"7",8\n')
    table, skipped = read_good_rows(path)
    assert table.to_pydict() == {"a": [1, 7], "b": ["x\ny", "8"]}
    assert skipped == [
        BadRow(4, "expected 2 cells, found 1"),
        BadRow(6, "expected 2 cells, found 3"),
    ]


def test_good_files_have_no_bad_rows(folder: Path) -> None:
    table, skipped = read_good_rows(PENGUINS)
    assert (table.num_rows, skipped) == (344, [])
    pq.write_table(table, folder / "data.parquet")
    assert read_good_rows(folder / "data.parquet") == (table, [])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'a,b\n1\n1,"x\n', r"data\.csv:3: a quote is opened here"),
        (b"a,b\n1\n1,\xe9\n", r"data\.csv:3: byte 0xe9"),
        (b"a,b\n1\n2,3,4\n", r"data\.csv: the file has 2 columns but no rows"),
    ],
)
def test_what_skipping_rows_does_not_cure(folder: Path, content: bytes, text: str) -> None:
    with pytest.raises(ChainruleError, match=text):
        read_good_rows(write(folder, content))


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_columns_in_the_order_asked_for(folder: Path, name: str) -> None:
    path = folder / name
    if name.endswith("csv"):
        write(folder, "a,b,c\n1,2,3\n")
    else:
        pq.write_table(pa.table({"a": [1], "b": [2], "c": [3]}), path)
    table = read_table(path, columns=["c", "a"])
    assert list(table.to_pydict().items()) == [("c", [3]), ("a", [1])]
    with pytest.raises(DataError, match=r"there is no column 'C': it has \['a', 'b', 'c'\]"):
        read_table(path, columns=["a", "C"])


@pytest.mark.parametrize("columns", ["species", [], ()])
def test_columns_are_a_list_of_names(columns: object) -> None:
    with pytest.raises(ConfigError, match="columns is a list of names, not "):
        read_table(PENGUINS, columns=columns)


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_a_column_is_asked_for_once(folder: Path, name: str) -> None:
    pq.write_table(pa.table({"a": [1], "b": [2]}), folder / "data.parquet")
    write(folder, "a,b\n1,2\n")
    with pytest.raises(ConfigError, match=r"columns has 'b' twice, expected each name once: list"):
        read_table(folder / name, columns=["b", "a", "b"])


def test_a_column_that_is_not_there_gets_a_hint() -> None:
    with pytest.raises(DataError, match="no column 'bodymass': did you mean 'body_mass_g'"):
        read_table(PENGUINS, columns=["bodymass"])


def test_paths_that_are_no_tables(folder: Path) -> None:
    (folder / "folder.csv").mkdir()
    for path, error, text in [
        (folder / "none.csv", DataError, "there is no such file"),
        (folder / "folder.csv", DataError, "this is not a file"),
        (folder / "data.xlsx", FormatError, r"unknown type '.xlsx', possible are .csv, .tsv and"),
        (folder, FormatError, "unknown type ''"),
    ]:
        with pytest.raises(error, match=text) as caught:
            read_table(path)
        assert str(caught.value).startswith(str(path))


def test_the_case_of_the_suffix_does_not_matter(folder: Path) -> None:
    assert read_table(write(folder, "a\n1\n", "DATA.CSV")).to_pydict() == {"a": [1]}


# ---- cells that do not belong


def column(cells: list[object], head: str = "a,b") -> str:
    return "\n".join([head, *(f"{cell},x" for cell in cells)]) + "\n"


NUMBERS: list[object] = [n / 7 for n in range(40)]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a,b\n1,2\n1e999,3\n", r"csv:3: column 'a': inf is not finite: correct or remove it$"),
        ("a,b\n1,2\n\n1,-inf\n", r"csv:4: column 'b': -inf is not finite"),
        ('a,b\n1,"x\ny"\n1e400,z\n', r"csv:4: column 'a': inf is not finite"),
        (column([*NUMBERS, "4;7"]), r"csv:42: column 'a': '4;7' is not a number, as the other 40 "
         r"cells are: correct or remove it, or take the column for text with mixed=\['a'\]$"),
        (column([*NUMBERS, "12,000"]).replace("12,000", '"12,000"'), r"csv:42: .* '12,000' is"),
        (column(["1.5.2", "", *NUMBERS, "x"]), r"csv:2: column 'a': '1.5.2' is not a number: "),
        (column(["1_000", *NUMBERS]), r"csv:2: column 'a': '1_000' is not a number"),
    ],
)  # fmt: skip
def test_a_cell_that_does_not_belong_is_named_by_line_and_column(
    folder: Path, content: str, text: str
) -> None:
    path = write(folder, content)
    with pytest.raises(DataError, match=text) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "cells",
    [
        [*NUMBERS[:18], "x"],  # too few to tell
        [*NUMBERS, "x", "y", "z"],  # 7 % are text
        [*([1, 2, 3] * 20), "other"],  # codes
    ],
)
def test_a_column_of_text_and_numbers_may_be_one_of_text(folder: Path, cells: list) -> None:
    table = read_table(write(folder, column(cells)))
    assert table["a"].to_pylist() == [str(cell) for cell in cells]


def test_columns_that_have_to_be_numbers_and_such_that_need_not(folder: Path) -> None:
    few = write(folder, column([1, "x"]))
    assert read_table(few)["a"].to_pylist() == ["1", "x"]
    with pytest.raises(DataError, match=r"csv:3: column 'a': 'x' is not a number"):
        read_table(few, numbers=["a"])
    many = write(folder, column([*NUMBERS, "x"]))
    for settings in ({"mixed": ["a"]}, {"mixed": True}, {"text": ["a"]}):
        assert read_table(many, **settings)["a"][-1].as_py() == "x"
    with pytest.raises(DataError, match="'x' is not a number"):
        read_table(many, mixed=True, numbers=["a"])


def test_rows_with_cells_that_do_not_belong_are_skipped_and_listed(folder: Path) -> None:
    path = write(folder, column([*NUMBERS[:30], "x", *NUMBERS[30:]]).replace("\n", "\n7\n", 1))
    table, skipped = read_good_rows(path)
    assert table["a"].to_pylist() == NUMBERS
    assert skipped == [
        BadRow(2, "expected 2 cells, found 1"),
        BadRow(33, "column 'a': 'x' is not a number, as the other 40 cells are"),
    ]
    table, skipped = read_good_rows(write(folder, "a,b\n1,2\n1e999,inf\n3,4.5\n"))
    assert table.to_pydict() == {"a": [1, 3], "b": [2, 4.5]}
    assert skipped == [BadRow(3, "column 'a': inf is not finite")]
    path = write(folder, column([*NUMBERS, " 5 ", "1e999", "x"]))
    table, skipped = read_good_rows(path)
    assert table["a"].to_pylist() == [*NUMBERS, 5]
    assert skipped == [
        BadRow(43, "column 'a': '1e999' is not finite"),
        BadRow(44, "column 'a': 'x' is not a number, as the other 42 cells are"),
    ]


def test_a_row_to_skip_that_is_not_utf8_is_refused(folder: Path) -> None:
    path = folder / "data.csv"
    path.write_bytes(b"a,b\n1,2\n\x85\n")
    with pytest.raises(FormatError, match=r"csv:3: byte 0x85 at position 8 is not UTF-8"):
        read_good_rows(path)


def test_cells_of_parquet_files(folder: Path) -> None:
    path = folder / "data.parquet"
    text = [*map(str, NUMBERS), "x"]
    pq.write_table(pa.table({"a": text, "b": [*NUMBERS, float("inf")]}), path)
    with pytest.raises(DataError, match=r"parquet: column 'b', row 40 \(counted from 0\): inf is"):
        read_table(path)
    assert read_table(path, mixed=["b"])["a"].to_pylist() == text  # a column of text is one
    with pytest.raises(DataError, match=r"column 'a', row 40 \(counted from 0\): 'x' is not a"):
        read_table(path, mixed=["b"], numbers=["a"])
    table, skipped = read_good_rows(path)
    assert (table.num_rows, skipped) == (40, [BadRow(41, "column 'b': inf is not finite")])


@pytest.mark.parametrize(
    ("name", "package"), [("a.csv", "pyarrow"), ("a.parquet", "pyarrow.parquet")]
)
def test_files_need_pyarrow(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'{package} is needed .*: pip install "chainrule\[data'):
        read_table(write(folder, "a\n1\n", name))


# ---- Parquet


def test_parquet(folder: Path) -> None:
    table = pa.table({"a": [1, None], "b": pa.array(["x", None]).dictionary_encode()})
    pq.write_table(table, folder / "data.parquet")
    assert read_table(folder / "data.parquet").equals(table)


def test_parquet_files_that_are_wrong(folder: Path) -> None:
    path = folder / "data.parquet"
    table = pa.table({"a": list(range(1000)), "b": ["x", None] * 500})
    pq.write_table(table, path, write_page_checksum=True)
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[200] ^= 1
    for content in (b"PAR1", b"a,b\n1,2\n", good[:-1], good[: len(good) // 2], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"data\.parquet: not a Parquet file, or a dam") as e:
            read_table(path)
        assert "\n" not in str(e.value)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"data\.parquet: the file is empty"):
        read_table(path)


def test_damaged_parquet_never_raises_another_error(folder: Path) -> None:
    path = folder / "data.parquet"
    table = pa.table({"a": list(range(50)), "b": ["x", None] * 25})
    pq.write_table(table, path)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        content = bytearray(good)
        content[rng.integers(len(good))] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        try:
            read_table(path)
        except (FormatError, DataError):
            refused += 1
    assert refused > 100


def test_parquet_without_rows_or_with_a_name_twice(folder: Path) -> None:
    path = folder / "data.parquet"
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), path)
    with pytest.raises(DataError, match="the file has 1 columns but no rows"):
        read_table(path)
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), path)
    with pytest.raises(DataError, match="two columns have the name 'a'"):
        read_table(path)


# ---- writing


def test_numbers_come_back_exactly(folder: Path) -> None:
    rng = np.random.default_rng(0)
    doubles = rng.normal(size=1000) * 10.0 ** rng.integers(-300, 300, size=1000)
    singles = rng.normal(size=1000).astype(np.float32)
    integers = rng.integers(-(2**63), 2**63 - 1, size=1000)
    path = folder / "out.csv"
    write_csv(path, {"d": doubles, "s": singles, "i": integers})
    table = read_table(path)
    np.testing.assert_array_equal(table["d"].to_numpy(), doubles)
    np.testing.assert_array_equal(table["s"].to_numpy().astype(np.float32), singles)
    np.testing.assert_array_equal(table["i"].to_numpy(), integers)
    assert len(path.read_text().splitlines()[1]) < 60


def test_text_comes_back_exactly(folder: Path) -> None:
    text = ["plain", "a,b", 'say "hi"', '"', "two\nlines", "old\rmac", "dos\r\n", " space ", "ü🐧"]
    path = folder / "out.csv"
    write_csv(path, {'na"me,': np.array(text), "n": range(len(text))})
    assert read_table(path).to_pydict() == {'na"me,': text, "n": list(range(len(text)))}


def test_missing_and_booleans(folder: Path) -> None:
    path = folder / "out.csv"
    nan = float("nan")
    write_csv(path, {"a": [None, 1.5, nan], "b": np.array([nan, 2.5, 0.1], np.float32)})
    assert path.read_text() == "a,b\n,\n1.5,2.5\n,0.1\n"
    write_csv(path, {"a": [None, "x"]})
    assert read_table(path).to_pydict() == {"a": [None, "x"]}
    write_csv(path, {"a": np.array([True, False])})
    assert read_table(path).to_pydict() == {"a": [True, False]}


def test_no_rows_are_a_header(folder: Path) -> None:
    write_csv(folder / "out.csv", {"a": [], "b": np.zeros(0)})
    assert (folder / "out.csv").read_text() == "a,b\n"


@pytest.mark.parametrize(
    "columns", [{}, {"a": [1, 2], "b": [1]}, {"a": np.ones((2, 2))}, {"a": 3}], ids=str
)
def test_columns_that_make_no_table_are_refused(folder: Path, columns: dict) -> None:
    with pytest.raises(ShapeError, match="one dimension and one length"):
        write_csv(folder / "out.csv", columns)
    assert list(folder.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(folder: Path) -> None:
    path = write(folder, "old", "out.csv")
    with pytest.raises(UnicodeEncodeError):
        write_csv(path, {"a": ["x", "\udc80"]})
    assert path.read_text() == "old"
    assert list(folder.iterdir()) == [path]
