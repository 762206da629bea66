"""Whether the client, Prometheus and the operator say the same of a run, each within what it can know. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from load.kpis import Window
from load.results import Agreement, PrometheusKpis

BUCKET_GROWTH = 1.2
"""Each edge of the server's finer buckets is so many times the one before."""
EXTENDED_INTERVALS = 1.1
"""So many scrapes' intervals, at each end of a window, are filled with what was between the scrapes (Prometheus)."""
WAY_MILLISECONDS = 10.0
"""Between client and server: connection, network, the generator's own time, waiting for a processor."""
MOMENT_SECONDS = 5.0
"""The operator tells to the second when its window ended, and asks one figure after the other."""
KUBELET_PERCENT = 10.0
"""It looks every 10 to 20 s: of a minute there are three to five looks, and one more or less at its edge tells."""
_OF_ANY_WINDOW = ("requests", "memoryMebibytes")


@dataclass(frozen=True)
class ClientView:
    """What the generator saw of a stretch of time.

    Attributes:
        answered: requests that were answered as they should be.
        p95_milliseconds: from sending to the whole answer; None where nothing was answered.
    """

    answered: int
    p95_milliseconds: float | None


def judge_run(client: ClientView, prometheus: PrometheusKpis, window: Window, scrape_seconds: float) -> list[Agreement]:
    """The client and Prometheus over the run's own window."""
    found = []
    if prometheus.requests is not None:
        found.append(judge_requests(client.answered, prometheus.requests, window, scrape_seconds))
    if prometheus.p95_latency_milliseconds is not None and client.p95_milliseconds is not None:
        found.append(judge_p95(client.p95_milliseconds, prometheus.p95_latency_milliseconds))
    return found


def judge_requests(answered: int, counted: float, window: Window, scrape_seconds: float) -> Agreement:
    """Prometheus' increase() goes on to the window's edges as it was between the outermost scrapes."""
    beyond = 2 * EXTENDED_INTERVALS * scrape_seconds
    allowed = beyond / max(window.seconds - beyond, scrape_seconds)
    slack = allowed * max(answered, counted) + 1
    return Agreement(
        kpi="requests",
        sources={"client": float(answered), "prometheus": counted},
        within=abs(answered - counted) <= slack,
        tolerance=(
            f"Prometheus counts from scrape to scrape, {scrape_seconds:g} s apart, and goes on to the edges of the"
            f" {window.seconds} s as before: within {100 * allowed:.1f} % and one request."
        ),
    )


def judge_p95(client: float, server: float) -> Agreement:
    """What the client waited holds what the server took."""
    return Agreement(
        kpi="p95LatencyMilliseconds",
        sources={"client": client, "prometheus": server},
        within=server / BUCKET_GROWTH <= client <= server * BUCKET_GROWTH + WAY_MILLISECONDS,
        tolerance=(
            f"The server's is exact to a bucket, whose edges grow by {100 * BUCKET_GROWTH - 100:.0f} %; the client's"
            f" holds it and at most {WAY_MILLISECONDS:g} ms of connection, network and waiting for a processor."
        ),
    )


def judge_operator(
    operator: Mapping[str, Any],
    prometheus: PrometheusKpis,
    known: Sequence[Agreement],
    peak_rate: float,
    a_second_later: PrometheusKpis | None = None,
) -> list[Agreement]:
    """The operator's status and Prometheus over the operator's own window, by the same queries.

    Args:
        operator: `.status.kpis`.
        prometheus: over the operator's window.
        known: the client and Prometheus over that window; empty where it reaches beyond the run, so that the client
            does not know all of it. All three must agree then. CPU and p95 are judged only there: at the edges of a
            run they change faster than the kubelet tells, and with every second.
        peak_rate: the most requests in a second of the run.
        a_second_later: Prometheus over the window that ended a second later: the operator's ended within that second.
    """
    of_client = {each.kpi: each for each in known}
    later = a_second_later or prometheus
    rules = {
        "requests": (prometheus.requests, _judge_moment(peak_rate)),
        "p95LatencyMilliseconds": (prometheus.p95_latency_milliseconds, _P95_RULE),
        "memoryMebibytes": (prometheus.working_set_mebibytes, _judge_kubelet(later.working_set_mebibytes)),
        "cpuMillicores": (prometheus.cpu_millicores, _judge_kubelet(later.cpu_millicores)),
        "cpuMillisecondsPerRequest": (
            prometheus.cpu_milliseconds_per_request,
            _judge_kubelet(later.cpu_milliseconds_per_request),
        ),
    }
    return [
        _judge_same(kpi, float(operator[kpi]), counted, rule, of_client.get(kpi))
        for kpi, (counted, rule) in rules.items()
        if counted is not None and kpi in operator and (known or kpi in _OF_ANY_WINDOW)
    ]


@dataclass(frozen=True)
class _Rule:
    """How far two figures may be apart: in percent of the larger one, and besides that.

    Attributes:
        other: what may stand in place of the second figure, as may all that lies between; None for nothing.
    """

    percent: float
    besides: float
    why: str
    other: float | None = None

    def allows(self, told: float, counted: float) -> bool:
        """Whether the figure that was told is near enough."""
        other = counted if self.other is None else self.other
        nearest = sorted((told, min(counted, other), max(counted, other)))[1]
        return abs(told - nearest) <= self.besides + self.percent / 100 * max(abs(told), abs(nearest))


def _judge_moment(peak_rate: float) -> _Rule:
    besides = 1 + MOMENT_SECONDS * peak_rate
    return _Rule(
        1.0, besides, f"within 1 % and {besides:.0f} requests, what may come while the operator asks what we ask later"
    )


_P95_RULE = _Rule(
    100 * BUCKET_GROWTH - 100, 0.0, "within a bucket, since some requests more or less may move it so far"
)


def _judge_kubelet(later: float | None) -> _Rule:
    told = "nothing" if later is None else f"{later:.4g}"
    why = (
        f"within {KUBELET_PERCENT:g} % of it, or of what it was a second later ({told}), since the window's end is told"
        " to the second and the kubelet looks every 10 to 20 s"
    )
    return _Rule(KUBELET_PERCENT, 0.0, why, later)


def _judge_same(kpi: str, told: float, counted: float, rule: _Rule, client: Agreement | None) -> Agreement:
    same = rule.allows(told, counted)
    tolerance = f"Operator and Prometheus over the operator's window: {rule.why}."
    return Agreement(
        kpi=kpi,
        sources={**(client.sources if client else {}), "prometheus": counted, "operator": told},
        within=same and (client is None or client.within),
        tolerance=f"{tolerance} {client.tolerance}" if client else tolerance,
    )
