"""Samples: what is written is read, and percentiles, rates and failures are what they are called."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from load.generating import GeneratorRun, Target, judge_generator, judge_lateness, judge_sent, share_percent
from load.profiles import Profile
from load.samples import (
    SamplesError,
    make_samples,
    percentile,
    read_samples,
    summarise,
    summarise_hold,
    write_samples,
)

ROWS = [
    (2.0, 2.001, 30.0, "200", True),
    (0.5, 0.5, 10.0, "200", True),
    (1.0, 1.25, 20.0, "429", False),
    (1.5, 1.5, 10_000.0, "timeout", False),
]


def test_samples_stand_in_the_order_of_their_planned_times():
    samples = make_samples(ROWS)
    assert samples.planned_seconds.tolist() == [0.5, 1.0, 1.5, 2.0]
    assert samples.status.tolist() == ["200", "429", "timeout", "200"]
    assert samples.late_milliseconds == pytest.approx([0, 250, 0, 1])
    assert samples.latency_milliseconds.tolist() == [10, 20, 10_000, 30]


def test_what_is_written_is_read_and_the_same_samples_give_the_same_bytes(tmp_path):
    samples = make_samples(ROWS)
    write_samples(samples, tmp_path / "a" / "one.csv.gz")
    write_samples(samples, tmp_path / "two.csv.gz")
    assert (tmp_path / "a" / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["one.csv.gz"]
    again = read_samples(tmp_path / "two.csv.gz")
    for name in ("planned_seconds", "sent_seconds", "elapsed_milliseconds", "status", "ok"):
        assert getattr(again, name).tolist() == getattr(samples, name).tolist()
    text = gzip.decompress((tmp_path / "two.csv.gz").read_bytes()).decode()
    assert text.splitlines()[:2] == [
        "plannedSeconds,sentSeconds,elapsedMilliseconds,status,ok",
        "0.500000,0.500000,10.000,200,1",
    ]


def test_no_samples_are_written_and_read_too(tmp_path):
    write_samples(make_samples([]), tmp_path / "none.csv.gz")
    summary = summarise(read_samples(tmp_path / "none.csv.gz"), 10)
    assert (summary.requests, summary.failures, summary.p95_milliseconds, summary.requests_per_second) == (
        0,
        {},
        None,
        0,
    )


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"a,b\n1,2\n"), gzip.compress(b"x" * 1000)[:20], gzip.compress(b"")],
    ids=["no gzip", "other columns", "cut off", "empty"],
)
def test_a_file_without_samples_is_refused_with_its_name(tmp_path, content):
    (tmp_path / "bad.csv.gz").write_bytes(content)
    with pytest.raises(SamplesError, match=r"bad\.csv\.gz: "):
        read_samples(tmp_path / "bad.csv.gz")


def test_a_summary_has_percentiles_of_the_answered_and_counts_of_the_others():
    summary = summarise(make_samples(ROWS), 4)
    assert summary.requests == 4
    assert summary.requests_per_second == 1
    assert summary.failures == {"429": 1, "timeout": 1}
    assert (summary.p50_milliseconds, summary.p95_milliseconds, summary.longest_milliseconds) == (10, 30, 30)
    assert summary.late_p99_milliseconds == 250


def test_the_hold_of_a_profile_is_summarised_alone():
    rows = [(float(second), float(second), 10.0 * second, "200", True) for second in range(20)]
    profile = Profile("ramp", 7.5, 20.0)
    held = summarise_hold(make_samples(rows), profile)
    assert (held.requests, held.p50_milliseconds, held.longest_milliseconds) == (10, 90, 140)
    assert held.requests_per_second == 1


@given(st.lists(st.floats(0, 1e5), min_size=1), st.floats(1, 100))
def test_so_many_of_a_hundred_do_not_exceed_a_percentile_and_one_sample_is_it(values, percent):
    found = percentile(np.array(values), percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) * (1 - 1e-12)


def generator_run(load_cpu_seconds, cpu_seconds=50.0, wall_seconds=80.0):
    """A generator that took so much in a minute of load."""
    return GeneratorRun(Path("s"), cpu_seconds, wall_seconds, load_cpu_seconds, 60, 0, "jmeter", "5", 2, 90)


def test_a_generator_that_took_over_three_tenths_of_the_node_makes_a_run_void():
    assert share_percent(generator_run(36)) == 30
    assert judge_generator(generator_run(36)) is None
    assert judge_generator(generator_run(37)) == (
        "the generator took 37.0 CPU seconds in 60.0 s of load on 2 cores, 31 % of the node, where 30 % is the most:"
        " lower the rate or give the node more cores"
    )


def test_the_time_before_and_after_the_load_does_not_dilute_the_generators_share():
    # a whole of 40 CPU seconds in 200 s would pass for a tenth of two cores
    assert share_percent(generator_run(37, cpu_seconds=40, wall_seconds=200)) > 30
    # and 4 s of a JVM's start are no load
    assert judge_generator(generator_run(35, cpu_seconds=39, wall_seconds=60)) is None


def test_a_generator_that_sent_late_makes_a_run_void():
    assert judge_lateness(None) is None
    assert judge_lateness(100) is None
    assert judge_lateness(101) == (
        "one request in a hundred left over 101 ms after its planned time, where 100 ms is the most: give the generator"
        " a quieter machine"
    )


def test_a_generator_that_left_a_request_out_makes_a_run_void():
    assert judge_sent(900, 0) is None
    assert judge_sent(0, 0) == "the generator sent no request"
    assert judge_sent(900, 1).startswith("1 of 900 planned requests were not sent, where each has to be")


def test_requests_go_to_the_models_predict_unless_the_target_says_otherwise(tmp_path):
    assert Target("vgg", "host", 1, 2, tmp_path).rest_path == "/v1/models/vgg:predict"
    assert Target("vgg", "host", 1, 2, tmp_path, "/predict").rest_path == "/predict"
