"""KPIs by the operator's queries, from a real Prometheus that scrapes as different monitoring stacks do.

A server's page and a kubelet's are scraped at once by the chart's Prometheus, by what Prometheus Operator makes
of the chart's PodMonitor beside kube-prometheus-stack's kubelet job, which is MicroK8s' too, and by jobs that somebody
wrote by hand. Each stack has a namespace; discovery is left out, and what it would have told stands in static labels.
"""

import contextlib
import time
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from images.steps import tell_on_stderr
from monitoring.image import write_image
from monitoring.loopback_exporter import loopback_exporter
from monitoring.running import running_prometheus

from model_operator.measurement import LATE_SECONDS, KpiReader
from model_operator.prometheus import ApiPrometheus
from model_operator.serving_pod import Served
from model_server.metrics import FINE_EDGES_SECONDS, SERVING_EDGES_MICROSECONDS

REQUESTS_PER_SECOND = 200
LATENCY_SECONDS = 0.005
CORES = 0.4
MEBIBYTES = 100
WINDOW_SECONDS = 10
POD = "digits-6d4cf56db6-abcde"
STACKS = ("own", "stack", "handmade")


class Server:
    """The page of a server that answers so many requests a second, all in the same time, and many more probes."""

    def __init__(self, *, standard):
        """Have the page of TensorFlow Serving, or that of ours, which has finer buckets besides."""
        self._standard = standard
        self._begun = time.monotonic()

    def __call__(self):
        """The page as it is now."""
        answered = int((time.monotonic() - self._begun) * REQUESTS_PER_SECOND)
        own, probe = 'model_name="digits",API="Predict",entrypoint="REST"', 'model_name="digits",API="",entrypoint=""'
        lines = [f':tensorflow:serving:request_count{{model_name="digits",status="OK"}} {11 * answered}']
        for labels, count, latency in ((own, answered, LATENCY_SECONDS), (probe, 10 * answered, 1.0)):
            name = ":tensorflow:serving:request_latency"
            lines += format_histogram(name, labels, SERVING_EDGES_MICROSECONDS, latency * 1e6, count)
        if not self._standard:
            name, labels = "modelpress_predict_duration_seconds", f'{own},version="1"'
            lines += format_histogram(name, labels, FINE_EDGES_SECONDS, LATENCY_SECONDS, answered)
        return "\n".join(lines) + "\n"


def format_histogram(name, labels, edges, latency, count):
    """Lines of a page: so many observations of the same latency."""
    for edge in edges:
        yield f'{name}_bucket{{{labels},le="{edge:.6g}"}} {count if latency <= edge else 0}'
    yield f'{name}_bucket{{{labels},le="+Inf"}} {count}'
    yield f"{name}_count{{{labels}}} {count}"


class Kubelet:
    """The page of a kubelet's cAdvisor, in the parts that matter: with ids and times, and of cgroups of all kinds."""

    def __init__(self, namespace):
        self.namespace = namespace
        self._begun = time.monotonic()

    def __call__(self):
        """The page as it is now."""
        seconds, at = time.monotonic() - self._begun, int(time.time() * 1000)
        pod = f'namespace="{self.namespace}",pod="{POD}"'
        sandbox = f'id="/kubepods/x",image="",name="",container="",{pod}'
        server = f'id="/kubepods/x/s",image="server:1",name="5e4",container="server",{pod}'
        node = 'id="/",image="",name="",container="",namespace="",pod=""'
        lines = ["# TYPE container_cpu_usage_seconds_total counter"]
        for labels, cores in ((node, 3), (sandbox, CORES + 0.01), (server, CORES)):
            lines.append(f'container_cpu_usage_seconds_total{{cpu="total",{labels}}} {cores * seconds} {at}')
        lines.append("# TYPE container_memory_working_set_bytes gauge")
        for labels, mebibytes in ((node, 9000), (sandbox, MEBIBYTES + 1), (server, MEBIBYTES)):
            lines.append(f"container_memory_working_set_bytes{{{labels}}} {mebibytes * 2**20} {at}")
        lines.append("# TYPE container_cpu_user_seconds_total counter")
        lines.append(f"container_cpu_user_seconds_total{{{server}}} {seconds} {at}")
        return "\n".join(lines) + "\n"


def chart_jobs(helm, server_port, kubelet_port):
    """The jobs of the chart's own Prometheus, with what its relabelling would make of a pod and of a node."""
    rendered = helm.render({"prometheus": {"enabled": True}})
    (text,) = [each["data"]["prometheus.yml"] for each in rendered if each["kind"] == "ConfigMap"]
    jobs = {each["job_name"]: each for each in yaml.safe_load(text)["scrape_configs"]}
    serving = {"namespace": "own", "pod": POD, "container": "server", "modelpress_dev_model": "digits"}
    for name, port, labels in (
        ("modelpress-serving", server_port, serving),
        ("kubelet-cadvisor", kubelet_port, {"node": "n"}),
    ):
        kept = {key: jobs[name][key] for key in ("honor_labels", "metric_relabel_configs") if key in jobs[name]}
        yield {"job_name": f"own-{name}", **kept, **targets(port, labels)}


def stack_jobs(server_port, kubelet_port):
    """What Prometheus Operator makes of the chart's PodMonitor, and kube-prometheus-stack's kubelet job."""
    serving = {"container": "server", "endpoint": "http", "job": "press/modelpress-serving", "pod": POD}
    yield {
        "job_name": "podMonitor/press/modelpress-serving/0",
        "honor_timestamps": True,
        **targets(server_port, {**serving, "namespace": "stack", "modelpress_dev_model": "digits"}),
    }
    kubelet = {"job": "kubelet", "service": "stack-kubelet", "endpoint": "https-metrics", "node": "n"}
    yield {
        "job_name": "serviceMonitor/observability/stack-kubelet/1",
        "honor_labels": True,
        "honor_timestamps": True,
        "track_timestamps_staleness": True,
        "metric_relabel_configs": [
            {"source_labels": ["__name__"], "regex": "container_cpu_(user|system)_seconds_total", "action": "drop"},
            {"source_labels": ["id", "pod"], "regex": ".+;", "action": "drop"},
        ],
        **targets(kubelet_port, {**kubelet, "namespace": "kube-system", "metrics_path": "/metrics/cadvisor"}),
    }


def handmade_jobs(server_port, kubelet_port):
    """Pods by their annotations, in two jobs at once, and a kubelet job that has labels of its own and honours none."""
    for job in ("kubernetes-pods", "kubernetes-pods-again"):
        labels = {"namespace": "handmade", "pod": POD, "app_kubernetes_io_component": "server", "node": "n"}
        yield {"job_name": job, **targets(server_port, labels)}
    labels = {"namespace": "kube-system", "pod": "proxy-1", "container": "proxy"}
    yield {"job_name": "kubernetes-cadvisor", **targets(kubelet_port, labels)}


def targets(port, labels):
    return {"static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]}


@pytest.fixture(scope="module")
def scraping(helm, tmp_path_factory):
    """URL of a Prometheus that scrapes three stacks, each with a server and a kubelet of its own."""
    folder = tmp_path_factory.mktemp("stacks")
    with contextlib.ExitStack() as stack:
        ports = {
            name: tuple(
                stack.enter_context(loopback_exporter(page)).port
                for page in (Server(standard=name == "stack"), Kubelet(name))
            )
            for name in STACKS
        }
        jobs = [*chart_jobs(helm, *ports["own"]), *stack_jobs(*ports["stack"]), *handmade_jobs(*ports["handmade"])]
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        program = write_image(tell_on_stderr).programs / "prometheus"
        running = running_prometheus([program], folder / "prometheus.yml", folder / "data")
        prometheus = stack.enter_context(running)
        # By then every series has more than the samples of a window that ended so long ago.
        enough = f"count_over_time(up[60s]) > {WINDOW_SECONDS + LATE_SECONDS + 1}"
        prometheus.wait_for_series(enough, lambda found: len(found) == len(jobs), 90)
        yield prometheus


@pytest.mark.parametrize("stack", STACKS)
def test_the_same_queries_give_true_figures_on_every_stack(stack, scraping):
    now = datetime.now(UTC)
    served = Served(stack, "digits", "6d4cf56db6", now - timedelta(hours=1))
    reader = KpiReader(ApiPrometheus(scraping.url, timeout_seconds=5), keep_seconds=15)
    (kpis,) = reader.read([served], WINDOW_SECONDS, now)
    assert kpis.requests_per_second == pytest.approx(REQUESTS_PER_SECOND, rel=0.2)
    assert kpis.cpu_millicores == pytest.approx(1000 * CORES, rel=0.1)
    assert kpis.memory_mebibytes == pytest.approx(MEBIBYTES, rel=0.001)
    assert kpis.cpu_milliseconds_per_request == pytest.approx(1000 * CORES / REQUESTS_PER_SECOND, rel=0.3)
    assert (kpis.pods, kpis.error_percent) == (1, 0)
    assert kpis.p95_is_fine == (stack != "stack")
    # As far from the truth as the buckets are apart: by 20 % or by 80 %.
    assert kpis.p95_latency_milliseconds == pytest.approx(1000 * LATENCY_SECONDS, rel=0.2 if kpis.p95_is_fine else 0.8)


def test_labels_differ_between_the_stacks_as_they_are_said_to(scraping):
    """Otherwise the test above would show less than it says."""
    of_kubelet = scraping.read_series("container_cpu_usage_seconds_total")
    assert {(labels["namespace"], labels.get("exported_namespace")) for labels, _ in of_kubelet} == {
        ("own", None),
        ("stack", None),
        ("kube-system", "handmade"),
        ("kube-system", None),
    }
    containers = [labels.get("container") for labels, _ in of_kubelet if labels["namespace"] == "stack"]
    assert sorted(containers, key=str) == [None, "server"]
    fine = scraping.read_series('modelpress_predict_duration_seconds_bucket{le="+Inf"}')
    assert {labels["namespace"] for labels, _ in fine} == {"own", "handmade"}
    assert len(scraping.read_series('up{namespace="handmade"}')) == 2
