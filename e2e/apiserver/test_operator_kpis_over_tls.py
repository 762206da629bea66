"""Savings in the status, from a real Prometheus that asks for a password over TLS."""

import base64
import json
import ssl
import time
import urllib.request

import pytest
from images.steps import tell_on_stderr
from monitoring.backfill import Series, write_series
from monitoring.certificates import write_authority, write_certificate
from monitoring.image import write_image
from monitoring.running import running_prometheus
from operator_play import SUMMARY, OperatorProcess, training_model

PASSWORD = "pässword"  # noqa: S105 - of a Prometheus that lives for a test
# By bcrypt with cost 4.
HASH = "$2b$04$LOQohZgf1GLCKcCs7Ykjje.8Pl0/49BeqosGaZTdkvtu1GsC5nmYi"
MEBIBYTE = 2**20
TICKS = {"begins": -900, "ends": 900}


def growing(name, labels, rate):
    """A counter, a quarter of an hour old."""
    return Series(name, labels, lambda at: rate * (at + 900), **TICKS)


def steady(name, labels, value):
    """A gauge that does not move."""
    return Series(name, labels, lambda _: value, **TICKS)


def list_series(namespace):
    """Both models answer ten requests a second; `plain` takes twice the time and CPU, and four times the memory."""
    for model, microseconds, cores, mebibytes in (("small", 10_000, 0.1, 50), ("plain", 20_000, 0.2, 200)):
        target = {"namespace": namespace, "pod": f"{model}-6d4cf56db6-abcde", "container": "server"}
        own = target | {"model_name": model, "API": "Predict", "entrypoint": "REST"}
        yield steady("up", target, 1.0)
        yield growing(":tensorflow:serving:request_latency_count", own, 10.0)
        for edge, rate in ((microseconds * 0.95, 0.0), (microseconds * 1.05, 10.0), ("+Inf", 10.0)):
            yield growing(":tensorflow:serving:request_latency_bucket", own | {"le": str(edge)}, rate)
        yield growing(":tensorflow:serving:request_count", target | {"model_name": model, "status": "OK"}, 10.0)
        container = target | {"id": f"/{model}"}
        yield growing("container_cpu_usage_seconds_total", container | {"cpu": "total"}, cores)
        yield steady("container_memory_working_set_bytes", container, float(mebibytes * MEBIBYTE))


@pytest.fixture
def prometheus_url(api_namespace, tmp_path):
    """A Prometheus that knows a quarter of an hour of both models, and lets in who has the password."""
    write_authority(tmp_path, "ca")
    write_certificate(tmp_path, "server", "ca")
    programs = write_image(tell_on_stderr).programs
    write_series(programs / "promtool", list_series(api_namespace), time.time(), tmp_path / "data")
    web = tmp_path / "web.yml"
    tls = f"tls_server_config: {{cert_file: {tmp_path}/server.crt, key_file: {tmp_path}/server.key}}\n"
    web.write_text(f"{tls}basic_auth_users: {{reader: {HASH}}}\n")
    config = tmp_path / "prometheus.yml"
    config.write_text("scrape_configs: []\n")
    context = ssl.create_default_context(cafile=tmp_path / "ca.crt")
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    header = base64.b64encode(f"reader:{PASSWORD}".encode()).decode()
    opener.addheaders = [("Authorization", f"Basic {header}")]
    with running_prometheus([programs / "prometheus"], config, tmp_path / "data", web, opener) as running:
        yield running.url


@pytest.fixture
def own_operator(operator_kubeconfig, api_namespace, prometheus_url, tmp_path):
    """An operator of the test's namespace that has the password, the authority, and prices."""
    secret = tmp_path / "secret"
    secret.mkdir()
    for name, text in (
        ("username", "reader"),
        ("password", PASSWORD),
        ("ca.crt", (tmp_path / "ca.crt").read_text()),
    ):
        (secret / name).write_text(text)
    settings = {
        "watch_namespaces": api_namespace,
        "prometheus_url": prometheus_url,
        "prometheus_credentials_folder": secret,
        "kpi_seconds": 5,
        "price_cpu_core_hour": 0.04,
        "log_level": "DEBUG",
    }
    with OperatorProcess(operator_kubeconfig, tmp_path / "log", **settings) as running:
        yield running


def test_savings_are_those_of_the_series(own_operator, cluster):
    cluster.make_claim()
    cluster.make(training_model("small", baseline={"name": "plain"}), training_model("plain", seed=1))
    for job in cluster.wait_for_jobs(2, seconds=60):
        cluster.start_build(job)
        cluster.end_build(job, json.dumps(SUMMARY))
    for name in ("small", "plain"):
        cluster.serve(name)
    cluster.wait_for("small", seconds=60, Compared="True/Compared")
    status = cluster.read("cmod", "small")["status"]
    assert {key: value for key, value in status["kpis"].items() if key != "measuredAt"} == {
        "p95LatencyMilliseconds": pytest.approx(10.5, rel=0.02),
        "cpuMillicores": 100,
        "memoryMebibytes": 50,
        "cpuMillisecondsPerRequest": 10,
        "requestsPerSecond": 10,
        "errorPercent": 0,
        "requests": 3000,
        "window": "5m",
    }
    assert {key: value for key, value in status["savings"].items() if key != "measuredAt"} == {
        "size": 1,
        "latency": 2,
        "cpu": 2,
        "memory": 4,
        "costPercent": 50,
        "requests": 3000,
        "baselineRequests": 3000,
        "requestsPerSecondPerPod": 10,
        "baselineRequestsPerSecondPerPod": 10,
    }
    log = own_operator.log.read_text()
    assert "/api/v1/query" in log
    assert PASSWORD not in log
    assert base64.b64encode(f"reader:{PASSWORD}".encode()).decode() not in log
