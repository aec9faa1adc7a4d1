"""How many steps run at a time, and with how many threads."""

from chainrule.pace import Pace


def run(pace, turns, cost):
    """Let turns pass of which a step takes cost(threads) seconds; give their threads."""
    found = []
    for _ in range(turns):
        steps, threads = pace.next(10**6)
        pace.tell(steps * cost(threads))
        found.append(threads)
    return found


def quiet(threads):
    return {1: 2e-3, 2: 1e-3}[threads]


def shared_core(threads):
    return {1: 2e-3, 2: 4e-3}[threads]


def test_a_large_net_tries_one_thread_late_while_nothing_changes():
    pace = Pace(2, large=True)
    assert run(pace, 100, quiet) == [2] * 100
    assert run(pace, 3, quiet) == [1, 2, 2]
    assert 1 not in run(pace, 1000, quiet)


def test_a_large_net_tries_one_thread_when_steps_take_longer():
    pace = Pace(2, large=True)
    run(pace, 10, quiet)
    assert run(pace, 1, lambda threads: 1.2 * quiet(threads)) == [2]
    assert run(pace, 1, shared_core) == [2], "that took longer"
    assert run(pace, 4, shared_core) == [1, 2, 1, 1]


def test_threads_come_back_when_the_core_is_free():
    pace = Pace(2, large=True)
    run(pace, 10, quiet)
    assert run(pace, 60, shared_core)[-1] == 1
    assert run(pace, 200, quiet)[-1] == 2


def test_a_small_net_tries_all_threads():
    assert run(Pace(2), 5, quiet) == [1, 1, 2, 2, 2]
    assert run(Pace(2), 5, shared_core) == [1, 1, 2, 1, 1]
    assert run(Pace(1, large=True), 200, quiet) == [1] * 200
