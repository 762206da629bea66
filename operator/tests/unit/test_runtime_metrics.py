"""The metrics' page and the registry say the same, and each number comes from where it should."""

import re

import pytest
from prometheus_client.exposition import generate_latest

from model_operator.build_index import BuildIndex, parse_build_state
from model_operator.health import Health
from model_operator.kube import WATCHED_KINDS, Request
from model_operator.measurement import KpiReader
from model_operator.object_cache import Listed, ObjectCache
from model_operator.observe import Sources
from model_operator.service import Service
from model_operator.settings import Settings
from model_operator.standing import StandingCollector
from model_operator.telemetry import Telemetry

ROW = re.compile(r"^\| `([a-z_]+)` \| (counter|gauge|histogram|info) \|(.*?)\| (.+) \|$", re.MULTILINE)
OURS = {"app.kubernetes.io/managed-by": "modelpress"}


@pytest.fixture
def telemetry():
    """Metrics that follow a service."""
    return Telemetry()


@pytest.fixture
def service(kube, telemetry):
    """A service that does not run."""
    sources = Sources(kube, KpiReader(None, 15), Settings())
    return Service(sources, ObjectCache(), None, Health(60), telemetry)


def thing(kind, version=1, **fields):
    metadata = {"name": "a", "namespace": "press", "uid": f"u-{kind}", "resourceVersion": str(version), "labels": OURS}
    return {"kind": kind, "metadata": metadata, **fields}


def told(telemetry):
    """Name -> type and labels of everything in the registry."""
    labelled = {
        name: set(getattr(collector, "_labelnames", ()))
        for collector, names in telemetry.registry._collector_to_names.items()
        for name in names
    }
    found = {}
    for family in telemetry.registry.collect():
        name = {"counter": f"{family.name}_total", "info": f"{family.name}_info"}.get(family.type, family.name)
        sampled = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, labelled.get(family.name, set()) | sampled)
    return found


def test_the_page_lists_what_is_told_and_nothing_else(repository, service, telemetry):
    status = {"artifact": {"sizeBytes": 7}, "savings": {"cpu": 2.0}}
    service._index.note_event({**thing("CompressedModel"), "status": status}, deleted=False)
    service._cache.note_told(thing("Pod"), deleted=False)
    page = (repository / "docs" / "metrics.md").read_text()
    rows = {name: (kind, set(re.findall(r"`([a-z]+)`", labels))) for name, kind, labels, _ in ROW.findall(page)}
    assert rows == told(telemetry)


def test_names_follow_prometheus_conventions(service, telemetry):
    assert service.queue_depth() == 0
    for name, (kind, _) in told(telemetry).items():
        assert name.startswith(("modelpress_", "process_"))
        assert name.endswith("_total") is (kind == "counter")
        assert not re.search(r"_(milliseconds|minutes|kib|mib)\b", name)


def test_alerts_speak_of_metrics_that_exist(repository, service, telemetry):
    assert service.queue_age_seconds() == 0
    page = (repository / "docs" / "metrics.md").read_text()
    alerts = page.partition("Worth an alert")[2]
    assert set(re.findall(r"modelpress_[a-z_]+", alerts)) <= set(told(telemetry))


def test_models_builds_artifacts_and_watches_are_told_as_they_stand(service, telemetry):
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "artifact": {"sizeBytes": 7}}
    more = {"serving": {"revision": "0123456789ab"}, "savings": {"size": 14, "memory": 6.5, "requests": 900}}
    spec = {"baseline": {"name": "whole"}}
    service._index.note_event({**thing("CompressedModel"), "spec": spec, "status": ready | more}, deleted=False)
    service._builds.note_event({**thing("Job"), "status": {"ready": 1}}, deleted=False)
    service._cache.note_told(thing("Pod"), deleted=False)
    service._cache.check_listed("Pod", [Listed("press", "b", 5)])

    def value(name, **labels):
        return telemetry.registry.get_sample_value(name, labels)

    assert value("modelpress_models", ready="true") == 1
    assert value("modelpress_models", ready="false") == 0
    assert value("modelpress_builds", state="running") == 1
    assert value("modelpress_builds", state="failed") == 0
    own = {"namespace": "press", "model": "a"}
    assert value("modelpress_artifact_bytes", **own) == 7
    assert value("modelpress_model_ready", **own) == 1
    assert value("modelpress_model_info", revision="0123456789ab", baseline="whole", **own) == 1
    ratios = {what: value("modelpress_savings_ratio", of=what, **own) for what in ("size", "cpu", "memory", "requests")}
    assert ratios == {"size": 14, "cpu": None, "memory": 6.5, "requests": None}
    assert value("modelpress_watch_events_total", kind="Pod") == 1
    assert value("modelpress_watch_events_total", kind="Service") == 0
    assert value("modelpress_cached_objects", kind="Pod") == 1
    assert 0 <= value("modelpress_watch_silent_seconds", kind="Pod") < 60
    assert value("modelpress_watch_silent_seconds", kind="Service") is None
    assert value("modelpress_watch_lag_seconds", kind="Pod") > 0
    assert value("modelpress_watch_lag_seconds", kind="Job") == 0
    assert {kind for kind in WATCHED_KINDS if value("modelpress_cached_objects", kind=kind) is None} == set()


def test_requests_are_told_by_what_became_of_them(telemetry):
    telemetry.note_request(Request("patch", "deployments", "200", 0.02))
    telemetry.note_request(Request("patch", "deployments", "none", 10.0))
    text = generate_latest(telemetry.registry).decode()
    assert 'modelpress_api_requests_total{code="200",resource="deployments",verb="patch"} 1.0' in text
    assert 'modelpress_api_requests_total{code="none",resource="deployments",verb="patch"} 1.0' in text
    assert 'modelpress_api_request_seconds_sum{verb="patch"} 10.02' in text


def test_a_collector_tells_every_family_before_anything_happened(service):
    names = [family.name for family in StandingCollector(service).collect()]
    assert len(names) == len(set(names)) == 12


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "pending"),
        ({"status": {"active": 1, "ready": 0}}, "pending"),
        ({"status": {"active": 1, "ready": 1}}, "running"),
        ({"spec": {"suspend": True}}, "suspended"),
        ({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}, "succeeded"),
        ({"status": {"conditions": [{"type": "Failed", "status": "True"}]}}, "failed"),
        ({"status": {"conditions": [{"type": "Failed", "status": "False"}]}}, "pending"),
    ],
)
def test_a_build_stands_as_its_job_says(fields, state):
    assert parse_build_state(thing("Job", **fields)) == state


def test_builds_are_counted_once_and_forgotten_when_they_go():
    index = BuildIndex()
    index.note_event(thing("Job"), deleted=False)
    index.note_event(thing("Job", 2, status={"ready": 1}), deleted=False)
    assert index.count() == {"pending": 0, "running": 1, "suspended": 0, "succeeded": 0, "failed": 0}
    index.note_event(thing("Job", 3), deleted=True)
    assert sum(index.count().values()) == 0
