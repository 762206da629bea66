import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from operator_fakes import FakePrometheus, measured

from model_operator.errors import PrometheusError
from model_operator.measurement import (
    LATE_SECONDS,
    MOST_READINGS,
    READING_THREADS,
    KpiReader,
    Reading,
    parse_kpis,
    parse_window_seconds,
    plan_window_seconds,
)
from model_operator.observation import KpiProblem, Kpis
from model_operator.prometheus import Sample
from model_operator.serving_pod import Served
from model_operator.telemetry import Telemetry

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SERVED = Served("press", "m", "6d4cf56db6", NOW - timedelta(hours=1))
OTHER = Served("press", "plain", "abc", NOW - timedelta(hours=2))
PODS = ("m-6d4cf56db6-aaaaa", "m-6d4cf56db6-bbbbb")
FIGURES = {
    "requests": 1500.0,
    "errors": 30.0,
    "fine": 12.5,
    "standard": 20.0,
    "cpu_seconds": 45.0,
    "memory_bytes": 200 * 2**20,
}
EACH = ("p95_milliseconds", "requests", "errors", "cpu_seconds", "memory_bytes")


ENDED = NOW - timedelta(seconds=LATE_SECONDS)


def later(seconds):
    return NOW + timedelta(seconds=seconds)


def read(prometheus, *served, wanted=300, at=NOW, **options):
    return KpiReader(prometheus, 15, **options).read(served or [SERVED], wanted, at)


def parse(served=SERVED, **changes):
    """The KPIs that are read off Prometheus' answers, some of which are replaced."""
    prometheus = FakePrometheus(measured(*PODS, **FIGURES))
    return read(FakePrometheus(prometheus.answers | changes), served)[0]


def test_figures_are_means_of_a_pod_and_sums_of_requests():
    assert parse() == Kpis(
        window_seconds=300,
        measured_at=ENDED,
        pods=2,
        requests=3000.0,
        tried_requests=3060.0,
        requests_per_second=10.0,
        requests_per_second_per_pod=5.0,
        p95_latency_milliseconds=12.5,
        p95_standard_milliseconds=20.0,
        p95_is_fine=True,
        cpu_millicores=150.0,
        memory_mebibytes=200.0,
        cpu_milliseconds_per_request=30.0,
        error_percent=pytest.approx(60 / 3060 * 100),
    )


def test_other_pods_of_the_namespace_are_somebody_elses():
    names = ("m-6d4cf56db6-extra-aaaaa", "m-6d4cf56db6", "m-6d4cf56db-aaaaa", "am-6d4cf56db6-aaaaa", "")
    assert read(FakePrometheus(measured(*names, **FIGURES))) == (Kpis(300, ENDED, pods=0),)


def test_no_data_is_none_and_never_zero():
    assert read(FakePrometheus()) == (Kpis(window_seconds=300, measured_at=ENDED, pods=0),)


def test_without_an_error_series_nothing_is_said_about_errors():
    assert parse(request_count=[]).error_percent is None
    assert parse(request_count=[({"pod": PODS[0]}, 0.0)]).error_percent == 0.0


def test_when_every_request_fails_only_the_errors_are_known():
    kpis = read(FakePrometheus(measured(*PODS, errors=5.0)))[0]
    assert (kpis.error_percent, kpis.requests, kpis.p95_latency_milliseconds) == (100.0, None, None)


def test_pods_without_requests_have_no_cpu_time_a_request():
    kpis = read(FakePrometheus(measured(*PODS, requests=0.0, errors=0.0, cpu_seconds=3.0)))[0]
    assert (kpis.requests, kpis.cpu_milliseconds_per_request, kpis.error_percent) == (0.0, None, None)


def test_requests_of_pods_that_came_or_went_count_and_means_are_of_those_that_stayed():
    whole = [({"pod": PODS[0], "whole": "yes"}, 1.0)]
    requests = [({"pod": PODS[0]}, 2000.0), ({"pod": PODS[1]}, 500.0), ({"pod": "m-6d4cf56db6-ccccc"}, 500.0)]
    kpis = parse(
        request_latency_count=whole + requests, container_cpu=[({"pod": PODS[0]}, 30.0), ({"pod": PODS[1]}, 3.0)]
    )
    assert (kpis.pods, kpis.requests, kpis.requests_per_second) == (1, 3000.0, 10.0)
    assert kpis.requests_per_second_per_pod == pytest.approx(2000 / 300)
    assert kpis.cpu_milliseconds_per_request == 15.0


def test_where_no_pod_was_scraped_in_whole_requests_say_nothing():
    kpis = parse(request_latency_count=[({"pod": PODS[0]}, 2000.0)])
    assert (kpis.pods, kpis.requests, kpis.requests_per_second, kpis.error_percent) == (0, None, None, None)
    assert (kpis.p95_latency_milliseconds, kpis.p95_standard_milliseconds, kpis.p95_is_fine) == (None, None, False)
    assert (kpis.cpu_millicores, kpis.cpu_milliseconds_per_request) == (150.0, None)


@pytest.mark.parametrize(
    ("fine", "standard", "p95", "is_fine"),
    [
        (12.5, 20.0, 12.5, True),
        (None, 20.0, 20.0, False),
        (4699.9, 9000.0, 9000.0, False),
        (4699.9, None, 4699.9, True),
    ],
)
def test_the_p95_is_of_the_finer_buckets_as_far_as_they_reach(fine, standard, p95, is_fine):
    kpis = read(FakePrometheus(measured(*PODS, requests=1.0, fine=fine, standard=standard)))[0]
    assert (kpis.p95_latency_milliseconds, kpis.p95_is_fine) == (p95, is_fine)


def test_a_model_and_its_baseline_are_read_off_one_reading():
    answers = measured(*PODS, **FIGURES)
    for key, found in measured("plain-abc-zzzzz", requests=600.0).items():
        answers[key] += found
    prometheus = FakePrometheus(answers)
    own, other = read(prometheus, SERVED, OTHER)
    assert (own.requests, other.requests, other.pods) == (3000.0, 600.0, 1)
    assert len(prometheus.asked) == len(EACH)


def test_what_serves_nothing_has_no_kpis_and_is_not_asked_for():
    prometheus = FakePrometheus()
    reader = KpiReader(prometheus, 15)
    assert reader.read([None, None], 300, NOW) == (None, None)
    assert prometheus.asked == []
    assert reader.read([None, SERVED], 300, NOW) == (None, Kpis(300, ENDED, pods=0))


def test_models_of_a_namespace_share_a_reading_for_an_interval():
    prometheus = FakePrometheus(measured(*PODS, **FIGURES))
    reader = KpiReader(prometheus, keep_seconds=15)
    for seconds in (0, 5, 14):
        assert reader.read([SERVED], 300, later(seconds))[0].measured_at == ENDED
        assert reader.read([OTHER], 300, later(seconds))[0].measured_at == ENDED
    assert len(prometheus.asked) == len(EACH)
    assert reader.read([SERVED], 300, later(15))[0].measured_at == later(15 - LATE_SECONDS)
    assert len(prometheus.asked) == 2 * len(EACH)


def test_another_window_or_namespace_is_another_question():
    prometheus = FakePrometheus()
    reader = KpiReader(prometheus, keep_seconds=15)
    reader.read([SERVED], 300, NOW)
    assert reader.read([SERVED], 60, NOW)[0].window_seconds == 60
    reader.read([Served("other", "m", "6d4cf56db6", SERVED.since)], 300, NOW)
    assert len(prometheus.asked) == 3 * len(EACH)
    asked = [('namespace="press"' in query, "[300s]" in query) for query in prometheus.asked]
    assert all(f"s] offset {LATE_SECONDS}s" in query for query in prometheus.asked)
    assert [asked.count(each) for each in ((True, True), (True, False), (False, True))] == [5, 5, 5]


class Later:
    """Does what it is given when it is told to."""

    def __init__(self):
        self.waiting = []

    def __call__(self, work):
        """Keep it."""
        self.waiting.append(work)

    def go(self):
        """Do all of it."""
        while self.waiting:
            self.waiting.pop(0)()


def test_nothing_is_said_before_the_first_reading_is_there():
    start = Later()
    reader = KpiReader(FakePrometheus(measured(*PODS, **FIGURES)), 15, start=start)
    unread = Kpis(300, ENDED, pods=0, unread=True)
    assert reader.read([SERVED], 300, NOW) == (unread,)
    assert reader.read([SERVED, OTHER], 300, NOW) == (unread, unread)
    assert len(start.waiting) == 1
    start.go()
    assert reader.read([SERVED], 300, later(1))[0].requests == 3000.0
    assert start.waiting == []


def test_while_a_window_grows_the_last_shorter_reading_is_told():
    start = Later()
    reader = KpiReader(FakePrometheus(measured(*PODS, **FIGURES)), 15, start=start)
    young = Served("press", "m", "6d4cf56db6", ENDED - timedelta(seconds=89))
    reader.read([young], 300, NOW)
    start.go()
    assert reader.read([young], 300, later(1))[0].window_seconds == 60
    start.go()
    assert reader.read([young], 300, later(2))[0].window_seconds == 90
    assert reader.read([young], 60, later(2))[0].window_seconds == 60


def test_a_reading_that_began_before_a_model_was_served_says_nothing_of_it():
    """Another model of the namespace asked for it."""
    prometheus = FakePrometheus(measured(*PODS, **FIGURES))
    reader = KpiReader(prometheus, 15)
    young = Served("press", "m", "6d4cf56db6", ENDED - timedelta(seconds=290))
    assert reader.read([OTHER], 300, NOW)[0].window_seconds == 300
    # Served for 300 s by now, of which the reading has 290, and 10 s in which it was not there.
    assert reader.read([young], 300, later(10)) == (Kpis(300, later(10 - LATE_SECONDS), pods=0, unread=True),)
    assert reader.read([OTHER, young], 300, later(10))[0].unread is True
    assert reader.read([SERVED], 300, later(10))[0].measured_at == ENDED
    assert reader.read([young], 300, later(15))[0].requests == 3000.0
    assert len(prometheus.asked) == 2 * len(EACH)


def test_until_then_the_longest_reading_that_it_was_served_for_is_told():
    reader = KpiReader(FakePrometheus(measured(*PODS, **FIGURES)), 15)
    young = Served("press", "m", "6d4cf56db6", ENDED - timedelta(seconds=290))
    assert reader.read([young], 300, NOW)[0].window_seconds == 240
    assert reader.read([OTHER], 300, NOW)[0].window_seconds == 300
    assert reader.read([young], 300, later(10))[0].window_seconds == 240
    assert reader.read([young], 300, later(15))[0].window_seconds == 300


def test_a_reading_outlives_a_failure_and_is_given_up_after_three_intervals():
    prometheus = FakePrometheus(measured(*PODS, **FIGURES))
    reader = KpiReader(prometheus, 15)
    first = reader.read([SERVED], 300, NOW)
    prometheus.error = PrometheusError("nobody is there")
    for seconds in (15, 30, 44):
        assert reader.read([SERVED], 300, later(seconds)) == first
    assert reader.read([SERVED], 300, later(45)) == (KpiProblem("PrometheusUnavailable", "nobody is there"),)
    prometheus.error = None
    assert reader.read([SERVED], 300, later(59)) == (KpiProblem("PrometheusUnavailable", "nobody is there"),)
    assert reader.read([SERVED], 300, later(60))[0].measured_at == later(60 - LATE_SECONDS)


def test_one_silence_is_told_to_all_namespaces_without_asking_again_for_an_interval():
    prometheus = FakePrometheus(measured(*PODS, **FIGURES))
    prometheus.error = PrometheusError("nobody is there")
    reader = KpiReader(prometheus, 15)
    problem = KpiProblem("PrometheusUnavailable", "nobody is there")
    other = Served("elsewhere", "n", "abc", SERVED.since)
    assert reader.read([SERVED, OTHER], 300, NOW) == (problem, problem)
    assert reader.read([other], 300, later(14)) == (problem,)
    assert len(prometheus.asked) == 1
    prometheus.error = None
    assert reader.read([other], 300, later(15))[0].requests is None
    assert reader.read([SERVED], 300, later(15))[0].requests == 3000.0


def test_what_waits_behind_a_time_out_is_not_asked_any_more():
    prometheus = FakePrometheus()
    prometheus.error = PrometheusError("nobody is there")
    start = Later()
    reader = KpiReader(prometheus, 15, start=start)
    for name in ("a", "b", "c"):
        reader.read([Served(name, "m", "abc", SERVED.since)], 300, NOW)
    start.go()
    assert len(prometheus.asked) == 1


def test_a_question_that_is_refused_is_that_namespaces_alone():
    prometheus = FakePrometheus(measured(*PODS, **FIGURES))
    reader = KpiReader(prometheus, 15)
    prometheus.error = PrometheusError("too many samples", of_one_query=True)
    assert reader.read([SERVED], 300, NOW) == (KpiProblem("PrometheusUnavailable", "too many samples"),)
    prometheus.error = None
    assert reader.read([Served("elsewhere", "m", "6d4cf56db6", SERVED.since)], 300, NOW)[0].requests == 3000.0
    asked = len(prometheus.asked)
    assert reader.read([SERVED], 300, later(14)) == (KpiProblem("PrometheusUnavailable", "too many samples"),)
    assert len(prometheus.asked) == asked
    assert reader.read([SERVED], 300, later(15))[0].requests == 3000.0


def test_a_prometheus_that_is_always_late_is_told():
    start = Later()
    reader = KpiReader(FakePrometheus(measured(*PODS, **FIGURES)), 15, start=start)
    reader.read([SERVED], 300, NOW)
    assert reader.read([SERVED], 300, later(15))[0].unread is True
    late = KpiProblem("PrometheusUnavailable", "Prometheus takes longer than 15 s for the KPIs")
    assert reader.read([SERVED], 300, later(16)) == (late,)
    start.go()
    assert reader.read([SERVED], 300, later(17))[0].requests == 3000.0


def test_answers_that_are_too_late_to_be_told_are_no_reason_to_say_nothing(monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr("model_operator.measurement.time.monotonic", lambda: next(clock))
    start = Later()
    reader = KpiReader(FakePrometheus(measured(*PODS, **FIGURES)), 15, start=start)
    reader.read([SERVED], 300, NOW)
    start.go()
    late = KpiProblem("PrometheusUnavailable", "Prometheus takes longer than 15 s for the KPIs")
    assert reader.read([SERVED], 300, later(49)) == (late,)


def test_after_a_pause_the_first_reading_is_waited_for_as_at_the_start():
    start = Later()
    reader = KpiReader(FakePrometheus(measured(*PODS, **FIGURES)), 15, start=start)
    reader.read([SERVED], 300, NOW)
    start.go()
    assert reader.read([SERVED], 300, later(45))[0].unread is True
    start.go()
    assert reader.read([SERVED], 300, later(46))[0].requests == 3000.0


def test_a_reading_is_as_old_as_its_questions(monkeypatch):
    start = Later()
    reader = KpiReader(FakePrometheus(measured(*PODS, **FIGURES)), 15, start=start)
    reader.read([SERVED], 300, NOW)
    now = time.monotonic()
    monkeypatch.setattr("model_operator.measurement.time.monotonic", lambda: now + 20)
    start.go()
    assert reader.read([SERVED], 300, later(21))[0].measured_at == later(20 - LATE_SECONDS)


def test_a_fault_of_ours_is_told_and_hinders_no_later_reading(caplog):
    prometheus = FakePrometheus()
    prometheus.error = ZeroDivisionError("a fault")
    reader = KpiReader(prometheus, 15)
    words = "the KPIs could not be read: ZeroDivisionError('a fault')"
    assert reader.read([SERVED], 300, NOW) == (KpiProblem("PrometheusUnavailable", words),)
    assert "the KPIs of namespace press could not be read" in caplog.text
    prometheus.error = None
    assert reader.read([SERVED], 300, later(15))[0] == Kpis(300, later(15 - LATE_SECONDS), pods=0)


def test_what_nobody_asks_for_is_forgotten():
    reader = KpiReader(FakePrometheus(), 15)
    reader.read([SERVED], 300, NOW)
    reader.read([Served("elsewhere", "m", "abc", SERVED.since)], 300, later(91))
    assert list(reader._groups) == ["elsewhere"]


def test_readings_are_bounded():
    reader = KpiReader(FakePrometheus(), 15)
    for number in range(MOST_READINGS + 10):
        reader.read([Served(f"n{number}", "m", "abc", SERVED.since)], 300, NOW + timedelta(milliseconds=number))
    assert len(reader._groups) == MOST_READINGS
    assert "n9" not in reader._groups


def test_more_at_once_than_are_kept_is_no_error():
    start = Later()
    reader = KpiReader(FakePrometheus(), 15, start=start)
    for number in range(MOST_READINGS + 10):
        reader.read([Served(f"n{number}", "m", "abc", SERVED.since)], 300, NOW)
    start.go()
    assert len(reader._groups) == MOST_READINGS


def test_a_prometheus_that_hangs_holds_nobody_up():
    released = threading.Event()

    class Hanging(FakePrometheus):
        """Answers at the end of the test."""

        def query(self, query):
            """See FakePrometheus."""
            released.wait(20)
            return super().query(query)

    with ThreadPoolExecutor(READING_THREADS) as threads:
        reader = KpiReader(Hanging(), 15, start=threads.submit)
        begun = time.monotonic()
        for number in range(100):
            (kpis,) = reader.read([Served(f"n{number}", "m", "abc", SERVED.since)], 300, NOW)
            assert kpis.unread is True
        seconds = time.monotonic() - begun
        released.set()
    assert seconds < 5


def test_asking_from_many_threads_asks_prometheus_once():
    released = threading.Event()

    class Slow(FakePrometheus):
        """Answers once the others have asked."""

        def query(self, query):
            """See FakePrometheus."""
            assert released.wait(5)
            return super().query(query)

    prometheus = Slow(measured(*PODS, **FIGURES))
    reader = KpiReader(prometheus, 15)
    found = []

    def ask():
        found.append(reader.read([SERVED], 300, NOW)[0].unread)
        if len(found) == 7:
            released.set()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(prometheus.asked) == len(EACH)
    assert found == [True] * 7 + [False]


def test_questions_and_failures_are_counted():
    telemetry = Telemetry()
    prometheus = FakePrometheus(measured(*PODS, **FIGURES))
    reader = KpiReader(prometheus, 15, telemetry)
    reader.read([SERVED], 300, NOW)
    prometheus.error = PrometheusError("nobody is there")
    reader.read([SERVED], 300, later(15))

    def count(name, kpi):
        return telemetry.registry.get_sample_value(name, {"kpi": kpi})

    assert [count("modelpress_kpi_query_seconds_count", each) for each in EACH] == [2, 1, 1, 1, 1]
    assert [count("modelpress_kpi_failures_total", each) for each in EACH] == [1, None, None, None, None]
    last = telemetry.registry.get_sample_value("modelpress_kpi_last_read_timestamp_seconds")
    assert time.time() - last < 60


def test_without_a_prometheus_the_remedy_is_told():
    assert read(None)[0].reason == "PrometheusNotConfigured"


def test_before_a_window_can_be_measured_there_is_no_figure():
    prometheus = FakePrometheus(measured(*PODS, **FIGURES))
    young = Served("press", "m", "6d4cf56db6", ENDED - timedelta(seconds=59))
    assert read(prometheus, SERVED, young) == (Kpis(60, ENDED, pods=0), Kpis(60, ENDED, pods=0))
    assert prometheus.asked == []


def test_a_reading_of_a_replica_set_without_pods_is_empty():
    nothing = Reading(300, NOW, *([] for _ in EACH))
    assert parse_kpis(nothing, SERVED) == Kpis(300, NOW, pods=0)
    stray = Reading(300, NOW, [Sample({"replicaset": "other-abc", "edges": "fine"}, 1.0)], [], [], [], [])
    assert parse_kpis(stray, SERVED) == Kpis(300, NOW, pods=0)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7200)])
def test_a_window_is_parsed(text, seconds):
    assert parse_window_seconds(text) == seconds


@pytest.mark.parametrize(
    ("wanted", "ages", "seconds"),
    [
        (300, [3600, 400], 300),
        (420, [3600, 421], 420),
        (300, [3600, 100], 90),
        (300, [299], 240),
        (7200, [5000], 3600),
        (10**6, [10**6 - 1], 86_400),
        (30, [70], 30),
        (300, [59], None),
        (300, [-5], None),
    ],
)
def test_a_window_reaches_no_further_back_than_what_is_served(wanted, ages, seconds):
    served = [Served("press", "m", "h", NOW - timedelta(seconds=age)) for age in ages]
    assert plan_window_seconds(wanted, served, NOW) == seconds
