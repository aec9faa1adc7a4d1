"""The words of generated code as machine code."""

import ctypes
import threading

import numpy as np
import pytest

pytest.importorskip("numba")

from chainrule.transforms.compile import compiler, language, machine

# Every word that a program calls by itself; `first` and `last` are those of a thread.
SOURCE = """
def loop_1(x, y, first, last):
    apart()
    narrow()
    for i in range(first, last):
        y[i] = x[i] + y[i]


def program(start, stop, short, table, thread, threads):
    table = int64s(table)
    singles = float32s(table[0])
    doubles = float64s(table[1])
    wholes = int32s(table[2])
    keys = uint64s(table[3])
    truths = bool_s(table[4])
    out = float64s(table[5])
    places = int64s(table[6])
    meeting = int64s(table[7])
    clocks = int64s(table[8])
    first = share(6, thread, threads)
    last = share(6, thread + 1, threads)
    tick(clocks, 2, 2)
    for step in range(start, stop):
        flush_to_zero(True)
        loop_1(doubles, at(out, 6 * step), first, last)
        flush_to_zero(False)
        tick(clocks, 0, 2)
        meet(meeting, threads)
        if thread == threads - 1:
            for i in range(6):
                out[i + 6 * step] += singles[i] + wholes[i] + keys[i] + 2 * truths[i]
        meet(meeting, threads)
        tick(clocks, 1, 2)
    if thread == 0:
        argsort(doubles, places, 1, 6, 1)
        cumsum(doubles, at(out, 18), 2, 3, 1)
        cumsum_reversed(doubles, at(out, 24), 1, 3, 2)
        turn(doubles, at(out, 30), 2, 3, 0, 2)
        places[6] = address_of(at(out, 2)) - address_of(out)
        places[7] = short
        call_python(table[9])
        run_steps(table[10], 3, 7, table[11], 5, 6)
    return stop + 40
"""
INNER = """
def program(start, stop, short, table, thread, threads):
    seen = int64s(table)
    seen[0] = start
    seen[1] = stop
    seen[2] = short
    seen[3] = thread
    seen[4] = threads
    return 0
"""


def ran(call, inner, threads):
    """Run the program with so many threads, and give all that it wrote."""
    rng = np.random.default_rng(0)
    x = rng.permutation(6) - 2.5
    called, seen = [], np.zeros(5, np.int64)
    python = ctypes.CFUNCTYPE(None)(lambda: called.append(1))
    arrays = [x.astype(np.float32), x.copy(), np.arange(6, dtype=np.int32),
              np.arange(6, dtype=np.uint64) + 7, np.array([1, 0, 0, 1, 1, 0], np.uint8),
              np.zeros(36), np.zeros(8, np.int64), np.zeros(16, np.int64),
              np.zeros(3, np.int64)]  # fmt: skip
    addresses = [a.ctypes.data for a in arrays]
    addresses += [ctypes.cast(python, ctypes.c_void_p).value, inner, seen.ctypes.data]
    table = np.array(addresses, np.int64)
    ends = []

    def work(thread):
        ends.append(call(0, 3, 2, table.ctypes.data, thread, threads))

    team = [threading.Thread(target=work, args=[i]) for i in range(threads)]
    for member in team:
        member.start()
    for member in team:
        member.join()
    assert ends == [43] * threads
    assert called == [1]
    return arrays, seen


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_every_word_does_the_same_as_in_plain_source(threads):
    plain = language.module_of(SOURCE, "chainrule_words", "<words>", language.WORDS).program
    steps = language.module_of(INNER, "chainrule_inner", "<inner>", language.WORDS).program
    expected = ran(plain, language.keep(steps), 1)
    arrays, seen = ran(machine.machine_code(SOURCE), machine.code_address(INNER), threads)
    for found, value in zip(arrays[:7], expected[0][:7], strict=True):
        np.testing.assert_array_equal(found, value)
    assert seen.tolist() == expected[1].tolist() == [3, 7, -1, 5, 6]
    assert arrays[7][0] == 0, "all have left"
    assert arrays[7][8] == 6, "meetings"
    assert threads > 1 or (arrays[8] > 0).all()


@pytest.mark.parametrize("has", [True, False])
def test_processors_without_the_register_keep_small_numbers(monkeypatch, has):
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(compiler, "_X86", has)
    word = compiler._flush_to_zero

    @numba.njit
    def program():
        word(True)

    program.compile(())
    (text,) = program.inspect_llvm().values()
    assert ("mxcsr" in text) == has


def test_clocks_count_cycles_between_ticks(monkeypatch):
    cycles = iter([5, 7, 12, 20])
    monkeypatch.setattr(compiler, "_cycles", lambda: next(cycles))
    clocks = [0, 0, 0]
    for i in (2, 0, 1, 0):
        compiler._tick(clocks, i, 2)
    assert clocks == [2 + 8, 5, 20]


class Memory:
    """Stands for memory where threads meet: the count of those who came, and of meetings."""

    def __init__(self, monkeypatch, changes=None):
        self.cells, self.looks, self.yields, self.changes = {0: 0, 8: 5}, 0, 0, changes
        monkeypatch.setattr(compiler, "at", lambda place, more: place + more)
        monkeypatch.setattr(compiler, "_add", self.add)
        monkeypatch.setattr(compiler, "_look", self.look)
        monkeypatch.setattr(compiler, "_yield", self.rest)

    def add(self, place, value):
        before = self.cells[place]
        self.cells[place] += value
        return before

    def look(self, place):
        self.looks += 1
        if self.looks == self.changes:
            self.cells[8] += 1
        return self.cells[place]

    def rest(self):
        self.yields += 1


def test_the_last_who_comes_lets_all_go_on(monkeypatch):
    memory = Memory(monkeypatch)
    memory.cells[0] = 2
    compiler._meet(0, 3)
    assert memory.cells == {0: 0, 8: 6}
    assert memory.looks == 1


@pytest.mark.parametrize(("more", "yields"), [(2, 0), (4001, 0), (4002, 0), (4003, 1), (4010, 8)])
def test_others_wait_and_let_other_threads_run_if_it_lasts(monkeypatch, more, yields):
    memory = Memory(monkeypatch, changes=more)
    compiler._meet(0, 3)
    assert memory.cells == {0: 1, 8: 6}
    assert memory.looks == more
    assert memory.yields == yields
