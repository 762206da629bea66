"""`modelpress-operator`: reads its settings, checks its rights and runs until it is told to end."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import kopf

import model_operator
from model_operator.errors import ClusterError, RightsError, SettingsError
from model_operator.handlers import build_registry
from model_operator.health import Health
from model_operator.kube import ApiKube
from model_operator.measurement import KpiReader
from model_operator.observe import Sources
from model_operator.prometheus import ApiPrometheus
from model_operator.rights import REQUIRED_RIGHTS
from model_operator.service import Service
from model_operator.settings import PREFIX, Settings, load_settings, split_names
from model_operator.telemetry import Telemetry, start_log

EXIT_FAILED = 1
EXIT_SETTINGS = 2
EXIT_RIGHTS = 3
EVERYWHERE = "0.0.0.0"  # noqa: S104 - probes and scrapers come from outside the pod


def run_operator(arguments: Sequence[str] | None = None) -> int:
    """Start and serve; 0 when it was told to end, 1 when it could not go on, 2 and 3 when it cannot begin."""
    parser = argparse.ArgumentParser(
        prog="modelpress-operator",
        description="Kubernetes operator for compressed models; these environment variables set it up:",
        epilog="  ".join(f"{PREFIX}{name.upper()}" for name in Settings.model_fields),
    )
    parser.add_argument("--version", action="version", version=model_operator.__version__)
    parser.add_argument("--listen", metavar="ADDRESS", default=EVERYWHERE, help="where health and metrics are answered")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
        start_log(settings.log_level)
        namespaces = split_names(settings.watch_namespaces)
        kube = ApiKube(namespaces, connections=settings.workers + 2)
        kube.check_rights(REQUIRED_RIGHTS)
    except SettingsError as error:
        return _tell(error, EXIT_SETTINGS)
    except RightsError as error:
        return _tell(error, EXIT_RIGHTS)
    except ClusterError as error:
        return _tell(error, EXIT_FAILED)
    return serve(settings, kube, namespaces, options.listen)


def serve(settings: Settings, kube: ApiKube, namespaces: Sequence[str], listen: str) -> int:
    """Serve health and metrics and run until SIGTERM or SIGINT."""
    prometheus = (
        ApiPrometheus(settings.prometheus_url, settings.prometheus_timeout_seconds) if settings.prometheus_url else None
    )
    health, telemetry = Health(settings.resync_seconds), Telemetry()
    try:
        health.serve(listen, settings.health_port)
        telemetry.serve(listen, settings.metrics_port)
    except OSError as error:
        return _tell(f"health or metrics cannot be served: {error}: choose other ports", EXIT_FAILED)
    service = Service(Sources(kube, KpiReader(prometheus, settings.kpi_seconds), settings), health, telemetry)
    logging.getLogger("model_operator").info(
        "modelpress-operator %s serves %s", model_operator.__version__, ", ".join(namespaces) or "all namespaces"
    )
    options: dict[str, Any] = {"namespaces": namespaces} if namespaces else {"clusterwide": True}
    # Of its own accord kopf looks for the user's name, which a container's user does not have.
    options |= {"registry": build_registry(service), "standalone": True, "identity": "modelpress-operator"}
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
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
