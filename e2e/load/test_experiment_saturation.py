"""Steps of flat rates find the highest that is borne."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load.results import SaturationStep
from load.saturation import FIRST_RATE, HALVINGS, LARGEST_RATE, UNLOADED_RATE, conclude, plan_next_rate


def walk(capacity, *, fails=False):
    """The steps on a server whose waits grow as a queue's, and that fails, or stalls, beyond its capacity."""
    steps = []
    while (rate := plan_next_rate(steps)) is not None:
        assert len(steps) < 30, steps
        used = rate / capacity
        p95 = 5.0 / (1 - used) if used < 1 else 10_000.0
        steps.append(SaturationStep(rate=rate, achieved=rate, p95_milliseconds=p95, failures=int(fails and used >= 1)))
    return steps


@given(st.floats(20, 2000), st.booleans())
def test_the_highest_borne_rate_is_near_two_thirds_of_the_capacity_of_a_queue(capacity, fails):
    steps = walk(capacity, fails=fails)
    found = conclude("m", "rest", steps).requests_per_second
    # waits are three times as long at two thirds of the capacity; halvings leave a factor of 2 ** (1 / 8)
    slowdown_at = capacity * (1 - (1 - UNLOADED_RATE / capacity) / 3)
    assert found <= slowdown_at
    assert found * 2 ** (1 / 2**HALVINGS) * 1.001 >= slowdown_at
    assert steps[0].rate == UNLOADED_RATE


def test_a_server_that_bears_not_even_the_first_rate_has_the_unloaded_one():
    steps = walk(FIRST_RATE / 2)
    assert [step.rate for step in steps] == [UNLOADED_RATE, FIRST_RATE]
    assert conclude("m", "rest", steps).requests_per_second == UNLOADED_RATE


def test_one_that_fails_unloaded_bears_nothing():
    steps = [SaturationStep(rate=UNLOADED_RATE, achieved=0, p95_milliseconds=None, failures=9)]
    assert plan_next_rate(steps) is None
    assert conclude("m", "grpc", steps).requests_per_second is None


def test_one_that_bears_everything_ends_at_the_largest_rate():
    steps = walk(1e9)
    assert LARGEST_RATE / 2 < max(step.rate for step in steps) <= LARGEST_RATE
    assert conclude("m", "rest", steps).at_least


def test_a_limit_that_was_found_is_no_lower_bound_even_if_the_generator_was_too_much_later():
    steps = walk(100)
    assert not conclude("m", "rest", steps).at_least
    assert not conclude("m", "rest", [*steps, steps[-1].model_copy(update={"void": "late"})]).at_least


def test_a_rate_of_which_the_answers_did_not_come_in_its_time_is_not_borne():
    steps = [
        SaturationStep(rate=2, achieved=1.95, p95_milliseconds=5),
        SaturationStep(rate=8, achieved=7.5, p95_milliseconds=5),
    ]
    assert conclude("m", "rest", steps).requests_per_second == 2
    assert plan_next_rate(steps) is None


def test_a_step_that_measured_its_generator_is_not_borne():
    steps = [
        SaturationStep(rate=2, achieved=2, p95_milliseconds=5),
        SaturationStep(rate=8, achieved=8, p95_milliseconds=5),
        SaturationStep(rate=16, achieved=16, p95_milliseconds=5, void="the generator took too much"),
    ]
    found = conclude("m", "rest", steps)
    # what the server would have borne is not known
    assert (found.requests_per_second, found.at_least) == (8, True)
    assert plan_next_rate(steps) == pytest.approx((8 * 16) ** 0.5)
