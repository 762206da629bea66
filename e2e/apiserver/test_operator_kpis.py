"""KPIs, objectives and savings on a real API server; Prometheus is a page on loopback that knows five queries."""

import json
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from cluster.client import wait_until
from loopback import free_ports
from operator_play import PATIENCE_SECONDS, SUMMARY, OperatorProcess, training_model

TOKEN = "s3cret-of-prometheus"  # noqa: S105 - of a page on loopback
PODS = {"small": "small-6d4cf56db6-abcde", "plain": "plain-6d4cf56db6-abcde"}
MEBIBYTE = 2**20
# A part of the query -> what is said of each pod: labels that come to its own, and values for `small` and `plain`.
ANSWERS = {
    "histogram_quantile": [({"edges": "fine"}, 12.5, 25), ({"edges": "standard"}, 13, 30)],
    "request_latency_count": [({"whole": "yes"}, 1, 1), ({}, 3000, 3300)],
    "request_count": [({}, 0, 0)],
    "container_memory": [({}, 100 * MEBIBYTE, 300 * MEBIBYTE)],
    "container_cpu": [({}, 30, 99)],
}


def answer(query, namespace):
    """The result of an instant query, for a Prometheus that has only heard of one namespace."""
    said = next(said for part, said in ANSWERS.items() if part in query)
    return [
        {"metric": {"pod": pod, "replicaset": pod.rpartition("-")[0], **labels}, "value": [0, str(values[place])]}
        for labels, *values in said
        for place, pod in enumerate(PODS.values())
        if f'namespace="{namespace}"' in query
    ]


class LoopbackPrometheus:
    """Prometheus' instant queries on a port that is known before it is there.

    Attributes:
        asked: every query.
    """

    def __init__(self, namespace):
        (self.port,) = free_ports(1)
        self.namespace = namespace
        self.asked = []
        self._server = None

    def start(self):
        """Answer from now on."""
        known = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.headers["Authorization"] != f"Bearer {TOKEN}":
                    self.send_error(401)
                    return
                query = parse_qs(urlsplit(self.path).query)["query"][0]
                known.asked.append(query)
                result = answer(query, known.namespace)
                data = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        """Answer no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


@pytest.fixture
def prometheus(api_namespace):
    """A Prometheus that is not there yet."""
    served = LoopbackPrometheus(api_namespace)
    yield served
    served.stop()


@pytest.fixture
def own_operator(operator_kubeconfig, api_namespace, prometheus, tmp_path):
    """An operator of the test's namespace that reads KPIs every five seconds."""
    url = f"http://127.0.0.1:{prometheus.port}"
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "token").write_text(TOKEN)
    access = {"prometheus_credentials_folder": tmp_path / "secret", "prometheus_insecure": True}
    settings = {"watch_namespaces": api_namespace, "prometheus_url": url, "kpi_seconds": 5, **access}
    with OperatorProcess(operator_kubeconfig, tmp_path / "log", **settings) as running:
        yield running


def read_metric(operator, name):
    """The sum of the operator's own metric, whatever its labels; 0 where it is not there yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.metrics_port}/metrics", timeout=2) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def test_a_prometheus_that_comes_later_is_found_and_savings_are_told(own_operator, cluster, prometheus):
    assert own_operator.process.poll() is None
    cluster.make_claim()
    objectives = {"p95LatencyMilliseconds": 10, "cpuMillicores": 200}
    cluster.make(
        training_model("small", baseline={"name": "plain"}, objectives=objectives), training_model("plain", seed=1)
    )
    for job in cluster.wait_for_jobs(2):
        cluster.start_build(job)
        cluster.end_build(job, json.dumps(SUMMARY))
    for name in ("small", "plain"):
        cluster.serve(name)
        cluster.wait_for(name, Ready="True/Serving")
    cluster.wait_for("small", WithinObjectives="Unknown/PrometheusUnavailable")
    assert "kpis" not in cluster.read("cmod", "small")["status"]
    prometheus.start()
    cluster.wait_for("small", seconds=25, WithinObjectives="False/ObjectivesMissed", Compared="True/Compared")
    status = wait_until(
        lambda: cluster.read("cmod", "small")["status"],
        lambda found: "savings" in found,
        PATIENCE_SECONDS,
        "the savings",
    )
    kpis = {key: value for key, value in status["kpis"].items() if key != "measuredAt"}
    assert kpis == {
        "p95LatencyMilliseconds": 12.5,
        "cpuMillicores": 100,
        "memoryMebibytes": 100,
        "cpuMillisecondsPerRequest": 10,
        "requestsPerSecond": 10,
        "errorPercent": 0,
        "requests": 3000,
        "window": "5m",
    }
    assert {key: status["savings"][key] for key in ("latency", "cpu", "memory")} == {
        "latency": 2,
        "cpu": 3,
        "memory": 3,
    }
    assert "12.5" in cluster.message("small", "WithinObjectives")
    # Both models share what is asked about their namespace: five figures, over one window.
    asked = [(query, prometheus.asked.count(query)) for query in dict.fromkeys(prometheus.asked)]
    assert len(asked) == len(ANSWERS), asked
    assert read_metric(own_operator, "modelpress_kpi_query_seconds_count") >= len(ANSWERS)
    assert read_metric(own_operator, "modelpress_kpi_failures_total") >= 1
    assert time.time() - read_metric(own_operator, "modelpress_kpi_last_read_timestamp_seconds") < 60
    assert TOKEN not in own_operator.log.read_text()
    assert_a_restart_changes_nothing(own_operator, cluster)


def assert_a_restart_changes_nothing(operator, cluster):
    """What was measured stands from the first pass of the new process on, also before it has read Prometheus."""

    def measured():
        status = cluster.read("cmod", "small")["status"]
        numbers = {key: value for key, value in status["kpis"].items() if key != "measuredAt"}
        return numbers, "savings" in status, {each["type"]: each["lastTransitionTime"] for each in status["conditions"]}

    before = measured()
    operator.stop()
    operator.start()
    found = []

    def passes():
        found.append(measured())
        return read_metric(operator, "modelpress_reconciles_total")

    wait_until(passes, lambda count: count >= 6, 30, "three passes over each of two models")
    assert [each for each in found if each != before] == []
