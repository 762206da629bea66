from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_operator.api.status import CompressedModelStatus, KpiStatus
from model_operator.planning.reasons import Reason
from model_operator.planning.rounding import format_apart, format_number, is_moved, round_optional, round_significant
from model_operator.planning.status import parse_status, plan_status_write, render_condition
from model_operator.planning.verdict import Verdict

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "rounded", "text"),
    [
        (0, 0, "0"),
        (12345, 12300, "12300"),
        (71.2345, 71.2, "71.2"),
        (0.0123456, 0.0123, "0.0123"),
        (999.9, 1000, "1000"),
        (-2.006, -2.01, "-2.01"),
        (1e-7, 1e-7, "0.0000001"),
        (5e6, 5e6, "5000000"),
        (0.5, 0.5, "0.5"),
    ],
)
def test_numbers_have_three_significant_digits(number, rounded, text):
    assert round_significant(number) == rounded
    assert format_number(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12))
def test_rounding_changes_little_and_once(number):
    rounded = round_significant(number)
    assert abs(rounded - number) <= 0.005 * abs(number) + 1e-300
    assert round_significant(rounded) == rounded


@pytest.mark.parametrize(
    ("number", "other", "texts"),
    [
        (2.4876, 5, ("2.49", "5")),
        (92.44, 92.44, ("92.4", "92.4")),
        (69.96, 70, ("69.96", "70")),
        (5.0012, 5.0049, ("5.001", "5.005")),
        (0.1 + 0.2, 0.3, ("0.30000000000000004", "0.3")),
    ],
)
def test_numbers_that_differ_are_told_apart(number, other, texts):
    assert format_apart(number, other) == texts


def test_no_number_stays_none():
    assert round_optional(None) is None
    assert round_optional(1234.0) == 1230.0


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [(100, 104.9, False), (100, 105, True), (100, 95, True), (100, 95.1, False), (0, 0, False), (0, 0.1, True)],
)
def test_a_number_moved_at_five_percent(old, new, moved):
    assert is_moved(old, new) is moved


def status(p95, age_seconds=0, reason=Reason.OBJECTIVES_MET, message="p95 is 1.", kind="WithinObjectives"):
    """A status with one condition and one measured number."""
    verdict = Verdict("True", reason, message)
    kpis = KpiStatus(p95_latency_milliseconds=p95, window="5m", measured_at=NOW - timedelta(seconds=age_seconds))
    condition = render_condition(kind, verdict, None, 1, NOW)
    return CompressedModelStatus(observed_generation=1, conditions=(condition,), kpis=kpis)


@pytest.mark.parametrize(
    ("old", "new", "written"),
    [
        (status(100), status(100), False),
        (status(100, age_seconds=59), status(104), False),
        (status(100, age_seconds=60), status(104), True),
        (status(100, age_seconds=15), status(106), True),
        (status(100, age_seconds=15), status(None), True),
        (status(None), status(100), True),
        (status(100, age_seconds=15), status(100, message="p95 is 2.3."), False),
        (status(100, age_seconds=15), status(100, message="p95 is bad."), True),
        (status(100), status(100, reason=Reason.OBJECTIVES_MISSED), True),
        (status(100, kind="Ready"), status(100, kind="Ready", message="p95 is 2."), True),
    ],
)
def test_measured_numbers_are_written_when_they_moved_or_are_old(old, new, written):
    result = plan_status_write(old.to_json(), new)
    assert result == (new.to_json() if written else None)


def test_numbers_that_are_read_late_are_written_once_a_minute_all_the_same():
    """Each pass has a reading that is 15 s old: what counts is how much newer it is than the one that stands."""
    standing = status(100, age_seconds=70).to_json()
    assert plan_status_write(standing, status(101, age_seconds=15)) is None
    assert plan_status_write(standing, status(101, age_seconds=10)) is not None


def test_a_window_without_a_number_is_not_written_again():
    assert plan_status_write(status(None, age_seconds=3600).to_json(), status(None)) is None


def test_progress_of_a_build_counts_as_measured_but_an_epoch_does_not():
    def building(epoch, rate, message):
        build = {"recipeDigest": "x", "epoch": epoch, "stepsPerSecond": rate, "etaSeconds": 100, "message": message}
        return CompressedModelStatus.model_validate({"observedGeneration": 1, "build": build})

    old = building(3, 60.0, "step 10 of 99").to_json()
    assert plan_status_write(old, building(3, 61.0, "step 20 of 99")) is None
    assert plan_status_write(old, building(3, 70.0, "step 20 of 99")) is not None
    assert plan_status_write(old, building(4, 60.0, "step 20 of 99")) is not None


def test_a_condition_keeps_its_time_while_its_status_stays():
    first = render_condition("Ready", Verdict("False", Reason.BUILDING, "a"), None, 1, NOW)
    later = NOW + timedelta(minutes=1)
    same = render_condition("Ready", Verdict("False", Reason.ROLLING_OUT, "b"), first, 2, later)
    changed = render_condition("Ready", Verdict("True", Reason.SERVING, "c"), same, 2, later)
    assert (same.last_transition_time, same.reason, same.observed_generation) == (NOW, "RollingOut", 2)
    assert changed.last_transition_time == later


def test_a_status_of_another_version_is_none_rather_than_an_error():
    assert parse_status({"conditions": "all well"}) is None
    assert parse_status({}) is None
