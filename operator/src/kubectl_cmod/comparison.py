"""`kubectl cmod compare`: two models side by side. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from kubectl_cmod.facts import find_compression
from kubectl_cmod.words import format_figure, format_number, format_ratio, format_table

Object = Mapping[str, Any]


class Line(NamedTuple):
    """One number of both models, and how many times the first is the second."""

    label: str
    first: float | None
    second: float | None
    unit: str = ""

    @property
    def ratio(self) -> float | None:
        """First : second; None where there is nothing to divide."""
        return self.first / self.second if self.first is not None and self.second else None


def _path(*keys: str) -> Callable[[Object], float | None]:
    def read(body: Object) -> float | None:
        found: Any = body
        for key in keys:
            found = (found or {}).get(key)
        return None if found is None else float(found)

    return read


def _compression(key: str) -> Callable[[Object], float | None]:
    def read(body: Object) -> float | None:
        found = find_compression(body).get(key)
        return None if found is None else float(found)

    return read


_QUALITY: Final = "quality"
_LINES: Final = (
    ("alpha", _compression("alpha"), ""),
    ("bits", _compression("bits"), ""),
    ("channels pruned", _compression("channelSparsity"), ""),
    ("artifact", _path("status", "artifact", "sizeBytes"), "bytes"),
    ("bits a weight", _path("status", "artifact", "bitsPerWeight"), ""),
    ("zeros", _path("status", "artifact", "sparsityPercent"), "%"),
    (_QUALITY, _path("status", "artifact", "quality", "value"), ""),
    ("p95 latency", _path("status", "kpis", "p95LatencyMilliseconds"), "ms"),
    ("CPU of a pod", _path("status", "kpis", "cpuMillicores"), "millicores"),
    ("memory of a pod", _path("status", "kpis", "memoryMebibytes"), "MiB"),
    ("CPU of a request", _path("status", "kpis", "cpuMillisecondsPerRequest"), "ms"),
    ("requests", _path("status", "kpis", "requestsPerSecond"), "/s"),
    ("errors", _path("status", "kpis", "errorPercent"), "%"),
    ("requests measured", _path("status", "kpis", "requests"), ""),
    ("pods ready", _path("status", "serving", "readyReplicas"), ""),
)
_CHOSEN: Final = frozenset({"alpha", "bits", "channels pruned"})
_LEAST_REQUESTS: Final = 1000


def list_lines(first: Object, second: Object) -> tuple[Line, ...]:
    """Every number that at least one of the two has."""
    lines = (Line(label, read(first), read(second), unit) for label, read, unit in _LINES)
    return tuple(line for line in lines if line.first is not None or line.second is not None)


def list_doubts(first: Object, second: Object) -> tuple[str, ...]:
    """Why the measured numbers may not be comparable, in sentences."""
    names = [str(each["metadata"]["name"]) for each in (first, second)]
    measured = [((each.get("status") or {}).get("kpis")) or {} for each in (first, second)]
    metrics = [_find_metric(each) for each in (first, second)]
    doubts = [f"The qualities are of different metrics: {metrics[0]} and {metrics[1]}."] if _differ(metrics) else []
    doubts += [f"{name} was not measured." for name, kpis in zip(names, measured, strict=True) if not kpis]
    if not all(measured):
        return tuple(doubts)
    if measured[0].get("window") != measured[1].get("window"):
        doubts.append(f"The windows differ: {measured[0].get('window')} and {measured[1].get('window')}.")
    doubts += [
        f"{name} had {kpis.get('requests') or 0:,} requests, fewer than {_LEAST_REQUESTS:,}."
        for name, kpis in zip(names, measured, strict=True)
        if (kpis.get("requests") or 0) < _LEAST_REQUESTS
    ]
    return tuple(doubts)


def _find_metric(body: Object) -> str | None:
    quality = ((body.get("status") or {}).get("artifact") or {}).get("quality") or {}
    metric: str | None = quality.get("metric")
    return metric


def _differ(metrics: list[str | None]) -> bool:
    return None not in metrics and metrics[0] != metrics[1]


def format_comparison(first: Object, second: Object) -> str:
    """The table, and what speaks against comparing."""
    heads = tuple(str(each["metadata"]["name"]) for each in (first, second))
    rows = [("", *heads, "ratio")]
    for line in list_lines(first, second):
        ratio = "" if line.label in _CHOSEN else format_ratio(line.ratio)
        values = [
            format_figure(value) if line.label == _QUALITY else format_number(value, line.unit)
            for value in (line.first, line.second)
        ]
        rows.append((line.label, *values, ratio))
    return "\n".join([format_table(rows), *list_doubts(first, second)])


def render_comparison(first: Object, second: Object) -> dict[str, Any]:
    """For programs."""
    return {
        "models": [each["metadata"]["name"] for each in (first, second)],
        "lines": [
            {"label": line.label, "unit": line.unit, "values": [line.first, line.second], "ratio": line.ratio}
            for line in list_lines(first, second)
        ],
        "doubts": list(list_doubts(first, second)),
    }
