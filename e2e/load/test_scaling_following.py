"""Loads that rise, and whether replicas followed, came back, and p95 recovered: on series that nobody measured."""

import pytest

from load.following import find_worst, judge_rise, list_missed, list_p95
from load.profiles import plan_arrivals, render_schedule
from load.samples import make_samples
from load.scenarios import Rise, Scenario, list_steps, plan_cpu_request, plan_requests_a_pod, plan_scenarios

DOUBLED, BURSTS = plan_scenarios(10.0)
(RISE,) = DOUBLED.list_rises()
NOT_FOLLOWED = "rise 1: replicas did not follow, 1 at most"


def make_series(scenario, *changes):
    """A look a second; (second, pods) from where on there are so many."""
    found = []
    for second in range(int(scenario.seconds)):
        pods = next((count for since, count in reversed(changes) if second >= since), 1)
        found.append((float(second), pods))
    return found


def answer(scenario, milliseconds_at):
    """Every request of the scenario, answered in the time that the moment says."""
    due = plan_arrivals(scenario.make_profile(), 1)
    return make_samples((float(t), float(t), milliseconds_at(t), "200", True) for t in due)


def test_the_load_doubles_for_two_minutes_and_comes_in_two_bursts_of_five_times():
    assert DOUBLED.load() == [(0, 10), (60, 10), (60, 20), (180, 20), (180, 10), (360, 10)]
    assert [(rise.begin_seconds, rise.end_seconds) for rise in BURSTS.list_rises()] == [(60, 180), (360, 480)]
    assert max(rate for _, rate in BURSTS.load()) == pytest.approx(50)
    assert BURSTS.make_profile().peak_requests_per_second == pytest.approx(50)
    assert BURSTS.make_profile().rate_at(59) == BURSTS.make_profile().rate_at(300) == pytest.approx(10)
    assert render_schedule(DOUBLED.make_profile()) == (
        "rate(600/min) random_arrivals(60 s) rate(600/min) rate(1200/min) random_arrivals(120 s) rate(1200/min)"
        " rate(600/min) random_arrivals(180 s) rate(600/min)"
    )


def test_enough_pods_are_what_keeps_each_to_its_target():
    # one pod is at half of its request; the target is 70 %
    assert [each.list_rises()[0].pods for each in (DOUBLED, BURSTS)] == [2, 4]
    assert Rise(0, 1, 0, 2, 100.0).pods == 5
    assert plan_cpu_request(60.0) == 120
    assert plan_cpu_request(0.1) == 10
    assert plan_requests_a_pod(10) == pytest.approx(14)


def test_replicas_that_follow_and_come_back_are_timed():
    series = make_series(DOUBLED, (100, 2), (260, 1))
    found = judge_rise(RISE, series, answer(DOUBLED, lambda t: 30.0 if 60 <= t < 105 else 6.0 if t < 180 else 5.0))
    assert (found.pods, found.followed_seconds, found.came_back_seconds) == (2, 40, 80)
    # 6 ms before the rise and after it; the queue until the pods came does not count
    assert found.recovered_ratio == 1.0
    assert list_missed([found], 0) == []


def test_a_p95_that_stays_high_is_told():
    found = judge_rise(RISE, make_series(DOUBLED, (100, 2), (260, 1)), answer(DOUBLED, lambda t: 4 if t < 60 else 8))
    assert found.recovered_ratio == 2
    assert list_missed([found], 0) == ["rise 1: p95 is 2.00 times that before"]


@pytest.mark.parametrize(
    ("changes", "failures", "missed"),
    [
        ((), 0, [NOT_FOLLOWED, "rise 1: p95 after it cannot be told"]),
        (((130, 2), (260, 1)), 0, ["rise 1: replicas followed after 70 s"]),
        (((70, 2),), 0, ["rise 1: replicas did not come back"]),
        (((70, 2), (200, 1), (300, 2)), 0, ["rise 1: replicas did not come back"]),
        (((70, 2), (200, 1)), 3, ["3 requests failed"]),
        # only after the load fell
        (
            ((185, 2), (200, 1)),
            0,
            [NOT_FOLLOWED, "rise 1: p95 after it cannot be told"],
        ),
    ],
)
def test_what_was_not_reached_is_told(changes, failures, missed):
    found = judge_rise(RISE, make_series(DOUBLED, *changes), answer(DOUBLED, lambda _: 5.0))
    assert list_missed([found], failures) == missed


def test_each_burst_is_judged_by_itself_and_the_worst_counts():
    series = make_series(BURSTS, (90, 4), (250, 1), (410, 4), (600, 1))
    found = [judge_rise(rise, series, answer(BURSTS, lambda _: 5.0)) for rise in BURSTS.list_rises()]
    assert [each.followed_seconds for each in found] == [30, 50]
    assert [each.came_back_seconds for each in found] == [70, 120]
    assert find_worst([each.followed_seconds for each in found]) == 50
    assert find_worst([30.0, None]) is None
    assert find_worst([]) is None


def test_too_few_pods_are_not_enough_for_a_burst():
    (first, _) = BURSTS.list_rises()
    found = judge_rise(first, make_series(BURSTS, (70, 3), (250, 1)), answer(BURSTS, lambda _: 5.0))
    assert (found.pods, found.followed_seconds) == (3, None)


def test_p95_over_time_is_of_windows_in_which_anything_was_answered():
    short = Scenario("doubled", 20.0, 2.0, 10, 10, 10)
    points = list_p95(answer(short, lambda t: 1.0 if t < 10 else 2.0), short.seconds)
    assert points == [(2.5, 1.0), (7.5, 1.0), *((middle, 2.0) for middle in (12.5, 17.5, 22.5, 27.5))]
    assert list_p95(make_samples([(1.0, 1.0, 5.0, "500", False)]), 10) == []


def test_looks_are_told_where_something_changed():
    series = make_series(DOUBLED, (100, 2), (260, 1))
    assert list_steps(series) == [(0, 1), (100, 2), (260, 1), (359, 1)]
    assert list_steps([]) == []
