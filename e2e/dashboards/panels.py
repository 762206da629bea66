"""Grafana's JSON for panels, variables and a whole dashboard (schema 39, Grafana 11 and later). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

SCHEMA_VERSION = 39
COLUMNS = 24
TAG = "modelpress"
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Query:
    """One question of a panel.

    Attributes:
        expression: PromQL with Grafana's variables.
        legend: of each series, with its labels in `{{ }}`.
    """

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        kind: as Grafana names it.
        title: what is shown, with its unit where Grafana has none.
        description: how it is to be read.
        unit: Grafana's name of it.
        queries: what is asked.
        width: in columns, of 24.
        height: in rows of Grafana's grid.
        columns: of a table, one for each query: its name, empty where the labels say all, and its unit.
        decimals: of the figures; None leaves them to Grafana.
        model_link: whether a table's models lead to their own dashboard.
    """

    kind: str
    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    height: int = 8
    columns: tuple[tuple[str, str], ...] = ()
    decimals: int | None = None
    model_link: bool = False


@dataclass(frozen=True)
class Variable:
    """A choice above the panels.

    Attributes:
        name: as queries write it after `$`.
        label: what users see.
        query: of the data source, in Grafana's own words (`label_values(…)`).
        several: whether several may be chosen, or all.
    """

    name: str
    label: str
    query: str
    several: bool = False


def render_dashboard(
    uid: str, title: str, description: str, variables: Sequence[Variable], rows: Sequence[Any]
) -> Json:
    """A dashboard.

    Args:
        uid: stable, so that links and provisioning find it again.
        title: of it.
        description: what it is for.
        variables: beside the data source, which each has.
        rows: from above, each a sequence of panels that fill 24 columns at most; a text begins a titled part.
    """
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [_render_links()],
        "templating": {"list": [_render_datasource(), *(_render_variable(each) for each in variables)]},
        "annotations": {"list": []},
        "panels": _place(rows),
    }


def _place(rows: Sequence[Any]) -> list[Json]:
    """Every panel with an id and a place, from left to right and from above."""
    placed: list[Json] = []
    top = 0
    for row in rows:
        if isinstance(row, str):
            placed.append(_render_part(row) | _spot(len(placed), 0, top, COLUMNS, 1))
            top += 1
            continue
        left = 0
        for panel in row:
            placed.append(_render_panel(panel) | _spot(len(placed), left, top, panel.width, panel.height))
            left += panel.width
        top += max(panel.height for panel in row)
    return placed


def _spot(index: int, left: int, top: int, width: int, height: int) -> Json:
    return {"id": index + 1, "gridPos": {"x": left, "y": top, "w": width, "h": height}}


def _render_part(title: str) -> Json:
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def _render_panel(panel: Panel) -> Json:
    defaults: Json = {"unit": panel.unit, "color": {"mode": "palette-classic"}}
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    rendered: Json = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "targets": [_render_target(panel, query, chr(ord("A") + place)) for place, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }
    return {
        "timeseries": _finish_timeseries,
        "stat": _finish_stat,
        "heatmap": _finish_heatmap,
        "table": _finish_table,
    }[panel.kind](panel, rendered)


def _render_target(panel: Panel, query: Query, letter: str) -> Json:
    shown = {"table": "table", "heatmap": "heatmap"}.get(panel.kind, "time_series")
    instant = panel.kind in ("table", "stat")
    return {
        "refId": letter,
        "datasource": _DATASOURCE,
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "format": shown,
        "instant": instant,
        "range": not instant,
    }


def _finish_timeseries(panel: Panel, rendered: Json) -> Json:
    del panel
    rendered["fieldConfig"]["defaults"] |= {
        "min": 0,
        "custom": {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False},
    }
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    return rendered | {"options": {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}}


def _finish_stat(panel: Panel, rendered: Json) -> Json:
    """A figure; the labels' own text where the legend names some."""
    named = any("{{" in query.legend for query in panel.queries)
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    options = {
        "reduceOptions": reduce,
        "colorMode": "none",
        "graphMode": "none",
        "textMode": "name" if named else "auto",
    }
    return rendered | {"options": options}


def _finish_heatmap(panel: Panel, rendered: Json) -> Json:
    return rendered | {
        "options": {
            "calculate": False,
            "cellGap": 0,
            "color": {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "steps": 64, "reverse": False},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "le"},
            "tooltip": {"mode": "single", "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "unit": panel.unit},
        }
    }


def _finish_table(panel: Panel, rendered: Json) -> Json:
    """A row for each set of labels, a column for each query."""
    letters = [chr(ord("A") + place) for place in range(len(panel.columns))]
    names = {f"Value #{letter}": name for letter, (name, _) in zip(letters, panel.columns, strict=True)}
    rendered["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, unit in panel.columns
    ]
    if panel.model_link:
        url = "/d/modelpress-model?var-namespace=${__data.fields.namespace}&var-model=${__data.fields.model}"
        link = {"title": "this model", "url": f"{url}&${{datasource:queryparam}}&${{__url_time_range}}"}
        rendered["fieldConfig"]["overrides"].append(
            {"matcher": {"id": "byName", "options": "model"}, "properties": [{"id": "links", "value": [link]}]}
        )
    hidden = {"Time": True} | ({} if panel.columns[0][0] else {"Value #A": True, "Value": True})
    organize = {"excludeByName": hidden, "renameByName": {key: name for key, name in names.items() if name}}
    return rendered | {
        "options": {"showHeader": True, "cellHeight": "sm"},
        "transformations": [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}],
    }


def _render_datasource() -> Json:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def _render_variable(variable: Variable) -> Json:
    every = {"includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": _DATASOURCE,
        "definition": variable.query,
        "query": {"query": variable.query, "refId": "variable"},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": variable.several,
        "includeAll": False,
        **(every if variable.several else {}),
    }


def _render_links() -> Json:
    return {
        "title": "Modelpress",
        "type": "dashboards",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }
