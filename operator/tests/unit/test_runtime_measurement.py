from datetime import UTC, datetime, timedelta

import pytest
from operator_fakes import FakePrometheus

from model_operator.measurement import KpiReader, measure, parse_window_seconds, plan_window_seconds
from model_operator.observation import KpiProblem, Kpis
from model_operator.queries import render_queries
from model_operator.serving_pod import Served

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SERVED = Served("press", "m", "6d4cf56db6", NOW - timedelta(hours=1))
PODS = 'namespace="press",pod=~"m-6d4cf56db6-[a-z0-9]{5}"'
ANSWERS = {
    "request_latency_bucket": {"": 12.5},
    "request_latency_count": {"": 3000.0},
    "request_count": {"": 60.0},
    "container_cpu": {"p1": 30.0, "p2": 60.0},
    "container_memory": {"p1": 300 * 2**20, "p2": 100 * 2**20},
}


def test_the_queries_are_these():
    queries = render_queries("press", "m", "6d4cf56db6", "server", 300)
    assert queries.p95_milliseconds == (
        "histogram_quantile(0.95, sum by (le) (rate("
        f'{{__name__=":tensorflow:serving:request_latency_bucket",{PODS},API!=""}}[300s]))) / 1000'
    )
    assert queries.requests == (
        f'sum(increase({{__name__=":tensorflow:serving:request_latency_count",{PODS},API!=""}}[300s]))'
    )
    assert queries.errors == (
        f'sum(increase({{__name__=":tensorflow:serving:request_count",{PODS},status!="OK"}}[300s]))'
    )
    assert queries.cpu_seconds == (
        "sum by (pod) (max by (namespace, pod, container, id) "
        f'(increase(container_cpu_usage_seconds_total{{{PODS},container="server"}}[300s])))'
    )
    assert queries.memory_bytes == (
        "max by (pod) (max by (namespace, pod, container, id) "
        f'(avg_over_time(container_memory_working_set_bytes{{{PODS},container="server"}}[300s])))'
    )


def test_figures_are_means_of_a_pod_and_sums_of_requests():
    assert measure(FakePrometheus(ANSWERS), SERVED, 300, NOW) == Kpis(
        window_seconds=300,
        measured_at=NOW,
        pods=2,
        requests=3000.0,
        requests_per_second=10.0,
        p95_latency_milliseconds=12.5,
        cpu_millicores=150.0,
        memory_mebibytes=200.0,
        cpu_milliseconds_per_request=30.0,
        error_percent=pytest.approx(60 / 3060 * 100),
    )


def test_no_data_is_none_and_never_zero():
    assert measure(FakePrometheus(), SERVED, 300, NOW) == Kpis(window_seconds=300, measured_at=NOW, pods=0)


def test_without_an_error_series_no_request_failed():
    answers = {key: value for key, value in ANSWERS.items() if key != "request_count"}
    assert measure(FakePrometheus(answers), SERVED, 300, NOW).error_percent == 0.0


def test_when_every_request_fails_only_the_errors_are_known():
    kpis = measure(FakePrometheus({"request_count": {"": 5.0}}), SERVED, 300, NOW)
    assert (kpis.error_percent, kpis.requests, kpis.p95_latency_milliseconds) == (100.0, None, None)


def test_pods_without_requests_have_no_cpu_time_a_request():
    kpis = measure(FakePrometheus(ANSWERS | {"request_latency_count": {"": 0.0}}), SERVED, 300, NOW)
    assert (kpis.requests, kpis.cpu_milliseconds_per_request) == (0.0, None)


def test_an_answer_is_kept_for_a_while_and_asked_again_then():
    prometheus = FakePrometheus(ANSWERS)
    reader = KpiReader(prometheus, keep_seconds=15)
    first = reader.read(SERVED, 300, NOW)
    assert reader.read(SERVED, 300, NOW + timedelta(seconds=14)) is first
    asked = len(prometheus.asked)
    assert reader.read(SERVED, 300, NOW + timedelta(seconds=15)).measured_at == NOW + timedelta(seconds=15)
    assert len(prometheus.asked) == 2 * asked


def test_another_window_is_another_question():
    prometheus = FakePrometheus(ANSWERS)
    reader = KpiReader(prometheus, keep_seconds=15)
    reader.read(SERVED, 300, NOW)
    assert reader.read(SERVED, 60, NOW).window_seconds == 60


def test_one_silence_is_told_to_all_models_without_asking_again_for_a_while():
    prometheus = FakePrometheus(ANSWERS)
    prometheus.silent = True
    reader = KpiReader(prometheus, keep_seconds=15)
    problem = KpiProblem("PrometheusUnavailable", "nobody is there")
    other = Served("press", "n", "abc", NOW)
    assert reader.read(SERVED, 300, NOW) == problem
    assert reader.read(other, 300, NOW) == problem
    assert len(prometheus.asked) == 1
    prometheus.silent = False
    assert reader.read(other, 300, NOW + timedelta(seconds=15)).requests == 3000.0


def test_without_a_prometheus_the_remedy_is_told():
    assert KpiReader(None, 15).read(SERVED, None, NOW).reason == "PrometheusNotConfigured"


def test_before_a_window_can_be_measured_there_is_no_figure():
    prometheus = FakePrometheus(ANSWERS)
    assert KpiReader(prometheus, 15).read(SERVED, None, NOW) == Kpis(window_seconds=60, measured_at=NOW, pods=0)
    assert prometheus.asked == []


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7200)])
def test_a_window_is_parsed(text, seconds):
    assert parse_window_seconds(text) == seconds


@pytest.mark.parametrize(
    ("wanted", "ages", "seconds"),
    [(300, [3600, 400], 300), (300, [3600, 100], 90), (30, [70], 30), (300, [59], None), (300, [-5], None)],
)
def test_a_window_reaches_no_further_back_than_what_is_served(wanted, ages, seconds):
    served = [Served("press", "m", "h", NOW - timedelta(seconds=age)) for age in ages]
    assert plan_window_seconds(wanted, served, NOW) == seconds
