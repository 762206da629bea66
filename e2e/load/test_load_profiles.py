"""Profiles: the rate follows the users, arrivals follow the rate, and the plans of JMeter say the same."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from load.generating import Target
from load.java_random import JavaRandom
from load.jmeter import PLANS, render_properties
from load.profiles import PROFILES, USER_SECONDS, Profile, flat, plan_arrivals, plan_jmeter_seed, render_schedule

N75 = PROFILES["n75"]
N250 = PROFILES["n250"]
DOUBLED = Profile("doubled", 60, 90, ((0, 0.5), (0.3, 0.5), (0.3, 1), (0.7, 1), (0.7, 0.5), (1, 0.5)))


@st.composite
def profiles(draw):
    inner = sorted(draw(st.lists(st.integers(1, 99), max_size=5)))
    parts = draw(st.lists(st.integers(0, 100), min_size=len(inner) + 2, max_size=len(inner) + 2))
    moments = [0, *inner, 100]
    corners = tuple((moment / 100, part / 100) for moment, part in zip(moments, parts, strict=True))
    return Profile("drawn", draw(st.integers(1, 400)), draw(st.integers(1, 60)), corners)


def test_users_rise_in_a_quarter_hold_for_half_and_fall_in_the_last():
    assert N75.points() == [(0, 0), (30, 75), (90, 75), (120, 0)]
    assert N75.hold() == (30, 90)
    assert [N75.rate_at(moment) for moment in (0, 15, 30, 60, 105, 120, 121, -1)] == [0, 5, 10, 10, 5, 0, 0, 0]
    assert N250.peak_requests_per_second == pytest.approx(100 / 3)
    assert (N75.expected_requests(), N250.expected_requests()) == (900, 3000)
    assert N250.lasting(20).points() == [(0, 0), (5, 250), (15, 250), (20, 0)]


def test_a_flat_profile_has_its_rate_from_start_to_end():
    profile = flat(12.5, 30)
    assert (profile.name, profile.peak_requests_per_second, profile.hold()) == ("flat12.5", 12.5, (0, 30))
    assert (profile.stay_seconds, N75.stay_seconds, DOUBLED.stay_seconds) == (0, USER_SECONDS, USER_SECONDS)
    assert profile.rate_at(0) == profile.rate_at(29.9) == profile.rate_at(30) == 12.5
    assert len(plan_arrivals(profile, 1)) == 375


def test_a_corner_that_stands_twice_is_a_step():
    assert [DOUBLED.rate_at(moment) for moment in (26.9, 27, 62.9, 63)] == [4, 8, 8, 4]
    assert DOUBLED.hold() == pytest.approx((27, 63))
    assert render_schedule(DOUBLED) == (
        "rate(240/min) random_arrivals(27 s) rate(240/min) rate(480/min) random_arrivals(36 s) rate(480/min)"
        " rate(240/min) random_arrivals(27 s) rate(240/min)"
    )


@given(profiles())
def test_the_integral_of_the_rate_is_the_expected_number_of_requests(profile):
    steps = 20_000
    moments = (np.arange(steps) + 0.5) * profile.seconds / steps
    integral = sum(profile.rate_at(float(moment)) for moment in moments[::10]) * profile.seconds / (steps / 10)
    most = profile.peak_requests_per_second
    assert integral == pytest.approx(profile.expected_requests(), abs=most * profile.seconds / 100 + 1e-9)


@given(profiles(), st.integers(0, 2**40))
def test_arrivals_are_as_many_as_expected_within_the_profile_and_the_same_for_the_same_seed(profile, seed):
    arrivals = plan_arrivals(profile, seed)
    lines = len(profile.corners) - 1
    assert profile.expected_requests() - lines - 1e-3 <= len(arrivals) <= profile.expected_requests() + 1e-3
    assert np.array_equal(arrivals, np.sort(arrivals))
    assert len(arrivals) == 0 or (arrivals[0] >= 0 and arrivals[-1] <= profile.seconds + 1e-5)
    assert np.array_equal(arrivals, plan_arrivals(profile, seed))


@given(profiles(), st.integers(0, 1000))
def test_no_request_is_due_while_there_are_no_users(profile, seed):
    arrivals = plan_arrivals(profile, seed)
    for (begin, first), (end, last) in pairwise(profile.points()):
        if first == last == 0 and end > begin:
            assert not np.any((arrivals > begin + 1e-5) & (arrivals < end - 1e-5))


def test_the_share_of_arrivals_before_a_time_follows_the_integral_of_the_rate():
    arrivals = np.concatenate([plan_arrivals(N250, seed) for seed in range(40)])
    for moment, share in ((15, 1 / 24), (30, 1 / 6), (60, 1 / 2), (90, 5 / 6), (105, 23 / 24)):
        assert np.mean(arrivals < moment) == pytest.approx(share, abs=0.004)


def test_gaps_between_arrivals_at_a_constant_rate_are_as_in_a_poisson_process():
    gaps = np.diff(plan_arrivals(flat(50, 200), 3))
    assert np.mean(gaps) == pytest.approx(1 / 50, rel=0.01)
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.05)
    assert np.mean(gaps > 2 / 50) == pytest.approx(np.exp(-2), abs=0.01)


def test_simultaneous_users_are_those_of_the_profile():
    arrivals = np.concatenate([plan_arrivals(N75, seed) for seed in range(50)])
    there = np.sum((arrivals <= 75) & (arrivals > 75 - USER_SECONDS)) / 50
    assert there == pytest.approx(75, rel=0.05)


def test_other_seeds_give_other_times_even_if_they_are_neighbours():
    firsts = [plan_arrivals(N75, seed)[0] for seed in range(200)]
    assert len(set(firsts)) == 200
    assert np.std(firsts) > 0.3 * np.mean(firsts)
    assert all(plan_jmeter_seed(seed) > 0 for seed in range(1000))


def test_random_numbers_are_those_of_java():
    source = JavaRandom(7)  # new java.util.Random(7).nextDouble(), three times, by Java 17
    found = [source.next_double() for _ in range(3)]
    assert found == [0.7306990420600421, 0.7491696031336331, 0.34830970303125697]


@pytest.mark.parametrize("profile", [N75, N250], ids=lambda profile: profile.name)
def test_the_plan_has_the_schedule_of_its_profile(profile):
    root = ET.parse(PLANS[profile.name]).getroot()  # noqa: S314 - our own file
    stated = {
        entry.get("name"): entry.findtext("stringProp[@name='Argument.value']")
        for entry in root.iterfind(".//elementProp[@elementType='Argument']")
    }
    assert stated == {"schedule": render_schedule(profile), "stay": f"{1000 * USER_SECONDS:.0f}"}
    group = root.find(".//OpenModelThreadGroup")
    assert group.findtext("stringProp[@name='OpenModelThreadGroup.schedule']") == (
        "pause(${__P(lead,2)} s) ${__P(schedule,${schedule})} pause(${__P(tail,21)} s)"
    )
    assert group.find("elementProp[@elementType='OpenModelThreadGroupController']") is not None
    (stay,) = root.iterfind(".//TestAction[@testname='stay']/stringProp[@name='ActionProcessor.duration']")
    assert stay.text == "${__P(stay,${stay})}"


@pytest.mark.parametrize(("profile", "milliseconds"), [(flat(256, 10), "0"), (N75, "7500"), (DOUBLED, "7500")])
def test_jmeter_is_told_how_long_users_stay(profile, milliseconds, tmp_path):
    assert render_properties(Target("vgg", "127.0.0.1", 8501, 8500, tmp_path), profile, 0)["stay"] == milliseconds


def test_the_plans_differ_in_their_schedules_and_names_alone():
    small, large = (PLANS[name].read_text() for name in ("n75", "n250"))
    assert small.replace("rate(600/min)", "rate(2000/min)").replace("75 users at", "250 users at") == large


@pytest.mark.parametrize("name", list(PLANS))
def test_every_element_of_a_plan_has_a_name_and_a_window(name):
    root = ET.parse(PLANS[name]).getroot()  # noqa: S314 - our own file
    elements = [each for tree in root.iter("hashTree") for each in tree if each.tag != "hashTree"]
    assert len(elements) == 16
    assert all(each.get("testname") and each.get("guiclass") == each.get("guiclass").strip() for each in elements)
