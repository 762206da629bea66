import urllib.error
import urllib.request

import pytest

from model_operator.health import Health


@pytest.fixture
def health(clock):
    """Health of an operator that lists every 60 s."""
    return Health(60, clock)


def test_a_new_operator_lives_and_is_not_ready(health):
    assert health.find_problem() == ""
    assert not health.is_ready()
    health.note_audit()
    assert health.is_ready()


def test_a_queue_that_stands_is_a_problem_after_three_audits(health, clock):
    health.note_audit()
    clock.now += 180
    health.note_audit()
    assert health.find_problem() == ""
    clock.now += 1
    assert health.find_problem() == "the queue has not moved for 181 s"
    assert not health.is_ready()
    health.note_queue()
    assert health.find_problem() == ""


def test_lists_that_fail_make_it_unready_after_three_audits_and_never_restart_it(health, clock):
    health.note_audit()
    for _ in range(100):
        clock.now += 100
        health.note_queue()
        health.note_failure()
        assert health.find_problem() == ""
    assert health.find_hindrance() == "nothing could be listed for 10000 s"
    health.note_audit()
    assert health.is_ready()


def test_a_token_that_is_not_taken_is_a_reason_for_a_restart_after_three_audits(health, clock):
    health.note_audit()
    clock.now += 170
    health.note_queue()
    health.note_failure("the token is not taken")
    assert health.find_problem() == ""
    clock.now += 11
    assert health.find_problem() == "nothing could be listed for 181 s: the token is not taken"
    health.note_failure()
    assert health.find_problem() == ""


def test_audits_that_are_tried_no_more_are_a_problem(health, clock):
    health.note_audit()
    clock.now += 181
    health.note_queue()
    assert health.find_problem() == "nothing was tried to be listed for 181 s"


def test_a_dead_watch_is_no_reason_for_a_restart_while_the_api_server_is_away(health):
    health.note_audit("the watch has not told of CompressedModel press/a for 31 s")
    health.note_failure()
    assert health.find_problem() == ""
    health.note_audit("the watch has not told of CompressedModel press/a for 91 s")
    assert health.find_problem() == "the watch has not told of CompressedModel press/a for 91 s"


def test_audits_that_come_seldom_leave_the_queues_patience_as_it_is(clock):
    health = Health(60, clock, audit_seconds=800)
    health.note_audit()
    clock.now += 181
    assert health.find_problem() == "the queue has not moved for 181 s"
    health.note_queue()
    assert health.find_problem() == ""
    clock.now += 2220
    health.note_queue()
    assert health.find_problem() == "nothing was tried to be listed for 2401 s"


def test_lists_that_are_answered_one_after_the_other_are_signs_of_life_however_many_they_are(health, clock):
    for _ in range(10):
        clock.now += 100
        health.note_queue()
        health.note_listed()
        assert health.find_problem() == ""
    assert not health.is_ready()
    health.note_audit()
    assert health.is_ready()


def test_after_a_list_that_failed_only_a_whole_audit_is_a_sign_of_life(health, clock):
    health.note_audit()
    health.note_failure()
    clock.now += 181
    health.note_queue()
    health.note_listed()
    assert health.find_hindrance() == "nothing could be listed for 181 s"
    health.note_audit()
    assert health.is_ready()
    clock.now += 100
    health.note_listed()
    clock.now += 100
    health.note_queue()
    assert health.is_ready()


def test_a_watch_that_is_silent_is_a_problem_until_it_tells(health):
    health.note_audit("the watch has not told of CompressedModel press/a for 31 s")
    assert health.find_problem() == "the watch has not told of CompressedModel press/a for 31 s"
    health.note_audit()
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
    assert read(port, "/readyz") == (503, "nothing was listed yet\n")
    health.note_audit()
    assert read(port, "/readyz") == (200, "ok\n")
    clock.now += 500
    assert read(port, "/healthz") == (503, "the queue has not moved for 500 s\n")
    assert read(port, "/readyz") == (503, "the queue has not moved for 500 s\n")
    health.note_queue()
    health.note_failure()
    assert read(port, "/healthz") == (200, "ok\n")
    assert read(port, "/readyz") == (503, "nothing could be listed for 500 s\n")
    assert read(port, "/other") == (404, "there is /healthz and /readyz\n")
