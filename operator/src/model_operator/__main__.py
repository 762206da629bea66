"""`modelpress-operator`: reads its settings, checks its rights and runs until it is told to end.

`modelpress-operator preflight` checks, tells what it found, and ends.
"""

import argparse
import asyncio
import concurrent.futures
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import kopf

import model_operator
from model_operator.audit import AUDIT_SECONDS, Audit, plan_audit_seconds
from model_operator.cached_kube import CachedKube
from model_operator.errors import ClusterError, RefusedError, RightsError, SettingsError
from model_operator.handlers import build_registry
from model_operator.health import Health
from model_operator.kube import ApiKube
from model_operator.measurement import READING_THREADS, KpiReader
from model_operator.object_cache import ObjectCache
from model_operator.observe import Sources
from model_operator.preflight import (
    ASKED_AT_ONCE,
    check_prometheus,
    format_findings,
    format_json,
    format_table,
    inspect_cluster,
)
from model_operator.prometheus import Access, ApiPrometheus
from model_operator.service import Service
from model_operator.settings import PREFIX, Settings, load_settings, split_names
from model_operator.telemetry import Telemetry, start_log
from model_operator.tracing import end_tracing, start_tracing

EXIT_FAILED = 1
EXIT_SETTINGS = 2
EXIT_RIGHTS = 3
PREFLIGHT = "preflight"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - probes and scrapers come from outside the pod


def run_operator(arguments: Sequence[str] | None = None) -> int:
    """Start and serve; 0 when it was told to end, 1 when it could not go on, 2 and 3 when it cannot begin."""
    options = _parse(arguments)
    try:
        settings = load_settings()
        start_log(settings.log_level)
        start_tracing(model_operator.__version__)
        namespaces = split_names(settings.watch_namespaces)
        telemetry = Telemetry()
        kube = ApiKube(namespaces, max(settings.workers + 2, ASKED_AT_ONCE), telemetry.note_request)
        if options.command == PREFLIGHT:
            return run_preflight(settings, kube, namespaces, as_json=options.json)
        _check_cluster(kube, namespaces)
    except SettingsError as error:
        return _tell(error, EXIT_SETTINGS)
    except (RightsError, RefusedError) as error:
        return _tell(error, EXIT_RIGHTS)
    except ClusterError as error:
        return _tell(error, EXIT_FAILED)
    return serve(settings, kube, telemetry, namespaces, options.listen)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="modelpress-operator",
        description="Kubernetes operator for compressed models; these environment variables set it up:",
        epilog="  ".join(f"{PREFIX}{name.upper()}" for name in Settings.model_fields),
    )
    parser.add_argument("--version", action="version", version=model_operator.__version__)
    parser.add_argument("--listen", metavar="ADDRESS", default=EVERYWHERE, help="where health and metrics are answered")
    commands = parser.add_subparsers(dest="command", metavar="[COMMAND]")
    check = commands.add_parser(PREFLIGHT, help="tell what this cluster lacks for the operator, and end")
    check.add_argument("--json", action="store_true", help="for programs")
    return parser.parse_args(arguments)


def run_preflight(settings: Settings, kube: ApiKube, namespaces: Sequence[str], *, as_json: bool) -> int:
    """Tell what the cluster has and lacks; 0 when the operator can work there, 3 when it cannot.

    Raises:
        ClusterError: when the API server does not answer.
    """
    report = inspect_cluster(kube, namespaces)
    report = replace(report, checks=(*report.checks, check_prometheus(_open_prometheus(settings))))
    print(format_json(report) if as_json else format_table(report))
    return 0 if report.ok else EXIT_RIGHTS


def _check_cluster(kube: ApiKube, namespaces: Sequence[str]) -> None:
    """Refuse to begin where something is missing; the kubelet then tries again, ever more slowly.

    Raises:
        RightsError: one sentence a line for each thing that is missing.
        ClusterError: when the API server does not answer.
    """
    report = inspect_cluster(kube, namespaces)
    if not report.ok:
        raise RightsError("\n".join(format_findings(report, "missing")))
    for sentence in format_findings(report, "warning"):
        logging.getLogger("model_operator").warning(sentence)


def _open_prometheus(settings: Settings) -> ApiPrometheus | None:
    if not settings.prometheus_url:
        return None
    folder = settings.prometheus_credentials_folder
    access = Access(Path(folder) if folder else None, insecure=settings.prometheus_insecure)
    return ApiPrometheus(settings.prometheus_url, settings.prometheus_timeout_seconds, access)


def serve(settings: Settings, kube: ApiKube, telemetry: Telemetry, namespaces: Sequence[str], listen: str) -> int:
    """Serve health and metrics and run until SIGTERM or SIGINT."""
    prometheus = _open_prometheus(settings)
    scopes = len(kube.scopes)
    health = Health(
        min(AUDIT_SECONDS, settings.resync_seconds), audit_seconds=plan_audit_seconds(settings.resync_seconds, scopes)
    )
    try:
        health.serve(listen, settings.health_port)
        telemetry.serve(listen, settings.metrics_port)
    except OSError as error:
        return _tell(f"health or metrics cannot be served: {error}: choose other ports", EXIT_FAILED)
    readings = concurrent.futures.ThreadPoolExecutor(READING_THREADS, thread_name_prefix="kpis")
    kpis = KpiReader(prometheus, settings.kpi_seconds, telemetry, readings.submit)
    cache = ObjectCache()
    sources = Sources(CachedKube(kube, cache), kpis, settings)
    service = Service(sources, cache, Audit(kube, cache), health, telemetry)
    logging.getLogger("model_operator").info(
        "modelpress-operator %s serves %s", model_operator.__version__, ", ".join(namespaces) or "all namespaces"
    )
    options: dict[str, Any] = {"namespaces": namespaces} if namespaces else {"clusterwide": True}
    # Of its own accord kopf looks for the user's name, which a container's user does not have.
    options |= {"registry": build_registry(service, scopes), "standalone": True, "identity": "modelpress-operator"}
    try:
        asyncio.run(kopf.operator(**options))
    except Exception as error:
        logging.getLogger("model_operator").exception("the operator cannot go on")
        return _tell(error, EXIT_FAILED)
    return 0


def _tell(error: object, status: int) -> int:
    for line in str(error).splitlines():
        print(f"modelpress-operator: {line}", file=sys.stderr, flush=True)
    return status


def main() -> None:
    """Run the operator, and end the process at once.

    A pass that still waits for an answer of the API server would hold a normal exit up beyond the grace period of the
    pod; every pass can be cut off, since the next one goes by what it finds.
    """
    status = run_operator()
    end_tracing()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
