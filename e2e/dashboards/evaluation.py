"""Asks a dashboard's questions with its variables filled in, as Grafana would, and says which have no answer."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.panels import Json

RATE_INTERVAL = "60s"
"""Grafana's least `$__rate_interval` with a data source that is left as it is: four scrapes of 15 s."""
STEP_SECONDS = 5

Ask = Callable[[str, Mapping[str, str]], Any]
"""The `data` of Prometheus' answer, given a path below /api/v1 and its parameters."""


@dataclass(frozen=True)
class Question:
    """One query of a panel, or of a variable.

    Attributes:
        place: dashboard, panel and letter, for a failure's words.
        expression: PromQL without any variable.
    """

    place: str
    expression: str


def fill(expression: str, variables: Mapping[str, str]) -> str:
    """The expression with each `$name` and `${name}` replaced.

    Raises:
        KeyError: naming a variable that has no value.
    """
    known = {"__rate_interval": RATE_INTERVAL, **variables}
    # not the `$1` of label_replace, whose name is a digit
    return re.sub(r"\$(?:\{([a-z_]\w*)\}|([a-z_]\w*))", lambda found: known[found[1] or found[2]], expression)


def list_panels(board: Json) -> list[Json]:
    """The panels that ask something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def list_questions(board: Json, variables: Mapping[str, str]) -> list[Question]:
    """Every query of every panel."""
    return [
        Question(f"{board['uid']}: {panel['title']} ({target['refId']})", fill(target["expr"], variables))
        for panel in list_panels(board)
        for target in panel["targets"]
    ]


def list_choices(board: Json, variables: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Name, selector and label of each variable that is chosen by `label_values(selector, label)`."""
    return [
        (each["name"], fill(found[1], variables), found[2])
        for each in board["templating"]["list"]
        if each["type"] == "query"
        for found in [re.fullmatch(r"label_values\((.+), (\w+)\)", each["definition"])]
        if found is not None
    ]


def read_choices(ask: Ask, selector: str, label: str) -> list[str]:
    """What a user could choose."""
    return sorted({series[label] for series in ask("series", {"match[]": selector}) if label in series})


def read_empty(ask: Ask, questions: list[Question], begun: float, ended: float) -> Iterator[str]:
    """The questions that have no answer in that time, in Unix seconds: no series, or nothing but NaN.

    Also one whose newest value alone is shown may have had it before: a scrape that failed takes it away for a while.
    """
    window = {"start": f"{begun:.3f}", "end": f"{ended:.3f}", "step": str(STEP_SECONDS)}
    for question in questions:
        data = ask("query_range", {"query": question.expression, **window})
        values = [value for series in data["result"] for value in series["values"]]
        if not any(math.isfinite(float(value)) for _, value in values):
            yield f"{question.place}: {json.dumps(question.expression)}"
