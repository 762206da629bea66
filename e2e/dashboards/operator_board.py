"""The dashboard of the operator itself. Pure."""

from dashboards.panels import Json, Panel, Query, Variable, render_dashboard
from dashboards.queries import STEP

_OWN = 'namespace="$namespace"'
_THERE = f"max(modelpress_build_info{{{_OWN}}})"


def render_operator() -> Json:
    """Whether the operator keeps up, with whom it speaks, and what it uses."""
    return render_dashboard(
        "modelpress-operator",
        "Modelpress: the operator",
        "Passes over models, their queue, the watches, the API server, Prometheus, builds, and what the operator uses.",
        [Variable("namespace", "Operator's namespace", "label_values(modelpress_build_info, namespace)")],
        [
            _figures(),
            "Passes",
            _passes(),
            "Watches",
            _watches(),
            "API server",
            _requests(),
            "Work",
            _work(),
            "Use",
            _use(),
        ],
    )


def _figures() -> list[Panel]:
    # A time that was never noted is 0.
    age = 'time() - max({name}{{namespace="$namespace"}} > 0)'
    started = f"max({_process('process_start_time_seconds')})"
    version = f"max by (version) (modelpress_build_info{{{_OWN}}})"
    return [
        _stat("Version", "Of the operator.", "none", Query(version, "{{version}}")),
        _stat("Up for", "Since its start.", "s", Query(f"time() - {started}")),
        _stat("Models", "That it knows.", "none", Query(f"sum({_gauge('modelpress_models', 'ready')})")),
        _stat(
            "Queue's age",
            "Above a minute: too few workers.",
            "s",
            Query(f"max(modelpress_queue_age_seconds{{{_OWN}}})"),
        ),
        _stat(
            "Watches' lag", "Above 30 s: a watch is dead.", "s", Query(f"max(modelpress_watch_lag_seconds{{{_OWN}}})")
        ),
        _stat(
            "Last audit",
            "Ago; above 300 s: the API server does not answer.",
            "s",
            Query(age.format(name="modelpress_last_audit_timestamp_seconds")),
        ),
        _stat(
            "Last KPIs",
            "Ago; none where no Prometheus is named.",
            "s",
            Query(age.format(name="modelpress_kpi_last_read_timestamp_seconds")),
        ),
        _stat("Failed builds", "That wait for you.", "none", Query(f'max(modelpress_builds{{state="failed",{_OWN}}})')),
    ]


def _stat(title: str, description: str, unit: str, query: Query) -> Panel:
    return Panel("stat", title, description, unit, (query,), 3, 4)


def _passes() -> list[Panel]:
    queue = f"max(modelpress_queue_depth{{{_OWN}}})"
    age = f"max(modelpress_queue_age_seconds{{{_OWN}}})"
    return [
        _graph(
            "Passes a second",
            "By result; those that failed come again.",
            "ops",
            Query(_rate("modelpress_reconciles_total", "result"), "{{result}}"),
        ),
        _graph(
            "Length of a pass", "From reading to the status.", "s", *_quantiles("modelpress_reconcile_seconds_bucket")
        ),
        _graph("Models that wait", "Due, without a worker.", "none", Query(queue, "waiting"), width=4),
        _graph("Longest wait", "Of a model that is due.", "s", Query(age, "age"), width=4),
    ]


def _watches() -> list[Panel]:
    return [
        _graph(
            "Lag",
            "How long a change is known that the watch has not told of.",
            "s",
            Query(_gauge("modelpress_watch_lag_seconds", "kind"), "{{kind}}"),
        ),
        _graph(
            "Events a second",
            "What the watches told.",
            "ops",
            Query(_rate("modelpress_watch_events_total", "kind"), "{{kind}}"),
        ),
        _graph("Objects in memory", "By kind.", "none", Query(_gauge("modelpress_cached_objects", "kind"), "{{kind}}")),
    ]


def _requests() -> list[Panel]:
    slowest = _quantile("modelpress_api_request_seconds_bucket", 0.95, "verb")
    return [
        _graph(
            "Requests a second by verb and code",
            "`none`: without an answer.",
            "reqps",
            Query(_rate("modelpress_api_requests_total", "verb, code"), "{{verb}} {{code}}"),
        ),
        _graph(
            "Requests a second by resource",
            "Without the watches' own.",
            "reqps",
            Query(_rate("modelpress_api_requests_total", "resource"), "{{resource}}"),
        ),
        _graph("Its answers, p95", "How long the API server took, by verb.", "s", Query(slowest, "{{verb}}")),
    ]


def _work() -> list[Panel]:
    failures = f"{_rate('modelpress_kpi_failures_total', 'kpi')} or 0 * {_THERE}"
    asked = _quantile("modelpress_kpi_query_seconds_bucket", 0.95, "kpi")
    return [
        _graph(
            "Models",
            "By their Ready condition.",
            "none",
            Query(_gauge("modelpress_models", "ready"), "{{ready}}"),
            width=6,
        ),
        _graph(
            "Builds",
            "Jobs by how they stand.",
            "none",
            Query(_gauge("modelpress_builds", "state"), "{{state}}"),
            width=6,
        ),
        _graph("Prometheus, p95", "How long it took for a KPI of a namespace.", "s", Query(asked, "{{kpi}}"), width=6),
        _graph(
            "KPIs without an answer, a second",
            "0 is drawn only while the operator is scraped.",
            "ops",
            Query(failures, "{{kpi}}"),
            width=6,
        ),
    ]


def _use() -> list[Panel]:
    cpu = f"1000 * max by (pod) ({_process('process_cpu_seconds_total', 'rate')})"
    memory = f"max by (pod) ({_process('process_resident_memory_bytes')})"
    files = f"max by (pod) ({_process('process_open_fds')})"
    return [
        _graph("CPU", "Millicores of the operator.", "suffix: m", Query(cpu, "{{pod}}")),
        _graph("Memory", "Resident set of the operator.", "bytes", Query(memory, "{{pod}}")),
        _graph("Open files", "And connections.", "none", Query(files, "{{pod}}")),
    ]


def _process(name: str, function: str = "") -> str:
    """What the operator's process tells, and no other's in its namespace."""
    told = f"{function}({name}{{{_OWN}}}{STEP})" if function else f"{name}{{{_OWN}}}"
    return f"{told} and on (namespace, pod) modelpress_build_info"


def _gauge(name: str, by: str) -> str:
    return f"max by ({by}) ({name}{{{_OWN}}})"


def _rate(name: str, by: str) -> str:
    """By those labels; a series counts once, however many jobs scrape it, since they differ in `job` alone."""
    return f"sum by ({by}) (max without (job, instance, endpoint, container) (rate({name}{{{_OWN}}}{STEP})))"


def _quantile(name: str, quantile: float, by: str) -> str:
    return f"histogram_quantile({quantile}, {_rate(name, f'{by}, le' if by else 'le')})"


def _quantiles(name: str) -> tuple[Query, ...]:
    return tuple(Query(_quantile(name, each, ""), f"p{100 * each:g}") for each in (0.5, 0.95))


def _graph(title: str, description: str, unit: str, *queries: Query, width: int = 8) -> Panel:
    return Panel("timeseries", title, description, unit, queries, width)
