"""Spans of a pass, and that there is nothing at all where nobody asks for them."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from model_operator import tracing
from model_operator.errors import ClusterError, SettingsError
from model_operator.health import Health
from model_operator.measurement import KpiReader
from model_operator.object_cache import ObjectCache
from model_operator.observe import Sources
from model_operator.service import Service
from model_operator.settings import Settings
from model_operator.telemetry import Telemetry

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.fixture
def spans():
    """The spans that have ended."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use_tracer_of(provider)
    yield exporter.get_finished_spans
    tracing.use_tracer_of(None)


@pytest.fixture
def service(kube):
    """A service whose passes are called one by one."""
    sources = Sources(kube, KpiReader(None, 15), Settings())
    return Service(sources, ObjectCache(), None, Health(60), Telemetry())


def test_a_pass_is_a_span_with_what_it_did_below_it(kube, body, service, spans):
    stored = kube.put(body)
    stored["metadata"]["resourceVersion"] = "1"
    service._index.note_event(stored, deleted=False)
    service._pass(("press", "small"))
    *children, whole = spans()
    assert [each.name for each in children] == ["observe", "plan", "apply", "status"]
    assert {each.parent.span_id for each in children} == {whole.context.span_id}
    assert whole.name == "reconcile"
    assert dict(whole.attributes) == {
        "k8s.namespace.name": "press",
        "modelpress.model": "small",
        "modelpress.generation": 1,
        "modelpress.result": "done",
    }


def test_a_pass_over_nothing_and_one_that_fails_say_so(kube, service, spans):
    service._pass(("press", "gone"))
    kube.refuse["read", "CompressedModel"] = ClusterError("away")
    with pytest.raises(ClusterError):
        service._pass(("press", "gone"))
    assert [each.attributes["modelpress.result"] for each in spans()] == ["gone", "failed"]
    assert spans()[1].events[0].attributes["exception.message"] == "away"


def test_without_tracing_the_work_is_itself():
    def work():
        """Anything."""

    assert tracing.traced(work) is work


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x"}, True),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_environment_says_whether_passes_are_traced(environment, wanted):
    assert tracing.are_traces_wanted(environment) is wanted


def test_tracing_starts_and_ends_by_the_environment(monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert tracing.start_tracing("1") is False
    assert tracing._Tracing.tracer is None
    tracing.end_tracing()
    for name, value in ENDPOINT.items():
        monkeypatch.setenv(name, value)
    try:
        assert tracing.start_tracing("1") is True
        resource = tracing._Tracing.provider.resource.attributes
        assert (resource["service.name"], resource["service.version"]) == ("modelpress-operator", "1")
        tracing.end_tracing()
        tracing._Tracing.provider.shutdown()
    finally:
        tracing.use_tracer_of(None)


def test_traces_without_the_library_are_a_setting_that_is_wrong(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"install modelpress-operator\[tracing\]"):
        tracing.start_tracing("1")


def test_without_traces_the_library_is_not_even_imported():
    script = (
        "import sys, model_operator.service, model_operator.tracing; model_operator.tracing.start_tracing('1'); "
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
