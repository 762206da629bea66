"""KPIs, objectives and savings on a real API server; Prometheus is a page on loopback that knows four queries."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from cluster.client import wait_until
from loopback import free_ports
from operator_play import SUMMARY, OperatorProcess, training_model

# What is asked for -> the value for pods of `small`, and for those of `plain`.
ANSWERS = {
    "request_latency_bucket": ("12.5", "25"),
    "request_latency_count": ("3000", "3300"),
    "container_cpu": ("30", "99"),
    "container_memory": (str(100 * 2**20), str(300 * 2**20)),
}


class LoopbackPrometheus:
    """Prometheus' instant queries on a port that is known before it is there."""

    def __init__(self):
        (self.port,) = free_ports(1)
        self._server = None

    def start(self):
        """Answer from now on."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                query = parse_qs(urlsplit(self.path).query)["query"][0]
                model = 0 if 'pod=~"small-' in query else 1
                values = [values[model] for key, values in ANSWERS.items() if key in query]
                metric = {"pod": "p"} if "sum by (pod)" in query or "max by (pod)" in query else {}
                result = [{"metric": metric, "value": [0, value]} for value in values]
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
def prometheus():
    """A Prometheus that is not there yet."""
    served = LoopbackPrometheus()
    yield served
    served.stop()


@pytest.fixture
def own_operator(operator_kubeconfig, api_namespace, prometheus, tmp_path):
    """An operator of the test's namespace that reads KPIs every five seconds."""
    url = f"http://127.0.0.1:{prometheus.port}"
    settings = {"watch_namespaces": api_namespace, "prometheus_url": url, "kpi_seconds": 5}
    with OperatorProcess(operator_kubeconfig, tmp_path / "log", **settings) as running:
        yield running


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
    cluster.wait_for("small", seconds=20, WithinObjectives="False/ObjectivesMissed", Compared="True/Compared")
    status = wait_until(
        lambda: cluster.read("cmod", "small")["status"], lambda found: "savings" in found, 15, "the savings"
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
