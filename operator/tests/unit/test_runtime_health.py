import urllib.error
import urllib.request

import pytest

from model_operator.health import Health


class Clock:
    """Seconds that a test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        """The time."""
        return self.now


@pytest.fixture
def clock():
    """A clock that stands."""
    return Clock()


@pytest.fixture
def health(clock):
    """Health of an operator that lists every 60 s."""
    return Health(60, clock)


def test_a_new_operator_lives_and_is_not_ready(health):
    assert health.find_problem() == ""
    assert not health.is_ready()
    health.note_resync()
    assert health.is_ready()


def test_a_queue_that_stands_is_a_problem_after_three_resyncs(health, clock):
    health.note_resync()
    clock.now += 180
    health.note_resync()
    assert health.find_problem() == ""
    clock.now += 1
    assert health.find_problem() == "the queue has not moved for 181 s"
    assert not health.is_ready()
    health.note_queue()
    assert health.find_problem() == ""


def test_models_that_cannot_be_listed_are_a_problem_after_three_resyncs(health, clock):
    clock.now += 181
    health.note_queue()
    assert health.find_problem() == "models could not be listed for 181 s"


def test_a_watch_that_is_silent_is_a_problem_until_it_tells(health):
    health.note_resync("the watch has not told of press/a since the last list")
    assert health.find_problem() == "the watch has not told of press/a since the last list"
    health.note_resync()
    assert health.find_problem() == ""


def read(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_pages_tell_in_words_and_by_their_status(health, clock):
    port = health.serve("127.0.0.1", 0)
    assert read(port, "/healthz") == (200, "ok\n")
    assert read(port, "/readyz") == (503, "models were not listed yet\n")
    health.note_resync()
    assert read(port, "/readyz") == (200, "ok\n")
    clock.now += 500
    assert read(port, "/healthz") == (503, "the queue has not moved for 500 s\n")
    assert read(port, "/readyz") == (503, "the queue has not moved for 500 s\n")
    assert read(port, "/other") == (404, "there is /healthz and /readyz\n")
