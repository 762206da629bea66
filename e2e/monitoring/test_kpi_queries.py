"""KPIs of series whose true figures are known, read from a real Prometheus by the operator's own queries.

Each namespace is one case; all of them are in one Prometheus. Unless a case says otherwise, each pod answers ten
requests a second in 25 ms each, and uses 100 millicores and 100 MiB.
"""

import math
import time
from datetime import UTC, datetime, timedelta

import pytest

from model_operator.measurement import LATE_SECONDS, KpiReader
from model_operator.observation import Kpis
from model_operator.prometheus import Sample
from model_operator.serving_pod import Served
from model_server.metrics import FINE_EDGES_SECONDS, SERVING_EDGES_MICROSECONDS
from monitoring.backfill import Series, write_series
from monitoring.running import running_prometheus

WINDOW = 300
LATENCY_SECONDS = 0.025
MEBIBYTE = 2**20
REPLICA_SET = "small-6d4cf56db6"
FIRST, SECOND = f"{REPLICA_SET}-aaaaa", f"{REPLICA_SET}-bbbbb"
TENSORFLOW = ":tensorflow:serving:"
OWN = {"model_name": "small", "API": "Predict", "entrypoint": "REST"}


def counter(rate, since=-3600):
    """So much a second, from 0 at a time."""
    return lambda at: rate * max(0.0, at - since)


def buckets(name, labels, edges, latency, rate=10.0, **times):
    """A histogram of requests that all take the same time."""
    for edge in (*edges, float("inf")):
        le = "+Inf" if edge == float("inf") else f"{edge:.6g}"
        yield Series(name, {**labels, "le": le}, counter(rate if latency <= edge else 0.0), **times)


def serving(target, rate=10.0, fine=True, latency=LATENCY_SECONDS, errors=0.0, **times):
    """What a server's own page says, with the labels of its target."""
    yield Series("up", target, lambda _: 1.0, **times)
    labels = target | OWN
    yield Series(f"{TENSORFLOW}request_latency_count", labels, counter(rate), **times)
    # The kubelet's probes have an empty API, and are many.
    probes = target | {"model_name": "small", "API": "", "entrypoint": ""}
    yield Series(f"{TENSORFLOW}request_latency_count", probes, counter(1000.0), **times)
    yield from buckets(f"{TENSORFLOW}request_latency_bucket", probes, (1.0,), 0.0, 1000.0, **times)
    for status, count in (("OK", rate + 1000), ("INVALID_ARGUMENT", errors)):
        if count:
            of_status = target | {"model_name": "small", "status": status}
            yield Series(f"{TENSORFLOW}request_count", of_status, counter(count), **times)
    edges = SERVING_EDGES_MICROSECONDS
    yield from buckets(f"{TENSORFLOW}request_latency_bucket", labels, edges, latency * 1e6, rate, **times)
    if fine:
        name = "modelpress_predict_duration_seconds_bucket"
        yield from buckets(name, labels | {"version": "1"}, FINE_EDGES_SECONDS, latency, rate, **times)


def kubelet(labels, cores=0.1, mebibytes=100.0, since=-3600, **times):
    """What a kubelet says of a container or pod."""
    yield Series("container_cpu_usage_seconds_total", labels, counter(cores, since), **times)
    yield Series("container_memory_working_set_bytes", labels, lambda _: mebibytes * MEBIBYTE, **times)


def target_of(namespace, pod=FIRST, **labels):
    return {"namespace": namespace, "pod": pod, "container": "server", "job": "pods", "instance": "10.0.0.1"} | labels


def container_of(namespace, pod=FIRST, **labels):
    own = {"namespace": namespace, "pod": pod, "container": "server", "id": f"/{pod}", "name": "f00", "image": "i"}
    return own | {"job": "kubelet", "node": "n", "metrics_path": "/metrics/cadvisor"} | labels


def list_series():
    """The series of every case."""
    for pod in (FIRST, SECOND):
        yield from serving(target_of("usual", pod), errors=1.0)
        yield from kubelet(container_of("usual", pod))
        # Somebody else's pods: another model's, another revision's.
    for pod in ("other-6d4cf56db6-aaaaa", "small-5d4cf56db6-aaaaa"):
        yield from serving(target_of("usual", pod), rate=77.0, latency=2.0)
        yield from kubelet(container_of("usual", pod), cores=7.0, mebibytes=777.0)

    # Scraped by two jobs, and the kubelet by two jobs at two paths, one of which has no ids.
    for job in ("pods", "annotated"):
        yield from serving(target_of("twice", job=job))
        yield from kubelet(container_of("twice", job=f"{job}-kubelet"))
        resource = {key: value for key, value in container_of("twice").items() if key not in {"id", "name", "image"}}
        yield from kubelet(resource | {"job": f"{job}-kubelet", "metrics_path": "/metrics/resource"})

    # A job that does not honour the kubelet's labels, and has its own of that name.
    exported = {f"exported_{key}": container_of("exported")[key] for key in ("namespace", "pod", "container")}
    theirs = {"namespace": "kube-system", "container": "exporter", "job": "kubelet"}
    yield from serving(target_of("exported"))
    for pod in ("exporter-one", "exporter-two"):
        yield from kubelet(exported | theirs | {"id": "/a", "pod": pod})

    # A runtime that tells the kubelet of pods alone; cgroups with no pod are there besides.
    for pod, id_ in ((FIRST, "/kubepods/a"), ("", "/")):
        yield from kubelet({"namespace": "podwise" if pod else "", "pod": pod, "id": id_, "job": "kubelet"})
    yield from serving(target_of("podwise"))

    # All that cAdvisor may say of a pod: its whole, its pause container, other containers, each CPU and their sum.
    yield from serving(target_of("noisy"))
    yield from kubelet(container_of("noisy", cpu="total"))
    for each in ({"cpu": "cpu00"}, {"container": "unpack", "id": "/u"}, {"container": "POD", "id": "/p"}):
        yield from kubelet(container_of("noisy", **each), cores=0.06, mebibytes=7.0)
    whole = {"namespace": "noisy", "pod": FIRST, "id": "/kubepods/a", "job": "kubelet"}
    yield from kubelet(whole, cores=0.2, mebibytes=150.0)

    # A container that was restarted within the window: its counters begin anew.
    yield from serving(target_of("restarted"), ends=-155)
    again = [each for each in serving(target_of("restarted")) if each.name != "up"]
    yield from (
        Series(each.name, each.labels, lambda at, value=each.value: value(at) - value(-150), begins=-140)
        for each in again
    )
    yield Series("up", target_of("restarted"), lambda _: 1.0, begins=-140)
    yield from kubelet(container_of("restarted"), ends=-155)
    yield from kubelet(container_of("restarted", id="/again", name="b00"), since=-150, begins=-150)

    # Scrapes that ended, or that began, within the window.
    yield from serving(target_of("ended"), ends=-120)
    yield from kubelet(container_of("ended"), ends=-120)
    yield from serving(target_of("began"), begins=-150)
    yield from kubelet(container_of("began"), begins=-150)
    yield from serving(target_of("no-kubelet"))
    yield from kubelet(container_of("no-kubelet"), ends=-120)
    yield from serving(target_of("kubelet-only"), ends=-120)
    yield from kubelet(container_of("kubelet-only"))

    # A pod that came a minute ago, and one that left.
    yield from serving(target_of("scaled"))
    yield from kubelet(container_of("scaled"))
    yield from serving(target_of("scaled", SECOND), begins=-60, rate=20.0)
    yield from kubelet(container_of("scaled", SECOND), begins=-60, cores=2.0, mebibytes=500.0)
    yield from serving(target_of("scaled", f"{REPLICA_SET}-ccccc"), ends=-240)
    yield from kubelet(container_of("scaled", f"{REPLICA_SET}-ccccc"), ends=-240, cores=2.0)

    # A server that nobody asked anything until a minute ago; one that nobody asks any more; one that was never asked.
    yield from (
        each if each.name == "up" else Series(each.name, each.labels, counter(10.0, -60), begins=-60)
        for each in serving(target_of("woken"))
        if each.name == "up" or each.labels.get("API") == "Predict"
    )
    yield from kubelet(container_of("woken"))
    yield from (
        each if each.name == "up" else Series(each.name, each.labels, lambda at: 10.0 * (min(at, -900) + 3600))
        for each in serving(target_of("asleep"))
    )
    yield Series("up", target_of("never"), lambda _: 1.0)
    yield from kubelet(container_of("never"))

    # Values that are none, a scraper that keeps no `up`, scrapes a minute apart, the real server's buckets alone.
    yield Series("up", target_of("nonsense"), lambda _: 1.0)
    yield Series(f"{TENSORFLOW}request_latency_count", target_of("nonsense") | OWN, lambda _: float("nan"))
    nonsense = ("container_cpu_usage_seconds_total", "container_memory_working_set_bytes")
    yield from (Series(name, container_of("nonsense"), lambda _: float("nan")) for name in nonsense)
    yield from (each for each in serving(target_of("upless")) if each.name != "up")
    yield from serving(target_of("seldom"), every=60)
    yield from kubelet(container_of("seldom"), every=60)
    yield from serving(target_of("standard"), fine=False)
    yield from serving(target_of("slow"), latency=6.0)


class PrometheusAtOneTime:
    """Answers as of the time when the windows end that the series are told about, however long the tests take.

    Nothing was scraped since that end.
    """

    def __init__(self, running, now):
        self.running = running
        self.now = now

    def query(self, query):
        """What the operator asks."""
        found = self.running.read("query", query=query, time=str(self.now))["result"]
        samples = [Sample(each["metric"], float(each["value"][1])) for each in found]
        return [each for each in samples if math.isfinite(each.value)]


@pytest.fixture(scope="module")
def prometheus(prometheus_image, tmp_path_factory):
    """A Prometheus that has scraped all of it, and scrapes nothing."""
    folder, now = tmp_path_factory.mktemp("kpis"), time.time()
    write_series(prometheus_image.programs / "promtool", list_series(), now, folder / "data")
    config = folder / "prometheus.yml"
    config.write_text("scrape_configs: []\n")
    with running_prometheus([prometheus_image.programs / "prometheus"], config, folder / "data") as running:
        yield PrometheusAtOneTime(running, now + LATE_SECONDS)


@pytest.fixture
def read(prometheus):
    """The KPIs of a case."""

    def kpis(namespace, window=WINDOW):
        now = datetime.now(UTC)
        model, template_hash = REPLICA_SET.split("-")
        served = Served(namespace, model, template_hash, now - timedelta(hours=1))
        (found,) = KpiReader(prometheus, 15).read([served], window, now)
        assert isinstance(found, Kpis), found
        return found

    return kpis


def near(value):
    return pytest.approx(value, rel=0.01)


def assert_usual(kpis, pods=1):
    """Every figure is the true one, of so many pods."""
    assert kpis.pods == pods
    assert kpis.requests == near(10 * WINDOW * pods)
    assert kpis.requests_per_second == near(10 * pods)
    assert kpis.requests_per_second_per_pod == near(10)
    assert kpis.cpu_millicores == near(100)
    assert kpis.memory_mebibytes == near(100)
    assert kpis.cpu_milliseconds_per_request == near(10)


def test_all_figures_are_the_true_ones(read):
    kpis = read("usual")
    assert_usual(kpis, pods=2)
    assert kpis.error_percent == near(100 / 11)
    assert kpis.p95_is_fine
    assert kpis.p95_latency_milliseconds == pytest.approx(1000 * LATENCY_SECONDS, rel=0.2)


def test_what_is_scraped_late_is_missing_in_no_window(read):
    kpis = read("usual", 60)
    assert (kpis.pods, kpis.requests, kpis.cpu_millicores) == (2, near(10 * 60 * 2), near(100))
    assert kpis.measured_at <= datetime.now(UTC) - timedelta(seconds=LATE_SECONDS)


@pytest.mark.parametrize("namespace", ["twice", "exported", "podwise", "noisy", "restarted", "seldom"])
def test_the_figures_do_not_depend_on_how_they_were_scraped(namespace, read):
    kpis = read(namespace)
    # Half a scrape on either side of a restart is lost, of whose requests nobody knows.
    if namespace == "restarted":
        assert kpis.requests == pytest.approx(10 * WINDOW, rel=0.1)
        assert (kpis.cpu_millicores, kpis.memory_mebibytes) == (pytest.approx(100, rel=0.1), near(100))
    else:
        assert_usual(kpis)


def test_the_real_servers_buckets_are_coarser(read):
    kpis = read("standard")
    assert (kpis.p95_is_fine, kpis.requests) == (False, near(3000))
    # All requests are in the bucket from 20.8 to 37.5 ms, whose 95th part counts.
    assert kpis.p95_latency_milliseconds == kpis.p95_standard_milliseconds == near(36.65)
    assert read("usual").p95_standard_milliseconds == near(36.65)


def test_a_p95_above_the_finer_buckets_comes_from_the_others(read):
    kpis = read("slow")
    assert (kpis.p95_is_fine, kpis.p95_latency_milliseconds) == (False, pytest.approx(6000, rel=0.8))
    assert kpis.p95_latency_milliseconds > 4701


@pytest.mark.parametrize("namespace", ["ended", "began", "nowhere"])
def test_what_was_scraped_in_a_part_of_the_window_alone_is_no_data(namespace, read):
    kpis = read(namespace)
    assert kpis == Kpis(WINDOW, kpis.measured_at, pods=0)


def test_it_is_data_over_a_shorter_window(read):
    kpis = read("began", 120)
    assert (kpis.requests_per_second, kpis.cpu_millicores) == (near(10), near(100))


def test_a_kubelet_that_is_gone_takes_its_figures_alone_with_it(read):
    kpis = read("no-kubelet")
    assert (kpis.requests, kpis.cpu_millicores, kpis.memory_mebibytes) == (near(3000), None, None)
    assert kpis.cpu_milliseconds_per_request is None


def test_a_server_that_is_scraped_no_more_leaves_the_kubelets_figures(read):
    kpis = read("kubelet-only")
    assert (kpis.requests, kpis.p95_latency_milliseconds, kpis.error_percent) == (None, None, None)
    assert (kpis.cpu_millicores, kpis.memory_mebibytes) == (near(100), near(100))


def test_means_are_of_pods_that_stayed_and_sums_of_all(read):
    kpis = read("scaled")
    assert kpis.pods == 1
    assert kpis.requests == pytest.approx(3000 + 60 * 20 + 60 * 10, rel=0.1)
    assert (kpis.cpu_millicores, kpis.memory_mebibytes) == (near(100), near(100))
    assert (kpis.cpu_milliseconds_per_request, kpis.requests_per_second_per_pod) == (near(10), near(10))


def test_a_server_that_was_idle_is_measured_from_its_first_request(read):
    kpis = read("woken")
    assert (kpis.pods, kpis.requests) == (1, pytest.approx(600, rel=0.1))
    assert kpis.requests_per_second == pytest.approx(2, rel=0.1)
    assert kpis.cpu_millicores == near(100)


def test_a_server_without_requests_has_no_p95_and_no_requests_failed(read):
    kpis = read("asleep")
    assert (kpis.requests, kpis.p95_latency_milliseconds, kpis.error_percent) == (0, None, None)
    never = read("never")
    assert (never.pods, never.requests, never.error_percent, never.cpu_millicores) == (1, None, None, near(100))


def test_what_is_no_number_is_no_data(read):
    kpis = read("nonsense")
    assert kpis == Kpis(WINDOW, kpis.measured_at, pods=1)


def test_without_up_the_requests_themselves_show_that_it_was_scraped(read):
    kpis = read("upless")
    assert (kpis.pods, kpis.requests, kpis.error_percent) == (1, near(3000), 0)
