"""Traces of passes by OpenTelemetry, where its SDK is installed and OTEL_* asks for them; without, they cost nothing.

The only file that imports opentelemetry. `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) turns traces on, and
`OTEL_SDK_DISABLED=true` or `OTEL_TRACES_EXPORTER=none` off again; every other `OTEL_*` variable is the SDK's own.
"""

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from model_operator.errors import SettingsError

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

SERVICE_NAME = "modelpress-operator"
END_SECONDS = 2.0


class _Tracing:
    """Whether passes are traced, and by whom.

    Attributes:
        provider: of OpenTelemetry; None while traces are off.
        tracer: of the provider.
    """

    provider: Any = None
    tracer: Any = None


def are_traces_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces, as OpenTelemetry has it."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    return any(environment.get(f"OTEL_EXPORTER_OTLP_{name}ENDPOINT") for name in ("", "TRACES_"))


def start_tracing(version: str) -> bool:
    """Trace from now on if the environment asks for it.

    Raises:
        SettingsError: when it does and the SDK is not installed.
    """
    if not are_traces_wanted(os.environ):
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            "OTEL_* asks for traces, and OpenTelemetry is not installed: install modelpress-operator[tracing], or set "
            "OTEL_SDK_DISABLED=true"
        ) from error
    name = os.environ.get("OTEL_SERVICE_NAME", SERVICE_NAME)
    provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use_tracer_of(provider)
    return True


def use_tracer_of(provider: Any) -> None:
    """Trace with this provider; None turns traces off."""
    _Tracing.provider = provider
    _Tracing.tracer = None if provider is None else provider.get_tracer(SERVICE_NAME)


def end_tracing() -> None:
    """Hand over what has not been sent, within END_SECONDS."""
    if _Tracing.provider is not None:
        _Tracing.provider.force_flush(int(1000 * END_SECONDS))


def traced(work: Callable[Arguments, Answer], name: str = "") -> Callable[Arguments, Answer]:
    """The same work in a span of this name, or of its own; the very same function while traces are off."""
    if _Tracing.tracer is None:
        return work

    @functools.wraps(work)
    def in_span(*arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
        with _Tracing.tracer.start_as_current_span(name or work.__name__):
            return work(*arguments, **named)

    return in_span


@contextmanager
def trace_pass(namespace: str, name: str, generation: int) -> Iterator[Callable[[str], None]]:
    """A span around one pass; yields what takes its result."""
    if _Tracing.tracer is None:
        yield lambda _: None
        return
    attributes = {
        "k8s.namespace.name": namespace,
        "modelpress.model": name,
        "modelpress.generation": generation,
    }
    with _Tracing.tracer.start_as_current_span("reconcile", attributes=attributes) as span:
        try:
            yield functools.partial(span.set_attribute, "modelpress.result")
        except Exception:
            span.set_attribute("modelpress.result", "failed")
            raise
