import itertools
import threading

import pytest

from model_server.errors import DeadlineExceededError, LoadError, UnavailableError
from model_server.worker_pool import WorkerPool


def test_a_worker_more_is_made_only_when_one_is_waited_for():
    numbers = itertools.count(1)
    pool = WorkerPool(0, lambda: next(numbers), limit=3)
    for _ in range(5):
        worker, waited_seconds = pool.take(None)
        assert (worker, waited_seconds) == (0, 0.0)
        pool.give_back(worker)
    assert pool.size == 1
    taken = [pool.take(5)[0] for _ in range(3)]
    assert (sorted(taken), pool.size) == ([0, 1, 2], 3)
    with pytest.raises(DeadlineExceededError):
        pool.take(0.01)
    assert pool.size == 3


def test_the_last_worker_that_came_back_is_taken_first():
    pool = WorkerPool("a", lambda: "b", limit=2)
    first, second = pool.take(5)[0], pool.take(5)[0]
    assert (first, second) == ("a", "b")
    pool.give_back("a")
    pool.give_back("b")
    assert pool.take(5)[0] == "b"


@pytest.mark.parametrize("timeout_seconds", [None, 20.0])
def test_a_wait_ends_with_the_worker(timeout_seconds):
    pool = WorkerPool("a", lambda: "b", limit=1)
    pool.take(None)
    threading.Timer(0.1, pool.give_back, ["a"]).start()
    worker, waited_seconds = pool.take(timeout_seconds)
    assert worker == "a"
    assert 0.05 < waited_seconds < 20


@pytest.mark.parametrize("timeout_seconds", [0, -1.0, 0.01])
def test_a_request_whose_time_is_over_waits_no_more(timeout_seconds):
    pool = WorkerPool("a", lambda: "b", limit=1)
    pool.take(None)
    with pytest.raises(DeadlineExceededError):
        pool.take(timeout_seconds)


def test_a_worker_that_cannot_be_made_is_not_tried_again():
    tries = []

    def fail():
        tries.append(1)
        raise LoadError("no memory")

    pool = WorkerPool("a", fail, limit=2)
    pool.take(None)
    for _ in range(3):
        with pytest.raises(DeadlineExceededError):
            pool.take(0.05)
    assert len(tries) == 1


def test_closing_ends_every_wait():
    pool = WorkerPool("a", lambda: "b", limit=1)
    pool.take(None)
    threading.Timer(0.1, pool.close).start()
    with pytest.raises(UnavailableError):
        pool.take(20)
    pool.give_back("a")
    with pytest.raises(UnavailableError):
        pool.take(0)


def test_work_is_done_with_a_free_worker_and_timed():
    pool, times = WorkerPool("a", lambda: "b", limit=1), []
    assert pool.run(str.upper, None, lambda *seconds: times.append(seconds)) == "A"
    [(waited_seconds, worked_seconds)] = times
    assert waited_seconds == 0
    assert worked_seconds > 0
    assert pool.take(0)[0] == "a"


def test_work_that_fails_gives_its_worker_back_and_is_not_timed():
    pool, times = WorkerPool(0, lambda: 1, limit=1), []
    with pytest.raises(ZeroDivisionError):
        pool.run(lambda worker: 1 // worker, None, lambda *seconds: times.append(seconds))
    assert times == []
    assert pool.take(0)[0] == 0
