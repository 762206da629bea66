import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_artifact.searching import find_free


def search(data, pieces, taken=()):
    return find_free(data, lambda: iter(pieces), sum(map(len, pieces)), list(taken))


def first_free(data, needle, taken):
    """What is expected, by trying every place."""
    for start in range(len(data) - len(needle) + 1):
        free = all(end <= start or start + len(needle) <= begin for begin, end in taken)
        if free and data[start : start + len(needle)] == needle:
            return start
    return -1


@given(
    st.binary(max_size=40).map(lambda data: bytes(byte % 2 for byte in data)),
    st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=3).map(bytes), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 39), st.integers(1, 4)).map(lambda place: (place[0], sum(place))), max_size=3),
)
def test_the_first_free_place_is_found(data, pieces, taken):
    assert search(data, pieces, taken) == first_free(data, b"".join(pieces), taken)


@pytest.mark.parametrize("zeros", [0, 1, 63, 64, 65, 500])
def test_zeros_everywhere_do_not_hide_the_place(zeros):
    assert search(bytes(zeros) + b"\0\0\0\7", [b"\0\0", b"\0\7"]) == zeros
    assert search(b"\1" * zeros + b"\1\7", [b"\1", b"\7"]) == zeros
    assert search(bytes(zeros + 4), [b"\0\0", b"\0\0"], [(0, zeros)]) == zeros
    assert search(bytes(zeros + 4), [b"\0\0", b"\0\1"]) == -1
