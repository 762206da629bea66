"""What the cluster says of one run: the operator's own queries over exactly the run's window, and its status.

The queries and what is made of their answers are the operator's (`model_operator.queries`, `.measurement`); only the
moment at which they are asked is ours. Prometheus is asked through the API server, so that it needs no way of its own.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlencode

from load.results import PrometheusKpis
from model_operator import names
from model_operator.measurement import Reading, parse_kpis, parse_window_seconds
from model_operator.prometheus import Sample
from model_operator.queries import KpiQueries, render_queries
from model_operator.serving_pod import Served


class Asking(Protocol):
    """kubectl."""

    def kubectl(self, *arguments: str, text: str = "") -> str:
        """Its standard output."""


@dataclass(frozen=True)
class PrometheusPlace:
    """Where Prometheus is.

    Attributes:
        namespace: of its Service.
        service: its name and port, such as modelpress-prometheus:9090.
        scrape_seconds: how far its scrapes of servers are apart.
    """

    namespace: str
    service: str
    scrape_seconds: float = 5.0

    def render_path(self, query: str, at_unix: float) -> str:
        """The path of an instant query below the API server."""
        asked = urlencode({"query": query, "time": f"{at_unix:.3f}"})
        return f"/api/v1/namespaces/{self.namespace}/services/{self.service}/proxy/api/v1/query?{asked}"


@dataclass(frozen=True)
class Window:
    """A stretch of time."""

    begin_unix: float
    end_unix: float

    @property
    def seconds(self) -> int:
        """Its length, as the queries take it."""
        return max(1, round(self.end_unix - self.begin_unix))

    def move(self, seconds: float) -> "Window":
        """The same length, so much later."""
        return Window(self.begin_unix + seconds, self.end_unix + seconds)

    def holds(self, other: "Window") -> bool:
        """Whether the other one lies within it."""
        return self.begin_unix <= other.begin_unix and other.end_unix <= self.end_unix

    def overlap_seconds(self, other: "Window") -> float:
        """How long both last."""
        return max(0.0, min(self.end_unix, other.end_unix) - max(self.begin_unix, other.begin_unix))


def read_kpis(client: Asking, place: PrometheusPlace, served: Served, window: Window) -> PrometheusKpis:
    """What Prometheus says of a model's pods over the window; it must be over for some seconds.

    The kubelet's figures come with the time at which it took them, up to a scrape's interval later.
    """
    reading = read_reading(client, place, served.namespace, window)
    kpis = parse_kpis(reading, served)
    return PrometheusKpis(
        p95_latency_milliseconds=kpis.p95_latency_milliseconds,
        cpu_millicores=kpis.cpu_millicores,
        working_set_mebibytes=kpis.memory_mebibytes,
        cpu_milliseconds_per_request=kpis.cpu_milliseconds_per_request,
        requests=kpis.requests,
        requests_per_second=kpis.requests_per_second,
    )


def read_reading(client: Asking, place: PrometheusPlace, namespace: str, window: Window) -> Reading:
    """The answers to the operator's queries."""
    asked = render_queries(namespace, names.SERVER_CONTAINER, window.seconds)
    answers = {
        figure: parse_answer(client.kubectl("get", "--raw", place.render_path(getattr(asked, figure), window.end_unix)))
        for figure in KpiQueries.__dataclass_fields__
    }
    return Reading(window.seconds, datetime.fromtimestamp(window.end_unix, UTC), **answers)


def parse_answer(text: str) -> list[Sample]:
    """The finite values of an instant vector."""
    found = [Sample(dict(each["metric"]), float(each["value"][1])) for each in json.loads(text)["data"]["result"]]
    return [sample for sample in found if math.isfinite(sample.value)]


def complete_by_client(kpis: PrometheusKpis, answered: int, seconds: float) -> PrometheusKpis:
    """For a server that counts nothing itself: the CPU that the kubelet saw, shared among what the client counted."""
    if kpis.cpu_millicores is None or not answered:
        return kpis
    return kpis.model_copy(update={"cpu_milliseconds_per_request": kpis.cpu_millicores * seconds / answered})


@dataclass(frozen=True)
class OperatorKpis:
    """`.status.kpis` as it stood once."""

    stated: Mapping[str, Any]

    @property
    def window(self) -> Window:
        """Over which it was measured."""
        ended = datetime.fromisoformat(self.stated["measuredAt"]).timestamp()
        return Window(ended - parse_window_seconds(self.stated["window"]), ended)


def parse_status(model: Mapping[str, Any]) -> OperatorKpis | None:
    """What the operator says of a model; None where it has no figures."""
    stated = model.get("status", {}).get("kpis", {})
    return OperatorKpis(stated) if "measuredAt" in stated and "requests" in stated else None


def choose_status(seen: Sequence[OperatorKpis], run: Window) -> OperatorKpis | None:
    """The last whose window lies within the run, or else the last whose window holds half of the run."""
    within = [each for each in seen if run.holds(each.window)]
    found = within or [each for each in seen if run.overlap_seconds(each.window) >= run.seconds / 2]
    return found[-1] if found else None
