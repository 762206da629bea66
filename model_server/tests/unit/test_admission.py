"""How many may wait follows from how long each holds up the others."""

import pytest

from model_server.admission import Admission


def learn(admission, seconds, count, begin=100.0):
    """So many answers to requests that stood in line, so far apart."""
    for number in range(count):
        admission.note_answer(begin, begin + (number + 1) * seconds)
    return begin + count * seconds


def most_admitted(admission):
    return next(waiting for waiting in range(10**6) if not admission.admits(waiting))


@pytest.fixture
def admission():
    return Admission(17, 5.0)


def test_a_few_may_wait_while_nothing_is_known(admission):
    assert admission.estimate_seconds(100) is None
    assert most_admitted(admission) == 17


def test_quick_answers_let_many_wait_and_slow_ones_few(admission):
    learn(admission, 0.01, 10)
    assert admission.estimate_seconds(99) == pytest.approx(1.0)
    assert most_admitted(admission) == pytest.approx(500, abs=1)
    slow = Admission(17, 5.0)
    learn(slow, 1.0, 10)
    assert most_admitted(slow) == 17


def test_a_lone_request_holds_up_nobody_before_it_came(admission):
    for second in range(10):
        admission.note_answer(second, second + 0.01)
    assert admission.estimate_seconds(0) == pytest.approx(0.01)


def test_a_standstill_is_not_the_rule_and_a_lasting_change_is(admission):
    end = learn(admission, 0.01, 10)
    admission.note_answer(end, end + 3.0)
    assert admission.estimate_seconds(0) == pytest.approx(0.01)
    learn(admission, 0.2, 100, begin=end + 3.0)
    assert admission.estimate_seconds(0) == pytest.approx(0.2)
    assert most_admitted(admission) == pytest.approx(25, abs=1)


def test_threads_and_batches_that_end_many_at_a_time_hold_up_less(admission):
    for turn in range(20):
        for _ in range(20):
            admission.note_answer(turn * 0.2, (turn + 1) * 0.2)
    assert admission.estimate_seconds(0) == pytest.approx(0.01, rel=0.25)


def test_no_longest_wait_admits_the_few_alone():
    none = Admission(17, 0.0)
    learn(none, 0.001, 10)
    assert most_admitted(none) == 17
