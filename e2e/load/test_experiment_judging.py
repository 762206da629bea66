"""What the cluster says: over which window it is asked, and when client, Prometheus and operator agree."""

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from load.agreement import ClientView, judge_operator, judge_run
from load.kpis import (
    OperatorKpis,
    PrometheusPlace,
    Window,
    choose_status,
    complete_by_client,
    parse_answer,
    parse_status,
    read_kpis,
    read_reading,
)
from load.measuring import view
from load.results import PrometheusKpis
from load.samples import make_samples
from model_operator.serving_pod import Served

PLACE = PrometheusPlace("modelpress-system", "modelpress-prometheus:9090", 5.0)
MEASURED = PrometheusKpis(
    p95_latency_milliseconds=4.0,
    cpu_millicores=50.0,
    working_set_mebibytes=60.0,
    cpu_milliseconds_per_request=5.0,
    requests=1200.0,
    requests_per_second=10.0,
)
RUN = Window(1000.0, 1120.0)


class Answering:
    """kubectl that gives one sample to every query and notes what it was asked."""

    def __init__(self):
        self.paths = []

    def kubectl(self, *arguments, text=""):
        """The answer."""
        del text
        self.paths.append(arguments[-1])
        return json.dumps({"data": {"result": [{"metric": {"pod": "m-1-abcde"}, "value": [0, "7"]}]}})


def test_prometheus_is_asked_the_operators_queries_over_exactly_the_run():
    client = Answering()
    reading = read_reading(client, PLACE, "load", RUN)
    assert reading.window_seconds == 120
    assert reading.cpu_seconds[0].value == 7
    assert len(client.paths) == 5
    for path in client.paths:
        asked = urlsplit(path)
        assert asked.path == (
            "/api/v1/namespaces/modelpress-system/services/modelpress-prometheus:9090/proxy/api/v1/query"
        )
        assert parse_qs(asked.query)["time"] == ["1120.000"]
        assert "[120s]" in parse_qs(asked.query)["query"][0]


def test_the_figures_of_a_run_are_made_of_the_answers():
    served = Served("load", "m", "1", datetime.fromtimestamp(0, UTC))
    kpis = read_kpis(Answering(), PLACE, served, RUN)
    assert kpis.cpu_millicores == pytest.approx(1000 * 7 / 120)
    assert kpis.working_set_mebibytes == pytest.approx(7 / 2**20)


def test_values_that_are_no_number_are_absent():
    text = json.dumps({"data": {"result": [{"metric": {}, "value": [0, "NaN"]}, {"metric": {}, "value": [0, "1"]}]}})
    assert [sample.value for sample in parse_answer(text)] == [1.0]


def status(ended, window="60s", requests=600):
    return OperatorKpis(
        {"measuredAt": f"1970-01-01T00:{ended // 60:02}:{ended % 60:02}+00:00", "window": window, "requests": requests}
    )


def test_the_last_status_whose_window_lies_within_the_run_is_taken():
    early, within, later, after = status(1050), status(1070), status(1110), status(1130)
    assert choose_status([early, within, later, after], RUN) is later
    # the windows of the others hold fifty seconds of the run's 120
    assert choose_status([early], RUN) is None
    assert choose_status([], RUN) is None


def test_of_a_short_run_the_last_status_is_taken_that_holds_half_of_it():
    short = Window(1000.0, 1020.0)
    before, begun, half, whole = status(1000), status(1009), status(1011), status(1030)
    assert choose_status([before, begun], short) is None
    assert choose_status([before, begun, half], short) is half
    assert choose_status([half, whole], short) is whole
    # a minute later its window holds the end of the run alone
    assert choose_status([whole, status(1075)], short) is whole


def test_a_status_without_figures_is_none():
    assert parse_status({}) is None
    assert parse_status({"status": {"kpis": {"window": "60s", "measuredAt": "1970-01-01T00:00:00+00:00"}}}) is None


def test_a_server_that_counts_nothing_gets_its_cpu_a_request_by_the_clients_count():
    found = complete_by_client(PrometheusKpis(cpu_millicores=100.0), answered=600, seconds=120)
    assert found.cpu_milliseconds_per_request == pytest.approx(20.0)
    assert found.requests is None
    assert complete_by_client(PrometheusKpis(), 600, 120).cpu_milliseconds_per_request is None
    assert complete_by_client(PrometheusKpis(cpu_millicores=1.0), 0, 120).cpu_milliseconds_per_request is None


@pytest.mark.parametrize(
    ("answered", "p95", "within"),
    [
        (1200, 4.5, (True, True)),
        # an increase() may be of 11 seconds that no scrape has seen, of 120
        (1320, 4.5, (True, True)),
        (1340, 4.5, (False, True)),
        (1070, 4.5, (False, True)),
        # the client's wait holds the server's, up to a bucket
        (1200, 3.4, (True, True)),
        (1200, 3.2, (True, False)),
        (1200, 14.7, (True, True)),
        (1200, 15.0, (True, False)),
    ],
)
def test_client_and_prometheus_agree_within_what_each_can_know(answered, p95, within):
    found = judge_run(ClientView(answered, p95), MEASURED, RUN, PLACE.scrape_seconds)
    assert [each.kpi for each in found] == ["requests", "p95LatencyMilliseconds"]
    assert tuple(each.within for each in found) == within


def test_what_is_absent_is_not_judged():
    assert judge_run(ClientView(0, None), PrometheusKpis(), RUN, 5.0) == []
    assert judge_operator({"requests": 3}, PrometheusKpis(), [], 10.0) == []


STATED = {
    "p95LatencyMilliseconds": 4.02,
    "cpuMillicores": 46.0,
    "memoryMebibytes": 60.1,
    "cpuMillisecondsPerRequest": 4.6,
    "requests": 1200,
    "requestsPerSecond": 10.0,
    "window": "60s",
}


KNOWN = judge_run(ClientView(1200, 4.4), MEASURED, RUN, 5.0)


def test_operator_and_prometheus_agree_over_the_operators_window():
    found = judge_operator(STATED, MEASURED, KNOWN, 10.0)
    assert all(each.within for each in found)
    assert {each.kpi for each in found} == STATED.keys() - {"window", "requestsPerSecond"}
    assert all(set(each.sources) >= {"prometheus", "operator"} for each in found)


@pytest.mark.parametrize(
    ("kpi", "value"),
    [("requests", 1270), ("p95LatencyMilliseconds", 5.1), ("memoryMebibytes", 80.0), ("cpuMillicores", 30.0)],
)
def test_an_operator_that_says_something_else_disagrees(kpi, value):
    found = judge_operator({**STATED, kpi: value}, MEASURED, KNOWN, 10.0)
    assert [each.kpi for each in found if not each.within] == [kpi]


def test_the_operators_window_ended_within_the_second_that_it_tells():
    """A look of the kubelet's within that second is in its window and not in ours."""
    later = MEASURED.model_copy(update={"cpu_millicores": 60.0, "cpu_milliseconds_per_request": 6.0})

    def disagreed(**stated):
        found = judge_operator(STATED | stated, MEASURED, KNOWN, 10.0, later)
        return [each.kpi for each in found if not each.within]

    assert disagreed(cpuMillicores=59.0, cpuMillisecondsPerRequest=5.9) == []
    assert disagreed(cpuMillicores=44.0) == ["cpuMillicores"]
    assert disagreed(cpuMillicores=67.0, cpuMillisecondsPerRequest=6.7) == [
        "cpuMillicores",
        "cpuMillisecondsPerRequest",
    ]


def test_all_three_must_agree_where_the_client_knows_the_window():
    known = judge_run(ClientView(2000, 4.4), MEASURED, RUN, 5.0)
    by_kpi = {each.kpi: each for each in judge_operator(STATED, MEASURED, known, 10.0)}
    assert by_kpi["requests"].sources == {"client": 2000, "prometheus": 1200, "operator": 1200}
    assert not by_kpi["requests"].within
    assert by_kpi["p95LatencyMilliseconds"].within


def test_requests_and_memory_alone_are_judged_where_the_window_reaches_beyond_the_run():
    assert {each.kpi for each in judge_operator(STATED, MEASURED, [], 10.0)} == {"requests", "memoryMebibytes"}


def test_the_client_counts_what_was_due_in_the_window():
    samples = make_samples((float(second), float(second), 1.0 + second, "200", second != 3) for second in range(10))
    seen = view(samples, Window(100.0, 110.0), Window(102.0, 106.0))
    assert seen == ClientView(3, 6.0)
    assert view(samples, RUN, Window(1050.0, 1060.0)) == ClientView(0, None)
    assert isinstance(seen.p95_milliseconds, float)
    assert np.isfinite(seen.p95_milliseconds)
