"""`kubectl cmod list`: one line a model. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from kubectl_cmod import state
from kubectl_cmod.facts import ModelFacts, find_condition
from kubectl_cmod.words import format_age, format_figure, format_number, format_ratio, format_table

Object = Mapping[str, Any]

_HEADINGS: Final = (
    "NAME",
    "READY",
    "REASON",
    "BUILD",
    "SIZE",
    "RATIO",
    "QUALITY",
    "P95",
    "MCORES",
    "MIB",
    "OBJECTIVES",
    "PODS",
    "AGE",
)
_OBJECTIVES: Final = {"True": "met", "False": "missed", "Unknown": "unknown"}


def format_list(bodies: Sequence[Object], now: datetime, *, everywhere: bool) -> str:
    """The table; with the namespaces where they differ."""
    headings = ("NAMESPACE", *_HEADINGS) if everywhere else _HEADINGS
    rows = [[body["metadata"]["namespace"], *_row(body, now)] if everywhere else _row(body, now) for body in bodies]
    return format_table([headings, *rows])


def render_list(bodies: Sequence[Object]) -> list[dict[str, Any]]:
    """For programs."""
    return [
        {
            "namespace": body["metadata"]["namespace"],
            "name": body["metadata"]["name"],
            "ready": state.is_ready(ModelFacts(body)),
            "reason": find_condition(body, "Ready").get("reason"),
            "status": body.get("status") or {},
        }
        for body in bodies
    ]


def _row(body: Object, now: datetime) -> list[str]:
    facts = ModelFacts(body)
    artifact, kpis, serving, build = (facts.part(part) for part in ("artifact", "kpis", "serving", "build"))
    epoch = f"{build['epoch']}/{build.get('epochs', '?')}" if build.get("epoch") else ""
    return [
        facts.name,
        "yes" if state.is_ready(facts) else "no",
        str(facts.condition("Ready").get("reason", "-")),
        epoch or str(build.get("phase") or "-"),
        str(artifact.get("size", "-")),
        format_ratio(artifact.get("ratio")),
        format_figure((artifact.get("quality") or {}).get("value")),
        format_number(kpis.get("p95LatencyMilliseconds")),
        format_number(kpis.get("cpuMillicores")),
        format_number(kpis.get("memoryMebibytes")),
        _OBJECTIVES.get(str(facts.condition("WithinObjectives").get("status")), "-"),
        f"{serving.get('readyReplicas', 0)}/{serving.get('replicas', 0)}" if serving else "-",
        format_age(body["metadata"].get("creationTimestamp"), now),
    ]
