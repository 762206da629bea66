"""What is fetched ahead, how much of it is held, and that it is what stands there."""

import threading

import pytest

from model_artifact.errors import UnreachableError
from model_artifact.read_ahead import LARGEST_BYTES, MERGED_BYTES, ReadAhead, merge_ranges

DATA = bytes(range(256)) * 40


class Fetcher:
    """Gives DATA, notes each range, and may be held up."""

    def __init__(self):
        self.asked = []
        self.may_go = threading.Event()
        self.may_go.set()

    def fetch(self, offset, count):
        """The bytes there, once they may be given."""
        self.asked.append((offset, count))
        assert self.may_go.wait(10)
        return DATA[offset : offset + count]


@pytest.fixture
def fetcher():
    return Fetcher()


@pytest.fixture
def open_ahead(fetcher):
    made = []

    def open_one(ranges):
        made.append(ReadAhead(fetcher.fetch, ranges))
        return made[-1]

    yield open_one
    fetcher.may_go.set()
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("ranges", "merged"),
    [
        ([(0, 10), (20, 5)], [(0, 25)]),
        ([(0, 10), (61, 5)], [(0, 10), (61, 5)]),
        ([(0, 10), (10, 5), (40, 1)], [(0, 41)]),
        ([(40, 1), (0, 10)], [(40, 1), (0, 10)]),
        ([(0, 10), (5, 10)], [(0, 10), (5, 10)]),
        ([(0, MERGED_BYTES), (MERGED_BYTES, 1)], [(0, MERGED_BYTES), (MERGED_BYTES, 1)]),
        ([(0, MERGED_BYTES - 1), (MERGED_BYTES - 1, 1)], [(0, MERGED_BYTES)]),
        ([(0, LARGEST_BYTES), (LARGEST_BYTES, LARGEST_BYTES + 1)], [(0, LARGEST_BYTES)]),
        ([(3, 0), (3, -1)], []),
    ],
)
def test_neighbours_are_fetched_at_once(ranges, merged):
    assert merge_ranges(ranges, near_bytes=50) == merged


def test_what_lies_in_a_range_is_given_and_the_rest_is_not(open_ahead):
    ahead = open_ahead([(100, 50), (1000, 200)])
    assert bytes(ahead.take(100, 50)) == DATA[100:150]
    assert bytes(ahead.take(1100, 7)) == DATA[1100:1107]
    for offset, count in ((99, 2), (149, 2), (150, 1), (0, 1), (5000, 1)):
        assert ahead.take(offset, count) is None


def test_one_beyond_is_fetched_and_no_more(open_ahead, fetcher):
    ahead = open_ahead([(0, 10), (10, 10), (20, 10), (30, 10)])
    ahead.take(0, 10)
    ahead.take(2, 3)
    ahead.close()
    assert fetcher.asked[0] == (0, 10)
    assert fetcher.asked in ([(0, 10)], [(0, 10), (10, 10)])


def test_nothing_is_fetched_before_it_is_asked_for(open_ahead, fetcher):
    open_ahead([(0, 10)])
    assert fetcher.asked == []


def test_it_is_fetched_while_the_one_before_is_used(open_ahead, fetcher):
    ahead = open_ahead([(0, 10), (10, 10)])
    ahead.take(0, 10)
    next_one = ahead._running[1]
    assert next_one.result(10) == DATA[10:20]
    fetcher.may_go.clear()
    assert bytes(ahead.take(10, 10)) == DATA[10:20]
    assert fetcher.asked == [(0, 10), (10, 10)]


def test_a_step_back_is_at_hand_and_what_is_far_back_is_fetched_again(open_ahead, fetcher):
    ranges = [(start, 10) for start in range(0, 60, 10)]
    ahead = open_ahead(ranges)
    for start in (10, 0, 20, 30, 20):
        assert bytes(ahead.take(start, 10)) == DATA[start : start + 10]
        assert len(ahead._running) <= 3
    assert all(fetcher.asked.count(each) == 1 for each in ranges[:4])
    assert bytes(ahead.take(0, 10)) == DATA[:10]
    assert fetcher.asked.count((0, 10)) == 2


def test_ranges_in_any_order_are_read_in_that_order(open_ahead, fetcher):
    ahead = open_ahead([(500, 20), (0, 20)])
    assert bytes(ahead.take(505, 3)) == DATA[505:508]
    assert bytes(ahead.take(0, 20)) == DATA[:20]
    assert fetcher.asked == [(500, 20), (0, 20)]


def test_an_error_reaches_who_asks_for_that_range_alone():
    def fail(offset, count):
        if offset:
            raise UnreachableError("gone")
        return DATA[:count]

    ahead = ReadAhead(fail, [(0, 10), (10, 10)])
    assert bytes(ahead.take(0, 10)) == DATA[:10]
    with pytest.raises(UnreachableError, match="gone"):
        ahead.take(10, 10)
    assert bytes(ahead.take(0, 10)) == DATA[:10]
    ahead.close()
